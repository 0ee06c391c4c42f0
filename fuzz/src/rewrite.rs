//! The editor: it changes what it is told to, and launders nothing.

use core::net::IpAddr;

use localack_core::wire::{ChecksumKind, Flags, Options, Parsed, Rewrite, Segment, parse};
use localack_core::{SeqNum, SeqRange};

use crate::input::Input;

/// Edits in one input, at most.
const MOST_EDITS: u8 = 15;

/// One edit and its operands.
struct Edit {
    what: u8,
    a: u32,
    b: u32,
}

/// Applies the edits at the start of `octets` to the packet behind them.
///
/// The first octet holds the number of edits, and in its highest bit whether the checksum is a
/// partial one; each edit is an octet and two 32-bit numbers.
///
/// # Panics
/// If anything but the edited fields changes, or a checksum that was right (wrong) is not right
/// (wrong in the same way) afterwards.
pub fn rewrite(octets: &[u8]) {
    let mut input = Input(octets);
    let Some(head) = input.u8() else { return };
    let kind = if head & 0x80 == 0 {
        ChecksumKind::Full
    } else {
        ChecksumKind::Partial
    };
    let mut edits = Vec::new();
    for _ in 0..head & MOST_EDITS {
        let (Some(what), Some(a), Some(b)) = (input.u8(), input.u32(), input.u32()) else {
            return;
        };
        edits.push(Edit { what, a, b });
    }
    let original = input.0;
    let Parsed::Tcp(before) = parse(original) else {
        return;
    };
    let mut packet = original.to_vec();
    let mut expected = before;
    let changed = apply(&mut packet, &before, kind, &edits, &mut expected);

    let Parsed::Tcp(after) = parse(&packet) else {
        panic!("an edit broke the packet")
    };
    assert!(changed || packet == original);
    let (head, tail) = (
        ..usize::from(before.tcp_offset),
        usize::from(before.payload_offset)..,
    );
    assert_eq!(
        packet[head], original[head],
        "an edit reached the IP header"
    );
    assert_eq!(
        packet[tail.clone()],
        original[tail],
        "an edit reached the payload"
    );
    match kind {
        ChecksumKind::Full => assert_eq!(
            residue(&packet, &after),
            residue(original, &before),
            "the error of the checksum is not what it was (rule H1.8)"
        ),
        ChecksumKind::Partial => assert_eq!(after.checksum, before.checksum),
    }
    // With a repeated option the one behind an edited one may come to light.
    if !before.options.malformed {
        expected.checksum = after.checksum;
        assert_eq!(after, expected);
    }
}

/// Applies `edits` to `packet` and, in the plainest way, to what `expected` says of it.
fn apply(
    packet: &mut [u8],
    seg: &Segment,
    kind: ChecksumKind,
    edits: &[Edit],
    expected: &mut Segment,
) -> bool {
    let mut rewrite = Rewrite::new(packet, seg, kind);
    for &Edit { what, a, b } in edits {
        let seq = SeqNum::new(a);
        let [.., low_a, low_b] = a.to_be_bytes();
        let short = u16::from_be_bytes([low_a, low_b]);
        match what & 7 {
            0 => {
                rewrite.set_seq(seq);
                expected.seq = seq;
            }
            1 => {
                rewrite.set_ack(seq);
                expected.ack = seq;
            }
            2 => {
                rewrite.set_window(short);
                expected.window = short;
            }
            3 => {
                rewrite.set_urgent(short);
                expected.urgent = short;
            }
            4 => {
                let (set, clear) = (Flags::from_bits(low_a), Flags::from_bits(low_b));
                rewrite.set_flags(set, clear);
                expected.flags = expected.flags.union(set).without(clear);
            }
            5 => {
                rewrite.set_tsval(a);
                if let Some(timestamps) = &mut expected.options.timestamps {
                    timestamps.val = a;
                }
            }
            6 => {
                rewrite.set_tsecr(a);
                if let Some(timestamps) = &mut expected.options.timestamps {
                    timestamps.ecr = a;
                }
            }
            _ => {
                let blocks = blocks(seq, b, usize::from(what >> 3) % 6);
                rewrite.replace_sack(&blocks);
                expected.options = options_with(expected.options, seg, &blocks);
            }
        }
    }
    rewrite.changed()
}

/// `count` blocks from `first` on.
fn blocks(first: SeqNum, length: u32, count: usize) -> Vec<SeqRange> {
    (0..6_u32)
        .map(|position| {
            let start = first.advance(position.wrapping_mul(0x0100_0001));
            SeqRange::new(start, start.advance(length >> 2))
        })
        .take(count)
        .collect()
}

/// What `options` become with `blocks` in the place of the SACK option of `original`: as many as
/// fit.
fn options_with(mut options: Options, original: &Segment, blocks: &[SeqRange]) -> Options {
    let room = usize::from(original.options.sack_len.saturating_sub(2) / 8);
    let kept = &blocks[..blocks.len().min(room)];
    let length = u8::try_from(2 + 8 * kept.len()).expect("at most four blocks");
    let mut list = vec![5, length];
    for block in kept {
        list.extend(block.start().raw().to_be_bytes());
        list.extend(block.end().raw().to_be_bytes());
    }
    options.sack = Options::read(&list).sack;
    (options.sack_offset, options.sack_len) = match kept {
        [] => (0, 0),
        _ => (original.options.sack_offset, u16::from(length)),
    };
    options
}

/// The sum of everything that the checksum covers, itself included: 0xffff if it is right.
fn residue(packet: &[u8], seg: &Segment) -> u16 {
    let mut covered = Vec::new();
    for address in [seg.src, seg.dst] {
        match address {
            IpAddr::V4(address) => covered.extend(address.octets()),
            IpAddr::V6(address) => covered.extend(address.octets()),
        }
    }
    covered.extend(seg.tcp_len().to_be_bytes());
    covered.extend([0, 6]);
    covered.extend(seg.header(packet));
    covered.extend(seg.payload(packet));
    covered.resize(covered.len().next_multiple_of(2), 0);
    let mut sum: u64 = covered
        .chunks_exact(2)
        .map(|word| u64::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}
