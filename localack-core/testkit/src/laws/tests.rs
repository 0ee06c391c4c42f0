use super::*;
use crate::packet::{IpFields, Options};

const CUSTODY: Modes = Modes {
    by_source: [Some(DirectionMode::LocalAck), Some(DirectionMode::Bypass)],
};

/// A segment from the inner (`true`) or the outer host; ISNs 0, timestamps and SACK agreed.
fn segment(inner: bool, flags: Flags, seq: u32, ack: u32, payload: &[u8]) -> Packet {
    let hosts = ["192.0.2.1:1000", "203.0.113.2:80"].map(|text| text.parse().unwrap());
    let (source, destination) = if inner {
        (hosts[0], hosts[1])
    } else {
        (hosts[1], hosts[0])
    };
    let syn = flags.has(Flags::SYN);
    Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 5000,
        urgent: 0,
        options: Options {
            mss: syn.then_some(1012),
            sack_permitted: syn,
            timestamps: Some(if inner { (7, 9) } else { (9, 7) }),
            ..Options::default()
        },
        payload: payload.to_vec(),
    }
}

fn whole(packet: Packet) -> Decoded {
    Decoded {
        packet,
        checksum_ok: true,
        ip_checksum_ok: true,
    }
}

/// A witness of an open connection on which the inner host has sent 1:101, acknowledged early.
fn witness() -> Witness {
    let mut witness = Witness::new();
    let data = [5; 100];
    for (port, packet) in [
        (Port::Inner, segment(true, Flags::SYN, 0, 0, &[])),
        (
            Port::Outer,
            segment(false, Flags::SYN | Flags::ACK, 0, 1, &[]),
        ),
        (Port::Inner, segment(true, Flags::ACK, 1, 1, &[])),
        (Port::Inner, segment(true, Flags::ACK, 1, 1, &data)),
    ] {
        let decoded = whole(packet);
        witness.arrives(port, &decoded);
        let passed = Origin::Passed(PassReason::Untouched);
        let faults = witness.leaves(port.other(), passed, &decoded, CUSTODY, CUSTODY);
        assert_eq!(faults, Vec::<String>::new());
    }
    assert_eq!(
        made(
            &mut witness,
            Port::Inner,
            segment(false, Flags::ACK, 1, 101, &[])
        ),
        ""
    );
    witness
}

/// What is wrong with a packet made by the engine.
fn made(witness: &mut Witness, port: Port, packet: Packet) -> String {
    let origin = Origin::Made(TransmitKind::LocalAck);
    witness
        .leaves(port, origin, &whole(packet), CUSTODY, CUSTODY)
        .join("; ")
}

#[test]
fn each_broken_law_is_noticed() {
    type Edit = fn(&mut Packet);
    let honest = || segment(false, Flags::ACK, 1, 101, &[]);
    let edits: [(Edit, &str); 10] = [
        (|packet| packet.ack = 51, "invariant 3"),
        (|packet| packet.ack = 102, "invariant 3"),
        (|packet| packet.window = 4999, "invariant 4"),
        (|packet| packet.seq = 2, "invariant 5"),
        (|packet| packet.options.timestamps = Some((10, 7)), "H3.1"),
        (
            |packet| packet.options.timestamps = Some((9, 8)),
            "invariant 8",
        ),
        (|packet| packet.options.timestamps = None, "H3.7"),
        (|packet| packet.ip.hop_limit = 1, "H9.5"),
        (
            |packet| packet.flags = packet.flags | Flags::PSH,
            "section 2.1",
        ),
        (
            |packet| {
                packet.options.sack_present = true;
                packet.options.sack = vec![(151, 161)];
            },
            "invariant 9",
        ),
    ];
    assert_eq!(made(&mut witness(), Port::Inner, honest()), "");
    for (edit, law) in edits {
        let mut packet = honest();
        edit(&mut packet);
        let faults = made(&mut witness(), Port::Inner, packet);
        assert!(faults.contains(law), "{law} goes unnoticed: {faults:?}");
    }
}

