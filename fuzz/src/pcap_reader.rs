//! The reader of captures on any octets.

use std::io::{self, Read};

use localack_pcap::source::{Frame, LinkType, Source};

/// Octets of the largest frame that the reader believes.
const LARGEST_FRAME: usize = 262_144;
/// Octets of the shortest record of a frame: a classic one of no octets, or the smallest block.
const SHORTEST_RECORD: u64 = 16;

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
        lies_in(&octets[octet(before)..octet(after)], &kept.data);
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

/// That `data` is somewhere in the octets between the end of one frame's record and of the next.
fn lies_in(record: &[u8], data: &[u8]) {
    assert!(
        data.is_empty() || record.windows(data.len()).any(|window| window == data),
        "a frame that its record does not hold"
    );
}
