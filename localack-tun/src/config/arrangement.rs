//! The tables `[[arrangement]]`.

use core::time::Duration;

use localack_core::{Service, Shaping, ShapingId};
use serde::{Serialize, Serializer};

use super::policy::plain_name;
use super::quantity::{Rate, show_time};
use super::reader::{Entry, Reader, Section, Span};
use super::value::{rate, text, time, whole};
use super::words::{ServiceChoice, nearest};

/// Arrangements that there can be.
pub const MOST_ARRANGEMENTS: usize = ShapingId::COUNT - 1;

/// The name by which a policy says that nothing is arranged, where `[default]` has an arrangement.
pub const NO_ARRANGEMENT: &str = "none";

/// What is done with one direction of connections, under a name. What is `None` is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArrangementSettings {
    /// Its name, of 1 to 64 letters, digits, `-`, `_` and `.`; no other has it.
    pub name: String,
    /// The service of the direction's data; without it the policy says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceChoice>,
    /// What the data of one connection may take at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// How fast acknowledgements that tell nothing but a higher number may follow each other, 10 µs to 500 ms.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time")]
    pub ack_interval: Option<Duration>,
    /// The largest segment that a SYN may announce, 64 to 65,535 octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss_clamp: Option<u16>,
}

/// The keys of `[[arrangement]]`.
pub(super) const KEYS: &[&str] = &["name", "service", "rate_limit", "ack_interval", "mss_clamp"];

impl ArrangementSettings {
    /// An arrangement of this name that does nothing.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            service: None,
            rate_limit: None,
            ack_interval: None,
            mss_clamp: None,
        }
    }

    /// What an engine does beside the service.
    #[must_use]
    pub fn shaping(&self) -> Shaping {
        Shaping::NONE
            .with_rate_limit(self.rate_limit.map_or(0, Rate::octets_per_second))
            .with_ack_interval(self.ack_interval.unwrap_or_default())
            .with_mss_clamp(self.mss_clamp.unwrap_or_default())
    }

    /// The service that it names.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        self.service.map(Into::into)
    }

    /// Reads one table, unless it has no name.
    fn read(mut section: Section<'_>, reader: &mut Reader<'_>) -> Option<(Self, Span)> {
        let stated = section.place_of("name").is_some();
        let name = section.read(reader, "name", text(name));
        if !stated {
            let message = "this arrangement has no `name`, such as name = \"radio\"";
            reader.report(section.span.clone(), message);
        }
        let mut read = Self::new("");
        let some = |value: &_| text(str::parse)(value).map(Some);
        section.read_into(reader, "service", &mut read.service, some);
        let some = |value: &_| rate(value).map(Some);
        section.read_into(reader, "rate_limit", &mut read.rate_limit, some);
        let intervals = Duration::from_micros(10)..=Duration::from_millis(500);
        let some = |value: &_| time(intervals)(value).map(Some);
        section.read_into(reader, "ack_interval", &mut read.ack_interval, some);
        let some = |value: &_| whole(64..=u16::MAX)(value).map(Some);
        section.read_into(reader, "mss_clamp", &mut read.mss_clamp, some);
        section.finish(reader);
        let Entry { span, value } = name?;
        read.name = value;
        Some((read, span))
    }

    /// Reads all tables `[[arrangement]]`.
    pub(super) fn read_all(root: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (count, section) in root
            .sections(reader, "arrangement", KEYS)
            .into_iter()
            .enumerate()
        {
            if count == MOST_ARRANGEMENTS {
                let message = format!("`arrangement`: there are {MOST_ARRANGEMENTS} at most");
                reader.report(section.span.clone(), message);
            }
            let Some((read, name)) = Self::read(section, reader) else {
                continue;
            };
            if all.iter().any(|other| other.name == read.name) {
                let message = format!("`name`: another arrangement is called {:?} too", read.name);
                reader.report(name, message);
            }
            all.push(read);
        }
        all
    }
}

fn name(text: &str) -> Result<String, String> {
    match text {
        NO_ARRANGEMENT => Err(format!(
            "{text:?} is what a policy says that has no arrangement"
        )),
        text => plain_name(text),
    }
}

fn write_time<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(show_time).serialize(to)
}

/// The arrangement of this name.
pub(super) fn find<'a>(
    arrangements: &'a [ArrangementSettings],
    name: &str,
) -> Option<&'a ArrangementSettings> {
    arrangements.iter().find(|one| one.name == name)
}

/// Reads the name of one of `arrangements`, or [`NO_ARRANGEMENT`].
pub(super) fn known(text: &str, arrangements: &[ArrangementSettings]) -> Result<String, String> {
    if text == NO_ARRANGEMENT || find(arrangements, text).is_some() {
        return Ok(text.to_owned());
    }
    let names = || arrangements.iter().map(|one| one.name.as_str());
    let hint = match nearest(text, names().chain([NO_ARRANGEMENT])) {
        Some(near) => format!("did you mean {near:?}?"),
        None if arrangements.is_empty() => "there are no tables [[arrangement]]".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("no [[arrangement]] is called {text:?}; {hint}"))
}