#[test]
fn wrong_data_and_early_fins_are_noticed() {
    let resent = |seq, payload: &[u8]| segment(true, Flags::ACK, seq, 1, payload);
    assert_eq!(made(&mut witness(), Port::Outer, resent(1, &[5; 100])), "");
    let faults = made(&mut witness(), Port::Outer, resent(1, &[6; 100]));
    assert!(faults.contains("invariant 12"), "{faults}");
    let faults = made(&mut witness(), Port::Outer, resent(4990, &[5; 100]));
    assert!(faults.contains("invariant 6"), "{faults}");
    let faults = made(
        &mut witness(),
        Port::Outer,
        segment(true, Flags::ACK | Flags::FIN, 101, 1, &[]),
    );
    assert!(faults.contains("H6.1"), "{faults}");
    let mut hole = witness();
    hole.arrives(
        Port::Inner,
        &whole(segment(true, Flags::ACK | Flags::FIN, 201, 1, &[])),
    );
    let faults = made(
        &mut hole,
        Port::Outer,
        segment(true, Flags::ACK | Flags::FIN, 201, 1, &[]),
    );
    assert!(faults.contains("invariant 17"), "{faults}");
}

/// Law: what a reset that is obeyed acknowledges makes older segments old, with what they say (section 2.5).
/// A keepalive of a host that cannot know of the reset yet is not heard, so SND.UNA stays.
#[test]
fn a_keepalive_behind_what_a_reset_acknowledged_says_nothing() {
    let asked = |reset: Option<u32>| {
        let mut witness = witness();
        for (port, packet) in [
            (Port::Inner, segment(true, Flags::ACK, 101, 1, &[5; 100])),
            (Port::Outer, segment(false, Flags::ACK, 1, 1, &[7; 46])),
        ] {
            let decoded = whole(packet);
            witness.arrives(port, &decoded);
            let passed = Origin::Passed(PassReason::Untouched);
            witness.leaves(port.other(), passed, &decoded, CUSTODY, CUSTODY);
        }
        if let Some(seq) = reset {
            let reset = segment(true, Flags::RST | Flags::ACK, seq, 47, &[]);
            witness.arrives(Port::Inner, &whole(reset));
        }
        let keepalive = segment(false, Flags::ACK, 0, 101, &[]);
        witness.arrives(Port::Outer, &whole(keepalive));
        let resent = segment(true, Flags::ACK, 1, 47, &[5; 100]);
        made(&mut witness, Port::Outer, resent)
    };
    assert_eq!(asked(Some(101)), "", "told");
    assert_eq!(asked(Some(201)), "", "sent");
    // Without a reset, or after one that nobody obeys, the acknowledgement counts.
    for seq in [None, Some(100), Some(202)] {
        let faults = asked(seq);
        assert!(faults.contains("invariant 6"), "{seq:?}: {faults:?}");
    }
}

/// Law: where what passes has run past a window that nobody has heard to be wider, the number without data
/// lies before its edge (rules H1.1b and H2.11); elsewhere it is X.
#[test]
fn h2_11_what_an_old_segment_offers_is_not_heard() {
    const RETURN: Modes = Modes {
        by_source: [Some(DirectionMode::Bypass), Some(DirectionMode::LocalAck)],
    };
    let acknowledged = |passed: usize, seq: u32| {
        let mut witness = witness();
        let send = |witness: &mut Witness, port: Port, packet: Packet| {
            let decoded = whole(packet);
            witness.arrives(port, &decoded);
            let passed = Origin::Passed(PassReason::Untouched);
            witness.leaves(port.other(), passed, &decoded, RETURN, RETURN);
        };
        let data = segment(false, Flags::ACK, 1, 1, &[7; 200]);
        send(&mut witness, Port::Outer, data);
        let origin = Origin::Made(TransmitKind::LocalAck);
        let told = whole(segment(true, Flags::ACK, 101, 201, &[]));
        let faults = witness.leaves(Port::Outer, origin, &told, RETURN, RETURN);
        assert_eq!(faults, Vec::<String>::new());
        // Sent again and acknowledged long ago: with that its acknowledgement of 1:101 is dropped.
        let old = segment(false, Flags::ACK, 1, 101, &[7; 100]);
        witness.arrives(Port::Outer, &whole(old));
        let past = segment(true, Flags::ACK, 101, 1, &vec![5; passed]);
        send(&mut witness, Port::Inner, past);
        let ack = whole(segment(true, Flags::ACK, seq, 201, &[]));
        witness
            .leaves(Port::Outer, origin, &ack, RETURN, RETURN)
            .join("; ")
    };
    // The edge is 5001, or 5101 by the old segment.
    assert_eq!(acknowledged(4950, 5000), "");
    assert_eq!(acknowledged(4900, 5001), "");
    for (passed, seq) in [(4900, 5000), (4950, 5002), (4950, 0)] {
        let faults = acknowledged(passed, seq);
        assert!(faults.contains("invariant 5"), "{passed} {seq}: {faults:?}");
    }
}
