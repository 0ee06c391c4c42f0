//! What an end sends.

use super::super::scope::{App, MSS, Scope};
use super::super::segment::Segment;
use super::{End, Life, MOST_DOUBLINGS, Output, RTO_US};
use crate::packet::Flags;

impl End {
    /// A segment with the acknowledgement and window of now.
    pub(super) fn segment(
        &mut self,
        now: u64,
        scope: &Scope,
        flags: Flags,
        seq: u32,
        len: u32,
    ) -> Segment {
        let syn = flags.has(Flags::SYN);
        self.raise_edge(scope.app(self.port));
        if flags.has(Flags::ACK) {
            self.last_ack_sent = self.rcv_nxt;
        }
        let plain = flags.has(Flags::ACK) && !syn && !flags.has(Flags::RST);
        let most = if scope.timestamps { 3 } else { 4 };
        Segment {
            from: self.port,
            flags: flags.0,
            seq,
            ack: if flags.has(Flags::ACK) {
                self.rcv_nxt
            } else {
                0
            },
            window: u16::try_from(self.edge.saturating_sub(self.rcv_nxt.max(1)))
                .expect("a small window"),
            len: u16::try_from(len).expect("a small segment"),
            sack: if plain && scope.sack {
                self.held.iter().copied().take(most).collect()
            } else {
                Vec::new()
            },
            stamps: scope.timestamps.then(|| {
                let clock = u32::try_from(now / 1000).expect("a short life");
                (clock, self.ts_recent)
            }),
        }
    }

    /// Announces what the buffer has room for, in steps that are worth it (RFC 9293 section
    /// 3.8.6.2.2).
    pub(super) fn raise_edge(&mut self, app: &App) {
        let room = 1 + self.read + app.buffer();
        if room >= self.edge + MSS.min(app.buffer() / 2) {
            self.edge = room;
        }
    }

    pub(super) fn send_syn(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        let flags = if self.life == Life::SynSent {
            Flags::SYN
        } else {
            Flags::SYN | Flags::ACK
        };
        let segment = self.segment(now, scope, flags, 0, 0);
        out.segments.push(segment);
        self.snd_nxt = self.snd_nxt.max(1);
        self.arm(now);
    }

    pub(super) fn send_ack(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        let segment = self.segment(now, scope, Flags::ACK, self.snd_nxt, 0);
        out.segments.push(segment);
    }

    /// Sends what the peer's window allows.
    pub(super) fn push(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        if self.life != Life::Open {
            return;
        }
        let data_end = 1 + self.written;
        while self.snd_nxt < self.end() {
            let data = data_end.saturating_sub(self.snd_nxt).min(MSS);
            let room = self.wnd_edge.saturating_sub(self.snd_nxt);
            let cut = data.min(room);
            // A part of a segment goes only where nothing else will open the window.
            let room = room + u32::from(data == 0 && scope.app(self.port).fin_past_window);
            if room == 0 || (cut < data && self.snd_una < self.snd_nxt) {
                break;
            }
            self.send_from(self.snd_nxt, cut, now, scope, out);
        }
        self.rearm(now);
    }

    /// Sends `len` octets from `seq`, and the FIN if it follows them.
    fn send_from(&mut self, seq: u32, len: u32, now: u64, scope: &Scope, out: &mut Output) {
        let data_end = 1 + self.written;
        let past = scope.app(self.port).fin_past_window;
        let fin = self.closed && seq + len == data_end && (past || data_end < self.wnd_edge);
        if fin && self.snd_nxt <= data_end {
            self.passive = self.peer_fin.is_some_and(|fin| self.rcv_nxt > fin);
        }
        let mut flags = Flags::ACK;
        if len > 0 && seq + len == data_end {
            flags = flags | Flags::PSH;
        }
        if fin {
            flags = flags | Flags::FIN;
        }
        let segment = self.segment(now, scope, flags, seq, len);
        self.snd_nxt = self.snd_nxt.max(segment.end());
        out.segments.push(segment);
    }

    /// Repeats the first segment that is not acknowledged.
    pub(super) fn repeat(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        let data_end = 1 + self.written;
        let sent = data_end.min(self.snd_nxt);
        let room = self.wnd_edge.saturating_sub(self.snd_una).max(1);
        let len = sent.saturating_sub(self.snd_una).min(MSS).min(room);
        // A FIN that was not sent yet stays where it is.
        let was_open = self.closed && self.snd_nxt <= data_end;
        if was_open {
            self.closed = false;
        }
        self.send_from(self.snd_una, len, now, scope, out);
        if was_open {
            self.closed = true;
        }
    }

    /// The timer expires.
    pub(in super::super) fn on_timer(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
        match self.life {
            Life::SynSent | Life::SynReceived => self.send_syn(now, scope, out),
            Life::Open if self.snd_una < self.snd_nxt => {
                self.recover = self.snd_nxt;
                self.repeat(now, scope, out);
                self.arm(now);
            }
            Life::Open if self.snd_nxt < self.end() => {
                // The window is closed: does the peer live? (RFC 9293 section 3.8.6.1.)
                let before = self.snd_una - 1;
                let probe = self.segment(now, scope, Flags::ACK, before, 0);
                out.segments.push(probe);
                self.arm(now);
            }
            _ => self.timer = None,
        }
    }

    /// Whether a time-out would make it say something.
    pub(in super::super) fn can_time_out(&self) -> bool {
        self.timer.is_some()
    }

    pub(super) fn arm(&mut self, now: u64) {
        self.timer = Some(now + (RTO_US << self.doublings));
    }

    /// Runs the timer while something waits for the peer, and stops it else.
    pub(super) fn rearm(&mut self, now: u64) {
        if self.has_more_to_say() {
            if self.timer.is_none() {
                self.arm(now);
            }
        } else {
            self.timer = None;
            self.doublings = 0;
        }
    }
}
