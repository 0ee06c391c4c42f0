//! Figures against which senders are measured.

use super::*;

/// Payload octets per second over what the path can carry, from the first packet on.
fn share(net: Net, config: &LinuxConfig, seconds: u64) -> f64 {
    let [inner, outer] = pair(config);
    let mut world = net.bare([inner.send_endless(), outer]);
    world.linger(Duration::from_secs(seconds));
    blameless(&world, net.harms());
    let capacity = net.rate as f64 * 125_000.0 * 1448.0 / 1500.0;
    let time = seconds as f64 - 1.5 * net.rtt as f64 / 1000.0;
    world.outer.received() as f64 / (capacity * time)
}

#[test]
fn cubic_fills_a_clean_path() {
    for (paced, hystart, seconds) in [(false, false, 60), (true, true, 15)] {
        let config = LinuxConfig {
            paced,
            hystart,
            ..LinuxConfig::default()
        };
        let share = share(CLEAN, &config, seconds);
        assert!((0.96..1.0).contains(&share), "{share}");
    }
}

/// The average windows that RFC 9438 section 5.1 and RFC 3649 derive for random losses.
#[test]
fn rfc9438_5_average_windows_under_random_loss() {
    for (rtt, rate, congestion) in [
        (50, 20, LinuxCongestion::Cubic),
        (50, 20, LinuxCongestion::Reno),
        (600, 20, LinuxCongestion::Cubic),
    ] {
        let loss = 0.001_f64;
        let net = Net {
            rtt,
            rate,
            loss: 1000,
            ..CLEAN
        };
        let config = LinuxConfig {
            congestion,
            paced: true,
            send_buffer: 16 << 20,
            ..LinuxConfig::default()
        };
        let seconds = rtt as f64 / 1000.0;
        let reno = (1.5 / loss).sqrt();
        let cubic = (0.4_f64 * 3.7 / 1.2).powf(0.25) * (seconds / loss).powf(0.75);
        let window = match congestion {
            LinuxCongestion::Reno => reno,
            LinuxCongestion::Cubic => cubic.max(reno),
        };
        let expected = window * 1500.0 / seconds / (rate as f64 * 125_000.0);
        let ratio = share(net, &config, if rtt > 100 { 120 } else { 40 }) / expected;
        println!("{congestion:?} {rtt} ms: {ratio:.3} of {expected:.3}");
        assert!(
            (0.8..1.15).contains(&ratio),
            "{congestion:?} {rtt} ms: {ratio}"
        );
    }
}

#[test]
fn the_window_of_the_receiver_tunes_itself_to_the_path_and_no_further() {
    let net = Net {
        rtt: 100,
        rate: 50,
        ..CLEAN
    };
    let run = |receive_buffer_max| {
        let config = LinuxConfig {
            receive_buffer_max,
            paced: true,
            ..LinuxConfig::default()
        };
        let [inner, outer] = pair(&config);
        let mut world = net.bare([inner.send_endless(), outer]);
        world.linger(Duration::from_secs(10));
        blameless(&world, false);
        (world.outer.receive_window(), world.outer.received())
    };
    let (window, received) = run(6 << 20);
    assert!(window > 2 * net.product(), "{window}");
    assert!(
        received as f64 > 0.9 * 10.0 * 50.0 * 125_000.0 * 0.965,
        "{received}"
    );
    let (window, received) = run(256 << 10);
    assert!(
        (120 << 10..=(128 << 10) + 128).contains(&window),
        "{window}"
    );
    // A window a round trip.
    let expected = 10.0 * 131_072.0 / 0.1;
    assert!(
        (0.85..1.0).contains(&(received as f64 / expected)),
        "{received}"
    );
}

#[test]
fn a_small_send_buffer_limits_goodput_to_itself_a_round_trip() {
    let config = LinuxConfig {
        send_buffer: 64 << 10,
        ..LinuxConfig::default()
    };
    let net = Net { rate: 100, ..CLEAN };
    let share = share(net, &config, 20);
    // 64 KiB in 50 ms and the time to send them, of 100 Mbit/s.
    assert!((0.09..0.11).contains(&share), "{share}");
}

#[test]
fn rfc9406_hystart_loses_less_than_slow_start_on_a_long_path() {
    let net = Net { rtt: 600, ..CLEAN };
    let lost = |hystart| {
        let config = LinuxConfig {
            hystart,
            paced: true,
            receive_buffer_max: 64 << 20,
            ..LinuxConfig::default()
        };
        let [inner, outer] = pair(&config);
        let mut world = net.bare([inner.send_endless(), outer]);
        world.linger(Duration::from_secs(15));
        blameless(&world, false);
        world.inner.stats().segments_retransmitted
    };
    let (with, without) = (lost(true), lost(false));
    assert!(3 * with < 2 * without, "{with} of {without}");
}
