//! The reader of captures on any octets.

use std::io::{self, Read};

use localack_pcap::source::{Format, Frame, LinkType, Source};

/// Octets of the largest frame that the reader believes.
const LARGEST_FRAME: usize = 262_144;
/// Octets of the shortest record of a frame: a classic one of no octets, or the smallest block.
const SHORTEST_RECORD: u64 = 16;

/// The pcapng block whose frame comes right after one word.
const SIMPLE_PACKET: u32 = 3;

/// A stream that gives so many octets at a time.
struct Pieces {
    octets: Vec<u8>,
    at: usize,
    each: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len()).min(self.each);
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// A frame as it is remembered.
#[derive(PartialEq, Eq, Debug)]
struct Kept {
    data: Vec<u8>,
    wire_len: usize,
    time: Option<i128>,
    clock: u32,
    link: LinkType,
}

impl Kept {
    fn new(frame: &Frame<'_>) -> Self {
        Self {
            data: frame.data.to_vec(),
            wire_len: frame.wire_len,
            time: frame.time,
            clock: frame.clock,
            link: frame.link,
        }
    }
}

/// Reads `octets` as a capture, at once and in pieces.
///
/// # Panics
/// If a frame does not lie in the record it was read from, the reader does not move on or uses more
/// than there is, or pieces are read otherwise than the whole.
pub fn pcap_reader(octets: &[u8]) {
    let whole = read(octets, octets.len().max(1));
    // A piece of one octet now and then, and otherwise of a few.
    let each = 1 + usize::from(octets.last().copied().unwrap_or(0) & 0x1f);
    assert_eq!(whole, read(octets, each), "read {each} octets at a time");
}

/// All frames, and where reading ended; `None` if it is no capture.
fn read(octets: &[u8], each: usize) -> Option<(Vec<Kept>, u64)> {
    let input = Pieces {
        octets: octets.to_vec(),
        at: 0,
        each,
    };
    let mut source = Source::new(input).ok()?;
    let length = octets.len() as u64;
    let mut frames = Vec::new();
    let mut before = source.offset();
    while let Some(frame) = source.next_frame() {
        let kept = Kept::new(&frame);
        assert!(kept.wire_len >= kept.data.len() && kept.data.len() <= LARGEST_FRAME);
        let after = source.offset();
        assert!(
            after >= before + SHORTEST_RECORD && after <= length,
            "{before} .. {after} of {length}"
        );
        assert!(
            is_frame_of(
                source.format(),
                &octets[octet(before)..octet(after)],
                &kept.data
            ),
            "{kept:?} at {before} .. {after}"
        );
        frames.push(kept);
        before = after;
    }
    let end = source.offset();
    match source.cut() {
        // Whoever reads on from there finds what could not be used.
        Some(cut) => assert!(cut.offset >= before && cut.offset <= length),
        None => assert_eq!(end, length, "something was left out"),
    }
    assert!(source.next_frame().is_none() && source.offset() == end);
    Some((frames, end))
}

fn octet(offset: u64) -> usize {
    usize::try_from(offset).expect("a short file")
}

/// Whether `data` is the frame of the record that ends where `octets` end; other records may come before.
fn is_frame_of(format: Format, octets: &[u8], data: &[u8]) -> bool {
    if format != Format::Pcapng {
        return octets.ends_with(data);
    }
    let Some(&length) = octets.last_chunk() else {
        return false;
    };
    [u32::from_le_bytes, u32::from_be_bytes]
        .into_iter()
        .any(|word: fn([u8; 4]) -> u32| {
            let block = usize::try_from(word(length))
                .ok()
                .and_then(|length| octets.len().checked_sub(length))
                .and_then(|start| octets.get(start..));
            block.is_some_and(|block| {
                let kind = block.first_chunk().map(|&kind| word(kind));
                let head = if kind == Some(SIMPLE_PACKET) { 12 } else { 28 };
                block.get(head..).is_some_and(|rest| rest.starts_with(data))
            })
        })
}
