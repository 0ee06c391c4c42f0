//! A link of a certain rate whose queue is managed by CoDel (RFC 8289).

use core::time::Duration;
use std::collections::VecDeque;

use localack_core::Instant;

use super::rate::Transmitter;
use crate::sim::path::{Exits, Node};

/// Settings of a CoDel queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoDelSettings {
    /// The wait that is acceptable for ever (RFC 8289 section 4.2).
    pub target: Duration,
    /// How long the wait may stay above the target: a round trip of the path (section 4.3).
    pub interval: Duration,
    /// A queue of no more octets than this is never worked against: one packet (section 4.4).
    pub least: usize,
    /// Octets that fit; what does not is dropped at the tail.
    pub limit: usize,
    /// Whether packets of ECN-capable transports are marked instead of dropped (RFC 3168).
    pub ecn: bool,
}

impl Default for CoDelSettings {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            least: 1500,
            limit: 16 << 20,
            ecn: false,
        }
    }
}

/// A link of a certain rate with a CoDel queue before it.
#[derive(Clone, Debug)]
pub struct CoDel {
    settings: CoDelSettings,
    transmitter: Transmitter,
    /// With the time of arrival.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    octets: usize,
    /// When the wait will have been above the target for an interval.
    above_since: Option<Instant>,
    dropping: bool,
    drop_next: Instant,
    count: u64,
    /// `count` when dropping last began.
    count_before: u64,
}

impl CoDel {
    /// A rate in octets per second.
    ///
    /// # Panics
    /// If the rate is zero.
    #[must_use]
    pub const fn new(bytes_per_second: u64, settings: CoDelSettings) -> Self {
        Self {
            settings,
            transmitter: Transmitter::new(bytes_per_second),
            waiting: VecDeque::new(),
            octets: 0,
            above_since: None,
            dropping: false,
            drop_next: Instant::ZERO,
            count: 0,
            count_before: 0,
        }
    }

    /// The packet at the head, and whether it may be dropped.
    fn head(&mut self, now: Instant) -> Option<(Vec<u8>, bool)> {
        let Some((came, packet)) = self.waiting.pop_front() else {
            self.above_since = None;
            return None;
        };
        self.octets -= packet.len();
        let short = now.since(came) < self.settings.target || self.octets <= self.settings.least;
        let may_drop = match self.above_since {
            _ if short => {
                self.above_since = None;
                false
            }
            Some(at) => now >= at,
            None => {
                self.above_since = Some(now.after(self.settings.interval));
                false
            }
        };
        Some((packet, may_drop))
    }

    /// The time of the next drop after `at`: nearer with the square root of their number.
    fn control_law(&self, at: Instant) -> Instant {
        // The root in units of 1/1024.
        let root = (self.count.max(1) << 20).isqrt();
        let micros = self.settings.interval.as_micros() * 1024 / u128::from(root);
        at.after(Duration::from_micros(
            u64::try_from(micros).unwrap_or(u64::MAX),
        ))
    }

    /// Tells the sender of `packet` to slow down without losing it, if it can be told.
    fn mark(&self, packet: &mut [u8]) -> bool {
        self.settings.ecn && mark_congestion(packet)
    }

    /// The next packet that may leave (section 5.5).
    fn dequeue(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (mut packet, may_drop) = self.head(now)?;
        if self.dropping {
            self.dropping = may_drop;
            while self.dropping && now >= self.drop_next {
                self.count += 1;
                if self.mark(&mut packet) {
                    self.drop_next = self.control_law(self.drop_next);
                    return Some(packet);
                }
                let Some((next, may_drop)) = self.head(now) else {
                    self.dropping = false;
                    return None;
                };
                packet = next;
                self.dropping = may_drop;
                if may_drop {
                    self.drop_next = self.control_law(self.drop_next);
                }
            }
            return Some(packet);
        }
        if !may_drop {
            return Some(packet);
        }
        let marked = self.mark(&mut packet);
        let leaves = if marked {
            Some(packet)
        } else {
            self.head(now).map(|(next, _)| next)
        };
        self.dropping = true;
        // If dropping ended not long ago, the rate of drops that was right then is a better start
        // than one.
        let recent = self.count - self.count_before;
        let is_near = now.since(self.drop_next) < 16 * self.settings.interval;
        self.count = if recent > 1 && is_near { recent } else { 1 };
        self.count_before = self.count;
        self.drop_next = self.control_law(now);
        leaves
    }
}

