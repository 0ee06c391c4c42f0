//! Whole transfers.

use super::*;

/// Settings that differ in what they negotiate and how they send.
fn variants() -> Vec<LinuxConfig> {
    let plain = LinuxConfig::default;
    vec![
        plain(),
        LinuxConfig {
            own: "[2001:db8::1]:1000".parse().unwrap(),
            peer: "[2001:db8::2]:80".parse().unwrap(),
            isn: u32::MAX - 100_000,
            timestamp_offset: u32::MAX - 500,
            ..plain()
        },
        LinuxConfig {
            sack: false,
            ..plain()
        },
        LinuxConfig {
            timestamps: false,
            window_scale: None,
            ..plain()
        },
        LinuxConfig {
            sack: false,
            timestamps: false,
            congestion: LinuxCongestion::Reno,
            ..plain()
        },
        LinuxConfig {
            paced: true,
            hystart: true,
            ecn: true,
            ..plain()
        },
        LinuxConfig {
            delayed_ack: false,
            mtu: 600,
            ..plain()
        },
    ]
}

#[test]
fn a_stream_arrives_over_a_clean_path_and_both_close() {
    for config in variants() {
        let [inner, outer] = pair(&config);
        let mut world = Net { rate: 100, ..CLEAN }.bare([inner.send_total(MEBIBYTE), outer]);
        assert!(world.run(Duration::from_secs(60)), "{config:?}");
        blameless(&world, false);
        assert_eq!(world.outer.received(), MEBIBYTE);
        assert!(world.inner.is_closed() && world.outer.is_closed());
        let stats = world.inner.stats();
        assert_eq!(
            (stats.timeouts, stats.segments_retransmitted),
            (0, 0),
            "{config:?}"
        );
        world.linger(Duration::from_secs(5));
        assert!(!world.step(), "something goes on after the end: {config:?}");
    }
}

fn both_ways(net: Net, config: &LinuxConfig, octets: u64) {
    let [inner, outer] = pair(config);
    let hosts = [inner.send_total(octets), outer.send_total(octets / 2)];
    let mut world = net.bare(hosts);
    let done = world.run(Duration::from_secs(1800));
    let state = format!(
        "{net:?} {config:?} at {:?}\n{:#?}\n{:#?}\nagain with LOCALACK_SEED={}",
        world.now(),
        world.inner.stats(),
        world.outer.stats(),
        net.seed
    );
    println!("{state}");
    blameless(&world, net.harms());
    assert!(done, "not over");
    assert_eq!(
        (world.outer.received(), world.inner.received()),
        (octets, octets / 2)
    );
    assert!(world.inner.is_closed() && world.outer.is_closed());
}

#[test]
fn streams_both_ways_survive_loss_and_nobody_is_blamed() {
    for seed in seeds(3) {
        for config in variants() {
            let net = Net {
                loss: 10_000,
                seed,
                ..CLEAN
            };
            both_ways(net, &config, MEBIBYTE);
        }
    }
}

#[test]
fn streams_both_ways_survive_reordering_duplication_and_corruption() {
    for seed in seeds(3) {
        for config in variants() {
            for (reorder, duplicate, corrupt) in [
                (30_000, 0, 0),
                (0, 30_000, 0),
                (0, 0, 10_000),
                (30_000, 20_000, 10_000),
            ] {
                let net = Net {
                    loss: 5_000,
                    reorder,
                    duplicate,
                    corrupt,
                    seed,
                    ..CLEAN
                };
                both_ways(net, &config, MEBIBYTE / 2);
            }
        }
    }
}
