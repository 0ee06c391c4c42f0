//! What an end makes of a segment (RFC 9293 section 3.10.7, RFC 5961, RFC 7323).

use super::super::scope::Scope;
use super::super::segment::Segment;
use super::{End, Life, Output};
use crate::packet::Flags;

/// How far `a` lies ahead of `b`.
const fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

impl End {
    /// Takes a segment.
    pub(in super::super) fn on_segment(
        &mut self,
        now: u64,
        scope: &Scope,
        segment: &Segment,
        out: &mut Output,
    ) {
        match self.life {
            Life::Listen => self.on_listening(now, scope, segment, out),
            Life::SynSent => self.on_syn_sent(now, scope, segment, out),
            Life::SynReceived => self.on_syn_received(now, scope, segment, out),
            Life::Open => self.on_open(now, scope, segment, out),
            Life::Closed | Life::Aborted | Life::Reset => self.refuse(segment, out),
            Life::Vanished => {}
        }
    }

    /// There is no such connection (RFC 9293 section 3.10.7.1).
    fn refuse(&self, segment: &Segment, out: &mut Output) {
        if segment.has(Flags::RST) || !segment.has(Flags::ACK) {
            return;
        }
        out.segments.push(Segment {
            from: self.port,
            flags: Flags::RST.0,
            seq: segment.ack,
            ack: 0,
            window: 0,
            len: 0,
            sack: Vec::new(),
            stamps: None,
        });
    }

    fn on_listening(&mut self, now: u64, scope: &Scope, segment: &Segment, out: &mut Output) {
        if segment.has(Flags::RST) {
            return;
        }
        if segment.has(Flags::ACK) {
            self.refuse(segment, out);
        } else if segment.has(Flags::SYN) {
            self.begin(segment);
            self.life = Life::SynReceived;
            self.send_syn(now, scope, out);
        }
    }

    fn on_syn_sent(&mut self, now: u64, scope: &Scope, segment: &Segment, out: &mut Output) {
        if segment.has(Flags::ACK) && segment.ack != 1 {
            self.refuse(segment, out);
        } else if segment.has(Flags::RST) {
            if segment.has(Flags::ACK) {
                self.die();
            }
        } else if segment.has(Flags::SYN) && segment.has(Flags::ACK) {
            self.begin(segment);
            self.open(segment);
            self.send_ack(now, scope, out);
            self.push(now, scope, out);
        }
    }

    fn on_syn_received(&mut self, now: u64, scope: &Scope, segment: &Segment, out: &mut Output) {
        if segment.has(Flags::RST) {
            if segment.seq == self.rcv_nxt {
                self.die();
            }
        } else if segment.has(Flags::SYN) {
            self.send_syn(now, scope, out);
        } else if segment.has(Flags::ACK) {
            if segment.ack != 1 {
                self.refuse(segment, out);
            } else if segment.seq <= self.edge {
                self.open(segment);
                self.push(now, scope, out);
                self.on_open(now, scope, segment, out);
            }
        }
    }

    /// Takes in a SYN.
    fn begin(&mut self, syn: &Segment) {
        self.rcv_nxt = 1;
        self.last_ack_sent = 1;
        self.ts_recent = syn.stamps.map_or(0, |(value, _)| value);
        self.wl1 = syn.seq;
        self.wnd_edge = 1 + u32::from(syn.window);
        self.max_window = syn.window.into();
    }

    /// The own SYN is acknowledged.
    fn open(&mut self, segment: &Segment) {
        self.life = Life::Open;
        self.snd_una = 1;
        self.wl1 = segment.seq;
        self.wl2 = 1;
        self.wnd_edge = 1 + u32::from(segment.window);
        self.max_window = self.max_window.max(segment.window.into());
        self.timer = None;
        self.doublings = 0;
    }

    /// It is reset, unless the connection is over for it.
    fn die(&mut self) {
        self.life = if self.has_parted() {
            Life::Closed
        } else {
            Life::Reset
        };
        self.timer = None;
    }

