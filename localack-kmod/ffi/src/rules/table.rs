//! One list of rules, with the names of what they are made from.
#![forbid(unsafe_code)]

use localack_core::{FlowKey, Port, Service, ShapingId};

use super::vouched;
use crate::abi::{
    Arrangement, LOCALACK_ARRANGEMENTS, LOCALACK_FROM_EITHER, LOCALACK_FROM_INNER,
    LOCALACK_FROM_OUTER, LOCALACK_MOST_RULES, Rule, Serving,
};
use crate::convert::{flow_config, is_in, service, shaping};

/// Most policies that have names.
pub(crate) const MOST_POLICIES: usize = 64;
/// Octets of the settings that whoever gives rules may keep beside them.
pub(crate) const MOST_SETTINGS: usize = 24 << 10;

/// A name of 1 to 64 octets; empty if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Name {
    octets: [u8; 64],
    length: u8,
}

impl Name {
    const NONE: Self = Self {
        octets: [0; 64],
        length: 0,
    };

    /// `None` if it is empty, too long, or has other characters than names of policies have.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut name = Self::NONE;
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
        if text.is_empty() || !text.as_bytes().iter().all(is_plain) {
            return None;
        }
        let room = name.octets.get_mut(..text.len())?;
        for (to, from) in room.iter_mut().zip(text.as_bytes()) {
            *to = *from;
        }
        name.length = u8::try_from(text.len()).ok()?;
        Some(name)
    }

    pub(crate) fn octets(&self) -> &[u8] {
        let length = usize::from(self.length);
        self.octets.get(..length).unwrap_or_default()
    }
}

/// A policy that rules were made from.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Policied {
    pub(crate) name: Name,
    /// New connections that it was for.
    pub(crate) hits: u64,
}

/// What a number means, and what it is called.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Arranged {
    pub(crate) arrangement: Arrangement,
    pub(crate) name: Name,
    /// One more than the number of the service that goes with it; 0 if none does.
    pub(crate) service: u8,
}

impl Arranged {
    const NONE: Self = Self {
        arrangement: Arrangement {
            rate_limit: 0,
            ack_interval_us: 0,
            mss_clamp: 0,
            reserved: 0,
        },
        name: Name::NONE,
        service: 0,
    };

    pub(crate) const fn is_named(&self) -> bool {
        self.name.length > 0
    }

    pub(crate) fn service(&self) -> Option<Service> {
        self.service.checked_sub(1).and_then(service)
    }
}

/// A rule, and the policy that it is of.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Cell {
    rule: Rule,
    policy: usize,
}

/// Rules in their order, and what else holds. All zeroes has none, and leaves every connection alone.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Table {
    rules: [Cell; LOCALACK_MOST_RULES],
    count: usize,
    rest: Serving,
    /// New connections that no rule matched.
    rest_hits: u64,
    policies: [Policied; MOST_POLICIES],
    policy_count: usize,
    arrangements: [Arranged; LOCALACK_ARRANGEMENTS],
    settings: [u8; MOST_SETTINGS],
    settings_length: usize,
}

impl Table {
    #[cfg(test)]
    pub(crate) const fn new() -> Self {
        let none = Serving {
            adopt: 0,
            inner_to_outer: 0,
            outer_to_inner: 0,
            controller: 0,
            inward_controller: 0,
            after_handshake: 0,
            careful_resume: 0,
            allow_dont_fragment: 0,
            in_bursts: 0,
            reserved: 0,
            arrangement: [0; 2],
            rate: [0; 2],
            share: [0; 2],
            reserved2: 0,
            floor: [0; 2],
            ceiling: [0; 2],
            buffer_limit: 0,
            ack_delay_us: 0,
        };
        let rule = Rule {
            version: 0,
            inner_bits: 0,
            outer_bits: 0,
            from: 0,
            inner_ports: [0; 2],
            outer_ports: [0; 2],
            inner: [0; 16],
            outer: [0; 16],
            reserved: 0,
            dscp: 0,
            serving: none,
        };
        Self {
            rules: [Cell { rule, policy: 0 }; LOCALACK_MOST_RULES],
            count: 0,
            rest: none,
            rest_hits: 0,
            policies: [Policied {
                name: Name::NONE,
                hits: 0,
            }; MOST_POLICIES],
            policy_count: 0,
            arrangements: [Arranged::NONE; LOCALACK_ARRANGEMENTS],
            settings: [0; MOST_SETTINGS],
            settings_length: 0,
        }
    }

