//! Hash flooding: connections chosen so that they collide in the flow table (architecture, promise 5;
//! rule H7.8). Without the key that cannot be done; with it a look-up takes a bounded number of steps
//! all the same, and whoever finds no place passes.

use core::net::SocketAddrV4;

use localack_core::{
    Config, Engine, FlowConfig, FlowState, Instant, PassReason, Port, TransmitKind, Verdict,
};

use super::flood::{Lent, addresses, is_admitted, segment, shake};
use super::forge::{ACK, PSH, SYN};
use super::rig::Rig;

const FLOWS: usize = 512;
/// Index slots.
const INDEX: u64 = 1024;
/// The longest run of index slots that the table allows.
const LONGEST: usize = 128;
const SECRET: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
const NOW: Instant = Instant::from_millis(1000);

type Ends = [SocketAddrV4; 2];

/// Where the index begins to look for a connection, for whoever knows the key.
fn home([inner, outer]: Ends, key: [u64; 2]) -> u64 {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let ports = u32::from(inner.port()) << 16 | u32::from(outer.port());
    let [mask, seed] = key;
    let state = fold(
        pair(inner.ip().to_bits(), outer.ip().to_bits()) ^ mask,
        pair(ports, 0) ^ seed,
    );
    let wide = fold(
        state ^ seed,
        0x9e37_79b9_7f4a_7c15_u64.rotate_left(1) ^ mask,
    );
    (wide ^ wide >> 32) % (1 << 32) % INDEX
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide ^ wide >> 64) as u64
}

/// One attacker's connections.
fn any(number: u32) -> Ends {
    let client = SocketAddrV4::new(
        (0x0a00_0000 + (number >> 14)).into(),
        (1024 + (number & 0x3fff)) as u16,
    );
    [client, SocketAddrV4::new(0xcb00_7101.into(), 443)]
}

/// The first `count` connections that begin at `place` under `key`.
fn colliding(count: usize, place: u64, key: [u64; 2]) -> Vec<Ends> {
    (0..)
        .map(any)
        .filter(|&ends| home(ends, key) == place)
        .take(count)
        .collect()
}

fn rig(lent: &mut Lent) -> Rig<'_> {
    let mut config = Config::new(SECRET);
    config.handshake_share = 100;
    config.reserved_blocks = 1;
    let flow = FlowConfig::inner_local_ack();
    Rig::new(Engine::new(lent.storage(), config, flow).expect("valid"))
}

fn opens(rig: &mut Rig<'_>, ends: Ends) -> Verdict {
    let mut octets = segment(ends, Port::Inner, SYN, [0, 0], 0);
    let original = octets.clone();
    let (verdict, made) = rig.take(NOW, Port::Inner, &mut octets);
    assert!(made.is_empty() && octets == original);
    verdict
}

