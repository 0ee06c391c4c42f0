//! How connections are served.

use core::time::Duration;

use localack_core::{Admit, Controller, Custody, FlowConfig, Provision};

use super::arrangement::{ArrangementSettings, NO_ARRANGEMENT};
use super::quantity::{Rate, show_octets};
use super::reader::{Entry, Reader, Section, Span};
use super::value::{Fault, Value, boolean, octets, rate, text, time, whole};
use super::words::{ControllerName, ServiceChoice, custody};

/// Who decides how much may be in flight toward a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControllerChoice {
    /// Additive increase, multiplicative decrease.
    Reno,
    /// A cubic curve of the time since the last loss.
    Cubic,
    /// A model of the path.
    Bbr,
    /// A rate that the operator vouches for.
    Provisioned(Vouched),
}

/// A vouched rate, and the part of it that one connection may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Vouched {
    /// What all connections of the share may send together, of all queues.
    pub rate: Rate,
    /// The share, 0 to 15.
    pub share: u8,
    /// What a connection may send even if its fair part is less; at most `rate`.
    pub floor: Option<Rate>,
    /// What a connection may send at most.
    pub ceiling: Option<Rate>,
}

impl Vouched {
    /// A rate that the connections of share 0 divide fairly.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            share: 0,
            floor: None,
            ceiling: None,
        }
    }
}

impl ControllerChoice {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> ControllerName {
        match self {
            Self::Reno => ControllerName::Reno,
            Self::Cubic => ControllerName::Cubic,
            Self::Bbr => ControllerName::Bbr,
            Self::Provisioned(_) => ControllerName::Provisioned,
        }
    }

    /// The vouched rate.
    #[must_use]
    pub const fn vouched(&self) -> Option<&Vouched> {
        match self {
            Self::Provisioned(vouched) => Some(vouched),
            Self::Reno | Self::Cubic | Self::Bbr => None,
        }
    }

    /// The engine's controller for one of so many queues: each has an equal part of a vouched rate,
    /// because engines do not share.
    #[must_use]
    pub fn controller(self, queues: u16) -> Controller {
        match self {
            Self::Reno => Controller::Reno,
            Self::Cubic => Controller::Cubic,
            Self::Bbr => Controller::Bbr,
            Self::Provisioned(vouched) => {
                let part = vouched.rate.octets_per_second() / u32::from(queues.max(1));
                let mut provision = Provision::new(vouched.share, part.max(1));
                if let Some(floor) = vouched.floor {
                    provision.floor = floor.octets_per_second();
                }
                if let Some(ceiling) = vouched.ceiling {
                    provision.ceiling = ceiling.octets_per_second();
                }
                Controller::Provisioned(provision)
            }
        }
    }
}

/// How connections are served; what is `None` is as the table `[default]` or the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Actions {
    /// Whether connections are followed at all. One that is not takes no memory, is not listed, and
    /// cannot be served later.
    pub track: Option<bool>,
    /// The service of data from the inner side.
    pub inner_to_outer: Option<ServiceChoice>,
    /// The service of data from the outer side.
    pub outer_to_inner: Option<ServiceChoice>,
    /// The arrangement, by its name, of what goes from the inner to the outer side, or [`NO_ARRANGEMENT`].
    pub arrangement: Option<String>,
    /// The same of what goes from the outer to the inner side.
    pub reverse_arrangement: Option<String>,
    /// The controller of data from the inner side.
    pub controller: Option<ControllerChoice>,
    /// The controller of data from the outer side.
    pub reverse_controller: Option<ControllerChoice>,
    /// When custody may begin.
    pub custody: Option<Custody>,
    /// Whether Reno and CUBIC space their segments out.
    pub pacing: Option<bool>,
    /// Whether a connection may begin with half of what an earlier one could use (RFC 9959).
    pub careful_resume: Option<bool>,
    /// Octets that one direction of one connection may hold, 16 KiB to 512 MiB.
    pub buffer: Option<u32>,
    /// How long an acknowledgement may wait for a second segment, at most 10 ms.
    pub ack_delay: Option<Duration>,
    /// Whether segments may go with DF = 1 for a sender that allows fragmentation.
    pub allow_dont_fragment: Option<bool>,
}

