//! The bar for outages, in virtual time: a path that loses everything while the link is down, and
//! flows that each had a segment on their way when it went.

use super::*;
use std::collections::BTreeMap;

/// What happens to a flow, and when it is due.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Timer(u32),
    Answer(u32),
}

/// One outage.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    flows: u32,
    rtt_ms: u64,
    outage_ms: u64,
    /// Flows below this number are with a host that has died for good.
    dead_hosts: u32,
}

struct Outcome {
    /// When the flow's first segment left that was not lost, after the link's return, in ms.
    moving_ms: Vec<Option<u64>>,
    probes_us: Vec<u64>,
}

const DOWN_MS: u64 = 10_000;

fn run(scenario: Scenario) -> Outcome {
    let Scenario {
        flows,
        rtt_ms,
        outage_ms,
        dead_hosts,
    } = scenario;
    let (up_us, rtt_us) = ((DOWN_MS + outage_ms) * 1000, rtt_ms * 1000);
    let mut rig = Rig::new(flows as usize);
    let mut agenda: BTreeMap<(u64, u64), Happening> = BTreeMap::new();
    let mut serial = 0;
    let mut level = vec![0_u8; flows as usize];
    let mut moving = vec![None; flows as usize];
    let mut probes_us = Vec::new();
    let rto_us = |flow: u32| rtt_us + 200_000 + u64::from(flow % 97) * 1000;
    for flow in 0..flows {
        let sent_us = DOWN_MS * 1000 + u64::from(flow % 53) * 1000;
        serial += 1;
        agenda.insert((sent_us + rto_us(flow), serial), Happening::Timer(flow));
    }
    let end_us = up_us + 5_000_000;
    let mut now_us = DOWN_MS * 1000;
    while now_us < end_us {
        let now = Instant::from_micros(now_us);
        let mut sends = Vec::new();
        while let Some((&(due_us, order), &happening)) = agenda.first_key_value()
            && due_us <= now_us
        {
            agenda.remove(&(due_us, order));
            let (mut table, nodes) = rig.table();
            match happening {
                Happening::Answer(flow) => {
                    table.on_heard(&key(1), now);
                    table.withdraw(nodes, flow, now);
                    level[flow as usize] = 0;
                }
                Happening::Timer(flow) if moving[flow as usize].is_none() => {
                    let consecutive = level[flow as usize] + 1;
                    let waited_us = rto_us(flow) << level[flow as usize];
                    let waited_us = u32::try_from(waited_us.min(60_000_000)).unwrap();
                    let timeout = Timeout {
                        consecutive,
                        waited_us,
                        early: false,
                    };
                    let verdict = table.on_timeout(nodes, flow, &key(1), now, timeout);
                    match verdict {
                        Verdict::BackOff => {
                            sends.push(flow);
                            level[flow as usize] = consecutive;
                        }
                        Verdict::Probe => {
                            sends.push(flow);
                            probes_us.push(now_us);
                        }
                        Verdict::Wait => {}
                    }
                    let next_us = (rto_us(flow) << level[flow as usize]).min(60_000_000);
                    serial += 1;
                    agenda.insert((now_us + next_us, serial), Happening::Timer(flow));
                }
                Happening::Timer(_) => {}
            }
        }
        for (flow, kind) in rig.tasks_at(now) {
            sends.push(flow);
            if kind == TaskKind::Probe {
                probes_us.push(now_us);
            }
        }
        for flow in sends {
            if now_us >= up_us && flow >= dead_hosts {
                moving[flow as usize].get_or_insert((now_us - up_us) / 1000);
                serial += 1;
                agenda.insert((now_us + rtt_us, serial), Happening::Answer(flow));
            }
        }
        let next_task_us = rig.next_deadline(now).map(Instant::as_micros);
        let next_event_us = agenda.first_key_value().map(|(&(due_us, _), _)| due_us);
        let next_us = next_task_us.into_iter().chain(next_event_us).min();
        now_us = next_us.unwrap_or(end_us).max(now_us + 1);
    }
    Outcome {
        moving_ms: moving,
        probes_us,
    }
}

fn assert_probe_bound(probes_us: &[u64]) {
    let bound = PROBES_PER_SECOND as usize;
    for window in probes_us.windows(bound + 1) {
        assert!(window[bound] - window[0] >= 1_000_000, "{window:?}");
    }
}

#[test]
fn bar_outages_every_flow_moves_within_a_round_trip_and_half_a_second() {
    // At different points between two probes.
    for outage_ms in [5_000, 5_119, 5_238, 30_000, 30_119, 120_000, 120_238] {
        for flows in [1, 1000] {
            for rtt_ms in [20, 600] {
                let scenario = Scenario {
                    flows,
                    rtt_ms,
                    outage_ms,
                    dead_hosts: 0,
                };
                let outcome = run(scenario);
                let moving: Option<Vec<u64>> = outcome.moving_ms.into_iter().collect();
                let last = moving.unwrap().into_iter().max().unwrap();
                assert!(
                    last <= rtt_ms + 500,
                    "{last} ms after the return: {scenario:?}"
                );
                assert!(!outcome.probes_us.is_empty());
                assert_probe_bound(&outcome.probes_us);
                // The link's return is found out by asking, not by luck: probes were due.
                let asked_us = outcome.probes_us.last().unwrap() - outcome.probes_us[0];
                let least = asked_us / 150_000;
                assert!(outcome.probes_us.len() as u64 >= least, "{scenario:?}");
            }
        }
    }
}

#[test]
fn bar_outages_a_dead_host_does_not_hide_that_its_network_lives() {
    let scenario = Scenario {
        flows: 4,
        rtt_ms: 50,
        outage_ms: 30_000,
        dead_hosts: 3,
    };
    let outcome = run(scenario);
    let moving = outcome.moving_ms[3].unwrap();
    assert!(
        moving <= 4 * 125,
        "its turn comes after those of the dead: {moving} ms"
    );
    assert_probe_bound(&outcome.probes_us);
}
