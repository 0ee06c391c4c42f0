//! Blind injection: an attacker who knows addresses and ports, and guesses the rest (RFC 5961; rules
//! H1.9, H5.3, H7.7, H8.4 and H8.6; invariants 14 and 22).

use core::net::SocketAddr;
use core::time::Duration;

use localack_core::{Config, Engine, Event, FlowConfig};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    Delay, FaultKind, Links, LinuxConfig, LinuxHost, Loss, Path, Random, Rate, World,
};

use super::rig::Rig;
use super::siege::{Attack, Siege, Tally};

/// Guesses of each kind by somebody who knows no number, and by somebody who knows some.
const GUESSES: u64 = if cfg!(debug_assertions) {
    25_000
} else {
    1_000_000
};
const INFORMED_GUESSES: u64 = if cfg!(debug_assertions) {
    5_000
} else {
    1_000_000
};
/// Packets of the flow that see guesses after them, at least.
const PACKETS: u64 = 300;
/// What each host sends.
const OCTETS: u64 = 300_000;

fn config() -> LinuxConfig {
    let address = |text: &str| -> SocketAddr { text.parse().expect("a literal") };
    LinuxConfig {
        own: address("192.0.2.10:40000"),
        peer: address("203.0.113.20:443"),
        // So that all windows stay below 2^20.
        receive_buffer_max: 128 << 10,
        ..LinuxConfig::strict()
    }
}

/// Both hosts send something through an engine that is attacked from either side, over a path that
/// loses packets, so that what was acknowledged is still needed.
fn withstand(attack: Attack, guesses: u64) -> Tally {
    let mut random = Random::new(attack as u64);
    let mut memories = [Memory::new(2, 200, 2048), Memory::new(2, 200, 2048)];
    let rigs = memories.each_mut().map(|memory| {
        let flow = FlowConfig::both_local_ack();
        Rig::new(Engine::new(memory.storage(), Config::new([3, 4]), flow).expect("valid"))
    });
    let siege = Siege::new(rigs, attack, random.fork(), guesses / PACKETS, guesses);
    let mut outer = || {
        Path::new()
            .then(Rate::new(80_000, 60_000))
            .then(Loss {
                ppm: 10_000,
                random: random.fork(),
            })
            .then(Delay(Duration::from_millis(40)))
    };
    let links = Links {
        inner_up: Path::new().then(Delay(Duration::from_micros(200))),
        inner_down: Path::new().then(Delay(Duration::from_micros(200))),
        outer_up: outer(),
        outer_down: outer(),
    };
    let inner = LinuxHost::connect(config()).send_total(OCTETS);
    let outer = LinuxHost::listen(config().mirrored()).send_total(OCTETS);
    let mut world = World::new(inner, outer, siege, links);
    let ended = world.run(Duration::from_secs(60));
    assert!(ended, "{attack:?}: the flow does not end");
    for host in [&world.inner, &world.outer] {
        assert!(host.is_closed(), "{attack:?}: not closed in order");
        assert_eq!((host.received(), host.acknowledged()), (OCTETS, OCTETS));
        // A SYN goes to the host, which judges it itself.
        let forged = |kind, segment: &str| {
            attack == Attack::Syn && kind != FaultKind::UnexpectedReset && segment.starts_with('S')
        };
        let grave = host
            .faults()
            .iter()
            .find(|fault| !forged(fault.kind, &fault.segment) && !fault.may_be_network());
        assert_eq!(grave, None, "{attack:?}");
    }
    let siege = &world.middle;
    assert_eq!(siege.left(), 0, "{attack:?}: guesses are left over");
    let harm = siege.rig.events().iter().find(|event| {
        matches!(
            event,
            Event::Reset { .. } | Event::GivenUp { .. } | Event::Demoted { .. }
        )
    });
    assert_eq!(harm, None, "{attack:?}");
    assert_eq!(siege.rig.engine.counters().octets_lost, 0, "{attack:?}");
    assert_eq!(siege.tally.tried, guesses, "{attack:?}");
    siege.tally
}

/// Rule H8.4, RFC 5961 section 3.2: a reset must be exact; in the window it is challenged, at most once
/// in 500 ms (rule H8.6).
#[test]
fn h8_4_blind_resets_leave_a_served_flow_alone() {
    // One in 2^32 octets is a window of some 2^16: hardly a guess lies in it.
    let blind = withstand(Attack::Reset, GUESSES);
    assert!(blind.in_window < blind.tried / 10_000, "{blind:?}");
    let near = withstand(Attack::ResetNear, INFORMED_GUESSES);
    assert!(
        near.in_window > near.tried / 100 && near.answered > 2 && near.answered < 30,
        "{near:?}"
    );
}

/// Rule H7.7, RFC 5961 section 4.2.
#[test]
fn h7_7_blind_syns_leave_a_served_flow_alone() {
    withstand(Attack::Syn, GUESSES);
}

/// Rules H1.9 and H5.3, RFC 5961 section 5.2, RFC 7323 section 5.3: data is believed only if all its
/// numbers are acceptable, and answered at most once in 100 ms (rule H8.6).
#[test]
fn h5_3_blind_data_leaves_a_served_flow_alone() {
    let blind = withstand(Attack::Data, GUESSES);
    assert!(blind.in_window < blind.tried / 10_000, "{blind:?}");
    for attack in [Attack::DataKnowingSeq, Attack::DataKnowingNumbers] {
        let tally = withstand(attack, INFORMED_GUESSES);
        assert_eq!(tally.in_window, tally.tried, "{attack:?}");
        assert!(
            tally.answered > 5 && tally.answered < 100,
            "{attack:?}: {tally:?}"
        );
    }
}

/// Rules H1.9, H4.6 and H8.6: an acknowledgement is believed only if both its numbers are acceptable,
/// and never answered.
#[test]
fn h1_9_blind_acknowledgements_leave_a_served_flow_alone() {
    for (attack, guesses) in [
        (Attack::Ack, GUESSES),
        (Attack::AckKnowingSeq, INFORMED_GUESSES),
        (Attack::AckKnowingAck, INFORMED_GUESSES),
    ] {
        assert_eq!(withstand(attack, guesses).answered, 0, "{attack:?}");
    }
}
