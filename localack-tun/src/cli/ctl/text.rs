//! Answers as people read them.

use core::fmt::Write;

use localack_tun::control::human::{milliseconds, octets, rate};
use localack_tun::control::protocol::{
    Answer, AppliedEntry, ArrangementList, CounterEntry, DirectionEntry, FlowEntry, FlowList,
    FlowSet, PolicyList, Reason, ReasonGroup, RefusedList, Stats, Status, TotalsEntry,
};

/// The text of an answer.
pub(super) fn of(answer: &Answer, shows_all: bool) -> String {
    match answer {
        Answer::Status(status) => of_status(status),
        Answer::Flows(list) => of_flows(list),
        Answer::Refused(list) => of_refused(list),
        Answer::PolicyList(list) => of_policies(list),
        Answer::PolicySet(applied)
        | Answer::PolicyRemove(applied)
        | Answer::PolicyReload(applied)
        | Answer::ArrangementSet(applied)
        | Answer::ArrangementRemove(applied) => of_applied(applied),
        Answer::ArrangementList(list) => of_arrangements(list),
        Answer::Flow(set) => of_flow_set(set),
        Answer::Drain => "draining; see `localack-tun ctl status`\n".to_owned(),
        Answer::Upgrade => "going on as another program\n".to_owned(),
        Answer::Stats(stats) => of_stats(stats, shows_all),
        // There is none that this program asks for.
        _ => String::new(),
    }
}

