//! Which connections are served, and how: the policies of a file at work.
//!
//! [`Policies`] is the [`Policy`] of an engine. It holds the rules that [`Settings`] give, compiled
//! to masks and bounds, and asks them one after the other: a few nanoseconds for each rule and SYN,
//! which is little for hundreds of rules; nothing is asked for other packets. Clones share the rules
//! and their counts, so every queue's engine has one.
//!
//! # Other policies while the engine runs
//! Rules never change. New ones are compiled aside with [`Policies::reload`], and take their place
//! between two packets of each engine. Connections under way are then led over one by one:
//!
//! ```
//! use localack_core::{Engine, Instant};
//! use localack_tun::policy::{Policies, Subject};
//!
//! fn switch(engine: &mut Engine<'_, Policies>, new: &Policies, now: Instant) {
//!     let old = core::mem::replace(engine.policy_mut(), new.clone());
//!     new.arrangements().tell(engine, now);
//!     for (share, rate) in new.rate_changes(&old) {
//!         engine.set_shared_rate(share, rate, now);
//!     }
//!     let flows: Vec<_> = engine.flows().collect();
//!     for flow in flows {
//!         let change = new.change_of_flow(&old, &flow);
//!         // A flow that has ended meanwhile needs no change.
//!         let _ = change.apply(engine, flow.id, now);
//!     }
//! }
//! ```

mod arrangements;
mod change;
mod matcher;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use localack_core::{
    Admit, Controller, Direction, FlowInfo, FlowKey, Policy, Port, Service, ShapingId, SynInfo,
};

pub use arrangements::{Arrangements, Numbers, UnknownArrangement};
pub use change::{Change, DirectionChange};

use crate::config::{Actions, Dscp, PolicySettings, Settings};
use matcher::Matcher;

/// What policies look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The two ends.
    pub key: FlowKey,
    /// The side that opened the connection.
    pub from: Port,
    /// The code point of the SYN.
    pub dscp: Dscp,
}

impl Subject {
    /// A connection between the ends of `key` that was opened from the side `from` with a packet
    /// that had this differentiated-services and ECN octet.
    #[must_use]
    pub const fn new(key: FlowKey, from: Port, traffic_class: u8) -> Self {
        Self {
            key,
            from,
            dscp: Dscp::of_traffic_class(traffic_class),
        }
    }
}

/// One policy at work.
#[derive(Debug)]
pub struct Rule {
    settings: PolicySettings,
    matcher: Matcher,
    answer: Admit,
    /// Goes on in rules of the same name that come later.
    hits: Arc<AtomicU64>,
}

