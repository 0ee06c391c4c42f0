use std::vec;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use super::packets::{Sample, TcpOption, any_sample, plain_sum, segment_of, with_pseudo_header};
use crate::seq::{SeqNum, SeqRange};
use crate::wire::checksum::{pseudo_header, verify};
use crate::wire::{ChecksumKind, Flags, IpVersion, Rewrite, Segment, Timestamps};

/// One edit.
#[derive(Clone, Debug)]
enum Edit {
    Seq(u32),
    Ack(u32),
    Window(u16),
    Urgent(u16),
    Flags(u8, u8),
    TsVal(u32),
    TsEcr(u32),
    Mss(u16),
    EraseSack,
    ReplaceSack(Vec<SeqRange>),
}

impl Edit {
    fn apply(&self, rewrite: &mut Rewrite<'_>) {
        match self {
            Self::Seq(seq) => rewrite.set_seq(SeqNum::new(*seq)),
            Self::Ack(ack) => rewrite.set_ack(SeqNum::new(*ack)),
            Self::Window(window) => rewrite.set_window(*window),
            Self::Urgent(urgent) => rewrite.set_urgent(*urgent),
            Self::Flags(set, clear) => {
                rewrite.set_flags(Flags::from_bits(*set), Flags::from_bits(*clear));
            }
            Self::TsVal(tsval) => rewrite.set_tsval(*tsval),
            Self::TsEcr(tsecr) => rewrite.set_tsecr(*tsecr),
            Self::Mss(mss) => rewrite.set_mss(*mss),
            Self::EraseSack => rewrite.erase_sack(),
            Self::ReplaceSack(blocks) => rewrite.replace_sack(blocks),
        }
    }
}

fn any_edits() -> impl Strategy<Value = Vec<Edit>> {
    let block = (any::<u32>(), 1u32..1 << 20).prop_map(|(start, len)| range(start, len));
    collection::vec(
        prop_oneof![
            any::<u32>().prop_map(Edit::Seq),
            any::<u32>().prop_map(Edit::Ack),
            any::<u16>().prop_map(Edit::Window),
            any::<u16>().prop_map(Edit::Urgent),
            any::<(u8, u8)>().prop_map(|(set, clear)| Edit::Flags(set, clear)),
            any::<u32>().prop_map(Edit::TsVal),
            any::<u32>().prop_map(Edit::TsEcr),
            any::<u16>().prop_map(Edit::Mss),
            Just(Edit::EraseSack),
            collection::vec(block, 0..6).prop_map(Edit::ReplaceSack),
        ],
        1..8,
    )
}

fn range(start: u32, len: u32) -> SeqRange {
    SeqRange::new(SeqNum::new(start), SeqNum::new(start).advance(len))
}

fn edit_with(packet: &mut [u8], checksum: ChecksumKind, edits: &[Edit]) -> bool {
    let seg = segment_of(packet);
    let mut rewrite = Rewrite::new(packet, &seg, checksum);
    for edit in edits {
        edit.apply(&mut rewrite);
    }
    rewrite.changed()
}

fn edit(packet: &mut [u8], edits: &[Edit]) -> bool {
    edit_with(packet, ChecksumKind::Full, edits)
}

/// The checksum field that `seg` must have, from scratch.
fn fresh_checksum(packet: &[u8], seg: &Segment) -> u16 {
    let mut tcp = packet[usize::from(seg.tcp_offset)..].to_vec();
    tcp[16..18].copy_from_slice(&[0, 0]);
    !plain_sum(&with_pseudo_header(seg.src, seg.dst, 6, &tcp))
}

fn blocks_of(packet: &[u8]) -> Vec<(u32, u32)> {
    let seg = segment_of(packet);
    seg.options
        .sack
        .as_slice()
        .iter()
        .map(|b| (b.left.raw(), b.right.raw()))
        .collect()
}

/// H1.8 and invariant 13, at each of the alignments that forty octets of options allow.
#[test]
fn a_delta_equals_a_fresh_checksum_at_every_alignment() {
    let edits = [
        Edit::TsVal(0xdead_beef),
        Edit::TsEcr(0x0102_0304),
        Edit::EraseSack,
    ];
    let (timestamps, sack) = (
        TcpOption::Timestamps(0x1122_3344, 0x5566_7788),
        [(7, 0xfff0_0001)],
    );
    for version in [IpVersion::V4, IpVersion::V6] {
        for lead in 0..=20 {
            for between in 0..=20 - lead {
                let list = [
                    vec![1; lead],
                    timestamps.octets(),
                    vec![1; between],
                    TcpOption::Sack(sack.to_vec()).octets(),
                ]
                .concat();
                let before = Sample::new(version, &list, b"odd").packet();
                for edit_count in 1..=edits.len() {
                    let mut packet = before.clone();
                    assert!(edit(&mut packet, &edits[..edit_count]));
                    let seg = segment_of(&packet);
                    assert_eq!(
                        seg.checksum,
                        fresh_checksum(&packet, &seg),
                        "{lead} {between}"
                    );
                    assert!(verify(&packet, &seg));
                }
            }
        }
    }
}

