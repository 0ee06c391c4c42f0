//! What a link does to packets.

use core::str::FromStr;
use core::time::Duration;

use super::units::{self, BitRate, Probability, UnitError};

/// The settings of one direction of a link.
///
/// The default is a perfect link: no delay, no rate limit, nothing lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkConfig {
    /// Propagation delay of every packet, one way. At most [`LinkConfig::MAX_DELAY`].
    pub delay: Duration,
    /// Each packet's delay differs from `delay` by up to this much either way, uniformly; jitter
    /// alone never reorders. At most `delay`.
    pub jitter: Duration,
    /// Line rate; `None` for an infinitely fast line.
    pub rate: Option<BitRate>,
    /// Octets that may wait for the line, the packet on it included; what does not fit is
    /// dropped (drop-tail). Without a rate nothing waits.
    pub queue: u64,
    /// Chance that a packet is lost on the way, after it has used its time on the line.
    pub loss: Probability,
    /// Loss in bursts, in addition to `loss`.
    pub burst_loss: Option<BurstLoss>,
    /// Chance that a packet is held back by `reorder_by`, so that later ones overtake it.
    pub reorder: Probability,
    /// How long a packet that is held back is late.
    pub reorder_by: Duration,
    /// Chance that a packet arrives twice. The copy takes no time on the line.
    pub duplicate: Probability,
    /// Chance that one bit of a packet is flipped.
    pub corrupt: Probability,
    /// Octets the link may hold in all, on the line and under way; what does not fit is dropped
    /// and counted apart. It bounds the emulator's memory, whatever the other settings are.
    pub memory: u64,
    /// Seed of every random decision.
    pub seed: u64,
}

impl LinkConfig {
    /// The longest delay, jitter or lateness a link may have.
    pub const MAX_DELAY: Duration = Duration::from_secs(3600);

    /// Changes one setting.
    pub fn apply(&mut self, setting: Setting) {
        match setting {
            Setting::Delay(delay) => self.delay = delay,
            Setting::Jitter(jitter) => self.jitter = jitter,
            Setting::Rate(rate) => self.rate = Some(rate),
            Setting::Queue(octets) => self.queue = octets,
            Setting::Loss(chance) => self.loss = chance,
            Setting::BurstLoss(model) => self.burst_loss = Some(model),
            Setting::Reorder(chance) => self.reorder = chance,
            Setting::ReorderBy(lateness) => self.reorder_by = lateness,
            Setting::Duplicate(chance) => self.duplicate = chance,
            Setting::Corrupt(chance) => self.corrupt = chance,
            Setting::Seed(seed) => self.seed = seed,
        }
    }

    /// Checks what no single setting can check.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.delay.max(self.jitter).max(self.reorder_by) > Self::MAX_DELAY {
            return Err(ConfigError::TooLong);
        }
        if self.jitter > self.delay {
            return Err(ConfigError::JitterAboveDelay);
        }
        Ok(())
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: 1 << 20,
            loss: Probability::NEVER,
            burst_loss: None,
            reorder: Probability::NEVER,
            reorder_by: Duration::from_millis(20),
            duplicate: Probability::NEVER,
            corrupt: Probability::NEVER,
            memory: 256 << 20,
            seed: 1,
        }
    }
}

/// Why settings do not make a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A delay, jitter or lateness above [`LinkConfig::MAX_DELAY`].
    #[error("a delay, jitter or lateness is at most one hour")]
    TooLong,
    /// Packets would arrive before they were sent.
    #[error("the jitter may not exceed the delay")]
    JitterAboveDelay,
}

/// Loss in bursts after Gilbert and Elliott: the path is good or bad, changes between the two at
/// random once a packet, and loses packets only while it is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurstLoss {
    /// Chance, at each packet, that a good path turns bad.
    pub enter: Probability,
    /// Chance, at each packet, that a bad path turns good. Bursts are 1/`leave` packets long on
    /// average.
    pub leave: Probability,
    /// Chance that a packet is lost while the path is bad.
    pub loss: Probability,
}

/// Why a text is not a [`BurstLoss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BurstLossError {
    /// Not two or three parts.
    #[error("burst loss is ENTER,LEAVE or ENTER,LEAVE,LOSS, for example 0.5%,25%")]
    Shape,
    /// One of the parts is not a probability.
    #[error(transparent)]
    Probability(#[from] UnitError),
}

impl FromStr for BurstLoss {
    type Err = BurstLossError;

    /// Reads `ENTER,LEAVE` or `ENTER,LEAVE,LOSS`; without `LOSS` a bad path loses everything.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',');
        let enter = parts.next().ok_or(BurstLossError::Shape)?.parse()?;
        let leave = parts.next().ok_or(BurstLossError::Shape)?.parse()?;
        let loss = parts.next().map_or(Ok(Probability::ALWAYS), str::parse)?;
        match parts.next() {
            None => Ok(Self { enter, leave, loss }),
            Some(_) => Err(BurstLossError::Shape),
        }
    }
}