impl Rule {
    fn new(
        settings: PolicySettings,
        queues: u16,
        arrangements: &Arrangements,
        hits: Arc<AtomicU64>,
    ) -> Self {
        Self {
            matcher: Matcher::new(&settings.matches),
            answer: answer(&settings.actions, queues, arrangements),
            settings,
            hits,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it asks and does, with everything that it has from the defaults.
    #[must_use]
    pub const fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// What it answers for a new connection of one queue.
    #[must_use]
    pub const fn answer(&self) -> &Admit {
        &self.answer
    }

    /// SYNs of connections not known before that it was for, of all queues.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// What is answered for a connection that is to be served so.
fn answer(actions: &Actions, queues: u16, arrangements: &Arrangements) -> Admit {
    let id = |name: &Option<String>| {
        let found = name.as_deref().map(|name| arrangements.find(name));
        // Settings that were read name none that there is not.
        found
            .and_then(Result::ok)
            .map_or(ShapingId::NONE, |(id, _)| id)
    };
    match actions.admit(queues) {
        Admit::Pass => Admit::Pass,
        Admit::Adopt(config) => Admit::Adopt(
            config
                .with_shaping(Direction::InnerToOuter, id(&actions.arrangement))
                .with_shaping(Direction::OuterToInner, id(&actions.reverse_arrangement)),
        ),
    }
}

/// The rules of a gateway, in their order.
#[derive(Debug, Clone)]
pub struct Policies {
    rules: Arc<[Rule]>,
    /// For what is under no other.
    last: Arc<Rule>,
    arrangements: Arc<Arrangements>,
}

impl Policies {
    /// The rules that `settings` give, which nobody has used so far.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self::numbered(settings, &Numbers::default())
    }

    /// The same for flows that there are, and whose arrangements have these numbers.
    #[must_use]
    pub fn numbered(settings: &Settings, numbers: &Numbers) -> Self {
        Self::compile(settings, numbers, |_| Arc::default())
    }

    /// The rules that `settings` give, to take the place of these. What has kept its name goes on
    /// counting.
    #[must_use]
    pub fn reload(&self, settings: &Settings) -> Self {
        Self::compile(settings, &self.arrangements.numbers(), |name| {
            let old = self.rules().find(|rule| rule.name() == name);
            old.map_or_else(Arc::default, |rule| Arc::clone(&rule.hits))
        })
    }

    fn compile(
        settings: &Settings,
        numbers: &Numbers,
        hits: impl Fn(&str) -> Arc<AtomicU64>,
    ) -> Self {
        let queues = settings.engine.queues;
        let arrangements = Arrangements::new(&settings.arrangements, numbers);
        let rule = |policy: PolicySettings| {
            let hits = hits(&policy.name);
            Rule::new(policy, queues, &arrangements, hits)
        };
        Self {
            rules: settings.policies().map(rule).collect(),
            last: Arc::new(rule(settings.last_policy())),
            arrangements: Arc::new(arrangements),
        }
    }

    /// The rules in their order; the last one is for everything.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().chain([&*self.last])
    }

    /// The rule that a connection falls under: the first that is for it.
    #[must_use]
    pub fn find(&self, subject: &Subject) -> &Rule {
        self.rules
            .iter()
            .find(|rule| rule.matcher.holds(subject))
            .unwrap_or(&self.last)
    }

    /// What these rules change about a live flow that was under those `before`.
    #[must_use]
    pub fn change(&self, before: &Self, subject: &Subject) -> Change {
        Change::between(before.find(subject).answer(), self.find(subject).answer())
    }

    /// The same of a flow that is there, which may have been given an arrangement by its name: it follows what
    /// becomes of that, and where it is no more, it is served as its rule says.
    #[must_use]
    pub fn change_of_flow(&self, before: &Self, flow: &FlowInfo) -> Change {
        let subject = Subject::new(flow.key, flow.client, flow.traffic_class);
        let mut change = self.change(before, &subject);
        for direction in Direction::BOTH {
            let id = flow.direction(direction).shaping;
            let part = change.direction_mut(direction);
            if id == ShapingId::NONE || part.shaping.is_some() {
                continue;
            }
            let (old, new) = (before.arrangements.get(id), self.arrangements.get(id));
            match (old, new) {
                (Some(old), Some(new)) if old.name == new.name => {
                    let named = new.service().filter(|_| old.service != new.service);
                    part.service = part.service.or(named);
                }
                _ => {
                    let (service, shaping) = match self.find(&subject).answer() {
                        Admit::Pass => (Service::Bypass, ShapingId::NONE),
                        Admit::Adopt(config) => {
                            (config.service(direction), config.shaping(direction))
                        }
                    };
                    (part.service, part.shaping) = (Some(service), Some(shaping));
                }
            }
        }
        change
    }

    /// Whether a flow has an arrangement that there is not.
    #[must_use]
    pub fn is_stray(&self, flow: &FlowInfo) -> bool {
        Direction::BOTH.into_iter().any(|direction| {
            let id = flow.direction(direction).shaping;
            id != ShapingId::NONE && self.arrangements.get(id).is_none()
        })
    }

    /// What policies name.
    #[must_use]
    pub fn arrangements(&self) -> &Arrangements {
        &self.arrangements
    }

    /// Which shares have another rate here than `before`, and which, in octets per second of one
    /// queue: for [`Engine::set_shared_rate`](localack_core::Engine::set_shared_rate).
    #[must_use]
    pub fn rate_changes(&self, before: &Self) -> Vec<(u8, u32)> {
        let (old, new) = (before.shared_rates(), self.shared_rates());
        let changed = (0_u8..).zip(old.into_iter().zip(new));
        changed
            .filter(|(_, (old, new))| old != new)
            .filter_map(|(share, (_, new))| Some((share, new?)))
            .collect()
    }

    /// The rate of each share that is vouched for, in octets per second of one queue.
    fn shared_rates(&self) -> [Option<u32>; 16] {
        let mut rates = [None; 16];
        for rule in self.rules() {
            let Admit::Adopt(config) = rule.answer() else {
                continue;
            };
            for direction in Direction::BOTH {
                if let Controller::Provisioned(provision) = config.controller(direction)
                    && let Some(rate) = rates.get_mut(usize::from(provision.share))
                {
                    *rate = Some(provision.rate);
                }
            }
        }
        rates
    }
}

impl Policy for Policies {
    fn admit(&mut self, key: &FlowKey, from: Port, syn: &SynInfo) -> Admit {
        let rule = self.find(&Subject::new(*key, from, syn.traffic_class));
        rule.hits.fetch_add(1, Ordering::Relaxed);
        rule.answer
    }
}
