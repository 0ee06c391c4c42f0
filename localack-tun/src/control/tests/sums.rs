//! Savings, added up over samples.

use core::time::Duration;

use super::Fake;
use crate::control::savings::{Ledger, Sample};

const SECOND: Duration = Duration::from_secs(1);
const BOTH: &str = "[default]\nservice = \"local-ack\"\n";

fn samples(fake: &Fake, ports: &[u16]) -> Vec<Sample> {
    let sample = |port: &u16| Sample::of(0, &fake.flow(0, *port));
    ports.iter().filter_map(sample).collect()
}

/// Octets of the first flow's upload that are on their way.
fn outstanding(fake: &Fake) -> u64 {
    let info = fake.flow(0, 5000).inner_to_outer;
    info.snd_nxt.octets_since(info.snd_una).unwrap().into()
}

#[test]
fn what_is_on_its_way_is_added_up_over_time() {
    let fake = Fake::new(BOTH);
    fake.open(0, 5000);
    fake.upload(0, 5000, 6000);
    let flow = fake.flow(0, 5000);
    let mss = u64::from(flow.inner_to_outer.mss);
    let outstanding = outstanding(&fake);
    assert!(outstanding < 6000, "some is not sent yet: {outstanding}");
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000]), SECOND);
    let [there, back] = ledger.of(0, flow.id).map(|standing| standing.saving);
    assert_eq!(there.octets, 6000);
    assert_eq!(
        there.milliseconds(),
        outstanding / 2 * 1000 / mss,
        "on average half of it"
    );
    assert_eq!(back.octets, 0, "not served");
    // Nothing moves: the debt waits on, and is not acknowledged again.
    ledger.enter(&samples(&fake, &[5000]), SECOND);
    let [there, _] = ledger.of(0, flow.id).map(|standing| standing.saving);
    assert_eq!(there.octets, 6000);
    assert_eq!(
        there.milliseconds(),
        (outstanding / 2 + outstanding) * 1000 / mss
    );
    assert_eq!(ledger.totals()[0].saving, there);
}

#[test]
fn a_long_silence_counts_as_a_short_one() {
    let fake = Fake::new(BOTH);
    fake.open(0, 5000);
    fake.upload(0, 5000, 6000);
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000]), Duration::from_secs(3600));
    let mss = u64::from(fake.flow(0, 5000).inner_to_outer.mss);
    assert_eq!(
        ledger.totals()[0].saving.milliseconds(),
        outstanding(&fake) / 2 * 5000 / mss
    );
}

#[test]
fn flows_that_end_are_forgotten_and_the_total_is_not() {
    let fake = Fake::new(BOTH);
    for (port, octets) in [(5000, 6000), (5001, 2000), (5002, 4000)] {
        fake.open(0, port);
        fake.upload(0, port, octets);
    }
    let ids = [5000, 5001, 5002].map(|port| (0, fake.flow(0, port).id));
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000, 5001, 5002]), SECOND);
    let known = |ledger: &Ledger| ledger.measures(|standing| standing.saving.octets);
    assert_eq!(
        known(&ledger),
        [(ids[0], 6000), (ids[1], 2000), (ids[2], 4000)].into()
    );
    let total = ledger.totals();
    assert_eq!(total[0].saving.octets, 12_000);
    ledger.enter(&samples(&fake, &[5001]), Duration::ZERO);
    assert_eq!(known(&ledger), [(ids[1], 2000)].into());
    assert_eq!(ledger.totals(), total);
}

#[test]
fn a_rate_is_that_of_the_last_interval() {
    let fake = Fake::new(BOTH);
    for port in [5000, 5001] {
        fake.open(0, port);
        fake.upload(0, port, 6000);
    }
    let mut ledger = Ledger::default();
    let ports = [5000, 5001];
    ledger.enter(&samples(&fake, &ports), SECOND);
    let rate = |ledger: &Ledger, port| ledger.of(0, fake.flow(0, port).id)[0].rate;
    assert_eq!(rate(&ledger, 5000), 0, "nothing is known of before");
    fake.deliver(0, 5000, 4000);
    fake.deliver(0, 5001, 1000);
    ledger.enter(&samples(&fake, &ports), SECOND * 2);
    assert_eq!((rate(&ledger, 5000), rate(&ledger, 5001)), (2000, 500));
    assert_eq!(ledger.totals().map(|standing| standing.rate), [2500, 0]);
    fake.deliver(0, 5000, 5000);
    ledger.enter(&samples(&fake, &ports), SECOND * 10);
    assert_eq!(rate(&ledger, 5000), 100, "however long it was");
    ledger.enter(&samples(&fake, &ports), SECOND);
    assert_eq!(rate(&ledger, 5000), 0, "an idle flow has none");
    assert_eq!(ledger.totals()[0].rate, 0);
}
