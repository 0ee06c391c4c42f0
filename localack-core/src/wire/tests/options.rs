use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use super::packets::{TcpOption, any_options};
use crate::seq::SeqNum;
use crate::wire::{KindSet, Options, SackBlock, Timestamps, kind};

fn read(options: &[TcpOption]) -> Options {
    Options::read(
        &options
            .iter()
            .flat_map(TcpOption::octets)
            .collect::<Vec<_>>(),
    )
}

/// An option's kind, its offset in the TCP header and its body.
type Found<'l> = (u8, usize, &'l [u8]);

/// The walk that RFC 9293 section 3.1 describes, by index: every option, and whether the list
/// is in order.
fn plain_walk(list: &[u8]) -> (Vec<Found<'_>>, bool) {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < list.len() && list[at] != 0 {
        if list[at] == 1 {
            at += 1;
            continue;
        }
        let Some(&len) = list.get(at + 1) else {
            return (found, false);
        };
        let end = at + usize::from(len);
        if len < 2 || end > list.len() {
            return (found, false);
        }
        found.push((list[at], 20 + at, &list[at + 2..end]));
        at = end;
    }
    (found, true)
}

#[test]
fn an_unknown_kind_hides_nothing_behind_it() {
    let options = read(&[
        TcpOption::Nop,
        TcpOption::Unusual(kind::EXPERIMENT_1, [0xf9, 0x89].to_vec()),
        TcpOption::Unusual(kind::MULTIPATH, [0; 4].to_vec()),
        TcpOption::Sack([(9, 4)].to_vec()),
    ]);
    // The edges are kept as sent, reversed or not.
    let block = SackBlock {
        left: SeqNum::new(9),
        right: SeqNum::new(4),
    };
    assert_eq!(options.sack.as_slice(), [block]);
    assert_eq!((options.sack_offset, options.sack_len), (31, 10));
    assert_eq!(
        options.unusual,
        KindSet::of(&[kind::EXPERIMENT_1, kind::MULTIPATH])
    );
    assert!(!options.malformed);
}

#[test]
fn the_end_of_the_list_ends_it() {
    let options = Options::read(&[1, 3, 3, 7, 0, 2, 4, 5, 180, 19, 0xff]);
    assert_eq!(options.window_scale, Some(7));
    assert_eq!(options.mss, None);
    assert!(options.unusual.is_empty() && !options.malformed);
}

#[test]
fn an_impossible_length_stops_the_walk_and_keeps_what_came_before() {
    for tail in [
        &[2u8, 0][..],
        &[2, 1],
        &[2, 4, 5],
        &[30, 200, 0, 0],
        &[8],
        &[253],
    ] {
        let list = [&[3, 3, 7], tail].concat();
        let options = Options::read(&list);
        assert!(options.malformed, "{list:?}");
        assert_eq!(options.window_scale, Some(7), "{list:?}");
        assert_eq!(options.mss, None, "{list:?}");
    }
}

#[test]
fn a_known_kind_of_the_wrong_length_is_malformed_and_not_read() {
    let wrong = [
        &[2u8, 3, 5][..],
        &[3, 4, 7, 7],
        &[4, 3, 0],
        &[8, 6, 0, 0, 0, 1],
        &[5, 2],
        &[5, 6, 0, 0, 0, 1],
        &[5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0],
    ];
    for option in wrong {
        let list = [option, &[19, 2]].concat();
        let options = Options::read(&list);
        let only_md5 = Options {
            unusual: KindSet::of(&[kind::MD5]),
            malformed: true,
            ..Options::default()
        };
        assert_eq!(options, only_md5, "{list:?}");
    }
}

#[test]
fn of_a_repeated_kind_the_first_counts_and_the_list_is_malformed() {
    let repeated = |first, second| {
        let options = read(&[first, TcpOption::Nop, second]);
        assert!(options.malformed, "{options:?}");
        options
    };
    let options = repeated(TcpOption::Timestamps(1, 2), TcpOption::Timestamps(3, 4));
    assert_eq!(options.timestamps, Some(Timestamps { val: 1, ecr: 2 }));
    assert_eq!(options.tsopt_offset, 22);
    let options = repeated(
        TcpOption::Sack([(1, 2)].to_vec()),
        TcpOption::Sack([(3, 4)].to_vec()),
    );
    assert_eq!((options.sack_offset, options.sack_len), (20, 10));
    assert_eq!(repeated(TcpOption::Mss(1), TcpOption::Mss(2)).mss, Some(1));
    let scale = repeated(TcpOption::WindowScale(1), TcpOption::WindowScale(2)).window_scale;
    assert_eq!(scale, Some(1));
}