/// T06: options laid out NOP, timestamps, end of list; TSecr stands at an odd offset.
#[test]
fn t06_odd_options_keep_a_good_checksum_good_and_a_bad_one_bad() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let list = [vec![1], TcpOption::Timestamps(100, 7).octets(), vec![0]].concat();
        let mut packet = Sample::new(version, &list, b"reply").packet();
        let edits = [
            Edit::Ack(0x0000_03d1),
            Edit::Window(4000),
            Edit::TsEcr(0x00c0_ffee),
        ];

        edit(&mut packet, &edits);
        let seg = segment_of(&packet);
        assert_eq!(seg.options.tsopt_offset % 2, 1);
        assert_eq!(
            seg.options.timestamps,
            Some(Timestamps {
                val: 100,
                ecr: 0x00c0_ffee
            })
        );
        assert!(verify(&packet, &seg));

        *packet.last_mut().unwrap() ^= 0x10;
        edit(&mut packet, &[Edit::TsEcr(3), Edit::Ack(99)]);
        assert!(!verify(&packet, &segment_of(&packet)));
    }
}

/// H1.8: of a SYN whose segment size is clamped nothing else changes but the checksum.
#[test]
fn a_clamped_segment_size_stands_where_the_announced_one_stood() {
    for version in [IpVersion::V4, IpVersion::V6] {
        for lead in 0..8 {
            let options = |mss| {
                let own = [TcpOption::WindowScale(7), TcpOption::Mss(mss)].map(|o| o.octets());
                [
                    vec![1; lead],
                    own.concat(),
                    TcpOption::SackPermitted.octets(),
                ]
                .concat()
            };
            let mut packet = Sample::new(version, &options(1460), b"").packet();
            assert!(edit(&mut packet, &[Edit::Mss(1001)]));
            assert_eq!(packet, Sample::new(version, &options(1001), b"").packet());
        }
        let without = [TcpOption::SackPermitted.octets(), vec![0], vec![2, 4, 9, 9]].concat();
        let mut packet = Sample::new(version, &without, b"").packet();
        assert!(
            !edit(&mut packet, &[Edit::Mss(1001)]),
            "behind the end of the list"
        );
    }
}

/// H1.5, H1.10: the blocks go, the length stays.
#[test]
fn an_erased_sack_option_leaves_no_operations() {
    let list = [
        &[1u8, 1][..],
        &TcpOption::Sack([(1, 2), (5, 9)].to_vec()).octets(),
    ]
    .concat();
    let mut packet = Sample::new(IpVersion::V4, &list, b"").packet();
    assert!(edit(&mut packet, &[Edit::EraseSack]));
    let seg = segment_of(&packet);
    assert_eq!(seg.header(&packet)[20..], [1; 20]);
    assert!(seg.options.sack.is_empty());
    assert_eq!(seg.options.sack_offset, 0);
}

#[test]
fn replaced_blocks_use_the_room_there_is() {
    let list = TcpOption::Sack([(1, 2), (5, 9), (20, 21)].to_vec()).octets();
    let original = Sample::new(IpVersion::V6, &list, b"").packet();
    let blocks = [
        range(100, 50),
        range(u32::MAX - 4, 10),
        range(300, 1),
        range(400, 1),
    ];

    let mut packet = original.clone();
    edit(&mut packet, &[Edit::ReplaceSack(blocks[..2].to_vec())]);
    assert_eq!(blocks_of(&packet), [(100, 150), (u32::MAX - 4, 5)]);
    let seg = segment_of(&packet);
    assert_eq!(seg.options.sack_len, 18);
    assert_eq!(seg.header(&packet)[38..46], [1; 8]);

    let mut packet = original.clone();
    edit(&mut packet, &[Edit::ReplaceSack(blocks.to_vec())]);
    assert_eq!(
        blocks_of(&packet),
        [(100, 150), (u32::MAX - 4, 5), (300, 301)]
    );

    // The room stays the editor's even after it was emptied.
    let mut packet = original;
    edit(
        &mut packet,
        &[Edit::EraseSack, Edit::ReplaceSack(blocks[..3].to_vec())],
    );
    assert_eq!(blocks_of(&packet).len(), 3);
}

#[test]
fn edits_of_absent_options_do_nothing() {
    let mut packet = Sample::new(IpVersion::V4, &[1, 1, 1, 1], b"data").packet();
    let before = packet.clone();
    let edits = [
        Edit::TsVal(1),
        Edit::TsEcr(2),
        Edit::EraseSack,
        Edit::ReplaceSack(vec![range(1, 1)]),
    ];
    assert!(!edit(&mut packet, &edits));
    assert_eq!(packet, before);
}

