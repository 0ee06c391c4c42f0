//! The settings of a gateway: a TOML file, and what the command line says.
//!
//! [`Settings::load`] reads a file and is all the I/O there is. Everything in it may be left out;
//! what is not understood is refused with its line and column, and all of it at once. The documented
//! example is `examples/localack-tun.toml`. [`Settings::apply`] lets the command line have its way.
//!
//! ```
//! use localack_tun::config::Settings;
//!
//! let settings = Settings::parse(
//!     r#"
//!     [[policy]]
//!     name = "backups"
//!     destination_port = 873
//!     service = "local-ack"
//!     controller = "provisioned"
//!     rate = "20mbit"
//!     "#,
//! )?;
//! assert_eq!(settings.policies[0].name, "backups");
//!
//! let wrong = Settings::parse("[engine]\nflowz = 7").unwrap_err();
//! assert_eq!(
//!     wrong.to_string().lines().next(),
//!     Some("2:1: unknown key `flowz` in [engine]; did you mean `flows`?")
//! );
//! # Ok::<_, localack_tun::config::Problems>(())
//! ```

mod actions;
mod arranged;
mod arrangement;
mod engine;
mod flags;
mod matches;
mod policy;
mod problem;
mod quantity;
mod reader;
mod show;
#[cfg(test)]
mod tests;
mod value;
mod words;

use core::net::{Ipv4Addr, SocketAddr};
use std::fs;
use std::path::{Path, PathBuf};

use localack_core::Port;

pub use actions::{Actions, ControllerChoice, Vouched};
pub use arrangement::{ArrangementSettings, MOST_ARRANGEMENTS, NO_ARRANGEMENT};
pub use engine::EngineSettings;
pub use flags::{FlagError, Flags};
pub use localack_core::Geometry;
pub use matches::{Dscp, DscpError, Match, PortError, PortRange, PrefixError, prefix};
pub use policy::{DEFAULT, PolicySettings};
pub use problem::{LoadError, Problem, Problems};
pub use quantity::{QuantityError, Rate, octets, time};
pub use words::{ControllerName, LogFormat, LogLevel, ServiceChoice, WordError, custody, side};

#[cfg(test)]
pub(crate) use tests::written;

use actions::Context;
use reader::{Reader, Section, Span};
use value::{Fault, Value, integer, string, text};

const KEYS: &[&str] = &[
    "engine",
    "inner",
    "outer",
    "metrics",
    "control",
    "log",
    "arrangement",
    "default",
    "policy",
];
const INNER_KEYS: &[&str] = &["interface", "port", "host"];
const OUTER_KEYS: &[&str] = &["interface", "port"];
const METRICS_KEYS: &[&str] = &["listen"];
const CONTROL_KEYS: &[&str] = &["socket"];
const LOG_KEYS: &[&str] = &["format", "level"];

/// What turns a listener off.
const OFF: &str = "off";
/// Where the control socket is unless the file says otherwise.
const CONTROL_SOCKET: &str = "/run/localack-tun.sock";

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Memory, queues, and limits of time.
    pub engine: EngineSettings,
    /// The interface on the side of the hosts that wait.
    pub inner: Option<String>,
    /// The interface on the side of the long path.
    pub outer: Option<String>,
    /// The port that is to be taken from its bridge, if that is what is done, and its side.
    pub port: Option<(Port, String)>,
    /// Whether this machine itself is the inner side.
    pub host: bool,
    /// Where metrics are served; nowhere by default.
    pub metrics: Option<SocketAddr>,
    /// The socket that commands come by, an absolute path.
    pub control: Option<PathBuf>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: LogLevel,
    /// What policies name for a direction of their connections, at most [`MOST_ARRANGEMENTS`].
    pub arrangements: Vec<ArrangementSettings>,
    /// How connections are served that no policy is for, and what policies leave out. All of it is
    /// there in settings that were read.
    pub default: Actions,
    /// The policies; the first that matches a connection is for it.
    pub policies: Vec<PolicySettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineSettings::default(),
            inner: None,
            outer: None,
            port: None,
            host: false,
            metrics: None,
            control: Some(CONTROL_SOCKET.into()),
            log_format: LogFormat::default(),
            log_level: LogLevel::default(),
            arrangements: Vec::new(),
            default: Actions::builtin(),
            policies: Vec::new(),
        }
    }
}