proptest! {
    #[test]
    fn any_octets_are_walked_to_their_end(list in collection::vec(any::<u8>(), 0..=40)) {
        check_against_plain_walk(&list)?;
    }

    #[test]
    fn any_octets_of_likely_kinds_are_walked_to_their_end(
        list in collection::vec(prop_oneof![0u8..=12, any::<u8>()], 0..=40),
    ) {
        check_against_plain_walk(&list)?;
    }

    #[test]
    fn every_option_laid_out_is_found(options in any_options()) {
        let found = read(&options);
        prop_assert!(!found.malformed);
        let mut offset = 20u16;
        let mut expected = Options::default();
        for option in &options {
            match option {
                TcpOption::Nop => {}
                TcpOption::Mss(mss) => expected.mss = Some(*mss),
                TcpOption::WindowScale(shift) => expected.window_scale = Some(*shift),
                TcpOption::SackPermitted => expected.sack_permitted = true,
                TcpOption::Timestamps(val, ecr) => {
                    expected.timestamps = Some(Timestamps { val: *val, ecr: *ecr });
                    expected.tsopt_offset = offset + 2;
                }
                TcpOption::Sack(blocks) => {
                    let read: Vec<_> =
                        found.sack.as_slice().iter().map(|b| (b.left.raw(), b.right.raw())).collect();
                    prop_assert_eq!(&read, blocks);
                    expected.sack = found.sack;
                    expected.sack_offset = offset;
                    expected.sack_len = 2 + 8 * blocks.len() as u16;
                }
                TcpOption::Unusual(kind, _) => expected.unusual.insert(*kind),
            }
            offset += option.octets().len() as u16;
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_set_of_kinds_is_a_set(a in collection::btree_set(any::<u8>(), 0..9), b in collection::btree_set(any::<u8>(), 0..9)) {
        let set = |kinds: &BTreeSet<u8>| KindSet::of(&kinds.iter().copied().collect::<Vec<_>>());
        let (x, y) = (set(&a), set(&b));
        prop_assert!(x.iter().eq(a.iter().copied()));
        prop_assert!((0..=u8::MAX).all(|kind| x.contains(kind) == a.contains(&kind)));
        prop_assert_eq!(x.is_empty(), a.is_empty());
        prop_assert_eq!(x.intersects(&y), a.intersection(&b).next().is_some());
        prop_assert_eq!(x == y, a == b);
        prop_assert_eq!(x.folded(), a.iter().fold(0, |word, kind| word | 1 << (kind % 32)));
    }
}

fn check_against_plain_walk(list: &[u8]) -> Result<(), TestCaseError> {
    let options = Options::read(list);
    let (walked, in_order) = plain_walk(list);
    let (mut unusual, mut kinds, mut sound) = (KindSet::EMPTY, BTreeSet::new(), in_order);
    for (kind, offset, body) in walked {
        let first = kinds.insert(kind);
        match (kind, body.len()) {
            (2, 2) | (3, 1) => sound &= first,
            (8, 8) if options.tsopt_offset == offset as u16 + 2 => {
                let ecr = &body[4..];
                prop_assert_eq!(options.timestamps.unwrap().ecr.to_be_bytes(), ecr);
            }
            (5, 8 | 16 | 24 | 32) if options.sack_offset == offset as u16 => {
                prop_assert_eq!(options.sack.as_slice().len() * 8, body.len());
                prop_assert_eq!(usize::from(options.sack_len), body.len() + 2);
            }
            (4, 0) => prop_assert!(options.sack_permitted),
            (2 | 3 | 4 | 5 | 8, _) => sound = false,
            (unknown, _) => unusual.insert(unknown),
        }
    }
    // A second SACK or timestamps option falls to the arm of the unsound ones; a wrong first one of
    // any kind before a right second one is unsound by itself.
    prop_assert_eq!(options.unusual, unusual);
    prop_assert_eq!(options.malformed, !sound);
    Ok(())
}
