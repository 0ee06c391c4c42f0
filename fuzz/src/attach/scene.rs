//! Engines in the middle of their lives, and the memory that each leaves.

use std::sync::LazyLock;

use localack_core::{Engine, EngineHead, FlowInfo, FlowSlot, Geometry, IndexSlot, Storage};
use localack_testkit::packet::Flags;

use crate::life::{BLOCK_SIZE, Hosts, Life, config, policy};
use crate::operation::{Operation, Setup, Shape};
use crate::seeds::{ack, data, flagged};

/// Flow slots and blocks of every scene.
pub(super) const FLOWS: usize = 4;
pub(super) const BLOCKS: usize = 24;

/// How the memory is cut.
pub(super) const GEOMETRY: Geometry = Geometry {
    flows: FLOWS,
    index: 2 * FLOWS,
    blocks: BLOCKS,
    arena: BLOCKS * BLOCK_SIZE,
    paths: FLOWS,
};

/// Octets of the seal, with which the memory begins, and where in it the mark is: one more than the number of
/// the slot that is written to.
pub(super) const SEAL: usize = 40;
pub(super) const MARK: usize = 32;

/// What is left when an engine stops.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) setup: Setup,
    /// The memory, in words so that it lies as it must.
    pub(super) memory: Vec<u64>,
    pub(super) hosts: Vec<Hosts>,
    /// What its engine knew.
    pub(super) flows: Vec<FlowInfo>,
    /// In microseconds.
    pub(super) now: u64,
}

/// What happens in a scene: the connection that each operation is about.
type Plot = Vec<(usize, Operation)>;

const PLAIN: u8 = Setup::BOTH | Setup::TIMESTAMPS | Setup::SACK | Setup::SCALE | Setup::EARLY;

/// The scenes: as many as the lowest three bits of an octet can tell apart.
pub(super) static SCENES: LazyLock<[Scene; 8]> = LazyLock::new(|| {
    let with = |bits: u8, isn: u8| Setup { bits, isn };
    [
        play(with(PLAIN, 255), 3, talk(3)),
        play(with(PLAIN | Setup::V6, 4), 3, [talk(3), holes()].concat()),
        play(
            with(Setup::BOTH | Setup::EARLY, 0),
            2,
            [talk(2), losses()].concat(),
        ),
        play(with(PLAIN, 1), 3, [talk(3), closing()].concat()),
        play(with(PLAIN, 250), 2, [talk(2), draining()].concat()),
        play(with(PLAIN | Setup::OUTER_CLIENT, 2), 2, handshakes()),
        play(
            with(PLAIN | Setup::TIGHT, 3),
            3,
            [talk(3), crowded()].concat(),
        ),
        play(with(PLAIN, 128), 3, [talk(3), resets()].concat()),
    ]
});

fn segment(outer: bool, shape: Shape) -> Operation {
    Operation::Segment {
        outer,
        checksum: 0,
        shape,
    }
}

fn ahead(octets: i16) -> Shape {
    Shape {
        seq: Some(octets),
        payload: Some(700),
        ..Shape::default()
    }
}

/// Hosts of so many connections speak to each other, and some of it is held.
fn talk(connections: usize) -> Plot {
    let of = |number| {
        [
            segment(false, data()),
            segment(true, ack()),
            segment(true, data()),
            segment(false, ack()),
            segment(false, data()),
            segment(true, data()),
        ]
        .map(|operation| (number, operation))
    };
    (0..connections).flat_map(of).collect()
}

/// Segments are missing, on both sides.
fn holes() -> Plot {
    [
        (0, segment(false, ahead(1000))),
        (0, segment(false, ahead(3000))),
        (1, segment(true, ahead(500))),
        (1, segment(true, ahead(1100))),
    ]
    .into()
}

/// A receiver tells of holes, and time passes.
fn losses() -> Plot {
    let holed = Shape {
        ack: Some(-2000),
        ..ack()
    };
    let wait = Operation::Wait {
        log: 21,
        steps: 1,
        jump: false,
    };
    [
        (0, segment(false, data())),
        (0, segment(false, data())),
        (0, segment(true, holed.clone())),
        (0, segment(true, holed.clone())),
        (0, segment(true, holed)),
        (1, segment(false, data())),
        (0, wait),
    ]
    .into()
}

/// One connection ends on one side, another on both.
fn closing() -> Plot {
    let fin = || flagged(Flags::FIN | Flags::ACK);
    [
        (0, segment(false, fin())),
        (1, segment(false, fin())),
        (1, segment(true, fin())),
        (2, segment(true, ahead(1000))),
    ]
    .into()
}

