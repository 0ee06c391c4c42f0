//! The variants in which a script runs.

use core::fmt;

use super::model::{Choice, Proof, Script, Setup, Side};

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
    /// Of the window scale options; `None`: no option.
    pub(super) shifts: [Option<u8>; 2],
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

/// A window scale that is one, for scripts that name no window. It divides segments and the first
/// window evenly, so that rounding (rule H2.1) changes none of their numbers.
const REAL_SHIFT: u8 = 3;

/// SACK-permitted and the shift of the window scale option, of S and R.
type Offer = ([bool; 2], [Option<u8>; 2]);

impl Variant {
    /// All variants that a script asks for.
    ///
    /// Each combination of IP version, numbers, clocks and client runs with SACK and window scaling
    /// as they are mostly found, and once more in one of the other ways that the script leaves open,
    /// all of which have their turn with each of the rest.
    pub(super) fn all(script: &Script) -> Vec<Self> {
        let setup = &script.setup;
        let offers = offers(script);
        let (usual, others) = offers.split_first().expect("there is a way");
        let mut all = Vec::new();
        let clients: &[Side] = match (setup.client, setup.proof) {
            (Some(Side::S), _) | (None, Proof::Missing) => &[Side::S],
            (Some(Side::R), _) => &[Side::R],
            (None, Proof::Given) => &[Side::R, Side::S],
        };
        let versions = [false, true].into_iter().zip(setup.versions);
        for v6 in versions.filter(|&(_, wanted)| wanted).map(|(v6, _)| v6) {
            for (isn_turn, isns) in ISNS.into_iter().enumerate() {
                for (clock_turn, (timestamps, clocks)) in clocks(setup).into_iter().enumerate() {
                    for (client_turn, &client) in clients.iter().enumerate() {
                        let variant = |(sack, shifts): Offer| Self {
                            v6,
                            isns: chosen_isns(setup, isns),
                            clocks,
                            timestamps,
                            sack,
                            shifts,
                            client,
                        };
                        all.push(variant(*usual));
                        // The sum of all places lets each of the others meet each of the places.
                        let turn = usize::from(v6) + isn_turn + clock_turn + client_turn;
                        let turn = turn.checked_rem(others.len());
                        all.extend(turn.map(|turn| variant(others[turn])));
                    }
                }
            }
        }
        all
    }
}

/// Which sides offer timestamps, with the offsets of their clocks.
fn clocks(setup: &Setup) -> Vec<([bool; 2], [u32; 2])> {
    let ways = both(|side| setup.sides[side.index()].timestamps, [false, true]);
    let with_clocks = ways.into_iter().flat_map(|timestamps| {
        let clocks = if timestamps == [true; 2] {
            &CLOCKS[..]
        } else {
            &CLOCKS[..1]
        };
        clocks.iter().map(move |&clocks| (timestamps, clocks))
    });
    with_clocks.collect()
}

/// The ways to offer SACK and window scaling, the usual one first. A script that names SACK blocks or
/// a shift depends on them, and one that names a window on what its field means.
fn offers(script: &Script) -> Vec<Offer> {
    let sides = &script.setup.sides;
    let mut sacks = both(|side| sides[side.index()].sack, [true, false]);
    if script.names_blocks() {
        sacks.truncate(1);
    }
    let shifts = if sides.iter().any(|side| side.shift.is_some()) {
        vec![Side::BOTH.map(|side| sides[side.index()].shift.unwrap_or(Some(0)))]
    } else if script.names_windows() {
        vec![[Some(0); 2], [None; 2]]
    } else {
        vec![[Some(0); 2], [None; 2], [Some(REAL_SHIFT); 2]]
    };
    let combine = |sack| shifts.iter().map(move |&shifts| (sack, shifts));
    sacks.into_iter().flat_map(combine).collect()
}

fn chosen_isns(setup: &Setup, default: [u32; 2]) -> [u32; 2] {
    Side::BOTH.map(|side| {
        setup.sides[side.index()]
            .isn
            .unwrap_or(default[side.index()])
    })
}

