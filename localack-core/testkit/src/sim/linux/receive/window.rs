//! The receive window: what is announced, and how it grows (RFC 7323 section 2, RFC 9293 3.8.6.2).

use localack_core::Instant;

use super::super::clock::since;
use super::super::config::LinuxConfig;

/// State of the window. The application's buffer is twice as large as the window that it allows:
/// the other half goes to the headers that a kernel stores with each packet.
#[derive(Clone, Debug)]
pub(in super::super) struct ReceiveWindow {
    /// The buffer, as window, now and at most.
    limit: u64,
    limit_max: u64,
    /// What may be announced now (`rcv_ssthresh`); it grows with what arrives.
    threshold: u64,
    /// What is announced, from which position.
    announced: u64,
    from: u64,
    scale: Option<u8>,
    mss: u64,
    /// Round trips as the receiver sees them, in microseconds.
    rtt: Option<u64>,
    /// The last echo that gave a sample.
    last_echo: u32,
    /// The edge with whose arrival a window is over, and when that began.
    round: Option<(u64, Instant)>,
    /// What the application read in a round trip, where it was, and since when that is measured.
    space: u64,
    measured_from: u64,
    measured_at: Instant,
}

impl ReceiveWindow {
    pub(in super::super) fn new(config: &LinuxConfig, start: u64, mss: u64) -> Self {
        let limit = config.receive_buffer as u64 / 2;
        let limit_max = (config.receive_buffer_max as u64 / 2).max(limit);
        // The first window has no scale to be multiplied by.
        let first = limit.min(0xffff);
        let first = if first > mss {
            first - first % mss
        } else {
            first
        };
        Self {
            limit,
            limit_max,
            threshold: first,
            announced: first,
            from: start,
            scale: None,
            mss,
            rtt: None,
            last_echo: 0,
            round: None,
            space: first.min(10 * mss),
            measured_from: start,
            measured_at: Instant::ZERO,
        }
    }

    /// The handshake is over at `now`: numbers start at `start`, and the shift is known.
    pub(in super::super) fn establish(&mut self, now: Instant, start: u64, scale: Option<u8>) {
        self.from = start;
        self.scale = scale;
        self.measured_from = start;
        self.measured_at = now;
    }

    /// The field of a SYN, which is never scaled.
    pub(in super::super) fn first_field(&self) -> u16 {
        u16::try_from(self.announced.min(0xffff)).expect("limited")
    }

    /// The right edge of all windows announced so far.
    pub(in super::super) const fn edge(&self) -> u64 {
        self.from + self.announced
    }

    /// What is left of the announced window at `rcv_nxt`.
    pub(in super::super) const fn left(&self, rcv_nxt: u64) -> u64 {
        self.edge().saturating_sub(rcv_nxt)
    }

    /// The position that was acknowledged with the last announcement.
    pub(in super::super) const fn acknowledged(&self) -> u64 {
        self.from
    }

    /// The window that was announced last.
    pub(in super::super) const fn announced(&self) -> u64 {
        self.announced
    }

    /// The largest window that the buffer allows now.
    pub(in super::super) const fn limit(&self) -> u64 {
        self.limit
    }

    const fn unit(&self) -> u64 {
        match self.scale {
            Some(shift) => 1 << shift,
            None => 1,
        }
    }

    /// The window that the buffer allows with `held` octets in it; `peer_mss` is an estimate.
    pub(in super::super) fn possible(&self, held: u64, peer_mss: u64) -> u64 {
        let mss = peer_mss.min(self.limit);
        let free = self.limit.saturating_sub(held);
        if free < self.limit / 16 || free < mss {
            return 0;
        }
        let free = free.min(self.threshold);
        if self.scale.is_some() {
            return free.next_multiple_of(self.unit());
        }
        // Without a scale small steps are not worth telling.
        let window = self.announced;
        if window + mss <= free || window > free {
            free - free % mss.max(1)
        } else {
            window
        }
    }

    /// Announces a window at `rcv_nxt`; answers its field.
    pub(in super::super) fn announce(&mut self, rcv_nxt: u64, held: u64, peer_mss: u64) -> u16 {
        let most = 0xffff * self.unit();
        let left = self.left(rcv_nxt);
        let possible = self.possible(held, peer_mss);
        let window = possible.max(left.next_multiple_of(self.unit())).min(most);
        self.announced = window;
        self.from = rcv_nxt;
        u16::try_from(window / self.unit()).expect("limited")
    }

