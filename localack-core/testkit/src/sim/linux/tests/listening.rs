//! Hosts that listen, and clients that are played by hand.

use localack_core::Instant;

use super::bench::{Bench, Seen};
use super::*;
use crate::packet::{Flags, Options};
use crate::sim::Listening;

/// A host that listens so and has got a SYN.
fn greeted(listening: Listening) -> (Bench, Seen) {
    let config = LinuxConfig {
        listening,
        ..LinuxConfig::default()
    };
    let mut bench = Bench::new(LinuxHost::listen(config));
    bench.until(1_000);
    let options = Options {
        mss: Some(1400),
        window_scale: Some(9),
        sack_permitted: true,
        timestamps: Some((77, 0)),
        ..Options::default()
    };
    bench.packet(Flags::SYN, 0, 0, 64_000, options, Vec::new());
    let answer = bench.next().expect("a SYN-ACK");
    assert_eq!(answer.flags, Flags::SYN | Flags::ACK);
    (bench, answer)
}

/// The client's first segment after its SYN, with `length` octets from `seq` on, and what comes of it.
fn first(bench: &mut Bench, seq: u32, length: u32, echo: u32) -> Vec<Seen> {
    let options = Options {
        timestamps: Some((78, echo)),
        ..Options::default()
    };
    let payload = Content::Pattern(1).octets(u64::from(seq) - 1, length);
    bench.packet(Flags::ACK, seq, 1, 500, options, payload);
    bench.all()
}

const COOKIES: Listening = Listening {
    cookies: true,
    full_until: None,
    defers: 0,
};

#[test]
fn h7_2_a_cookie_is_only_good_at_the_first_octet() {
    for (seq, good) in [(1, true), (2, false), (1401, false)] {
        let (mut bench, answer) = greeted(COOKIES);
        let (value, _) = answer.stamps.expect("timestamps");
        let sent = first(&mut bench, seq, 1000, value);
        assert_eq!(bench.host.is_established(), good, "{seq}");
        let resets = sent.iter().filter(|seen| seen.flags == Flags::RST).count();
        assert_eq!(resets, usize::from(!good), "{seq}");
    }
}

#[test]
fn h3_6_what_the_syn_offered_comes_back_in_the_last_bits_of_the_echo() {
    for (off, scale, sack) in [(0, 9, true), (1, 8, true), (16, 9, false)] {
        let (mut bench, answer) = greeted(COOKIES);
        let (value, _) = answer.stamps.expect("timestamps");
        assert_eq!(value & 63, 9 | 1 << 4);
        first(&mut bench, 1, 1000, value - off);
        let host = &bench.host;
        assert_eq!((host.peer_scale, host.sender.sack), (scale, sack), "{off}");
    }
}

#[test]
fn h7_1_a_host_with_cookies_never_repeats_its_syn_ack_and_survives_nothing_else() {
    let (mut bench, _) = greeted(COOKIES);
    bench.until(60_000);
    assert_eq!(bench.all(), []);
    assert!(!bench.host.is_established());
}

#[test]
fn h7_1_a_full_accept_queue_takes_nothing_and_repeats_the_syn_ack() {
    let (mut bench, answer) = greeted(Listening {
        full_until: Some(Instant::from_millis(4_500)),
        ..Listening::default()
    });
    let (value, _) = answer.stamps.expect("timestamps");
    assert_eq!(first(&mut bench, 1, 0, value), []);
    bench.until(4_400);
    let repeated: Vec<u64> = bench.all().iter().map(|seen| seen.at_ms).collect();
    assert_eq!(repeated, [2_000, 4_000]);
    assert_eq!(first(&mut bench, 1, 1000, value), []);
    bench.until(4_600);
    first(&mut bench, 1, 1000, value);
    assert!(bench.host.is_established());
    assert_eq!(bench.host.received(), 1000);
}

#[test]
fn h7_1_a_host_that_never_had_room_forgets_and_resets() {
    let (mut bench, answer) = greeted(Listening {
        full_until: Some(Instant::from_millis(1_000_000)),
        ..Listening::default()
    });
    let (value, _) = answer.stamps.expect("timestamps");
    bench.until(100_000);
    assert_eq!(bench.all().len(), 5, "`tcp_synack_retries`");
    let sent = first(&mut bench, 1, 1000, value);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].flags, sent[0].seq), (Flags::RST, 1));
}

#[test]
fn h7_1_a_deferring_host_waits_for_data() {
    let listening = Listening {
        defers: 2,
        ..Listening::default()
    };
    let (mut bench, answer) = greeted(listening);
    let (value, _) = answer.stamps.expect("timestamps");
    assert_eq!(first(&mut bench, 1, 0, value), []);
    assert!(!bench.host.is_established());
    first(&mut bench, 1, 100, value);
    assert!(bench.host.is_established());
    // Or until it has waited long enough: then the SYN-ACK is repeated, and its acknowledgement will do.
    let (mut bench, answer) = greeted(listening);
    let (value, _) = answer.stamps.expect("timestamps");
    first(&mut bench, 1, 0, value);
    bench.until(5_000);
    let repeated: Vec<u64> = bench.all().iter().map(|seen| seen.at_ms).collect();
    assert_eq!(repeated, [4_000]);
    first(&mut bench, 1, 0, value);
    assert!(bench.host.is_established());
}