/// The engine is handing its flows back.
fn draining() -> Plot {
    [
        (0, segment(false, data())),
        (1, segment(false, data())),
        (0, Operation::Drain),
        (0, segment(false, ahead(1000))),
    ]
    .into()
}

/// Some connections have only begun.
fn handshakes() -> Plot {
    let mut plot = talk(1);
    plot.extend([
        (2, segment(true, flagged(Flags::SYN))),
        (3, segment(true, flagged(Flags::SYN))),
        (3, segment(false, flagged(Flags::SYN | Flags::ACK))),
    ]);
    plot
}

/// There is no memory left.
fn crowded() -> Plot {
    let closed = Shape {
        window: Some(0),
        ..ack()
    };
    let mut plot: Plot = (0..3)
        .map(|number| (number, segment(true, closed.clone())))
        .collect();
    plot.extend((0..24).map(|turn| (turn % 3, segment(false, data()))));
    plot
}

/// A host resets a connection for which something is held, and another one is reset twice.
fn resets() -> Plot {
    [
        (0, segment(false, data())),
        (0, segment(false, flagged(Flags::RST))),
        (1, segment(true, flagged(Flags::RST | Flags::ACK))),
        (1, segment(false, flagged(Flags::RST))),
    ]
    .into()
}

fn play(setup: Setup, connections: usize, plot: Plot) -> Scene {
    let octets = GEOMETRY.octets().expect("a small engine");
    let mut memory = vec![0_u64; octets / 8];
    let storage = cut(&mut memory);
    let engine = Engine::new(storage, config(), policy(setup)).expect("the memory fits together");
    let hosts = (0..4)
        .map(|number| Hosts::numbered(setup, number))
        .collect();
    let mut life = Life::new(engine, hosts, BLOCKS);
    for about in 0..connections {
        life.about = about;
        life.shakes_hands();
    }
    for (about, operation) in plot {
        life.about = about;
        life.happens(operation);
    }
    let flows = life.engine.flows().collect();
    let (hosts, now) = (life.hosts, life.now);
    Scene {
        setup,
        memory,
        hosts,
        flows,
        now,
    }
}

/// The memory as an engine is lent it.
pub(super) fn cut(memory: &mut [u64]) -> Storage<'_> {
    Storage::cut(bytemuck::cast_slice_mut(memory), &GEOMETRY).expect("memory of this size")
}

/// Where the parts lie of which all can be made anew: the index and what is known of paths.
pub(super) fn is_derived(at: usize) -> bool {
    let next = |at: usize| at.next_multiple_of(64);
    // The head, and the copy of a flow.
    let flows = next(size_of::<EngineHead>()) + next(size_of::<FlowSlot>());
    let index = flows + next(FLOWS * size_of::<FlowSlot>());
    let blocks = index + next(2 * FLOWS * size_of::<IndexSlot>());
    (index..blocks).contains(&at)
}

#[cfg(test)]
mod tests {
    use localack_core::FlowState;

    use super::*;

    /// Scenes in which nothing is held would be worth little.
    #[test]
    fn the_scenes_are_what_they_are_called() {
        let scenes = &*SCENES;
        for (number, scene) in scenes.iter().enumerate() {
            let seal: &[u8] = bytemuck::cast_slice(&scene.memory);
            assert_eq!(seal[..4], *b"lack");
            let held = |flow: &FlowInfo| flow.inner_to_outer.debt + flow.outer_to_inner.debt;
            let debt: u32 = scene.flows.iter().map(held).sum();
            assert!(
                debt > 0 || number == 5,
                "scene {number}: {:#?}",
                scene.flows
            );
        }
        let states = |scene: &Scene| {
            scene
                .flows
                .iter()
                .map(|flow| flow.state)
                .collect::<Vec<_>>()
        };
        assert!(states(&scenes[5]).contains(&FlowState::SynSeen));
        assert!(states(&scenes[5]).contains(&FlowState::SynAckSeen));
        assert!(states(&scenes[7]).contains(&FlowState::Resetting));
        let used = |scene: &Scene| -> u32 {
            let custody =
                |flow: &FlowInfo| flow.inner_to_outer.custody + flow.outer_to_inner.custody;
            scene.flows.iter().map(custody).sum()
        };
        assert!(used(&scenes[6]) as usize > BLOCKS / 2 * BLOCK_SIZE);
    }
}
