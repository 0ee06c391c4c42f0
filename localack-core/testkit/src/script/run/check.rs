//! What `check` lines and `event` outcomes name.

use localack_core::{DemoteCause, DirectionMode, Event, FlowState};

use super::rig::Rig;
use crate::script::model::Side;

/// Compares facts about the engine with what a line says of them.
pub(super) fn check(
    rig: &Rig<'_>,
    reverse: bool,
    facts: &[(String, String)],
) -> Result<(), String> {
    for (name, wanted) in facts {
        let actual = fact(rig, reverse, name)?;
        let agrees = match (wanted.split_at_checked(2), actual.parse::<i64>()) {
            (Some((">=", least)), Ok(actual)) => {
                least.parse().is_ok_and(|least: i64| actual >= least)
            }
            (Some(("<=", most)), Ok(actual)) => most.parse().is_ok_and(|most: i64| actual <= most),
            _ => actual == *wanted,
        };
        if !agrees {
            return Err(format!("{name} is {actual}"));
        }
    }
    Ok(())
}

fn fact(rig: &Rig<'_>, reverse: bool, name: &str) -> Result<String, String> {
    if name == "flows" {
        return Ok(rig.engine().flows().count().to_string());
    }
    if let Some(path) = name.strip_prefix("counter:") {
        let (group, slug) = path.split_once('/').ok_or("counter:GROUP/NAME")?;
        let mut all = rig.engine().counters().iter();
        let found = all.find(|&(of, called, _)| of == group && called == slug);
        return found
            .map(|(_, _, count)| count.to_string())
            .ok_or(format!("no counter {path}"));
    }
    let counters = rig.engine().counters();
    let counted = match name {
        "recoveries" => Some(counters.recoveries),
        "spurious" => Some(counters.spurious_recoveries),
        "timeouts" => Some(counters.timeouts),
        "tail-probes" => Some(counters.tail_probes),
        _ => None,
    };
    if let Some(count) = counted {
        return Ok(count.to_string());
    }
    let flow = rig.flow().ok_or("there is no flow")?;
    let from = if reverse { Side::R } else { Side::S };
    let direction = flow.direction(rig.direction(from));
    let relative =
        |seq: localack_core::SeqNum| rig.hosts()[from.index()].relative(seq.raw()).to_string();
    Ok(match name {
        "state" => match flow.state {
            FlowState::SynSeen => "syn-seen",
            FlowState::SynAckSeen => "syn-ack-seen",
            FlowState::Open => "open",
            FlowState::Resetting => "resetting",
            FlowState::Tombstone => "tombstone",
            _ => "unknown",
        }
        .to_owned(),
        "mode" => match direction.mode {
            DirectionMode::Bypass => "bypass",
            DirectionMode::StoreAndForward => "store-and-forward",
            DirectionMode::LocalAck => "local-ack",
            DirectionMode::Draining => "draining",
            DirectionMode::Snoop => "snoop",
            _ => "unknown",
        }
        .to_owned(),
        "debt" => direction.debt.to_string(),
        "custody" => direction.custody.to_string(),
        "mss" => direction.mss.to_string(),
        "cwnd" => direction.cwnd.to_string(),
        "pipe" => direction.pipe.to_string(),
        "una" => relative(direction.snd_una),
        "nxt" => relative(direction.snd_nxt),
        "rcv_nxt" => relative(direction.rcv_nxt),
        "ack_sent" => relative(direction.ack_sent),
        "edge" => relative(direction.offered_edge),
        _ => return Err(format!("{name} is no fact")),
    })
}

/// An event as words, the most telling first.
pub(super) fn event_words(event: &Event) -> String {
    match event {
        Event::Adopted { .. } => "adopted".to_owned(),
        Event::Refused { reason, .. } => format!("refused {}", reason.slug()),
        Event::CustodyBegun { .. } => "custody-begun".to_owned(),
        Event::Demoted { cause, .. } => {
            let cause = match cause {
                DemoteCause::Request => "request",
                DemoteCause::Urgent => "urgent",
                DemoteCause::UnknownOption => "unknown-option",
                DemoteCause::WentRound => "went-round",
                DemoteCause::Asymmetric => "asymmetric",
                DemoteCause::DfClear => "df-clear",
                DemoteCause::PoolLow => "pool-low",
                _ => "unknown",
            };
            format!("demoted {cause}")
        }
        Event::ServiceChanged { service, soft, .. } => {
            let how = if *soft { "soft" } else { "hard" };
            format!("service-changed {service:?} {how}").to_lowercase()
        }
        Event::SlowClose { octets, .. } => format!("slow-close {octets}"),
        Event::Reset { lost, .. } => format!("reset lost {lost}"),
        Event::GivenUp { lost, .. } => format!("given-up lost {lost}"),
        Event::Closed { .. } => "closed".to_owned(),
        _ => "unknown".to_owned(),
    }
}