/// What a direction may hold unless something else is said: what is on its way on a path of 50 Mbit/s
/// and 600 ms.
const BUFFER: u32 = 4 << 20;

/// The keys of actions.
pub(super) const KEYS: [&str; 22] = [
    "track",
    "service",
    "inner_to_outer",
    "outer_to_inner",
    "arrangement",
    "reverse_arrangement",
    "controller",
    "rate",
    "share",
    "floor",
    "ceiling",
    "reverse_controller",
    "reverse_rate",
    "reverse_share",
    "reverse_floor",
    "reverse_ceiling",
    "custody",
    "pacing",
    "careful_resume",
    "buffer",
    "ack_delay",
    "allow_dont_fragment",
];

impl Actions {
    /// What holds where neither a file nor the command line says anything: local acknowledgement for
    /// data from the inner side, with BBR, once the receiver has proved that it is there.
    #[must_use]
    pub const fn builtin() -> Self {
        let usual = FlowConfig::inner_local_ack();
        Self {
            track: Some(true),
            inner_to_outer: Some(ServiceChoice::LocalAck),
            outer_to_inner: Some(ServiceChoice::Bypass),
            arrangement: None,
            reverse_arrangement: None,
            controller: Some(ControllerChoice::Bbr),
            reverse_controller: Some(ControllerChoice::Cubic),
            custody: Some(Custody::AfterProof),
            pacing: Some(usual.pacing),
            careful_resume: Some(usual.careful_resume),
            buffer: Some(BUFFER),
            ack_delay: Some(usual.ack_delay),
            allow_dont_fragment: Some(usual.allow_dont_fragment),
        }
    }

    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        let either =
            |own: &Option<String>, other: &Option<String>| own.as_ref().or(other.as_ref()).cloned();
        let track = self.track.or(if self.asks_for_service() {
            Some(true)
        } else {
            others.track
        });
        Self {
            track,
            inner_to_outer: self.inner_to_outer.or(others.inner_to_outer),
            outer_to_inner: self.outer_to_inner.or(others.outer_to_inner),
            arrangement: either(&self.arrangement, &others.arrangement),
            reverse_arrangement: either(&self.reverse_arrangement, &others.reverse_arrangement),
            controller: self.controller.or(others.controller),
            reverse_controller: self.reverse_controller.or(others.reverse_controller),
            custody: self.custody.or(others.custody),
            pacing: self.pacing.or(others.pacing),
            careful_resume: self.careful_resume.or(others.careful_resume),
            buffer: self.buffer.or(others.buffer),
            ack_delay: self.ack_delay.or(others.ack_delay),
            allow_dont_fragment: self.allow_dont_fragment.or(others.allow_dont_fragment),
        }
    }

    /// Whether they themselves ask for more than [`ServiceChoice::Bypass`].
    fn asks_for_service(&self) -> bool {
        let asks = |service: Option<ServiceChoice>| {
            service.is_some_and(|service| service != ServiceChoice::Bypass)
        };
        let is_arranged =
            |name: &Option<String>| name.as_deref().is_some_and(|name| name != NO_ARRANGEMENT);
        asks(self.inner_to_outer)
            || asks(self.outer_to_inner)
            || is_arranged(&self.arrangement)
            || is_arranged(&self.reverse_arrangement)
    }

    /// The answer for a new connection, without its arrangements, whose numbers only
    /// [`Policies`](crate::policy::Policies) know; what is said nowhere is [`Actions::builtin`]. The engine
    /// is one of so many queues.
    #[must_use]
    pub fn admit(&self, queues: u16) -> Admit {
        let all = self.or(&Self::builtin());
        if all.track == Some(false) {
            return Admit::Pass;
        }
        let mut config = FlowConfig::tracked();
        let set = |place: &mut _, choice: Option<ServiceChoice>| {
            if let Some(choice) = choice {
                *place = choice.into();
            }
        };
        set(&mut config.inner_to_outer, all.inner_to_outer);
        set(&mut config.outer_to_inner, all.outer_to_inner);
        let set = |place: &mut _, choice: Option<ControllerChoice>| {
            if let Some(choice) = choice {
                *place = choice.controller(queues);
            }
        };
        set(&mut config.controller, all.controller);
        set(&mut config.inward_controller, all.reverse_controller);
        config.custody = all.custody.unwrap_or(config.custody);
        config.pacing = all.pacing.unwrap_or(config.pacing);
        config.careful_resume = all.careful_resume.unwrap_or(config.careful_resume);
        config.buffer_limit = all.buffer.unwrap_or(config.buffer_limit);
        config.ack_delay = all.ack_delay.unwrap_or(config.ack_delay);
        config.allow_dont_fragment = all
            .allow_dont_fragment
            .unwrap_or(config.allow_dont_fragment);
        Admit::Adopt(config)
    }

    /// The vouched rates that they name, of data from the inner and from the outer side.
    pub(super) fn vouched(&self) -> [Option<&Vouched>; 2] {
        [&self.controller, &self.reverse_controller]
            .map(|choice| choice.as_ref().and_then(ControllerChoice::vouched))
    }

    /// Reads the keys.
    pub(super) fn read(
        section: &mut Section<'_>,
        reader: &mut Reader<'_>,
        context: Context<'_>,
    ) -> ReadActions {
        let mut actions = Self::default();
        let track = section.place_of("track");
        read_option(section, reader, "track", &mut actions.track, boolean);
        let Context {
            queue,
            arrangements,
        } = context;
        actions.read_arrangements(section, reader, arrangements);
        actions.read_services(section, reader);
        let (forward, backward) = (&FORWARD, &BACKWARD);
        let (controller, there) = read_controller(section, reader, forward);
        let (reverse_controller, back) = read_controller(section, reader, backward);
        actions.controller = controller;
        actions.reverse_controller = reverse_controller;
        let place = &mut actions.custody;
        read_option(section, reader, "custody", place, text(custody));
        read_option(section, reader, "pacing", &mut actions.pacing, boolean);
        let place = &mut actions.careful_resume;
        read_option(section, reader, "careful_resume", place, boolean);
        let limits = octets(16 << 10..=1 << 29);
        if let Some(Entry { span, value }) = section.read(reader, "buffer", limits) {
            actions.buffer = Some(value);
            if u64::from(value) > queue {
                let (value, queue) = (show_octets(value.into()), show_octets(queue));
                let message = format!("`buffer`: {value} is more than a queue has: {queue}");
                reader.report(span, message);
            }
        }
        let delays = time(Duration::ZERO..=Duration::from_millis(10));
        let place = &mut actions.ack_delay;
        read_option(section, reader, "ack_delay", place, delays);
        let place = &mut actions.allow_dont_fragment;
        read_option(section, reader, "allow_dont_fragment", place, boolean);
        if let (Some(false), Some(span), true) = (actions.track, track, actions.asks_for_service())
        {
            let message = "`track`: what is served must be tracked";
            reader.report(span, message);
        }
        ReadActions {
            actions,
            rates: [there, back],
        }
    }

    fn read_services(&mut self, section: &mut Section<'_>, reader: &mut Reader<'_>) {
        let service = || text(str::parse::<ServiceChoice>);
        let twice = section
            .place_of("service")
            .and(section.place_of("inner_to_outer"));
        if let Some(span) = twice {
            let message = "`inner_to_outer` and `service` are the same: give one of them";
            reader.report(span, message);
        }
        let place = &mut self.inner_to_outer;
        read_option(section, reader, "service", place, service());
        read_option(section, reader, "inner_to_outer", place, service());
        let place = &mut self.outer_to_inner;
        read_option(section, reader, "outer_to_inner", place, service());
    }
}

