//! The rules at work, as they are told.
#![forbid(unsafe_code)]

use localack_core::{Direction, FlowState, Instant, ShapingId};

use super::answer::{begin, service, wide};
use super::request::Failure;
use super::writer::Text;
use crate::abi::{self, LOCALACK_ARRANGEMENTS, LOCALACK_MOST_RULES, Serving};
use crate::rules::{Ruled, exchange};

pub(super) fn rules(engine: &mut Ruled<'_>, text: &mut Text<'_>) {
    let directions = arranged_directions(engine);
    let rules = engine.policy_mut();
    let table = rules.table();
    begin(text, "rules");
    text.count("revision", rules.revision());
    text.key("settings");
    text.escaped(table.settings());
    text.count("most", wide(LOCALACK_MOST_RULES));
    text.count("rules", wide(table.count_of_rules()));
    text.key("default");
    serving(table.rest(), text);
    text.count("hits", table.rest_hits());
    text.key("arrangements");
    text.raw("[");
    let numbered = (0_u64..).zip(table.arrangements()).zip(&directions);
    let named = numbered.filter(|((_, one), _)| one.is_named());
    for (place, ((number, one), directions)) in named.enumerate() {
        text.raw(if place == 0 { "{" } else { ",{" });
        text.count("number", number);
        text.key("name");
        text.string(one.name.octets());
        text.count("directions", *directions);
        text.raw("}");
    }
    text.raw("]");
    text.key("policies");
    text.raw("[");
    for (place, policy) in table.policies().iter().enumerate() {
        text.raw(if place == 0 { "{" } else { ",{" });
        text.key("name");
        text.string(policy.name.octets());
        text.count("hits", policy.hits);
        text.raw("}");
    }
    text.raw("]}}");
}

/// How many directions of open flows have each arrangement.
fn arranged_directions(engine: &Ruled<'_>) -> [u64; LOCALACK_ARRANGEMENTS] {
    let mut counts = [0_u64; LOCALACK_ARRANGEMENTS];
    for flow in engine.flows().filter(|flow| flow.state == FlowState::Open) {
        for direction in Direction::BOTH {
            let number = flow.direction(direction).shaping.number();
            if let Some(count) = counts.get_mut(usize::from(number)) {
                *count = count.saturating_add(1);
            }
        }
    }
    counts
}

fn serving(it: &Serving, text: &mut Text<'_>) {
    text.raw("{");
    text.flag("track", it.adopt != 0);
    let [inner, outer] = it.arrangement;
    let [rate, share, floor, ceiling] =
        [it.rate, it.share.map(u32::from), it.floor, it.ceiling].map(|both| both.map(u64::from));
    for (key, number) in [
        ("inner_to_outer", it.inner_to_outer),
        ("outer_to_inner", it.outer_to_inner),
    ] {
        let known = crate::convert::service(number);
        text.word(key, known.map_or("bypass", service));
    }
    for (key, number) in [("arrangement", inner), ("reverse_arrangement", outer)] {
        if number != ShapingId::NONE.number() {
            text.count(key, number.into());
        }
    }
    let keys = [
        ("controller", "rate", "share", "floor", "ceiling"),
        (
            "reverse_controller",
            "reverse_rate",
            "reverse_share",
            "reverse_floor",
            "reverse_ceiling",
        ),
    ];
    let controllers = [it.controller, it.inward_controller].into_iter();
    let numbers = rate
        .into_iter()
        .zip(share)
        .zip(floor.into_iter().zip(ceiling));
    for ((keys, controller), ((rate, share), (floor, ceiling))) in
        keys.into_iter().zip(controllers).zip(numbers)
    {
        let (controller_key, rate_key, share_key, floor_key, ceiling_key) = keys;
        let name = match controller {
            abi::LOCALACK_RENO => "reno",
            abi::LOCALACK_BBR => "bbr",
            abi::LOCALACK_PROVISIONED => "provisioned",
            _ => "cubic",
        };
        text.word(controller_key, name);
        if controller == abi::LOCALACK_PROVISIONED {
            text.count(rate_key, rate);
            text.count(share_key, share);
            text.count(floor_key, floor);
            text.count(ceiling_key, ceiling);
        }
    }
    let custody = match it.after_handshake {
        0 => "after-proof",
        _ => "after-handshake",
    };
    text.word("custody", custody);
    text.flag("pacing", it.in_bursts == 0);
    text.flag("careful_resume", it.careful_resume != 0);
    if it.buffer_limit > 0 {
        text.count("buffer", it.buffer_limit.into());
    }
    text.count("ack_delay_us", it.ack_delay_us.into());
    text.flag("allow_dont_fragment", it.allow_dont_fragment != 0);
    text.raw("}");
}

/// Lets the rules of the spare table hold, which were made from those of a revision.
pub(super) fn set(
    engine: &mut Ruled<'_>,
    revision: u64,
    now: Instant,
    text: &mut Text<'_>,
) -> Result<(), Failure> {
    if engine.policy_mut().revision() != revision {
        return Err(Failure::Changed);
    }
    engine.policy_mut().count_on();
    let applied = exchange(engine, now);
    let rules = engine.policy_mut();
    begin(text, "set-rules");
    text.count("revision", rules.revision());
    text.count("policies", wide(rules.table().policies().len()));
    text.count("flows_changed", applied.changed);
    text.count("flows_partial", applied.partial);
    text.raw("}}");
    Ok(())
}
