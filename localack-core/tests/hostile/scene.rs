//! One served flow in each of the situations that matter to what is answered, and its two hosts.

use core::time::Duration;

use localack_core::{
    Config, Custody, Direction, DirectionMode, Engine, FlowConfig, FlowState, Instant, Port,
    Service,
};
use localack_testkit::packet::{Flags, Packet};

use super::flood::{ISN, Lent, addresses, offering};
use super::forge::{ACK, PSH, RST, SYN};
use super::rig::Rig;

/// Octets in each segment of the flow.
pub(crate) const MSS: u16 = 500;

/// A host without patience: it answers each segment that it does not accept, and if its window is closed
/// each segment at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) port: Port,
    pub(crate) snd_una: u32,
    pub(crate) snd_nxt: u32,
    pub(crate) rcv_nxt: u32,
    pub(crate) rcv_wnd: u32,
}

impl Host {
    fn own(&self) -> usize {
        usize::from(self.port == Port::Outer)
    }

    pub(crate) fn says(&self, flags: u8, ahead: u32, acks_ahead: u32, length: u16) -> Vec<u8> {
        let numbers = [
            self.snd_nxt.wrapping_add(ahead),
            self.rcv_nxt.wrapping_add(acks_ahead),
        ];
        let window = self.rcv_wnd as u16;
        offering(addresses(0), self.port, flags, numbers, length, window)
    }

    /// Takes a segment; true if it must be answered.
    pub(crate) fn hears(&mut self, packet: &Packet) -> bool {
        if packet.flags.has(Flags::RST) {
            return false;
        }
        let peer = ISN[1 - self.own()];
        let seq = packet.seq.wrapping_sub(peer);
        let length = packet.seq_len();
        let offset = |number: u32| number.wrapping_sub(self.rcv_nxt).cast_signed();
        let window = self.rcv_wnd.cast_signed();
        let inside = |number: u32| (0..window).contains(&offset(number));
        let accepted = match (length, window) {
            (0, 0) => offset(seq) == 0,
            (0, _) => inside(seq),
            (_, 0) => false,
            _ => inside(seq) || inside(seq.wrapping_add(length - 1)),
        };
        if !accepted || packet.flags.has(Flags::SYN) || self.rcv_wnd == 0 {
            return true;
        }
        let ack = packet.ack.wrapping_sub(ISN[self.own()]);
        if ack.wrapping_sub(self.snd_nxt).cast_signed() > 0
            || self.snd_una.wrapping_sub(ack).cast_signed() > 65_535
        {
            return true;
        }
        if ack.wrapping_sub(self.snd_una).cast_signed() > 0 {
            self.snd_una = ack;
        }
        let end = seq.wrapping_add(length);
        if offset(seq) <= 0 && offset(end) > 0 {
            self.rcv_nxt = end;
        }
        length > 0
    }
}

/// What the flow is doing when others interfere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scene {
    /// Nothing is owed.
    Idle,
    /// The receiver has not acknowledged what it has.
    Owing,
    /// .. in both directions.
    OwingBoth,
    /// The store is full: the window offered is closed.
    Full,
    /// The receiver's own window is closed.
    Shut,
    /// The service ends.
    Draining,
    /// A reset of the sender's waits for delivery.
    Resetting,
    /// The connection was reset.
    Tombstone,
    /// The sender may have been reset.
    Suspect,
    /// A SYN with the sender's addresses went by.
    SynPending,
}

pub(crate) const SCENES: [Scene; 10] = [
    Scene::Idle,
    Scene::Owing,
    Scene::OwingBoth,
    Scene::Full,
    Scene::Shut,
    Scene::Draining,
    Scene::Resetting,
    Scene::Tombstone,
    Scene::Suspect,
    Scene::SynPending,
];

const START: Instant = Instant::from_millis(10_000);

fn flow(scene: Scene) -> FlowConfig {
    let mut flow = if scene == Scene::OwingBoth {
        FlowConfig::both_local_ack()
    } else {
        FlowConfig::inner_local_ack()
    };
    flow.custody = Custody::AfterHandshake;
    if scene == Scene::Full {
        flow.buffer_limit = 4 * 1024;
    }
    flow
}