/// Connections that all collide under a hash that an attacker may take for ours.
fn sets() -> [(&'static str, Vec<Ends>); 6] {
    let count = FLOWS as u32;
    let ends = |address: u32, port: u32| {
        let client = SocketAddrV4::new((0x0a00_0000 + address).into(), port as u16);
        [client, SocketAddrV4::new(0xcb00_7101.into(), 443)]
    };
    let xor = (0..count).map(|number| ends(number, 0x5555 ^ number));
    let swapped =
        (0..count).map(|number| ends(number, u32::from((0x5555 ^ number as u16).swap_bytes())));
    let sum = (0..count).map(|number| ends(number, 0x5555 - number));
    // Equal in the low bits of all fields.
    let low = (0..count).map(|number| ends(number << 10, 1024 + (number & 31) * 1024));
    let zero = colliding(256, 7, [0; 2]);
    let other = colliding(256, 7, [SECRET[0], SECRET[1] ^ 1]);
    [
        ("exclusive or", xor.collect()),
        ("exclusive or, other byte order", swapped.collect()),
        ("sum", sum.collect()),
        ("low bits", low.collect()),
        ("our own without a key", zero),
        ("our own with a key that is off by one bit", other),
    ]
}

/// Whoever does not know the key finds no connections that meet.
#[test]
fn keys_that_collide_under_another_hash_do_not_meet() {
    for (name, set) in sets() {
        let mut lent = Lent::new(FLOWS, 8);
        let mut rig = rig(&mut lent);
        for &ends in &set {
            assert_eq!(opens(&mut rig, ends), Verdict::Pass(PassReason::Handshake));
        }
        assert_eq!(rig.engine.flows().count(), set.len(), "{name}");
        let run = lent.longest_run();
        // At half load random places make runs of about 20; one home for all would make 128.
        assert!(run <= LONGEST / 3, "{name}: a look-up may take {run} steps");
    }
}

/// Whoever does, fills one run: the rest of its connections pass, and nobody else is harmed.
#[test]
fn who_knows_the_key_gets_one_bounded_run() {
    let place = home(addresses(0), SECRET);
    let set = colliding(2 * LONGEST, place, SECRET);
    let mut lent = Lent::new(FLOWS, 64);
    let mut rig = rig(&mut lent);
    // Somebody is served whose place the attacker wants.
    let victim = addresses(0);
    shake(&mut rig, NOW, victim);
    let verdicts: Vec<Verdict> = set.iter().map(|&ends| opens(&mut rig, ends)).collect();
    let full = Verdict::Pass(PassReason::TableFull);
    let entered = verdicts.iter().filter(|&&verdict| verdict != full).count();
    assert_eq!(entered, LONGEST - 1, "one place is the victim's");
    assert!(verdicts[entered..].iter().all(|&verdict| verdict == full));

    // A connection without a place lives as if there were no engine (invariant 24).
    let refused = *set.last().expect("many");
    for (port, flags, numbers, length) in [
        (Port::Outer, SYN | ACK, [0, 1], 0),
        (Port::Inner, ACK, [1, 1], 0),
        (Port::Outer, ACK | PSH, [1, 1], 100),
        (Port::Inner, ACK | PSH, [1, 101], 100),
    ] {
        let mut octets = segment(refused, port, flags, numbers, length);
        let original = octets.clone();
        let (verdict, made) = rig.take(NOW, port, &mut octets);
        assert_eq!(verdict, Verdict::Pass(PassReason::MidStream));
        assert!(made.is_empty() && octets == original);
    }

    // The victim is still found, at the same place, and so is whoever comes elsewhere.
    let mut data = segment(victim, Port::Inner, ACK, [1, 2], 500);
    let (_, made) = rig.take(NOW, Port::Inner, &mut data);
    assert!(made.iter().any(|made| made.kind == TransmitKind::LocalAck));
    let elsewhere = (1..).find(|&number| {
        let away = (home(addresses(number), SECRET) + INDEX - place) % INDEX;
        away > LONGEST as u64 && away < INDEX - LONGEST as u64
    });
    assert!(is_admitted(&mut rig, NOW, elsewhere.expect("one of many")));

    // The attacker's unfinished handshakes are forgotten, and the place is for everybody.
    for second in 1..=61 {
        rig.rest(NOW.after(core::time::Duration::from_secs(second)));
    }
    let open = |state| state == FlowState::Open;
    assert_eq!(rig.engine.flows().count(), 2);
    assert!(rig.engine.flows().all(|flow| open(flow.state)));
    assert_ne!(opens(&mut rig, refused), full);
}

/// .. and that run is the longest: no look-up takes more steps.
#[test]
fn the_run_of_an_attacker_with_the_key_ends() {
    let mut lent = Lent::new(FLOWS, 8);
    let mut rig = rig(&mut lent);
    let set = colliding(2 * LONGEST, 99, SECRET);
    let entered = set
        .into_iter()
        .filter(|&ends| opens(&mut rig, ends) != Verdict::Pass(PassReason::TableFull))
        .count();
    assert_eq!(entered, LONGEST);
    assert_eq!(lent.longest_run(), LONGEST);
}
