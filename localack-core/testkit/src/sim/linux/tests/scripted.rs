//! Applications that write by a script, and slow start as Linux's CUBIC ends it.

use localack_core::Instant;

use super::*;

fn write(after: u64, wait_ms: u64, octets: u64) -> Write {
    Write {
        after,
        wait: Duration::from_millis(wait_ms),
        octets,
    }
}

#[test]
fn steps_wait_for_the_peer_and_for_their_time() {
    let [client, server] = pair(&LinuxConfig::default());
    // Two questions and answers; the client thinks for 100 ms before the second question.
    let client = client.send_scripted([write(0, 0, 300), write(2000, 100, 300)], true);
    let server = server.send_scripted([write(300, 10, 2000), write(600, 10, 500)], true);
    let mut world = CLEAN.bare([client, server]);
    assert!(world.run(Duration::from_secs(10)));
    blameless(&world, false);
    assert_eq!(
        (world.outer.received(), world.inner.received()),
        (600, 2500)
    );
    let first = world.inner.received_at(2000).unwrap();
    let second = world.outer.received_at(600).unwrap();
    let (rtt, think) = (50_000, 100_000);
    // Two round trips for the first answer, and the time on the wire.
    let expected = 2 * rtt + 10_000;
    assert!(
        (expected..expected + 3000).contains(&first.as_micros()),
        "{first:?}"
    );
    let between = second.since(first).as_micros() as u64;
    let expected = think + rtt / 2;
    assert!((expected..expected + 2000).contains(&between), "{between}");
}

#[test]
fn a_step_without_octets_puts_off_the_close() {
    let [client, server] = pair(&LinuxConfig::default());
    let client = client.send_scripted([write(0, 0, 10), write(0, 700, 0)], true);
    let mut world = CLEAN.bare([client, server]);
    assert!(world.run(Duration::from_secs(10)));
    let over = world.inner.finished_at().unwrap();
    assert!(over > Instant::from_millis(750) && over < Instant::from_millis(900));
    assert_eq!(world.outer.received(), 10);
}

#[test]
fn who_does_not_close_stays_connected() {
    let [client, server] = pair(&LinuxConfig::default());
    let client = client.send_scripted([write(0, 0, 5000)], false);
    let mut world = CLEAN.bare([client, server]);
    assert!(!world.run(Duration::from_secs(60)));
    assert_eq!(world.outer.received(), 5000);
    assert!(!world.inner.is_closed() && world.inner.is_established());
}

#[test]
fn classic_hystart_leaves_slow_start_before_the_queue_overflows() {
    let net = Net { rtt: 100, ..CLEAN };
    let run = |classic_hystart| {
        let config = LinuxConfig {
            classic_hystart,
            ..LinuxConfig::default()
        };
        let [client, server] = pair(&config);
        let mut world = net.bare([client.send_total(3 * MEBIBYTE), server]);
        assert!(world.run(Duration::from_secs(60)));
        blameless(&world, false);
        world.inner.stats().segments_retransmitted
    };
    assert!(run(false) > 0);
    assert_eq!(run(true), 0);
}
