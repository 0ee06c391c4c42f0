//! What is said to the kernel module beside the words of the protocol, and what it answers.

use localack_core::{Admit, Controller, Custody, FlowConfig, ShapingId};
use serde::{Deserialize, Serialize};

use crate::control::protocol::ServiceWord;

/// Requests that only the kernel module knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// The rules at work.
    Rules,
    /// Other rules.
    SetRules(SetRules),
}

/// Its answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// See [`Order::Rules`].
    Rules(Rules),
    /// See [`Order::SetRules`].
    SetRules(Applied),
}

/// Rules to take the place of all that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetRules {
    /// The revision that they were made from.
    pub(super) revision: u64,
    /// What they were made from; the kernel keeps it and gives it back.
    pub(super) settings: String,
    /// How connections are served that no rule matches.
    pub(super) default: Serving,
    pub(super) arrangements: Vec<Arrangement>,
    pub(super) policies: Vec<Policy>,
}

/// The rules of one policy, in their order; a connection that matches one of them is under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) serving: Serving,
    pub(super) rules: Vec<Rule>,
}

/// What must hold, all of it. What is not there asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Rule {
    /// `inner` or `outer`: who opened the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// Code points of the SYN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dscp: Vec<u8>,
    /// The network of the inner end: its octets in hexadecimal digits, and its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inner: Option<String>,
    /// The same of the outer end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outer: Option<String>,
    /// First and last port of the inner end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inner_ports: Option<(u16, u16)>,
    /// The same of the outer end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outer_ports: Option<(u16, u16)>,
}

/// An arrangement and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arrangement {
    pub(super) number: u8,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<ServiceWord>,
    pub(super) rate_limit: u32,
    pub(super) ack_interval_us: u32,
    pub(super) mss_clamp: u16,
}

/// Names of controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ControllerWord {
    Reno,
    Cubic,
    Bbr,
    Provisioned,
}

/// When custody may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CustodyWord {
    AfterProof,
    AfterHandshake,
}

/// How connections are served, in the words of policies but for units and arrangements, which have numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Serving {
    pub(super) track: bool,
    pub(super) inner_to_outer: ServiceWord,
    pub(super) outer_to_inner: ServiceWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arrangement: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reverse_arrangement: Option<u8>,
    pub(super) controller: ControllerWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) share: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) floor: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<u32>,
    pub(super) reverse_controller: ControllerWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reverse_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reverse_share: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reverse_floor: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reverse_ceiling: Option<u32>,
    pub(super) custody: CustodyWord,
    pub(super) pacing: bool,
    pub(super) careful_resume: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) buffer: Option<u32>,
    pub(super) ack_delay_us: u32,
    pub(super) allow_dont_fragment: bool,
}

impl Serving {
    /// What a policy answers.
    pub(super) fn of(answer: &Admit) -> Self {
        let (track, config) = match answer {
            Admit::Pass => (false, FlowConfig::tracked()),
            Admit::Adopt(config) => (true, *config),
        };
        let word = |controller| match controller {
            Controller::Reno => ControllerWord::Reno,
            Controller::Bbr => ControllerWord::Bbr,
            Controller::Provisioned(_) => ControllerWord::Provisioned,
            _ => ControllerWord::Cubic,
        };
        let vouched = |controller| match controller {
            Controller::Provisioned(provision) => Some(provision),
            _ => None,
        };
        let number = |id| (id != ShapingId::NONE).then(|| ShapingId::number(id));
        let there = vouched(config.controller);
        let back = vouched(config.inward_controller);
        Self {
            track,
            inner_to_outer: config.inner_to_outer.into(),
            outer_to_inner: config.outer_to_inner.into(),
            arrangement: number(config.inner_shaping),
            reverse_arrangement: number(config.outer_shaping),
            controller: word(config.controller),
            rate: there.map(|vouched| vouched.rate),
            share: there.map(|vouched| vouched.share),
            floor: there.map(|vouched| vouched.floor),
            ceiling: there.map(|vouched| vouched.ceiling),
            reverse_controller: word(config.inward_controller),
            reverse_rate: back.map(|vouched| vouched.rate),
            reverse_share: back.map(|vouched| vouched.share),
            reverse_floor: back.map(|vouched| vouched.floor),
            reverse_ceiling: back.map(|vouched| vouched.ceiling),
            custody: match config.custody {
                Custody::AfterHandshake => CustodyWord::AfterHandshake,
                _ => CustodyWord::AfterProof,
            },
            pacing: config.pacing,
            careful_resume: config.careful_resume,
            buffer: Some(config.buffer_limit),
            ack_delay_us: u32::try_from(config.ack_delay.as_micros()).unwrap_or(u32::MAX),
            allow_dont_fragment: config.allow_dont_fragment,
        }
    }

    /// The table `[default]` that means the same, where there are no arrangements.
    pub(super) fn to_toml(&self) -> String {
        use core::fmt::Write;
        let mut text = String::from("[default]\n");
        if !self.track {
            return text + "track = false\n";
        }
        let mut say = |key: &str, value: String| {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        say("track", "true".to_owned());
        say("inner_to_outer", quoted(&self.inner_to_outer));
        say("outer_to_inner", quoted(&self.outer_to_inner));
        say("controller", quoted(&self.controller));
        say("reverse_controller", quoted(&self.reverse_controller));
        say("custody", quoted(&self.custody));
        let rate = |rate: u32| format!("\"{}bit\"", u64::from(rate) * 8);
        for (key, octets) in [("rate", self.rate), ("reverse_rate", self.reverse_rate)] {
            if let Some(octets) = octets {
                say(key, rate(octets));
            }
        }
        say("pacing", self.pacing.to_string());
        say("careful_resume", self.careful_resume.to_string());
        if let Some(buffer) = self.buffer {
            say("buffer", buffer.to_string());
        }
        say("ack_delay", format!("\"{}us\"", self.ack_delay_us));
        let allowed = self.allow_dont_fragment.to_string();
        say("allow_dont_fragment", allowed);
        text
    }
}

/// A word as a text of TOML, which is written as in JSON.
fn quoted(word: &impl Serialize) -> String {
    serde_json::to_string(word).unwrap_or_default()
}

/// The rules at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) revision: u64,
    /// As it was given; empty if rules were never set.
    pub(super) settings: String,
    /// Rules that the kernel takes at most, of all policies together.
    pub(super) most: u64,
    /// Rules that it has.
    pub(super) rules: u64,
    pub(super) default: Serving,
    /// New connections that no rule matched.
    pub(super) hits: u64,
    pub(super) arrangements: Vec<Numbered>,
    pub(super) policies: Vec<Hits>,
}

/// The number of an arrangement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub(super) number: u8,
    pub(super) name: String,
    /// Directions of open flows that have it.
    pub(super) directions: u64,
}

/// How often a policy was for a new connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hits {
    pub(super) name: String,
    pub(super) hits: u64,
}

/// What came of other rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    pub(super) revision: u64,
    pub(super) policies: u32,
    pub(super) flows_changed: u64,
    pub(super) flows_partial: u64,
}