/// Rows in columns that are as wide as what is in them; the last `numbers` columns end at the right.
fn table(rows: &[Vec<String>], numbers: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let width = *width;
            // Writing to a text cannot fail.
            let _ = if column + numbers >= columns {
                write!(line, "{cell:>width$}")
            } else {
                write!(line, "{cell:<width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// The list, the number in it and the name.
fn why(reason: &Reason) -> String {
    let group = match reason.group {
        ReasonGroup::Mode => "mode",
        ReasonGroup::Pass => "pass",
        ReasonGroup::Demote => "demote",
        _ => "?",
    };
    format!("{group} {} {}", reason.number, reason.name)
}

fn of_status(status: &Status) -> String {
    let Status {
        version,
        state,
        uptime_ms,
        inner,
        outer,
        config,
        queues,
        policies,
        arrangements,
        flow_slots,
        pool,
        totals,
    } = status;
    let flows = &totals.flows;
    table(
        &[
            row([
                "state",
                &format!(
                    "{state} for {} (localack-tun {version})",
                    milliseconds(*uptime_ms)
                ),
            ]),
            row(["interfaces", &format!("inner {inner}, outer {outer}")]),
            row([
                "settings",
                config.as_deref().unwrap_or("none but the command line's"),
            ]),
            row(["queues", &queues.to_string()]),
            row(["policies", &policies_of(*policies, *arrangements)]),
            row([
                "flows",
                &format!(
                    "{} of {flow_slots}: {} opening, {} open, {} reset",
                    flows.all, flows.opening, flows.open, flows.reset
                ),
            ]),
            row([
                "directions",
                &format!(
                    "{} acknowledged early, {} unproven, {} snooped, {} draining, {} bypassed",
                    flows.local_ack,
                    flows.store_and_forward,
                    flows.snoop,
                    flows.draining,
                    flows.bypass
                ),
            ]),
            row([
                "memory",
                &format!("{} of {} in use", octets(pool.used), octets(pool.octets)),
            ]),
            row([
                "custody",
                &format!(
                    "{}, of it {} acknowledged early",
                    octets(totals.custody),
                    octets(totals.debt)
                ),
            ]),
            row([
                "rate",
                &format!(
                    "{} outward, {} inward",
                    rate(totals.rate_inner_to_outer),
                    rate(totals.rate_outer_to_inner)
                ),
            ]),
            row(["saved", &saved(totals)]),
        ],
        0,
    )
}

fn policies_of(policies: u32, arrangements: u32) -> String {
    match arrangements {
        0 => policies.to_string(),
        1 => format!("{policies}, and 1 arrangement"),
        _ => format!("{policies}, and {arrangements} arrangements"),
    }
}

fn saved(totals: &TotalsEntry) -> String {
    format!(
        "{} of waiting, all segments together; {} acknowledged early",
        milliseconds(totals.saved_ms),
        octets(totals.acknowledged_early)
    )
}

/// The column of arrangements in the table of flows, which is there only if a flow has one.
const ARRANGED: usize = 6;

fn of_flows(list: &FlowList) -> String {
    let mut rows = vec![row([
        "ID", "INNER", "", "OUTER", "STATE", "WHY", "ARRANGED", "RATE", "CUSTODY", "EARLY",
        "SAVED", "RTT",
    ])];
    let mut is_arranged = false;
    for flow in &list.flows {
        let directions = flow.directions();
        is_arranged |= directions.iter().any(|one| one.arrangement.is_some());
        let [there, back] = directions;
        rows.push(of_direction(Some(flow), "->", there));
        rows.push(of_direction(None, "<-", back));
    }
    if !is_arranged {
        for row in &mut rows {
            row.remove(ARRANGED);
        }
    }
    let mut text = table(&rows, 5);
    let totals = &list.totals;
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "{} of {} flows; {} in custody; {}",
        list.flows.len(),
        totals.flows.all,
        octets(totals.custody),
        saved(totals)
    );
    text
}

fn of_direction(flow: Option<&FlowEntry>, arrow: &str, direction: &DirectionEntry) -> Vec<String> {
    let [id, inner, outer, state] = match flow {
        Some(flow) => [
            flow.id.clone(),
            flow.inner.to_string(),
            flow.outer.to_string(),
            flow.state.clone(),
        ],
        None => Default::default(),
    };
    let rtt = match direction.srtt_us {
        0 => "-".to_owned(),
        micros => milliseconds(micros / 1000),
    };
    vec![
        id,
        inner,
        arrow.to_owned(),
        outer,
        state,
        why(&direction.reason),
        direction.arrangement.clone().unwrap_or_default(),
        rate(direction.rate),
        octets(direction.custody),
        octets(direction.acknowledged_early),
        milliseconds(direction.saved_ms),
        rtt,
    ]
}

fn of_refused(list: &RefusedList) -> String {
    if list.refused.is_empty() {
        return "nothing was left alone lately\n".to_owned();
    }
    let mut rows = vec![row(["AGO", "INNER", "OUTER", "FROM", "WHY", ""])];
    rows.extend(list.refused.iter().map(|one| {
        vec![
            milliseconds(one.age_ms),
            one.inner.to_string(),
            one.outer.to_string(),
            one.from.clone(),
            why(&one.reason),
            one.reason.text.clone(),
        ]
    }));
    table(&rows, 0)
}

fn of_policies(list: &PolicyList) -> String {
    let mut text = String::new();
    for policy in &list.policies {
        let connections = if policy.hits == 1 {
            "connection"
        } else {
            "connections"
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# {}: {} new {connections}", policy.name, policy.hits);
        for line in policy.toml.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn of_arrangements(list: &ArrangementList) -> String {
    if list.arrangements.is_empty() {
        return "there are no arrangements\n".to_owned();
    }
    let mut text = String::new();
    for one in &list.arrangements {
        let policies = match one.policies.as_slice() {
            [] => "no policy".to_owned(),
            [policy] => format!("policy {policy}"),
            several => format!("policies {}", several.join(", ")),
        };
        let directions = if one.directions == 1 {
            "direction"
        } else {
            "directions"
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "# {}: {policies}; {} {directions} of open flows",
            one.name, one.directions
        );
        for line in one.toml.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn of_applied(applied: &AppliedEntry) -> String {
    let AppliedEntry {
        policies,
        flows_changed,
        flows_partial,
        ignored,
    } = applied;
    let mut text = format!("{policies} policies at work; {flows_changed} flows changed");
    // Writing to a text cannot fail.
    if *flows_partial > 0 {
        let _ = write!(text, ", {flows_partial} go on in part as they began");
    }
    text.push('\n');
    if !ignored.is_empty() {
        let _ = writeln!(text, "at the next start only: {}", ignored.join(", "));
    }
    text
}

fn of_flow_set(set: &FlowSet) -> String {
    use localack_tun::control::protocol::{DirectionChoice, FlowName, ServiceWord};
    let service = set.service.map(|service| match service {
        ServiceWord::Bypass => "bypass".to_owned(),
        ServiceWord::Snoop => "snoop".to_owned(),
        ServiceWord::LocalAck => "local-ack".to_owned(),
    });
    let arrangement = set.arrangement.as_ref();
    let arrangement = arrangement.map(|name| format!("arrangement {name}"));
    let wanted: Vec<_> = service.into_iter().chain(arrangement).collect();
    let wanted = wanted.join(" and ");
    let directions: Vec<_> = set
        .directions
        .iter()
        .map(|direction| match direction {
            DirectionChoice::InnerToOuter => "inner to outer",
            DirectionChoice::OuterToInner => "outer to inner",
        })
        .collect();
    let ends = match &set.flow {
        FlowName::Ends([inner, outer]) => format!(" ({inner} <-> {outer})"),
        FlowName::Id(_) => String::new(),
    };
    format!(
        "{}{ends}: {wanted} asked for {}\n",
        set.id,
        directions.join(" and ")
    )
}

fn of_stats(stats: &Stats, shows_all: bool) -> String {
    let mut rows = vec![row(["GROUP", "NUMBER", "NAME", "COUNT"])];
    let shown = stats
        .counters
        .iter()
        .filter(|entry| shows_all || entry.count > 0);
    rows.extend(shown.map(|entry| {
        let CounterEntry {
            group,
            name,
            number,
            count,
        } = entry;
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        vec![group.clone(), number, name.clone(), count.to_string()]
    }));
    let mut text = table(&rows, 1);
    for queue in &stats.queues {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "queue {}: {} of {} in use",
            queue.queue,
            octets(queue.pool.used),
            octets(queue.pool.octets)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers that are documented.
    fn documented() -> Vec<Answer> {
        let text = include_str!("../../../docs/control.md");
        let blocks = text.split("```json answer\n").skip(1);
        blocks
            .filter_map(|block| {
                let json = block.split("```").next()?;
                let value: serde_json::Value = serde_json::from_str(json).ok()?;
                serde_json::from_value(value.get("answer")?.clone()).ok()
            })
            .collect()
    }

    fn text_of(wanted: fn(&Answer) -> bool) -> String {
        of(
            documented().iter().find(|answer| wanted(answer)).unwrap(),
            false,
        )
    }

    #[test]
    fn flows_are_a_table_with_a_reason_for_each_direction() {
        let text = text_of(|answer| matches!(answer, Answer::Flows(_)));
        assert_eq!(
            text,
            "\
ID      INNER               OUTER          STATE  WHY                     ARRANGED       RATE  CUSTODY   EARLY   SAVED     RTT
0:12.3  10.0.0.1:50000  ->  192.0.2.7:443  open   mode 2 local-ack                  19.2 Mb/s  1.38 MB  524 MB  2d 12h  601 ms
                        <-                        pass 24 bypass-service  thin          0 b/s      0 B     0 B    0 ms       -
1 of 12 flows; 1.84 MB in custody; 3d 12h of waiting, all segments together; 734 MB acknowledged early
"
        );
    }

    #[test]
    fn arrangements_have_a_column_only_where_there_are_some() {
        let mut answers = documented().into_iter();
        let list = answers.find_map(|answer| match answer {
            Answer::Flows(list) => Some(list),
            _ => None,
        });
        let mut list = list.unwrap();
        list.flows[0].outer_to_inner.arrangement = None;
        let text = of_flows(&list);
        assert!(!text.contains("ARRANGED"), "{text}");
        assert!(text.contains("bypass-service      0 b/s"), "{text}");
    }

    #[test]
    fn a_flow_is_told_what_was_asked_for() {
        let answers = documented();
        let told: Vec<_> = answers
            .iter()
            .filter(|answer| matches!(answer, Answer::Flow(_)))
            .map(|answer| of(answer, false))
            .collect();
        let flow = "0:12.3 (10.0.0.1:50000 <-> 192.0.2.7:443)";
        assert_eq!(
            told,
            [
                format!("{flow}: bypass asked for inner to outer\n"),
                format!("{flow}: arrangement thin asked for outer to inner\n"),
            ]
        );
    }

    #[test]
    fn the_status_fits_a_terminal() {
        let text = text_of(|answer| matches!(answer, Answer::Status(_)));
        assert_eq!(
            text,
            "\
state       running for 1d 1h (localack-tun 0.1.0)
interfaces  inner lan0, outer sat0
settings    /etc/localack-tun.toml
queues      2
policies    3, and 2 arrangements
flows       12 of 65536: 1 opening, 10 open, 1 reset
directions  8 acknowledged early, 1 unproven, 2 snooped, 1 draining, 8 bypassed
memory      1.84 MB of 268 MB in use
custody     1.84 MB, of it 1.50 MB acknowledged early
rate        19.2 Mb/s outward, 0 b/s inward
saved       3d 12h of waiting, all segments together; 734 MB acknowledged early
"
        );
        assert!(text.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn counters_of_zero_are_left_out_unless_wanted() {
        let stats = documented();
        let stats = stats
            .iter()
            .find(|answer| matches!(answer, Answer::Stats(_)))
            .unwrap();
        assert_eq!(
            of(stats, false),
            "\
GROUP   NUMBER  NAME           COUNT
pass    9       handshake         63
engine          flows-adopted     21
queue 0: 1.84 MB of 134 MB in use
"
        );
        assert!(
            of(stats, true).contains("refused            0"),
            "{}",
            of(stats, true)
        );
    }

    #[test]
    fn every_answer_has_words() {
        for answer in documented() {
            let text = of(&answer, true);
            assert!(
                text.ends_with('\n') && text.len() > 10,
                "{answer:?}: {text:?}"
            );
        }
        let list = text_of(|answer| matches!(answer, Answer::PolicyList(_)));
        assert!(
            list.starts_with("# backups: 17 new connections\n  name = \"backups\"\n"),
            "{list}"
        );
        let list = text_of(|answer| matches!(answer, Answer::ArrangementList(_)));
        assert_eq!(
            list,
            "\
# radio: policies backups, default; 9 directions of open flows
  name = \"radio\"
  service = \"snoop\"
# thin: no policy; 1 direction of open flows
  name = \"thin\"
  ack_interval = \"20ms\"
"
        );
        let reload = text_of(|answer| matches!(answer, Answer::PolicyReload(_)));
        assert_eq!(
            reload,
            "1 policies at work; 0 flows changed\nat the next start only: [engine]\n"
        );
    }
}