/// What else is known when actions are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// Octets of the buffer of a queue.
    pub(super) queue: u64,
    /// The arrangements that there are.
    pub(super) arrangements: &'a [ArrangementSettings],
}

/// Actions, and where their vouched rates stand.
#[derive(Debug)]
pub(super) struct ReadActions {
    pub(super) actions: Actions,
    pub(super) rates: [Option<Span>; 2],
}

/// Reads what is behind `key` into `place`, which keeps its value if there is nothing.
fn read_option<'t, T>(
    section: &mut Section<'t>,
    reader: &mut Reader<'_>,
    key: &'static str,
    place: &mut Option<T>,
    parse: impl FnOnce(&Value<'t>) -> Result<T, Fault>,
) {
    if let Some(entry) = section.read(reader, key, parse) {
        *place = Some(entry.value);
    }
}

/// The keys of one direction's controller.
struct ControllerKeys {
    controller: &'static str,
    rate: &'static str,
    share: &'static str,
    floor: &'static str,
    ceiling: &'static str,
}

const FORWARD: ControllerKeys = ControllerKeys {
    controller: "controller",
    rate: "rate",
    share: "share",
    floor: "floor",
    ceiling: "ceiling",
};

const BACKWARD: ControllerKeys = ControllerKeys {
    controller: "reverse_controller",
    rate: "reverse_rate",
    share: "reverse_share",
    floor: "reverse_floor",
    ceiling: "reverse_ceiling",
};

