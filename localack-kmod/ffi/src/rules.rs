//! Which connections are served, and how: a list of rules, the first of which counts.
//!
//! Rules are given as such by the C interface, or with names and more by the control protocol. New ones are laid
//! out beside those at work and take their place at once; connections under way are led over then.
#![forbid(unsafe_code)]

#[path = "../../../localack-tun/src/policy/change.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    reason = "it is the gateway's in user space, which uses more of it"
)]
mod change;
mod table;

use localack_core::{
    Admit, Controller, Direction, Engine, FlowConfig, FlowInfo, FlowKey, Instant, Policy, Port,
    Service, ShapingId, SynInfo,
};

use crate::abi::{Arrangement, Rule, Serving};
use crate::convert::shaping;
use change::Change;
pub(crate) use change::DirectionChange;
pub(crate) use table::{Arranged, Name, Table};

/// The engine of this crate.
pub(crate) type Ruled<'e> = Engine<'e, &'static mut Rules>;

/// The rules at work, and room for others. Lies in lent memory; all zeroes leaves every connection alone.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Rules {
    tables: [Table; 2],
    /// How often they were changed; the lowest bit says which table is at work.
    revision: u64,
}

/// What came of other rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Flows that are served in another way from now on.
    pub(crate) changed: u64,
    /// Flows that would have begun in another way, and go on as they began.
    pub(crate) partial: u64,
}

impl Rules {
    #[cfg(test)]
    pub(crate) const fn new() -> Self {
        Self {
            tables: [const { Table::new() }; 2],
            revision: 0,
        }
    }

    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// The rules at work.
    pub(crate) const fn table(&self) -> &Table {
        let [even, odd] = &self.tables;
        if self.revision & 1 == 0 { even } else { odd }
    }

    /// Those at work before, or room for others.
    pub(crate) const fn spare(&self) -> &Table {
        let [even, odd] = &self.tables;
        if self.revision & 1 == 0 { odd } else { even }
    }

    const fn table_mut(&mut self) -> &mut Table {
        let [even, odd] = &mut self.tables;
        if self.revision & 1 == 0 { even } else { odd }
    }

    /// See [`Rules::spare`].
    pub(crate) const fn spare_mut(&mut self) -> &mut Table {
        let [even, odd] = &mut self.tables;
        if self.revision & 1 == 0 { odd } else { even }
    }

    /// Lets what has kept its name in the spare table go on counting there.
    pub(crate) fn count_on(&mut self) {
        let [even, odd] = &mut self.tables;
        if self.revision & 1 == 0 {
            odd.count_on(even);
        } else {
            even.count_on(odd);
        }
    }

    /// How connections are served that no rule matches; `false`, and no change, if a number means nothing.
    pub(crate) fn serve_rest(&mut self, serving: &Serving) -> bool {
        self.table_mut().serve_rest(serving)
    }

    /// Lets these rules hold for new connections instead of those before; `false`, and no change, if there are
    /// too many or one of them means nothing.
    pub(crate) fn replace(&mut self, rules: &[Rule]) -> bool {
        let (rest, arrangements) = (*self.table().rest(), *self.table().arrangements());
        let spare = self.spare_mut();
        spare.clear();
        spare.arrange_as(&arrangements);
        let done = spare.serve_rest(&rest) && rules.iter().all(|rule| spare.add(rule));
        if done {
            self.revision = self.revision.wrapping_add(1);
        }
        done
    }

    /// Lets a number mean another arrangement; `false`, and no change, if there is no such number.
    pub(crate) fn arrange(&mut self, number: u8, arrangement: &Arrangement) -> bool {
        self.table_mut().arrange(number, arrangement)
    }
}

impl Policy for Rules {
    fn admit(&mut self, key: &FlowKey, from: Port, syn: &SynInfo) -> Admit {
        let table = self.table_mut();
        let (policy, serving) = table.find(key, from, syn.traffic_class);
        let answer = answer(serving);
        table.count(policy);
        answer
    }
}

fn answer(serving: &Serving) -> Admit {
    match crate::convert::flow_config(serving) {
        Some(config) if serving.adopt != 0 => Admit::Adopt(config),
        Some(FlowConfig { .. }) | None => Admit::Pass,
    }
}

/// Lets the rules of the spare table take the place of those at work, and leads over what is under way: a step per
/// flow slot ever used and rule.
pub(crate) fn exchange(engine: &mut Ruled<'_>, now: Instant) -> Applied {
    let rules = engine.policy_mut();
    rules.revision = rules.revision.wrapping_add(1);
    for id in (1..).map_while(ShapingId::new) {
        let wanted = engine.policy_mut().table().arranged(id);
        if let Some(shaping) = wanted.and_then(|one| shaping(&one.arrangement)) {
            engine.set_shaping(id, &shaping, now);
        }
    }
    for share in 0..16 {
        let rules = engine.policy_mut();
        let (old, new) = (
            rules.spare().shared_rate(share),
            rules.table().shared_rate(share),
        );
        if let Some(rate) = new
            && old != new
        {
            engine.set_shared_rate(share, rate, now);
        }
    }
    let mut applied = Applied::default();
    for slot in 0..engine.slots_used() {
        let Some(flow) = engine.flows_in(slot..slot.saturating_add(1)).next() else {
            continue;
        };
        let change = change_of(engine.policy_mut(), &flow);
        if !change.is_made(&flow) && change.apply(engine, flow.id, now).is_ok() {
            applied.changed = applied.changed.saturating_add(1);
        }
        if change.is_partial() {
            applied.partial = applied.partial.saturating_add(1);
        }
    }
    applied
}

/// What the rules at work change about a flow that was under the ones before. One that has an arrangement by its
/// name follows what becomes of that, and where it is no more, it is served as its rule says.
fn change_of(rules: &Rules, flow: &FlowInfo) -> Change {
    let (before, after) = (rules.spare(), rules.table());
    let of = |table: &Table| answer(table.find(&flow.key, flow.client, flow.traffic_class).1);
    let wanted = of(after);
    let mut change = Change::between(&of(before), &wanted);
    for direction in Direction::BOTH {
        let id = flow.direction(direction).shaping;
        let part = change.direction_mut(direction);
        if id == ShapingId::NONE || part.shaping.is_some() {
            continue;
        }
        match (before.arranged(id), after.arranged(id)) {
            (Some(old), Some(new)) if old.name == new.name => {
                let named = new.service().filter(|_| old.service != new.service);
                part.service = part.service.or(named);
            }
            _ => {
                let (service, shaping) = match &wanted {
                    Admit::Pass => (Service::Bypass, ShapingId::NONE),
                    Admit::Adopt(config) => (config.service(direction), config.shaping(direction)),
                };
                (part.service, part.shaping) = (Some(service), Some(shaping));
            }
        }
    }
    change
}

/// The rate that a serving vouches for in a share.
fn vouched(serving: &Serving, share: u8) -> Option<u32> {
    let Admit::Adopt(config) = answer(serving) else {
        return None;
    };
    Direction::BOTH
        .into_iter()
        .find_map(|direction| match config.controller(direction) {
            Controller::Provisioned(provision) if provision.share == share => Some(provision.rate),
            _ => None,
        })
}

#[cfg(test)]
mod tests;
