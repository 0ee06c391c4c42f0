//! What is sent next.

use localack_core::Instant;

use super::super::clock::{SECOND, after, since};
use super::super::position::low_half;
use super::{Phase, Sender};

/// A segment that is to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Outgoing {
    /// Positions of its payload; nothing for a probe.
    pub(in super::super) start: u64,
    pub(in super::super) end: u64,
    /// Whether FIN follows the payload.
    pub(in super::super) fin: bool,
    pub(in super::super) push: bool,
    /// Whether it was sent before.
    pub(in super::super) again: bool,
    /// Whether it tells of a reduced window (RFC 3168 section 6.1.2).
    pub(in super::super) cwr: bool,
}

impl Outgoing {
    pub(in super::super) fn length(&self) -> u32 {
        low_half(self.end - self.start)
    }
}

impl Sender {
    /// The next segment that may leave now, already noted as sent.
    pub(in super::super) fn next_segment(&mut self, now: Instant) -> Option<Outgoing> {
        if let Some(forced) = self.forced.take() {
            return Some(forced);
        }
        let pending = self.flight.next_lost();
        if pending.is_none() && !self.has_more() {
            return None;
        }
        if self.paced && self.next_send > now {
            self.timers.pace = Some(self.next_send);
            return None;
        }
        if self.flight.in_network() >= self.congestion.cwnd {
            self.note_usage(true);
            return None;
        }
        let next = match pending {
            Some(number) if !self.new_first => self.resend(number, now),
            _ => None,
        };
        let next = next.or_else(|| self.new_segment(now, false));
        if next.is_none() {
            self.note_usage(false);
        }
        next
    }

    /// Whether the application has given, or will give, more than was sent.
    fn has_more(&self) -> bool {
        self.nxt < self.source.end() || self.source.fin() == Some(self.nxt)
    }

    /// Remembers whether the congestion window is in the way (RFC 7661 section 4.1).
    fn note_usage(&mut self, limited: bool) {
        let out = self.flight.len();
        let round_over = self.una > self.usage_end;
        if round_over || limited || (!self.cwnd_limited && out > self.most_out) {
            self.cwnd_limited = limited;
            self.most_out = out;
            self.usage_end = self.nxt;
        }
    }

    /// The next new segment as it would be: its end, and whether FIN follows.
    fn candidate(&self) -> Option<(u64, bool)> {
        if !self.has_more() {
            return None;
        }
        let (end, size) = (self.source.end(), u64::from(self.segment_size()));
        let buffered = end.min(self.una + self.send_buffer);
        let available = buffered.saturating_sub(self.nxt);
        let length = available.min(size);
        let last = self.nxt + length == end;
        let fin = last && self.source.fin() == Some(end);
        if length < size && !last && !(length > 0 && self.flight.is_empty()) {
            return None; // The application will give more when there is room in the buffer.
        }
        (length > 0 || fin).then_some((self.nxt + length, fin))
    }

    /// Whether there is new data and the peer's window has room for it.
    pub(super) fn may_send_new(&self) -> bool {
        self.candidate()
            .is_some_and(|(end, _)| end <= self.edge() && self.nxt < self.edge())
    }

    /// Sends new data if the peer's window has room; `probe` if it must not wait.
    pub(super) fn new_segment(&mut self, now: Instant, probe: bool) -> Option<Outgoing> {
        let (end, fin) = self.candidate()?;
        let fin = fin && end < self.edge();
        if end > self.edge() || (end == self.nxt && !fin) {
            if !probe {
                self.arm_window_probe(now);
            }
            return None;
        }
        Some(self.send_new(end, fin, now))
    }

    fn send_new(&mut self, end: u64, fin: bool, now: Instant) -> Outgoing {
        self.restart_after_idle(now);
        let start = self.nxt;
        let fresh = self.flight.is_empty();
        self.nxt = end + u64::from(fin);
        self.flight.push(start, self.nxt, fin, now);
        if fresh {
            self.rearm(now);
        } else {
            self.arm_tail_probe(now);
        }
        let cwr = core::mem::take(&mut self.queue_cwr);
        let push = end == self.source.end() || end == self.una + self.send_buffer;
        let segment = Outgoing {
            start,
            end,
            fin,
            push,
            again: false,
            cwr,
        };
        self.count(&segment, now);
        segment
    }

    /// Sends a segment again, unless the peer has taken its window back.
    pub(super) fn resend(&mut self, number: u64, now: Instant) -> Option<Outgoing> {
        let sent = *self.flight.get(number)?;
        if sent.start >= self.edge() && sent.start != self.una {
            return None;
        }
        self.flight.sent_again(number, now);
        self.undo.unexcused = self.undo.unexcused.max(0) + 1;
        let stamp = self.clock.value(now);
        self.undo.first_retransmission.get_or_insert(stamp);
        let segment = Outgoing {
            start: sent.start,
            end: sent.end - u64::from(sent.fin),
            fin: sent.fin,
            push: sent.fin,
            again: true,
            cwr: false,
        };
        self.count(&segment, now);
        if self.timers.rto.is_none() || sent.start == self.una {
            self.timers.rto = Some(after(now, self.rtt.rto()));
        }
        Some(segment)
    }

    /// A probe of a window that is too small: what fits, or nothing at all (RFC 9293, 3.8.6.1).
    pub(super) fn window_probe(&mut self, now: Instant) -> Outgoing {
        let room = self.edge().saturating_sub(self.nxt);
        if let Some((end, _)) = self.candidate()
            && room > 0
            && end > self.nxt
        {
            return self.send_new(end.min(self.nxt + room), false, now);
        }
        Outgoing {
            start: self.una - 1,
            end: self.una - 1,
            fin: false,
            push: false,
            again: false,
            cwr: false,
        }
    }

    fn count(&mut self, segment: &Outgoing, now: Instant) {
        self.last_sent = Some(now);
        if self.in_reduction() {
            self.prr.out += 1;
        }
        let octets = u64::from(segment.length());
        self.stats.segments_sent += 1;
        self.stats.octets_sent += octets;
        if segment.again {
            self.stats.segments_retransmitted += 1;
            self.stats.octets_retransmitted += octets;
        }
        if self.paced {
            self.pace(octets, now);
        }
    }

    /// Twice the window in a round trip during slow start, 1.2 times afterwards.
    fn pace(&mut self, octets: u64, now: Instant) {
        let Some(srtt) = self.rtt.smoothed() else {
            return;
        };
        let ratio = if self.congestion.cwnd < self.congestion.ssthresh / 2 {
            200
        } else {
            120
        };
        let window = u64::from(self.congestion.cwnd) * u64::from(self.mss);
        let rate = (window * ratio / 100 * SECOND / srtt.max(1)).max(1);
        self.next_send = after(self.next_send.latest(now), octets * SECOND / rate);
    }

    /// After a pause the window starts from less (RFC 5681 section 4.1, RFC 2861).
    fn restart_after_idle(&mut self, now: Instant) {
        let (true, Some(last)) = (self.flight.is_empty(), self.last_sent) else {
            return;
        };
        let idle = since(now, last);
        self.congestion.idle(idle);
        let rto = self.rtt.rto();
        if idle <= rto || self.phase == Phase::Loss {
            return;
        }
        let halvings = u32::try_from(idle / rto).unwrap_or(31).min(31);
        let cwnd = self.congestion.cwnd;
        let kept = (cwnd / 4 * 3).max(cwnd / 2);
        self.congestion.ssthresh = self.congestion.ssthresh.max(kept);
        let floor = self.initial_window.min(cwnd);
        self.congestion.set((cwnd >> halvings).max(floor));
    }
}