/// One setting of a link by name, written `NAME=VALUE` as in `loss=2%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// See [`LinkConfig::delay`].
    Delay(Duration),
    /// See [`LinkConfig::jitter`].
    Jitter(Duration),
    /// See [`LinkConfig::rate`].
    Rate(BitRate),
    /// See [`LinkConfig::queue`].
    Queue(u64),
    /// See [`LinkConfig::loss`].
    Loss(Probability),
    /// See [`LinkConfig::burst_loss`].
    BurstLoss(BurstLoss),
    /// See [`LinkConfig::reorder`].
    Reorder(Probability),
    /// See [`LinkConfig::reorder_by`].
    ReorderBy(Duration),
    /// See [`LinkConfig::duplicate`].
    Duplicate(Probability),
    /// See [`LinkConfig::corrupt`].
    Corrupt(Probability),
    /// See [`LinkConfig::seed`].
    Seed(u64),
}

/// Why a text is not a [`Setting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No `=`, or a name before it that is none of the settings.
    #[error(
        "expected NAME=VALUE with a name of delay, jitter, rate, queue, loss, burst-loss, \
         reorder, reorder-by, duplicate, corrupt, seed"
    )]
    Name,
    /// The value is not a quantity of the right kind.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The value is not a burst loss.
    #[error(transparent)]
    BurstLoss(#[from] BurstLossError),
    /// The seed is not a number below 2^64.
    #[error("a seed is a whole number")]
    Seed,
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or(SettingError::Name)?;
        Ok(match name {
            "delay" => Self::Delay(units::duration(value)?),
            "jitter" => Self::Jitter(units::duration(value)?),
            "rate" => Self::Rate(value.parse()?),
            "queue" => Self::Queue(units::octets(value)?),
            "loss" => Self::Loss(value.parse()?),
            "burst-loss" => Self::BurstLoss(value.parse()?),
            "reorder" => Self::Reorder(value.parse()?),
            "reorder-by" => Self::ReorderBy(units::duration(value)?),
            "duplicate" => Self::Duplicate(value.parse()?),
            "corrupt" => Self::Corrupt(value.parse()?),
            "seed" => Self::Seed(value.parse().map_err(|_| SettingError::Seed)?),
            _ => return Err(SettingError::Name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_and_changes_its_field() {
        let mut config = LinkConfig::default();
        let text = "delay=300ms jitter=5ms rate=20mbit queue=64kib loss=1% burst-loss=0.5%,25% \
                    reorder=2% reorder-by=7ms duplicate=3% corrupt=4% seed=9";
        for setting in text.split_whitespace() {
            config.apply(setting.parse().unwrap());
        }
        let percent = |n: u32| Probability::from_ppm(n * 10_000).unwrap();
        let burst = BurstLoss {
            enter: Probability::from_ppm(5_000).unwrap(),
            leave: percent(25),
            loss: Probability::ALWAYS,
        };
        let expected = LinkConfig {
            delay: Duration::from_millis(300),
            jitter: Duration::from_millis(5),
            rate: BitRate::from_bits_per_second(20_000_000),
            queue: 65_536,
            loss: percent(1),
            burst_loss: Some(burst),
            reorder: percent(2),
            reorder_by: Duration::from_millis(7),
            duplicate: percent(3),
            corrupt: percent(4),
            memory: LinkConfig::default().memory,
            seed: 9,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn misspelt_settings_are_refused() {
        assert_eq!("delay".parse::<Setting>(), Err(SettingError::Name));
        assert_eq!("dealy=1s".parse::<Setting>(), Err(SettingError::Name));
        assert_eq!("seed=x".parse::<Setting>(), Err(SettingError::Seed));
        assert!(matches!(
            "loss=101%".parse::<Setting>(),
            Err(SettingError::Unit(_))
        ));
        assert!(matches!(
            "burst-loss=1%".parse::<Setting>(),
            Err(SettingError::BurstLoss(_))
        ));
        assert_eq!(
            "1%,2%,3%,4%".parse::<BurstLoss>(),
            Err(BurstLossError::Shape)
        );
    }

    #[test]
    fn impossible_links_are_refused() {
        let second = Duration::from_secs(1);
        let early = LinkConfig {
            jitter: second,
            ..LinkConfig::default()
        };
        assert_eq!(early.validate(), Err(ConfigError::JitterAboveDelay));
        let late = LinkConfig {
            delay: LinkConfig::MAX_DELAY + second,
            ..LinkConfig::default()
        };
        assert_eq!(late.validate(), Err(ConfigError::TooLong));
    }
}