/// Reads one direction's controller, and answers where its vouched rate stands.
fn read_controller(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    keys: &ControllerKeys,
) -> (Option<ControllerChoice>, Option<Span>) {
    let stated = section.place_of(keys.controller).is_some();
    let name = text(str::parse::<ControllerName>);
    let name = section.read(reader, keys.controller, name);
    let has_rate = section.place_of(keys.rate).is_some();
    let details = [keys.rate, keys.share, keys.floor, keys.ceiling];
    let first = details
        .into_iter()
        .find_map(|key| Some((key, section.place_of(key)?)));
    let given = section.read(reader, keys.rate, rate);
    let share = section.read(reader, keys.share, whole(0..=15));
    let floor = section.read(reader, keys.floor, rate);
    let ceiling = section.read(reader, keys.ceiling, rate);
    let provisioned = |name: &Entry<_>| name.value == ControllerName::Provisioned;
    if let Some((key, span)) = first
        && !name.as_ref().map_or(stated, provisioned)
    {
        let controller = keys.controller;
        let message = format!("`{key}` needs {controller} = \"provisioned\" beside it");
        reader.report(span, message);
    }
    let Some(name) = name else {
        return (None, None);
    };
    let choice = match name.value {
        ControllerName::Reno => ControllerChoice::Reno,
        ControllerName::Cubic => ControllerChoice::Cubic,
        ControllerName::Bbr => ControllerChoice::Bbr,
        ControllerName::Provisioned => {
            let Some(given) = given else {
                // A rate that cannot be read has been told.
                if !has_rate {
                    let (controller, rate) = (keys.controller, keys.rate);
                    let message = format!(
                        "`{controller}`: \"provisioned\" needs a rate that you vouch for, such as \
                         {rate} = \"20mbit\""
                    );
                    reader.report(name.span, message);
                }
                return (None, None);
            };
            let mut vouched = Vouched::new(given.value);
            vouched.share = share.map_or(0, |share| share.value);
            let most = ceiling
                .as_ref()
                .map_or(given.value, |ceiling| ceiling.value.min(given.value));
            if let Some(floor) = &floor
                && floor.value > most
            {
                let (key, floor_rate) = (keys.floor, floor.value);
                let message =
                    format!("`{key}`: {floor_rate} is more than {most}, the most allowed");
                reader.report(floor.span.clone(), message);
            }
            vouched.floor = floor.map(|floor| floor.value);
            vouched.ceiling = ceiling.map(|ceiling| ceiling.value);
            let choice = ControllerChoice::Provisioned(vouched);
            return (Some(choice), Some(given.span));
        }
    };
    (Some(choice), None)
}
