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
//!     for (share, rate) in new.rate_changes(&old) {
//!         engine.set_shared_rate(share, rate, now);
//!     }
//!     let flows: Vec<_> = engine.flows().collect();
//!     for flow in flows {
//!         let subject = Subject::new(flow.key, flow.client, flow.traffic_class);
//!         let change = new.change(&old, &subject);
//!         // A flow that has ended meanwhile needs no change.
//!         let _ = change.apply(engine, flow.id, now);
//!     }
//! }
//! ```

mod change;
mod matcher;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use localack_core::{Admit, Controller, Direction, FlowKey, Policy, Port, SynInfo};

pub use change::{Change, DirectionChange};

use crate::config::{Dscp, PolicySettings, Settings};
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
    fn new(settings: PolicySettings, queues: u16, hits: Arc<AtomicU64>) -> Self {
        Self {
            matcher: Matcher::new(&settings.matches),
            answer: settings.actions.admit(queues),
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

/// The rules of a gateway, in their order.
#[derive(Debug, Clone)]
pub struct Policies {
    rules: Arc<[Rule]>,
    /// For what is under no other.
    last: Arc<Rule>,
}

impl Policies {
    /// The rules that `settings` give, which nobody has used so far.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self::compile(settings, |_| Arc::default())
    }

    /// The rules that `settings` give, to take the place of these. What has kept its name goes on
    /// counting.
    #[must_use]
    pub fn reload(&self, settings: &Settings) -> Self {
        Self::compile(settings, |name| {
            let old = self.rules().find(|rule| rule.name() == name);
            old.map_or_else(Arc::default, |rule| Arc::clone(&rule.hits))
        })
    }

    fn compile(settings: &Settings, hits: impl Fn(&str) -> Arc<AtomicU64>) -> Self {
        let queues = settings.engine.queues;
        let rule = |policy: PolicySettings| {
            let hits = hits(&policy.name);
            Rule::new(policy, queues, hits)
        };
        Self {
            rules: settings.policies().map(rule).collect(),
            last: Arc::new(rule(settings.last_policy())),
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
