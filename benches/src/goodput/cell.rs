//! One measurement: a path, a sender, and who controls congestion.

use core::time::Duration;

use localack_core::{Controller, Custody};

/// Octets of payload in a full packet (with timestamps).
const PAYLOAD: u32 = 1448;
/// Octets of a full packet.
const PACKET: u32 = 1500;
/// Parts in a million.
const MILLION: f64 = 1_000_000.0;

/// What the sender does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// It sends without end; and in runs of their own, objects of several sizes.
    Bulk,
    /// The same with a send buffer of 64 KB.
    SmallSndbuf,
    /// It sends 20 MB on a second connection to a receiver that it has sent as much to before.
    Resume,
}

impl Scenario {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::SmallSndbuf => "small_sndbuf",
            Self::Resume => "resume",
        }
    }
}

/// Who controls congestion on the long path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// The sender itself, as Linux does it; there is no engine.
    Direct,
    /// A textbook CUBIC sender (RFC 9438) that paces; there is no engine.
    Textbook,
    /// The same with HyStart++ (RFC 9406).
    TextbookHystart,
    /// An engine with Reno.
    Reno,
    /// An engine with CUBIC.
    Cubic,
    /// An engine with BBR.
    Bbr,
    /// An engine that is told the path's rate.
    Provisioned,
}

impl Contender {
    /// The senders without an engine that CUBIC is compared with.
    pub const TEXTBOOKS: [Self; 2] = [Self::Textbook, Self::TextbookHystart];

    /// The engine's controllers.
    pub const ENGINES: [Self; 4] = [Self::Reno, Self::Cubic, Self::Bbr, Self::Provisioned];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Textbook => "textbook",
            Self::TextbookHystart => "textbook-hystart",
            Self::Reno => "reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Provisioned => "provisioned",
        }
    }

    /// Whether there is an engine.
    #[must_use]
    pub const fn has_engine(self) -> bool {
        !matches!(self, Self::Direct | Self::Textbook | Self::TextbookHystart)
    }

    /// The engine's controller on a path of `rate` octets per second; `None`: there is no engine.
    #[must_use]
    pub const fn controller(self, rate: u32) -> Option<Controller> {
        match self {
            Self::Direct | Self::Textbook | Self::TextbookHystart => None,
            Self::Reno => Some(Controller::Reno),
            Self::Cubic => Some(Controller::Cubic),
            Self::Bbr => Some(Controller::Bbr),
            Self::Provisioned => Some(Controller::provisioned(rate)),
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// What the sender does.
    pub scenario: Scenario,
    /// Round-trip time without queues, in milliseconds, 1 or more.
    pub rtt_ms: u32,
    /// Rate of the path in Mbit/s of IP packets, 1 to 10,000.
    pub rate_mbit: u32,
    /// Loss of data packets, in parts per million.
    pub loss_ppm: u32,
    /// Who controls congestion.
    pub contender: Contender,
    /// When the engine's custody begins.
    pub custody: Custody,
}

impl Cell {
    /// An endless sender, on a path of this round trip (milliseconds), rate (Mbit/s) and loss (parts
    /// per million).
    #[must_use]
    pub const fn bulk(rtt_ms: u32, rate_mbit: u32, loss_ppm: u32, contender: Contender) -> Self {
        Self {
            scenario: Scenario::Bulk,
            rtt_ms,
            rate_mbit,
            loss_ppm,
            contender,
            custody: Custody::AfterProof,
        }
    }

    /// The same for another scenario. Who lets flows resume has chosen to trust their servers, too:
    /// custody begins with the handshake then.
    #[must_use]
    pub const fn with(mut self, scenario: Scenario) -> Self {
        self.scenario = scenario;
        match scenario {
            Scenario::Resume => self.trusting(),
            Scenario::Bulk | Scenario::SmallSndbuf => self,
        }
    }

    /// The same with custody from the handshake on.
    #[must_use]
    pub const fn trusting(mut self) -> Self {
        self.custody = Custody::AfterHandshake;
        self
    }

    /// Octets per second that the path carries, headers included.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate_mbit * 125_000
    }

    /// The round-trip time without queues.
    #[must_use]
    pub const fn rtt(&self) -> Duration {
        Duration::from_millis(self.rtt_ms as u64)
    }

    /// Bandwidth-delay product in octets.
    #[must_use]
    pub const fn bdp(&self) -> u64 {
        self.rate() as u64 * self.rtt_ms as u64 / 1000
    }

    /// How long an endless source is watched.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_secs(if self.rate_mbit >= 1000 { 10 } else { 120 })
    }

    /// Payload octets that a receiver could have at most by the end.
    #[must_use]
    pub fn most_octets(&self) -> f64 {
        let share = f64::from(PAYLOAD) / f64::from(PACKET);
        let kept = 1.0 - f64::from(self.loss_ppm) / MILLION;
        let time = self.duration().as_secs_f64() - 1.5 * self.rtt().as_secs_f64();
        f64::from(self.rate()) * share * kept * time
    }

    /// Seconds that an object of `octets` takes at least: the handshake, its packets at the path's
    /// rate, and half a round trip.
    #[must_use]
    pub fn least_seconds(&self, octets: u32) -> f64 {
        let packets = octets.div_ceil(PAYLOAD);
        let headers = f64::from(packets) * f64::from(PACKET - PAYLOAD);
        1.5 * self.rtt().as_secs_f64() + (f64::from(octets) + headers) / f64::from(self.rate())
    }

    /// Packets that it moves, roughly: what it costs.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match self.scenario {
            Scenario::Resume => 30_000,
            Scenario::Bulk | Scenario::SmallSndbuf => {
                u64::from(self.rate() / PACKET) * self.duration().as_secs() + 15_000
            }
        }
    }

    /// When custody begins, in words.
    #[must_use]
    pub const fn custody_name(&self) -> &'static str {
        match self.custody {
            _ if !self.contender.has_engine() => "none",
            Custody::AfterProof => "after-proof",
            Custody::AfterHandshake => "after-handshake",
        }
    }

    /// Loss in percent.
    #[must_use]
    pub fn loss_pct(&self) -> f64 {
        f64::from(self.loss_ppm) / 10_000.0
    }

    /// Its name, which no other cell has.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{} {}ms {}Mbit {}% {} {}",
            self.scenario.name(),
            self.rtt_ms,
            self.rate_mbit,
            self.loss_pct(),
            self.contender.name(),
            self.custody_name(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64) {
        assert!((one - other).abs() < 1e-9 * other, "{one} {other}");
    }

    #[test]
    fn limits_are_what_one_finds_by_hand() {
        let cell = Cell::bulk(600, 20, 10_000, Contender::Bbr);
        assert_eq!((cell.rate(), cell.bdp()), (2_500_000, 1_500_000));
        // 2.5 MB/s, of which 1448/1500 are payload and 99 % arrive, for 120 - 0.9 s.
        close(
            cell.most_octets(),
            2_500_000.0 * 1448.0 / 1500.0 * 0.99 * 119.1,
        );
        // 60,000 octets are 42 packets: 62,184 octets.
        close(cell.least_seconds(60_000), 0.9 + 62_184.0 / 2_500_000.0);
        let fast = Cell::bulk(10, 1000, 0, Contender::Reno);
        assert_eq!(fast.duration().as_secs(), 10);
    }
}