impl Node for CoDel {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        if self.waiting.is_empty() && self.transmitter.free_at() <= now {
            exits.onward(self.transmitter.send(now, packet.len()), packet);
            return;
        }
        if self.octets + packet.len() <= self.settings.limit {
            self.octets += packet.len();
            self.waiting.push_back((now, packet));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.transmitter.free_at())
    }

    fn poll(&mut self, now: Instant, exits: &mut Exits<'_>) {
        if let Some(packet) = self.dequeue(now) {
            exits.onward(self.transmitter.continue_with(packet.len()), packet);
        }
    }
}

/// Sets "congestion experienced" in the IP header of an ECN-capable packet (RFC 3168 section 5);
/// false if the packet is of another kind.
fn mark_congestion(packet: &mut [u8]) -> bool {
    match packet {
        [0x40..=0x4f, class, ..] if *class & 3 != 0 => {
            let before = u16::from(*class);
            *class |= 3;
            let after = u16::from(*class);
            // The checksum by delta (RFC 1624); version and length in the same word are the same.
            if let Some([high, low]) = packet.get_mut(10..12) {
                let old = u16::from_be_bytes([*high, *low]);
                let sum = u32::from(!old) + u32::from(!before) + u32::from(after);
                let sum = (sum & 0xffff) + (sum >> 16);
                let sum = (sum & 0xffff) + (sum >> 16);
                let folded = !u16::try_from(sum).expect("folded twice");
                [*high, *low] = folded.to_be_bytes();
            }
            true
        }
        [0x60..=0x6f, class, ..] if *class & 0x30 != 0 => {
            *class |= 0x30;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Decoded, Flags, IpFields, Layout, Options, Packet};
    use crate::sim::Path;

    fn segment(v6: bool, traffic_class: u8) -> Vec<u8> {
        let address = |text: &str| text.parse().unwrap();
        let (source, destination) = if v6 {
            (address("[2001:db8::1]:1"), address("[2001:db8::2]:2"))
        } else {
            (address("192.0.2.1:1"), address("192.0.2.2:2"))
        };
        let packet = Packet {
            source,
            destination,
            ip: IpFields {
                traffic_class,
                ..IpFields::default()
            },
            flags: Flags::ACK,
            seq: 1,
            ack: 1,
            window: 1,
            urgent: 0,
            options: Options::default(),
            payload: vec![7; 960],
        };
        packet.encode(Layout::Aligned)
    }

    /// Sends a packet every `gap` microseconds for `seconds` into a link that takes one each
    /// millisecond; answers what arrived, with the time of arrival and of sending.
    fn load(
        settings: CoDelSettings,
        packet: &[u8],
        gap: u64,
        seconds: u64,
    ) -> Vec<(u64, u64, Vec<u8>)> {
        let mut path = Path::new().then(CoDel::new(packet.len() as u64 * 1000, settings));
        let mut all = Vec::new();
        let drain = |path: &mut Path, until: u64, all: &mut Vec<_>| {
            while let Some(at) = path.next_at().filter(|at| at.as_micros() < until) {
                while let Some(packet) = path.receive(at) {
                    all.push((at.as_micros(), packet));
                }
            }
        };
        for number in 0..seconds * 1_000_000 / gap {
            drain(&mut path, number * gap, &mut all);
            let mut packet = packet.to_vec();
            let end = packet.len() - 8;
            packet[end..].copy_from_slice(&(number * gap).to_be_bytes());
            path.send(Instant::from_micros(number * gap), packet);
        }
        drain(&mut path, u64::MAX, &mut all);
        let sent = |packet: &[u8]| u64::from_be_bytes(*packet.last_chunk().unwrap());
        let with_sent = |(at, packet): (u64, Vec<u8>)| (at, sent(&packet), packet);
        all.into_iter().map(with_sent).collect()
    }

    #[test]
    fn rfc_8289_4_a_queue_below_the_target_is_left_alone() {
        // Bursts of four packets every four milliseconds: a wait of at most 3 ms.
        let mut path = Path::new().then(CoDel::new(1_000_000, CoDelSettings::default()));
        let mut arrived = 0;
        for burst in 0..1000 {
            let now = Instant::from_millis(4 * burst);
            while path.receive(now).is_some() {
                arrived += 1;
            }
            for _ in 0..4 {
                path.send(now, vec![0; 1000]);
            }
        }
        while path.receive(Instant::from_millis(5000)).is_some() {
            arrived += 1;
        }
        assert_eq!(arrived, 4000);
    }

    #[test]
    fn rfc_8289_5_3_the_first_drop_comes_an_interval_after_the_target_was_passed() {
        // Two packets for each that leaves: the wait passes 5 ms when the packet sent at 5 ms, the
        // eleventh, leaves at 10 ms or a little later.
        let all = load(CoDelSettings::default(), &segment(false, 0), 500, 1);
        let sent: Vec<u64> = all.iter().map(|&(_, sent, _)| sent).collect();
        let gap = sent
            .windows(2)
            .find(|pair| pair[1] != pair[0] + 500)
            .unwrap();
        let at = all.iter().find(|&&(_, sent, _)| sent == gap[1]).unwrap().0;
        assert!((110_000..=114_000).contains(&at), "{at}");
        assert_eq!(gap[1], gap[0] + 1000, "one packet is dropped");
    }

    #[test]
    fn rfc_8289_5_3_drops_come_faster_with_the_square_root_of_their_number() {
        let all = load(CoDelSettings::default(), &segment(false, 0), 500, 2);
        let drops: Vec<u64> = all
            .windows(2)
            .filter(|pair| pair[1].1 != pair[0].1 + 500)
            .map(|pair| pair[1].0)
            .collect();
        for (number, pair) in drops.windows(2).take(20).enumerate() {
            let expected = 100_000.0 / ((number + 1) as f64).sqrt();
            let gap = (pair[1] - pair[0]) as f64;
            assert!(
                (gap - expected).abs() <= 1500.0,
                "{number}: {gap} {expected}"
            );
        }
    }

    #[test]
    fn the_limit_drops_at_the_tail() {
        let settings = CoDelSettings {
            limit: 3000,
            ..CoDelSettings::default()
        };
        let mut path = Path::new().then(CoDel::new(1_000_000, settings));
        for number in 0..6 {
            path.send(Instant::ZERO, vec![number; 1000]);
        }
        let end = Instant::from_millis(100);
        let all: Vec<u8> = core::iter::from_fn(|| path.receive(end))
            .map(|packet| packet[0])
            .collect();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn ecn_capable_packets_are_marked_and_none_is_dropped() {
        let settings = CoDelSettings {
            ecn: true,
            ..CoDelSettings::default()
        };
        for v6 in [false, true] {
            for ect in [1, 2] {
                let all = load(settings, &segment(v6, 0xb8 | ect), 500, 1);
                assert_eq!(all.len(), 2000);
                let mut marked = 0;
                for (_, _, packet) in &all {
                    let Decoded {
                        packet,
                        ip_checksum_ok,
                        ..
                    } = Packet::decode(packet).unwrap();
                    assert!(ip_checksum_ok);
                    let class = packet.ip.traffic_class;
                    assert!(class == 0xb8 | ect || class == 0xbb, "{class}");
                    marked += usize::from(class == 0xbb);
                }
                assert!((10..200).contains(&marked), "{marked}");
            }
        }
    }

    #[test]
    fn packets_of_other_transports_are_dropped_even_with_ecn() {
        let settings = CoDelSettings {
            ecn: true,
            ..CoDelSettings::default()
        };
        for v6 in [false, true] {
            let all = load(settings, &segment(v6, 0xb8), 500, 1);
            assert!(all.len() < 2000);
            let classes = |packet: &[u8]| Packet::decode(packet).unwrap().packet.ip.traffic_class;
            assert!(all.iter().all(|(_, _, packet)| classes(packet) == 0xb8));
        }
    }
}