/// The ways to give both sides an option: a side that may go `either` way follows the other.
fn both(of: impl Fn(Side) -> Choice, ways: [bool; 2]) -> Vec<[bool; 2]> {
    let ways = ways.map(|way| {
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
            shifts,
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
            ", client {client:?}, SACK {sack:?}, shifts {shifts:?}, timestamps {timestamps:?}"
        )?;
        write!(f, " from {:#x} and {:#x}", clocks[0], clocks[1])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn variants(text: &str) -> Vec<Variant> {
        Variant::all(&Script::parse(text).unwrap())
    }

    fn ways(variants: &[Variant]) -> BTreeSet<Offer> {
        variants.iter().map(|way| (way.sack, way.shifts)).collect()
    }

    #[test]
    fn what_a_script_leaves_open_meets_every_other_choice() {
        let all = variants("setup local-ack\nhandshake\n0 I 1:1001 => >I . ack 1001; >O 1:1001\n");
        assert_eq!(all.len(), 2 * 2 * 3 * 4 * 2);
        assert_eq!(ways(&all).len(), 6);
        let meets = |choice: &dyn Fn(&Variant) -> bool| {
            let chosen: Vec<Variant> = all.iter().copied().filter(choice).collect();
            assert_eq!(ways(&chosen).len(), 6, "{chosen:?}");
        };
        for v6 in [false, true] {
            meets(&|variant| variant.v6 == v6);
        }
        for isns in ISNS {
            meets(&|variant| variant.isns == isns);
        }
        for client in Side::BOTH {
            meets(&|variant| variant.client == client);
        }
        for stamped in [false, true] {
            meets(&|variant| variant.timestamps == [stamped; 2]);
        }
        for clocks in CLOCKS {
            meets(&|variant| variant.clocks == clocks);
        }
    }

    #[test]
    fn what_a_script_names_is_fixed() {
        let of = |setup: &str, line: &str| {
            ways(&variants(&format!(
                "setup local-ack {setup}\nhandshake\n{line}\n"
            )))
        };
        let plain = "0 I 1:1001 => ...";
        let shifts = |ways: &BTreeSet<Offer>| {
            let shifts = ways.iter().map(|&(_, [of_s, _])| of_s);
            shifts.collect::<BTreeSet<_>>()
        };
        let sacks = |ways: &BTreeSet<Offer>| {
            let sacks = ways.iter().map(|&(sack, _)| sack);
            sacks.collect::<BTreeSet<_>>()
        };
        for line in [
            "0 O . 1 ack 1 sack 1001:2001 => ...",
            "0 I 1:1001 => >I . ack 1001 dsack 1:1001; ...",
        ] {
            assert_eq!(sacks(&of("", line)), [[true; 2]].into());
        }
        assert_eq!(sacks(&of("", "0 I 1:1001 => >I sack none; ...")).len(), 2);
        assert_eq!(sacks(&of("sack off", plain)), [[false; 2]].into());
        assert_eq!(sacks(&of("R.sack off", plain)).len(), 2);
        assert_eq!(
            of("shift 7 sack on", plain),
            [([true; 2], [Some(7); 2])].into()
        );
        assert_eq!(
            of("S.shift off sack on", plain),
            [([true; 2], [None, Some(0)])].into()
        );
        let unscaled: BTreeSet<_> = [None, Some(0)].into();
        assert_eq!(shifts(&of("R.w 4001", plain)), unscaled);
        for line in [
            "0 O . 1 ack 1 w4001 => ...",
            "0 I 1:1001 => >I edge 5001; ...",
            "0 O R E => ...",
            "0 O . 1 ack E+1 => ...",
            "0 check edge 5001",
        ] {
            assert_eq!(shifts(&of("", line)), unscaled, "{line}");
        }
        assert_eq!(shifts(&of("", plain)).len(), 3);
        assert_eq!(
            variants("setup shift 0 sack on ts on\nhandshake\n").len(),
            36
        );
    }
}