/// Two policies vouch for different rates of one share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "share {share} is {} in policy {:?} and {} in policy {:?}; give one of them another share",
    rates[0], names[0], rates[1], names[1]
)]
pub struct ShareConflict {
    share: u8,
    rates: [Rate; 2],
    names: [String; 2],
    /// The index among the policies of the second one, and whether it is its reverse controller.
    place: (usize, usize),
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`] if it cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = fs::read_to_string(path).map_err(|error| LoadError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&text).map_err(|problems| LoadError::Content {
            path: path.to_owned(),
            problems,
        })
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong in it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        Self::parse_beside(text, &[])
    }

    /// Reads the content of a file whose policies may name these arrangements, too.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong in it.
    pub fn parse_beside(
        text: &str,
        arrangements: &[ArrangementSettings],
    ) -> Result<Self, Problems> {
        let (mut reader, table) = Reader::open(text)?;
        let mut root = Section::new("the file", KEYS, table, 0..0);
        let mut settings = Self::default();
        settings.read_tables(&mut root, &mut reader);
        settings.arrangements = ArrangementSettings::read_all(&mut root, &mut reader);
        // Those of the text come first where both have one of that name.
        let known = [settings.arrangements.as_slice(), arrangements].concat();
        settings.read_policies(&mut root, &mut reader, &known);
        root.finish(&mut reader);
        reader.finish().map(|()| settings)
    }

    /// The text of a file with these settings, all of them written out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Nothing that a struct of tables, texts and numbers holds cannot be written.
        toml::to_string(self).unwrap_or_default()
    }

    /// The policies in their order, each with everything that holds for it.
    pub fn policies(&self) -> impl Iterator<Item = PolicySettings> + '_ {
        let default = self.last_policy().actions;
        self.policies.iter().map(move |policy| {
            let actions = policy.actions.arranged(&self.arrangements).or(&default);
            PolicySettings {
                actions,
                ..policy.clone()
            }
        })
    }

    /// What holds for connections that no policy is for, as a policy called [`DEFAULT`].
    #[must_use]
    pub fn last_policy(&self) -> PolicySettings {
        let mut last = PolicySettings::new(DEFAULT);
        let default = self.default.arranged(&self.arrangements);
        last.actions = default.or(&Actions::builtin());
        last
    }

    /// Whether one share has two rates.
    fn check_shares(&self) -> Result<(), ShareConflict> {
        let mut seen: [Option<(Rate, &str)>; 16] = [None; 16];
        let named = self
            .policies
            .iter()
            .map(|policy| (policy.name.as_str(), &policy.actions))
            .chain([(DEFAULT, &self.default)]);
        for (index, (name, actions)) in named.enumerate() {
            for (direction, vouched) in actions.vouched().into_iter().enumerate() {
                let Some(vouched) = vouched else { continue };
                let Some(place) = seen.get_mut(usize::from(vouched.share)) else {
                    continue;
                };
                let (rate, first) = *place.get_or_insert((vouched.rate, name));
                if rate != vouched.rate {
                    return Err(ShareConflict {
                        share: vouched.share,
                        rates: [rate, vouched.rate],
                        names: [first.to_owned(), name.to_owned()],
                        place: (index, direction),
                    });
                }
            }
        }
        Ok(())
    }

    fn read_tables(&mut self, root: &mut Section<'_>, reader: &mut Reader<'_>) {
        if let Some(section) = root.section(reader, "engine", engine::KEYS) {
            self.engine = EngineSettings::read(section, reader);
        }
        let mut places = Vec::new();
        let mut ports = Vec::new();
        let mut host = None;
        for (key, keys, side, place) in [
            ("inner", INNER_KEYS, Port::Inner, &mut self.inner),
            ("outer", OUTER_KEYS, Port::Outer, &mut self.outer),
        ] {
            if let Some(mut section) = root.section(reader, key, keys) {
                let some = |value: &Value<'_>| text(interface)(value).map(Some);
                places.extend(section.read_into(reader, "interface", place, some));
                let mut port = None;
                ports.extend(section.read_into(reader, "port", &mut port, some));
                self.port = port.map(|port| (side, port)).or(self.port.take());
                if side == Port::Inner {
                    host = section.read_into(reader, "host", &mut self.host, value::boolean);
                }
                section.finish(reader);
            }
        }
        if let (true, [_, span]) = (self.inner == self.outer, places.as_slice()) {
            let message = "`interface`: the inner and the outer interface are the same";
            reader.report(span.clone(), message);
        }
        if let [_, span] = ports.as_slice() {
            let message =
                "`port`: one port is taken from its bridge, on the inner or on the outer side";
            reader.report(span.clone(), message);
        }
        if let ([span, ..], [_, ..]) = (ports.as_slice(), places.as_slice()) {
            let message = "`port`: it takes the place of the interfaces; leave out `interface`";
            reader.report(span.clone(), message);
        }
        if let (true, Some(span)) = (self.host, host)
            && (self.inner.is_some() || self.port.is_some())
        {
            let message = "`host`: this machine is the inner side then; leave out its `interface`, and \
                           `port`";
            reader.report(span, message);
        }
        if let Some(mut section) = root.section(reader, "metrics", METRICS_KEYS) {
            section.read_into(reader, "listen", &mut self.metrics, listen);
            section.finish(reader);
        }
        if let Some(mut section) = root.section(reader, "control", CONTROL_KEYS) {
            section.read_into(reader, "socket", &mut self.control, text(socket));
            section.finish(reader);
        }
        if let Some(mut section) = root.section(reader, "log", LOG_KEYS) {
            section.read_into(reader, "format", &mut self.log_format, text(str::parse));
            section.read_into(reader, "level", &mut self.log_level, text(str::parse));
            section.finish(reader);
        }
    }

    fn read_policies(
        &mut self,
        root: &mut Section<'_>,
        reader: &mut Reader<'_>,
        arrangements: &[ArrangementSettings],
    ) {
        let context = Context {
            queue: self.engine.buffer_per_queue(),
            arrangements,
        };
        let mut rates: Vec<[Option<Span>; 2]> = Vec::new();
        for section in root.sections(reader, "policy", policy::KEYS) {
            let Some((policy, places, name)) = PolicySettings::read(section, reader, context)
            else {
                continue;
            };
            if self.policies.iter().any(|other| other.name == policy.name) {
                let message = format!("`name`: another policy is called {:?} too", policy.name);
                reader.report(name, message);
            }
            self.policies.push(policy);
            rates.push(places);
        }
        if let Some(mut section) = root.section(reader, "default", &actions::KEYS) {
            let read = Actions::read(&mut section, reader, context);
            section.finish(reader);
            self.default = read.actions.completed(&self.default);
            rates.push(read.rates);
        }
        if let Err(conflict) = self.check_shares() {
            let (index, direction) = conflict.place;
            let span = rates
                .get(index)
                .and_then(|places| places.get(direction)?.clone())
                .unwrap_or_default();
            reader.report(span, conflict.to_string());
        }
    }
}

/// The name of an interface as the kernel takes it.
fn interface(text: &str) -> Result<String, String> {
    /// `IFNAMSIZ` less its terminator.
    const MOST: usize = 15;
    let forbidden = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '%' | '\0');
    if matches!(text, "" | "." | "..") || text.len() > MOST || text.contains(forbidden) {
        return Err(format!(
            "{text:?} is not an interface: 1 to {MOST} characters, no '/', ':', '%' or space"
        ));
    }
    Ok(text.to_owned())
}

/// Reads a port of the loopback address, an address with a port, or `"off"`.
fn listen(value: &Value<'_>) -> Result<Option<SocketAddr>, Fault> {
    if integer(value).is_some() {
        let port = value::whole(1..=u16::MAX)(value)?;
        return Ok(Some((Ipv4Addr::LOCALHOST, port).into()));
    }
    match string(value, "a port, an address with a port, or \"off\"")? {
        OFF => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let message = format!(
                "{text:?} is not a port, an address with a port such as \"127.0.0.1:9180\", or \
                 \"off\""
            );
            Fault::new(value, message)
        }),
    }
}

/// Reads an absolute path, or `off`.
fn socket(text: &str) -> Result<Option<PathBuf>, String> {
    /// The kernel keeps 108 octets, with a terminator.
    const MOST: usize = 107;
    match text {
        OFF => Ok(None),
        text if !text.starts_with('/') || text.contains('\0') => {
            Err(format!("{text:?} is not an absolute path, or \"off\""))
        }
        text if text.len() > MOST => Err(format!("a socket's path has at most {MOST} octets")),
        text => Ok(Some(text.into())),
    }
}
