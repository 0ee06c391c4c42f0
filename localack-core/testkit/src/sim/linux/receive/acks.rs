//! When to acknowledge (RFC 5681 section 4.2, with Linux's quick acknowledgements).

use localack_core::Instant;

use super::super::clock::{MILLISECOND, after, since};

/// `TCP_ATO_MIN` and `TCP_DELACK_MAX`.
const ATO_MIN: u64 = 40 * MILLISECOND;
const DELAY_MAX: u64 = 200 * MILLISECOND;
/// `TCP_MAX_QUICKACKS`.
const MOST_QUICK: u32 = 16;

/// State of delayed acknowledgements.
#[derive(Clone, Debug)]
pub(in super::super) struct DelayedAck {
    /// Whether acknowledgements are delayed at all.
    enabled: bool,
    /// One must leave at once.
    pub(in super::super) now: bool,
    /// One is owed, and leaves by then at the latest.
    owed: Option<Instant>,
    /// Acknowledgements that are not delayed because the sender is in slow start, as it seems.
    quick: u32,
    /// Data flows both ways, so that data can carry acknowledgements.
    interactive: bool,
    timeout: u64,
    last_data: Option<Instant>,
    /// The largest segment received: an estimate of the peer's MSS.
    pub(in super::super) peer_mss: u64,
}

impl DelayedAck {
    pub(in super::super) const fn new(enabled: bool) -> Self {
        Self {
            enabled,
            now: false,
            owed: None,
            quick: 0,
            interactive: false,
            timeout: ATO_MIN,
            last_data: None,
            peer_mss: 536,
        }
    }

    /// Data arrived, in order or not; `window` is what was announced last, in octets.
    pub(in super::super) fn data(&mut self, now: Instant, length: u64, window: u64, rto: u64) {
        self.peer_mss = self.peer_mss.max(length);
        match self.last_data {
            None => {
                self.refill(window);
                self.timeout = ATO_MIN;
            }
            Some(last) => {
                let gap = since(now, last);
                if gap <= ATO_MIN / 2 {
                    self.timeout = self.timeout / 2 + ATO_MIN / 2;
                } else if gap < self.timeout {
                    self.timeout = (self.timeout / 2 + gap).min(rto);
                } else if gap > rto {
                    self.refill(window);
                }
            }
        }
        self.last_data = Some(now);
        if self.owed.is_none() {
            self.owed = Some(after(now, self.timeout.min(DELAY_MAX)));
        }
        if !self.enabled || (self.quick > 0 && !self.interactive) {
            self.now = true;
        }
    }

    fn refill(&mut self, window: u64) {
        let segments = window / (2 * self.peer_mss.max(1));
        let segments = u32::try_from(segments).unwrap_or(MOST_QUICK);
        self.quick = self.quick.max(segments.clamp(2, MOST_QUICK));
    }

    /// Something was out of order or repeated: acknowledge at once, and for a while.
    pub(in super::super) fn disturbed(&mut self, window: u64) {
        self.refill(window);
        self.interactive = false;
        self.timeout = ATO_MIN;
        self.now = true;
    }

    /// The window grew: the next acknowledgement should say so.
    pub(in super::super) fn window_grew(&mut self) {
        self.quick = self.quick.max(1);
    }

    /// An acknowledgement left, with data or without.
    pub(in super::super) const fn sent(&mut self) {
        self.now = false;
        self.owed = None;
        self.quick = self.quick.saturating_sub(1);
    }

    /// Data was sent: if it answers what was received, the two take turns.
    pub(in super::super) fn data_sent(&mut self, now: Instant) {
        if self
            .last_data
            .is_some_and(|last| since(now, last) < self.timeout)
        {
            self.interactive = true;
        }
    }

    /// Whether data flows both ways.
    pub(in super::super) const fn is_interactive(&self) -> bool {
        self.interactive
    }

    pub(in super::super) const fn next_at(&self) -> Option<Instant> {
        self.owed
    }

    /// Whether an acknowledgement must leave.
    pub(in super::super) fn on_timer(&mut self, now: Instant) -> bool {
        if self.owed.is_some_and(|at| at <= now) {
            if self.interactive {
                self.interactive = false;
                self.timeout = ATO_MIN;
            } else {
                self.timeout = (2 * self.timeout).min(DELAY_MAX);
            }
            self.now = true;
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5681_quick_at_first_and_delayed_afterwards() {
        let mut acks = DelayedAck::new(true);
        let mut quick = 0;
        for segment in 0..40 {
            acks.data(Instant::from_millis(segment), 1448, 64_240, 200_000);
            if acks.now {
                quick += 1;
                acks.sent();
            } else {
                acks.owed = None;
            }
        }
        assert_eq!(quick, 16);
        let now = Instant::from_millis(50);
        acks.data(now, 1448, 64_240, 200_000);
        assert!(!acks.now && !acks.on_timer(Instant::from_millis(89)));
        assert_eq!(acks.next_at(), Some(Instant::from_millis(90)));
        assert!(acks.on_timer(Instant::from_millis(90)));
        acks.sent();
        acks.disturbed(64_240);
        assert!(acks.now);
    }

    #[test]
    fn answers_carry_acknowledgements() {
        let mut acks = DelayedAck::new(true);
        acks.data(Instant::ZERO, 100, 64_240, 200_000);
        acks.sent();
        acks.data_sent(Instant::from_millis(5));
        acks.data(Instant::from_millis(10), 100, 64_240, 200_000);
        assert!(!acks.now, "quick although data flows both ways");
        let mut never = DelayedAck::new(false);
        for at in 0..100 {
            never.data(Instant::from_millis(at), 1448, 64_240, 200_000);
            assert!(never.now);
            never.sent();
        }
    }
}