    fn on_open(&mut self, now: u64, scope: &Scope, segment: &Segment, out: &mut Output) {
        let takes_room = segment.end() != segment.seq;
        let old = segment.stamps.is_some_and(|(value, _)| {
            scope.timestamps && !segment.has(Flags::RST) && ahead(value, self.ts_recent) < 0
        });
        if old || !self.is_acceptable(segment) {
            if !segment.has(Flags::RST) {
                self.send_ack(now, scope, out);
            }
            return;
        }
        if segment.has(Flags::RST) {
            if segment.seq == self.rcv_nxt {
                self.die();
            } else {
                self.send_ack(now, scope, out);
            }
            return;
        }
        if segment.has(Flags::SYN) {
            self.send_ack(now, scope, out);
            return;
        }
        if !segment.has(Flags::ACK) {
            out.faults.push("a segment without ACK".into());
            return;
        }
        if let Some((value, _)) = segment.stamps
            && scope.timestamps
            && segment.seq <= self.last_ack_sent
        {
            self.ts_recent = value;
        }
        if segment.ack > self.snd_nxt {
            out.faults.push(format!(
                "ACK {} of what was never sent, which ends at {} (H1.4)",
                segment.ack, self.snd_nxt
            ));
            return;
        }
        if segment.ack + self.max_window < self.snd_una {
            self.send_ack(now, scope, out);
            return;
        }
        let said = out.segments.len();
        self.take_ack(now, scope, segment, out);
        if takes_room {
            self.take_data(segment, scope);
        }
        self.push(now, scope, out);
        if takes_room && out.segments.len() == said {
            self.send_ack(now, scope, out);
        }
        if self.has_parted() && self.passive {
            self.life = Life::Closed;
            self.timer = None;
        }
    }

    /// RFC 9293 section 3.10.7.4, first check.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (seq, end) = (segment.seq, segment.end());
        let inside = |at: u32| at >= self.rcv_nxt && at < self.edge;
        match (end > seq, self.edge > self.rcv_nxt) {
            (false, false) => seq == self.rcv_nxt,
            (false, true) => inside(seq),
            (true, false) => false,
            (true, true) => inside(seq) || inside(end - 1),
        }
    }

    fn take_ack(&mut self, now: u64, scope: &Scope, segment: &Segment, out: &mut Output) {
        if segment.ack > self.snd_una {
            self.snd_una = segment.ack;
            self.doublings = 0;
            self.timer = None;
        }
        if segment.ack == self.snd_una
            && (self.wl1 < segment.seq || (self.wl1 == segment.seq && self.wl2 <= segment.ack))
        {
            let was_closed = self.wnd_edge <= self.snd_nxt;
            self.wnd_edge = segment.ack + u32::from(segment.window);
            self.max_window = self.max_window.max(segment.window.into());
            (self.wl1, self.wl2) = (segment.seq, segment.ack);
            if was_closed && self.wnd_edge > self.snd_nxt && self.snd_una == self.snd_nxt {
                // What ran was the timer of the closed window.
                self.timer = None;
                self.doublings = 0;
            }
        }
        if self.timer.is_none() && self.snd_una < self.recover.min(self.snd_nxt) {
            self.repeat(now, scope, out);
        }
        self.rearm(now);
    }

    fn take_data(&mut self, segment: &Segment, scope: &Scope) {
        let data_end = segment.seq + u32::from(segment.len);
        if segment.has(Flags::FIN) && data_end <= self.edge {
            self.peer_fin = Some(data_end);
        }
        let (start, end) = (segment.seq.max(self.rcv_nxt), data_end.min(self.edge));
        if end > start {
            self.hold(start, end);
        }
        while let Some(at) = self.held.iter().position(|&(left, _)| left <= self.rcv_nxt) {
            let (_, right) = self.held.remove(at);
            self.rcv_nxt = self.rcv_nxt.max(right);
        }
        if self.peer_fin == Some(self.rcv_nxt) {
            self.rcv_nxt += 1;
        }
        if !scope.app(self.port).reads_late {
            self.read = self.readable();
        }
    }

    /// Keeps a range, and forgets those that it merges with.
    fn hold(&mut self, start: u32, end: u32) {
        let (mut start, mut end) = (start, end);
        self.held.retain(|&(left, right)| {
            let apart = right < start || left > end;
            if !apart {
                (start, end) = (start.min(left), end.max(right));
            }
            apart
        });
        self.held.insert(0, (start, end));
    }
}
