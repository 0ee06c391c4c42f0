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

#[test]
fn debt_is_added_up_over_time() {
    let fake = Fake::new(BOTH);
    fake.open(0, 5000);
    fake.upload(0, 5000, 6000);
    let flow = fake.flow(0, 5000);
    let mss = u64::from(flow.inner_to_outer.mss);
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000]), SECOND);
    let [there, back] = ledger.of(0, flow.id);
    assert_eq!(there.octets, 6000);
    assert_eq!(
        there.milliseconds(),
        3000 * 1000 / mss,
        "on average half of it"
    );
    assert_eq!(back.octets, 0, "not served");
    // Nothing moves: the debt waits on, and is not acknowledged again.
    ledger.enter(&samples(&fake, &[5000]), SECOND);
    let [there, _] = ledger.of(0, flow.id);
    assert_eq!(there.octets, 6000);
    assert_eq!(there.milliseconds(), 9000 * 1000 / mss);
    assert_eq!(ledger.total(), there);
}

#[test]
fn a_long_silence_counts_as_a_short_one() {
    let fake = Fake::new(BOTH);
    fake.open(0, 5000);
    fake.upload(0, 5000, 6000);
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000]), Duration::from_secs(3600));
    let mss = u64::from(fake.flow(0, 5000).inner_to_outer.mss);
    assert_eq!(ledger.total().milliseconds(), 3000 * 5000 / mss);
}

#[test]
fn flows_that_end_are_forgotten_and_the_total_is_not() {
    let fake = Fake::new(BOTH);
    for (port, octets) in [(5000, 6000), (5001, 2000), (5002, 4000)] {
        fake.open(0, port);
        fake.upload(0, port, octets);
    }
    let ids: Vec<_> = [5000, 5002, 5001]
        .map(|port| (0, fake.flow(0, port).id))
        .into();
    let mut ledger = Ledger::default();
    ledger.enter(&samples(&fake, &[5000, 5001, 5002]), SECOND);
    assert_eq!(ledger.greatest(5), ids);
    assert_eq!(ledger.greatest(2), ids[..2]);
    assert_eq!(ledger.greatest(0), []);
    let total = ledger.total();
    assert_eq!(total.octets, 12_000);
    ledger.enter(&samples(&fake, &[5001]), Duration::ZERO);
    assert_eq!(ledger.greatest(5), ids[2..]);
    assert_eq!(ledger.total(), total);
}