    /// A segment arrived, in order or early: more may be announced. True if the threshold grew.
    pub(in super::super) fn grow(&mut self, length: u64, held: u64) -> bool {
        let room = self.limit.min(self.limit.saturating_sub(held));
        let room = room.saturating_sub(self.threshold);
        // Small segments waste the buffer that they occupy.
        if room == 0 || length < 128 {
            return false;
        }
        self.threshold += room.min((2 * self.mss).max(2 * length));
        true
    }

    /// A segment of `length` octets carried an echo of a timestamp that is `age` old.
    pub(in super::super) fn sample(&mut self, echo: u32, age: u64, length: u64) {
        if echo == self.last_echo || length < self.mss {
            return;
        }
        self.last_echo = echo;
        let age = age.max(1);
        self.rtt = Some(match self.rtt {
            Some(rtt) => rtt - rtt / 8 + age / 8,
            None => age,
        });
    }

    /// Data arrived up to `rcv_nxt`: a full window takes a round trip at least.
    pub(in super::super) fn measure(&mut self, now: Instant, rcv_nxt: u64) {
        if let Some((edge, began)) = self.round {
            if rcv_nxt < edge {
                return;
            }
            let time = since(now, began).max(1);
            self.rtt = Some(self.rtt.map_or(time, |rtt| rtt.min(time)));
        }
        self.round = Some((rcv_nxt + self.announced, now));
    }

    /// The application has read up to `read`: what it reads in a round trip should fit twice.
    pub(in super::super) fn adjust(&mut self, now: Instant, read: u64) {
        let Some(rtt) = self.rtt else {
            return;
        };
        if since(now, self.measured_at) < rtt {
            return;
        }
        let copied = read - self.measured_from;
        if copied > self.space {
            let wanted = 2 * copied + 16 * self.mss;
            let growth = u128::from(wanted) * u128::from(copied - self.space);
            let growth = growth / u128::from(self.space.max(1));
            let growth = u64::try_from(growth).unwrap_or(u64::MAX / 4);
            let wanted = wanted.saturating_add(growth.saturating_mul(2));
            self.limit = self.limit.max(wanted.min(self.limit_max));
            self.space = copied;
        }
        self.measured_from = read;
        self.measured_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> ReceiveWindow {
        let mut window = ReceiveWindow::new(&LinuxConfig::default(), 0, 1460);
        window.establish(Instant::ZERO, 1, Some(7));
        window
    }

    #[test]
    fn rfc7323_the_first_window_is_unscaled_and_whole_segments() {
        let window = ReceiveWindow::new(&LinuxConfig::default(), 0, 1460);
        assert_eq!(window.first_field(), 64_240);
        assert_eq!(window.left(0), 64_240);
    }

    #[test]
    fn h2_1_the_edge_never_retreats_by_rounding() {
        let mut window = window();
        window.threshold = 10_000;
        let mut edge = window.edge();
        for rcv_nxt in 1..3000 {
            let field = window.announce(rcv_nxt * 7, 5000, 1460);
            assert!(window.edge() >= edge, "at {rcv_nxt}");
            edge = window.edge();
            assert_eq!(edge, rcv_nxt * 7 + (u64::from(field) << 7));
        }
    }

    #[test]
    fn rfc9293_3_8_6_2_small_windows_are_not_announced() {
        let mut window = window();
        window.announced = 0;
        let limit = window.limit();
        assert_eq!(window.possible(limit - 1459, 1460), 0);
        assert_eq!(window.possible(limit - limit / 16 + 1, 1460), 0);
        assert!(window.possible(limit - limit / 16, 1460) > 0);
        window.scale = None;
        window.announced = 20_000;
        assert_eq!(window.possible(limit - 21_000, 1460), 20_000);
        assert_eq!(window.possible(limit - 21_460, 1460), 14 * 1460);
    }

    #[test]
    fn the_buffer_doubles_each_round_trip_of_a_slow_start() {
        let mut window = window();
        window.rtt = Some(50_000);
        let mut read = 1;
        let mut copied = 20 * 1460;
        for round in 1..12_u64 {
            read += copied;
            window.adjust(Instant::from_millis(50 * round), read);
            let enough = (2 * copied).min(3 << 20);
            assert!(
                window.limit() >= enough,
                "{} in round {round}",
                window.limit()
            );
            copied *= 2;
        }
        assert_eq!(window.limit(), 3 << 20);
        // A second in which little is read changes nothing.
        window.adjust(Instant::from_millis(3000), read + 10);
        assert_eq!(window.limit(), 3 << 20);
    }
}
