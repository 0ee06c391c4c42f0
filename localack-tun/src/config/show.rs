//! Settings as a file would have them.

use localack_core::Port;
use serde::{Serialize, Serializer};

use super::actions::{Actions, ControllerChoice};
use super::arrangement::ArrangementSettings;
use super::matches::Match;
use super::policy::PolicySettings;
use super::quantity::{Rate, show_octets, show_time};
use super::words::{ControllerName, ServiceChoice, custody_word, side_word};
use super::{EngineSettings, LogFormat, LogLevel, OFF, Settings};

#[derive(Serialize)]
struct MatchText {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inner: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outer: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inner_port: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outer_port: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_port: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination_port: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dscp: Vec<String>,
}

impl From<&Match> for MatchText {
    fn from(matches: &Match) -> Self {
        fn texts<T: ToString>(list: &[T]) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        Self {
            inner: texts(&matches.inner),
            outer: texts(&matches.outer),
            source: texts(&matches.source),
            destination: texts(&matches.destination),
            inner_port: texts(&matches.inner_port),
            outer_port: texts(&matches.outer_port),
            source_port: texts(&matches.source_port),
            destination_port: texts(&matches.destination_port),
            from: matches.from.map(side_word),
            dscp: texts(&matches.dscp),
        }
    }
}

impl Serialize for Match {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        MatchText::from(self).serialize(to)
    }
}

#[derive(Serialize)]
struct ActionsText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_to_outer: Option<ServiceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outer_to_inner: Option<ServiceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrangement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_arrangement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<ControllerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_controller: Option<ControllerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_share: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_floor: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_ceiling: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custody: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pacing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    careful_resume: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buffer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_dont_fragment: Option<bool>,
}

impl<'a> From<&'a Actions> for ActionsText<'a> {
    fn from(actions: &'a Actions) -> Self {
        let [there, back] = actions.vouched();
        Self {
            track: actions.track,
            inner_to_outer: actions.inner_to_outer,
            outer_to_inner: actions.outer_to_inner,
            arrangement: actions.arrangement.as_deref(),
            reverse_arrangement: actions.reverse_arrangement.as_deref(),
            controller: actions.controller.map(ControllerChoice::name),
            rate: there.map(|vouched| vouched.rate),
            share: there.map(|vouched| vouched.share),
            floor: there.and_then(|vouched| vouched.floor),
            ceiling: there.and_then(|vouched| vouched.ceiling),
            reverse_controller: actions.reverse_controller.map(ControllerChoice::name),
            reverse_rate: back.map(|vouched| vouched.rate),
            reverse_share: back.map(|vouched| vouched.share),
            reverse_floor: back.and_then(|vouched| vouched.floor),
            reverse_ceiling: back.and_then(|vouched| vouched.ceiling),
            custody: actions.custody.map(custody_word),
            pacing: actions.pacing,
            careful_resume: actions.careful_resume,
            buffer: actions.buffer.map(|octets| show_octets(octets.into())),
            ack_delay: actions.ack_delay.map(show_time),
            allow_dont_fragment: actions.allow_dont_fragment,
        }
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        ActionsText::from(self).serialize(to)
    }
}

#[derive(Serialize)]
struct PolicyText<'a> {
    name: &'a str,
    #[serde(flatten)]
    matches: MatchText,
    #[serde(flatten)]
    actions: ActionsText<'a>,
}

impl Serialize for PolicySettings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        PolicyText {
            name: &self.name,
            matches: MatchText::from(&self.matches),
            actions: ActionsText::from(&self.actions),
        }
        .serialize(to)
    }
}

#[derive(Serialize)]
struct InterfaceText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<&'a str>,
    #[serde(skip_serializing_if = "<&bool as core::ops::Not>::not")]
    host: bool,
}

#[derive(Serialize)]
struct MetricsText {
    listen: String,
}

#[derive(Serialize)]
struct ControlText {
    socket: String,
}

#[derive(Serialize)]
struct LogText {
    format: LogFormat,
    level: LogLevel,
}

#[derive(Serialize)]
struct SettingsText<'a> {
    engine: &'a EngineSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<InterfaceText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outer: Option<InterfaceText<'a>>,
    metrics: MetricsText,
    control: ControlText,
    log: LogText,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    arrangement: &'a [ArrangementSettings],
    default: &'a Actions,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policy: &'a [PolicySettings],
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        fn side<'a>(
            side: Port,
            interface: Option<&'a str>,
            port: Option<&'a (Port, String)>,
            host: bool,
        ) -> Option<InterfaceText<'a>> {
            let port = port.filter(|(of, _)| *of == side);
            let port = port.map(|(_, name)| name.as_str());
            (interface.is_some() || port.is_some() || host).then_some(InterfaceText {
                interface,
                port,
                host,
            })
        }
        let port = self.port.as_ref();
        SettingsText {
            engine: &self.engine,
            inner: side(Port::Inner, self.inner.as_deref(), port, self.host),
            outer: side(Port::Outer, self.outer.as_deref(), port, false),
            metrics: MetricsText {
                listen: self.metrics.map_or(OFF.to_owned(), |at| at.to_string()),
            },
            control: ControlText {
                socket: self
                    .control
                    .as_deref()
                    .map_or(OFF.to_owned(), |path| path.display().to_string()),
            },
            log: LogText {
                format: self.log_format,
                level: self.log_level,
            },
            arrangement: &self.arrangements,
            default: &self.default,
            policy: &self.policies,
        }
        .serialize(to)
    }
}
