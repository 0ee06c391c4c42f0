//! Whole transfers.

use super::*;

#[test]
fn a_stream_arrives_over_a_clean_path_and_both_close() {
    for own in ["192.0.2.1:1000", "[2001:db8::1]:1000"] {
        let own: core::net::SocketAddr = own.parse().unwrap();
        let peer = match own {
            core::net::SocketAddr::V4(_) => "203.0.113.2:80".parse().unwrap(),
            core::net::SocketAddr::V6(_) => "[2001:db8::2]:80".parse().unwrap(),
        };
        let config = LinuxConfig {
            own,
            peer,
            isn: u32::MAX - 100_000,
            timestamp_offset: u32::MAX - 500,
            ..LinuxConfig::default()
        };
        let [inner, outer] = pair(&config);
        let mut world = CLEAN.bare([inner.send_total(3 * MEBIBYTE), outer]);
        assert!(world.run(Duration::from_secs(60)), "{:?}", world.now());
        blameless(&world, false);
        assert_eq!(world.outer.received(), 3 * MEBIBYTE);
        assert!(world.inner.is_closed() && world.outer.is_closed());
        assert_eq!(world.inner.stats().timeouts, 0);
    }
}