/// Brings the flow to `scene`; answers what the hosts believe then, and the time.
pub(crate) fn set(scene: Scene, rig: &mut Rig<'_>) -> ([Host; 2], Instant) {
    let ends = addresses(0);
    let mut now = START;
    let arrive = |rig: &mut Rig<'_>, port, flags, numbers, length| {
        let outer = port == Port::Outer;
        let window = if scene == Scene::Shut && outer && flags & SYN == 0 {
            0
        } else if scene == Scene::Full && outer {
            4_000
        } else {
            60_000
        };
        let mut octets = offering(ends, port, flags, numbers, length, window);
        let _ = rig.take(now, port, &mut octets);
    };
    arrive(rig, Port::Inner, SYN, [0, 0], 0);
    arrive(rig, Port::Outer, SYN | ACK, [0, 1], 0);
    arrive(rig, Port::Inner, ACK, [1, 1], 0);
    if scene == Scene::Shut {
        arrive(rig, Port::Outer, ACK, [1, 1], 0);
    }
    let segments = if matches!(scene, Scene::Idle | Scene::SynPending) {
        1
    } else if scene == Scene::Full {
        8
    } else {
        4
    };
    let sent = segments * u32::from(MSS);
    for start in (1..=sent).step_by(MSS.into()) {
        arrive(rig, Port::Inner, ACK, [start, 1], MSS);
    }
    let mut hosts = [
        Host {
            port: Port::Inner,
            snd_una: 1,
            snd_nxt: 1 + sent,
            rcv_nxt: 1,
            rcv_wnd: 60_000,
        },
        Host {
            port: Port::Outer,
            snd_una: 1,
            snd_nxt: 1,
            rcv_nxt: 1,
            rcv_wnd: 60_000,
        },
    ];
    match scene {
        Scene::Idle | Scene::SynPending => {
            arrive(rig, Port::Outer, ACK, [1, 1 + sent], 0);
            hosts[0].snd_una = 1 + sent;
            hosts[1].rcv_nxt = 1 + sent;
            if scene == Scene::SynPending {
                arrive(rig, Port::Inner, SYN, [7_000_000, 0], 0);
            }
        }
        Scene::OwingBoth => {
            for start in (1..=sent).step_by(MSS.into()) {
                arrive(rig, Port::Outer, ACK | PSH, [start, 1], MSS);
            }
            hosts[1].snd_nxt = 1 + sent;
        }
        Scene::Shut => hosts[1].rcv_wnd = 0,
        Scene::Draining => {
            let id = rig.flow().expect("a flow").id;
            let done = rig
                .engine
                .set_service(id, Direction::InnerToOuter, Service::Bypass, now);
            assert_eq!(done, Ok(()));
            rig.rest(now);
        }
        Scene::Resetting | Scene::Tombstone => {
            arrive(rig, Port::Inner, RST | ACK, [1 + sent, 1], 0);
        }
        Scene::Suspect => {
            arrive(rig, Port::Outer, ACK | PSH, [1, 1], MSS);
            arrive(rig, Port::Outer, RST, [100, 0], 0);
            hosts[1].snd_nxt = 1 + u32::from(MSS);
        }
        Scene::Full => hosts[1].rcv_wnd = 4_000,
        Scene::Owing => {}
    }
    if scene == Scene::Tombstone {
        for _ in 0..5 {
            now = now.after(Duration::from_secs(1));
            rig.rest(now);
        }
    }
    assert!(is_set(scene, rig), "{scene:?}: {:?}", rig.flow());
    (hosts, now)
}

/// Whether the flow is where `scene` wants it.
fn is_set(scene: Scene, rig: &Rig<'_>) -> bool {
    let Some(flow) = rig.flow() else { return false };
    let (out, back) = (flow.inner_to_outer, flow.outer_to_inner);
    let custody = out.mode == DirectionMode::LocalAck && flow.state == FlowState::Open;
    match scene {
        Scene::Idle | Scene::SynPending => custody && out.debt == 0,
        Scene::Owing | Scene::Suspect => custody && out.debt > 0,
        Scene::OwingBoth => custody && out.debt > 0 && back.debt > 0,
        Scene::Full => custody && out.offered_edge == out.rcv_nxt,
        Scene::Shut => custody && out.debt > 0 && out.snd_una == out.window_edge,
        Scene::Draining => out.mode == DirectionMode::Draining,
        Scene::Resetting => flow.state == FlowState::Resetting,
        Scene::Tombstone => flow.state == FlowState::Tombstone,
    }
}

/// An engine that will serve one flow.
pub(crate) fn rig(lent: &mut Lent, scene: Scene) -> Rig<'_> {
    let engine = Engine::new(lent.storage(), Config::new([1, 2]), flow(scene));
    Rig::new(engine.expect("valid"))
}
