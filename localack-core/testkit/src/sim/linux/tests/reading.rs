//! Applications that do not read at once.

use super::*;
use localack_core::Instant;

#[test]
fn a_slow_reader_throttles_its_peer_and_nothing_is_lost() {
    for config in [
        LinuxConfig::default(),
        LinuxConfig {
            window_scale: None,
            ..LinuxConfig::default()
        },
    ] {
        let [inner, outer] = pair(&config);
        let outer = outer.read_rate(Some(100_000));
        let mut world = CLEAN.bare([inner.send_total(MEBIBYTE), outer]);
        assert!(world.run(Duration::from_secs(60)));
        blameless(&world, false);
        assert_eq!(world.outer.received(), MEBIBYTE);
        let took = world.now().as_micros() as f64 / 1e6;
        assert!((10.0..11.5).contains(&took), "{took}");
        let stats = world.inner.stats();
        assert_eq!(
            (stats.timeouts, stats.octets_retransmitted),
            (0, 0),
            "{stats:?}"
        );
    }
}

#[test]
fn a_reader_that_pauses_closes_the_window_and_opens_it_again() {
    for lossy in [false, true] {
        let net = Net {
            loss: if lossy { 50_000 } else { 0 },
            ..CLEAN
        };
        let [inner, outer] = pair(&LinuxConfig::default());
        let mut world = net.bare([inner.send_total(4 * MEBIBYTE), outer]);
        world.linger(Duration::from_millis(300));
        world.outer.pause_reading(true);
        world.linger(Duration::from_secs(20));
        let held = world.outer.received();
        assert_eq!(world.outer.receive_window(), 0);
        assert!(held > 50_000 && held < 4 * MEBIBYTE, "{held}");
        assert!((3..20).contains(&world.inner.stats().window_probes));
        world.linger(Duration::from_secs(20));
        assert_eq!(world.outer.received(), held);
        world.outer.pause_reading(false);
        let resumed = world.now();
        assert!(world.run(Duration::from_secs(120)), "{lossy}");
        blameless(&world, false);
        assert_eq!(world.outer.received(), 4 * MEBIBYTE);
        if !lossy {
            let first = world.outer.received_at(held + 1).unwrap_or(Instant::ZERO);
            assert!(first > resumed && first < resumed.after(Duration::from_millis(100)));
        }
    }
}

#[test]
fn completion_times_are_those_of_each_octet() {
    let [inner, outer] = pair(&LinuxConfig::default());
    let mut world = CLEAN.bare([inner.send_total(100_000), outer]);
    assert_eq!(world.outer.received_at(1), None);
    assert!(world.run(Duration::from_secs(10)));
    let at = |octets| world.outer.received_at(octets).map(Instant::as_micros);
    // The handshake, half a round trip, and the time of one segment at 2500 octets a ms.
    assert!(
        at(1).is_some_and(|at| (75_600..76_000).contains(&at)),
        "{:?}",
        at(1)
    );
    assert_eq!(at(1), at(1448));
    assert!(at(1449) > at(1448));
    assert!(at(100_000) > at(99_000) && at(100_001).is_none());
    assert!(world.outer.finished_at() >= world.outer.received_at(100_000));
}