#[test]
fn flags_are_set_and_then_cleared() {
    let mut packet = Sample::new(IpVersion::V4, &[], b"data").packet();
    let set = Flags::ECE.union(Flags::FIN);
    edit(
        &mut packet,
        &[Edit::Flags(set.bits(), Flags::PSH.union(Flags::FIN).bits())],
    );
    assert_eq!(segment_of(&packet).flags, Flags::ACK.union(Flags::ECE));
}

#[test]
fn a_partial_checksum_covers_no_field_that_is_edited() {
    let mut packet = Sample::new(IpVersion::V4, &[], b"data").packet();
    let seg = segment_of(&packet);
    let partial = pseudo_header(seg.src, seg.dst, seg.tcp_len()).fold();
    packet[36..38].copy_from_slice(&partial.to_be_bytes());
    assert!(edit_with(
        &mut packet,
        ChecksumKind::Partial,
        &[Edit::Ack(7), Edit::Window(9)]
    ));
    let seg = segment_of(&packet);
    assert_eq!((seg.ack.raw(), seg.window, seg.checksum), (7, 9, partial));
}

#[test]
fn a_packet_too_short_for_the_segment_is_left_alone() {
    let packet = Sample::new(IpVersion::V4, &[], b"data").packet();
    let seg = segment_of(&packet);
    let mut short = packet[..39].to_vec();
    let mut rewrite = Rewrite::new(&mut short, &seg, ChecksumKind::Full);
    rewrite.set_ack(SeqNum::new(1));
    rewrite.set_flags(Flags::FIN, Flags::NONE);
    assert!(!rewrite.changed());
    assert_eq!(short, packet[..39]);
}

proptest! {
    /// Invariant 13: valid after if and only if valid before.
    #[test]
    fn edits_keep_the_checksum_as_good_or_bad_as_it_was(
        sample in any_sample(),
        edits in any_edits(),
        error in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
    ) {
        let mut packet = sample.packet();
        if let Some((at, bits)) = error.filter(|_| !sample.payload.is_empty()) {
            let payload = packet.len() - sample.payload.len();
            packet[payload + at.index(sample.payload.len())] ^= bits;
        }
        let before = packet.clone();
        let valid = verify(&packet, &segment_of(&packet));
        let changed = edit(&mut packet, &edits);

        let seg = segment_of(&packet);
        prop_assert_eq!(verify(&packet, &seg), valid);
        prop_assert!(changed || packet == before);
        if valid {
            prop_assert_eq!(seg.checksum, fresh_checksum(&packet, &seg));
        }
        let tcp = usize::from(seg.tcp_offset);
        prop_assert_eq!(packet.len(), before.len());
        prop_assert_eq!(&packet[..tcp], &before[..tcp]);
        prop_assert_eq!(seg.payload(&packet), segment_of(&before).payload(&before));
    }

    #[test]
    fn the_last_edit_of_each_field_is_what_is_read(sample in any_sample(), edits in any_edits()) {
        let mut packet = sample.packet();
        let mut expected = segment_of(&packet);
        edit(&mut packet, &edits);
        for edit in &edits {
            match edit {
                Edit::Seq(seq) => expected.seq = SeqNum::new(*seq),
                Edit::Ack(ack) => expected.ack = SeqNum::new(*ack),
                Edit::Window(window) => expected.window = *window,
                Edit::Urgent(urgent) => expected.urgent = *urgent,
                Edit::Flags(set, clear) => {
                    expected.flags = Flags::from_bits((expected.flags.bits() | set) & !clear);
                }
                Edit::TsVal(tsval) => {
                    expected.options.timestamps =
                        expected.options.timestamps.map(|ts| Timestamps { val: *tsval, ..ts });
                }
                Edit::TsEcr(tsecr) => {
                    expected.options.timestamps =
                        expected.options.timestamps.map(|ts| Timestamps { ecr: *tsecr, ..ts });
                }
                Edit::Mss(mss) => expected.options.mss = expected.options.mss.map(|_| *mss),
                Edit::EraseSack | Edit::ReplaceSack(_) => {}
            }
        }
        // Blocks have tests of their own, the checksum too.
        let found = segment_of(&packet);
        expected.checksum = found.checksum;
        expected.options.sack = found.options.sack;
        expected.options.sack_offset = found.options.sack_offset;
        expected.options.sack_len = found.options.sack_len;
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn writing_what_is_there_changes_nothing(sample in any_sample()) {
        let mut packet = sample.packet();
        let before = packet.clone();
        let mut edits = vec![
            Edit::Seq(sample.seq),
            Edit::Ack(sample.ack),
            Edit::Window(sample.window),
            Edit::Urgent(sample.urgent),
            Edit::Flags(sample.flags, 0),
        ];
        if let Some(timestamps) = segment_of(&packet).options.timestamps {
            edits.extend([Edit::TsVal(timestamps.val), Edit::TsEcr(timestamps.ecr)]);
        }
        prop_assert!(!edit(&mut packet, &edits));
        prop_assert_eq!(packet, before);
    }
}
