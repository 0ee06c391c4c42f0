//! The variants in which a script runs.

use core::fmt;

use super::model::{Choice, Proof, Setup, Side};

/// One way to run a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// IPv6 instead of IPv4.
    pub v6: bool,
    pub(super) isns: [u32; 2],
    /// Timestamp offsets, if both sides offer timestamps.
    pub(super) clocks: [u32; 2],
    pub(super) timestamps: [bool; 2],
    pub(super) sack: [bool; 2],
    pub(super) client: Side,
}

/// Far from the wrap; at it with the first octet; and inside the first few segments.
const ISNS: [[u32; 2]; 3] = [
    [1000, 70_000],
    [u32::MAX, u32::MAX - 1],
    [0xffff_f200, 0xffff_ff00],
];
/// Far from the wrap; and so that small relative TSvals, and those near 10,000, straddle it.
const CLOCKS: [[u32; 2]; 3] = [
    [5000, 90_000],
    [u32::MAX - 99, u32::MAX - 99],
    [u32::MAX - 10_004, u32::MAX - 10_001],
];

impl Variant {
    /// All variants that a setup asks for.
    pub(super) fn all(setup: &Setup) -> Vec<Self> {
        let mut all = Vec::new();
        let clients: &[Side] = match (setup.client, setup.proof) {
            (Some(Side::S), _) | (None, Proof::Missing) => &[Side::S],
            (Some(Side::R), _) => &[Side::R],
            (None, Proof::Given) => &[Side::R, Side::S],
        };
        let versions = [false, true].into_iter().zip(setup.versions);
        for v6 in versions.filter(|&(_, wanted)| wanted).map(|(v6, _)| v6) {
            for isns in ISNS {
                for timestamps in both(setup, |side| setup.sides[side.index()].timestamps) {
                    for sack in both(setup, |side| setup.sides[side.index()].sack) {
                        for &client in clients {
                            let clocks = if timestamps == [true; 2] {
                                &CLOCKS[..]
                            } else {
                                &CLOCKS[..1]
                            };
                            all.extend(clocks.iter().map(|&clocks| Self {
                                v6,
                                isns: chosen_isns(setup, isns),
                                clocks,
                                timestamps,
                                sack,
                                client,
                            }));
                        }
                    }
                }
            }
        }
        all
    }
}

fn chosen_isns(setup: &Setup, default: [u32; 2]) -> [u32; 2] {
    Side::BOTH.map(|side| {
        setup.sides[side.index()]
            .isn
            .unwrap_or(default[side.index()])
    })
}

/// The ways to give both sides an option: a side that may go `either` way follows the other.
fn both(_: &Setup, of: impl Fn(Side) -> Choice) -> Vec<[bool; 2]> {
    let ways = [false, true].map(|way| {
        Side::BOTH.map(|side| match of(side) {
            Choice::On => true,
            Choice::Off => false,
            Choice::Either => way,
        })
    });
    if ways[0] == ways[1] {
        vec![ways[0]]
    } else {
        ways.to_vec()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            v6,
            isns,
            clocks,
            timestamps,
            sack,
            client,
        } = self;
        write!(
            f,
            "{}, ISN S {:#x} R {:#x}",
            if *v6 { "IPv6" } else { "IPv4" },
            isns[0],
            isns[1]
        )?;
        write!(
            f,
            ", client {client:?}, SACK {sack:?}, timestamps {timestamps:?}"
        )?;
        write!(f, " from {:#x} and {:#x}", clocks[0], clocks[1])
    }
}