    /// Forgets all rules, policies, arrangements and settings.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.policy_count = 0;
        self.rest_hits = 0;
        self.settings_length = 0;
        self.arrangements = [Arranged::NONE; LOCALACK_ARRANGEMENTS];
    }

    /// How connections are served that no rule matches.
    pub(crate) const fn rest(&self) -> &Serving {
        &self.rest
    }

    pub(crate) const fn rest_hits(&self) -> u64 {
        self.rest_hits
    }

    pub(crate) fn serve_rest(&mut self, serving: &Serving) -> bool {
        let known = flow_config(serving).is_some();
        if known {
            self.rest = *serving;
        }
        known
    }

    /// Adds a rule that is of no policy to the end; `false` if there are too many, or it means nothing.
    pub(crate) fn add(&mut self, rule: &Rule) -> bool {
        let place = self.rules.get_mut(self.count);
        let Some(cell) = place.filter(|_| is_sound(rule)) else {
            return false;
        };
        *cell = Cell {
            rule: *rule,
            policy: usize::MAX,
        };
        self.count = self.count.saturating_add(1);
        true
    }

    /// Makes a policy of the rules from number `first` on; `false` if there are too many, or the serving means nothing.
    pub(crate) fn end_policy(&mut self, name: Name, first: usize, serving: &Serving) -> bool {
        let place = self.policies.get_mut(self.policy_count);
        let Some(policy) = place.filter(|_| flow_config(serving).is_some()) else {
            return false;
        };
        *policy = Policied { name, hits: 0 };
        for cell in self.rules.iter_mut().take(self.count).skip(first) {
            cell.rule.serving = *serving;
            cell.policy = self.policy_count;
        }
        self.policy_count = self.policy_count.saturating_add(1);
        true
    }

    /// Goes on counting what has kept its name.
    pub(crate) fn count_on(&mut self, before: &Self) {
        self.rest_hits = before.rest_hits;
        for policy in self.policies.iter_mut().take(self.policy_count) {
            let mut known = before.policies().iter();
            let known = known.find(|old| old.name == policy.name);
            policy.hits = known.map_or(0, |old| old.hits);
        }
    }

    pub(crate) fn policies(&self) -> &[Policied] {
        self.policies.get(..self.policy_count).unwrap_or_default()
    }

    pub(crate) const fn count_of_rules(&self) -> usize {
        self.count
    }

    pub(crate) fn count(&mut self, policy: Option<usize>) {
        let hits = match policy {
            None => Some(&mut self.rest_hits),
            Some(number) => self.policies.get_mut(number).map(|policy| &mut policy.hits),
        };
        if let Some(hits) = hits {
            *hits = hits.saturating_add(1);
        }
    }

    /// What a connection is under: the policy, and how it is served.
    pub(crate) fn find(&self, key: &FlowKey, from: Port, class: u8) -> (Option<usize>, &Serving) {
        self.rules
            .iter()
            .take(self.count)
            .find(|cell| matches(&cell.rule, key, from, class))
            .map_or((None, &self.rest), |cell| {
                (Some(cell.policy), &cell.rule.serving)
            })
    }

    /// The rate that is vouched for in a share.
    pub(crate) fn shared_rate(&self, share: u8) -> Option<u32> {
        let rules = self.rules.iter().take(self.count);
        rules
            .map(|cell| &cell.rule.serving)
            .chain([&self.rest])
            .find_map(|serving| vouched(serving, share))
    }

    pub(crate) fn arranged(&self, id: ShapingId) -> Option<&Arranged> {
        self.arrangements.get(usize::from(id.number()))
    }

    pub(crate) const fn arrangements(&self) -> &[Arranged; LOCALACK_ARRANGEMENTS] {
        &self.arrangements
    }

    pub(crate) const fn arrange_as(&mut self, arrangements: &[Arranged; LOCALACK_ARRANGEMENTS]) {
        self.arrangements = *arrangements;
    }

    /// Lets a number mean an arrangement that has no name; `false` if there is no such number.
    pub(crate) fn arrange(&mut self, number: u8, arrangement: &Arrangement) -> bool {
        let arranged = Arranged {
            arrangement: *arrangement,
            ..Arranged::NONE
        };
        self.name(number, arranged)
    }

    /// Lets a number mean an arrangement; `false` if there is no such number, or the arrangement makes no sense.
    pub(crate) fn name(&mut self, number: u8, arranged: Arranged) -> bool {
        let known = number > 0 && shaping(&arranged.arrangement).is_some();
        match self.arrangements.get_mut(usize::from(number)) {
            Some(cell) if known => {
                *cell = arranged;
                true
            }
            _ => false,
        }
    }

    /// The number of an arrangement, and the arrangement.
    pub(crate) fn find_arrangement(&self, name: &Name) -> Option<(ShapingId, &Arranged)> {
        let numbered = (0..).map_while(ShapingId::new).zip(&self.arrangements);
        let mut numbered = numbered.skip(1);
        numbered.find(|(_, one)| one.name == *name)
    }

    pub(crate) fn settings(&self) -> &[u8] {
        self.settings
            .get(..self.settings_length)
            .unwrap_or_default()
    }

    /// Keeps settings; `false` if they are too long.
    pub(crate) fn keep_settings(&mut self, text: &[u8]) -> bool {
        let Some(room) = self.settings.get_mut(..text.len()) else {
            return false;
        };
        for (to, from) in room.iter_mut().zip(text) {
            *to = *from;
        }
        self.settings_length = text.len();
        true
    }
}

fn is_sound(rule: &Rule) -> bool {
    let most = match rule.version {
        0 => 0,
        4 => 32,
        6 => 128,
        _ => return false,
    };
    let ordered = |[low, high]: [u16; 2]| low <= high;
    rule.inner_bits <= most
        && rule.outer_bits <= most
        && rule.from <= LOCALACK_FROM_OUTER
        && ordered(rule.inner_ports)
        && ordered(rule.outer_ports)
        && flow_config(&rule.serving).is_some()
}

fn matches(rule: &Rule, key: &FlowKey, from: Port, class: u8) -> bool {
    let version = if key.inner().is_ipv4() { 4 } else { 6 };
    let within = |[low, high]: [u16; 2], port| (low..=high).contains(&port);
    let side = match from {
        Port::Inner => LOCALACK_FROM_INNER,
        Port::Outer => LOCALACK_FROM_OUTER,
    };
    let point = 1_u64.checked_shl((class >> 2).into()).unwrap_or(0);
    (rule.version == 0 || rule.version == version)
        && (rule.from == LOCALACK_FROM_EITHER || rule.from == side)
        && (rule.dscp == 0 || rule.dscp & point != 0)
        && within(rule.inner_ports, key.inner_port())
        && within(rule.outer_ports, key.outer_port())
        && is_in(key.inner(), &rule.inner, rule.inner_bits)
        && is_in(key.outer(), &rule.outer, rule.outer_bits)
}
