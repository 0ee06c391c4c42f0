//! The option walker against a plain loop.

use localack_core::wire::{KindSet, Options, Timestamps, kind};

/// Octets of a TCP header without options: where the list begins.
const LIST_OFFSET: usize = 20;
/// More than six times what a header holds.
const LONGEST: usize = 255;

/// Reads `octets` as an option list, and again with the plain loop.
///
/// # Panics
/// If the two differ in anything.
pub fn options(octets: &[u8]) {
    let list = &octets[..octets.len().min(LONGEST)];
    let read = Options::read(list);
    let expected = Plain::read(list);
    let blocks: Vec<_> = read
        .sack
        .as_slice()
        .iter()
        .map(|b| (b.left.raw(), b.right.raw()))
        .collect();
    assert_eq!(read.mss, expected.mss);
    assert_eq!(read.window_scale, expected.window_scale);
    assert_eq!(read.sack_permitted, expected.sack_permitted);
    assert_eq!(read.timestamps, expected.timestamps);
    assert_eq!(blocks, expected.sack);
    assert_eq!(read.unusual, KindSet::of(&expected.unusual));
    assert_eq!(read.malformed, expected.malformed);
    assert_eq!(usize::from(read.tsopt_offset), expected.tsopt_offset);
    assert_eq!(usize::from(read.sack_offset), expected.sack_offset);
    assert_eq!(usize::from(read.sack_len), expected.sack_len);
}

/// What the plain loop finds.
#[derive(Default)]
struct Plain {
    mss: Option<u16>,
    window_scale: Option<u8>,
    sack_permitted: bool,
    timestamps: Option<Timestamps>,
    sack: Vec<(u32, u32)>,
    unusual: Vec<u8>,
    malformed: bool,
    tsopt_offset: usize,
    sack_offset: usize,
    sack_len: usize,
}

impl Plain {
    /// Kind and length, one after the other, as RFC 9293 section 3.1 has it.
    fn read(list: &[u8]) -> Self {
        let mut plain = Self::default();
        let mut at = 0;
        while at < list.len() && list[at] != kind::END {
            if list[at] == kind::NOP {
                at += 1;
                continue;
            }
            let length = list.get(at + 1).map_or(0, |&length| usize::from(length));
            if length < 2 || at + length > list.len() {
                plain.malformed = true;
                break;
            }
            plain.note(list[at], at + LIST_OFFSET, &list[at + 2..at + length]);
            at += length;
        }
        plain
    }

    fn note(&mut self, kind: u8, offset: usize, body: &[u8]) {
        let word =
            |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four octets"));
        match (kind, body.len()) {
            (kind::MSS, 2) if self.mss.is_none() => {
                self.mss = Some(u16::from_be_bytes([body[0], body[1]]));
            }
            (kind::WINDOW_SCALE, 1) if self.window_scale.is_none() => {
                self.window_scale = Some(body[0]);
            }
            (kind::SACK_PERMITTED, 0) => self.sack_permitted = true,
            (kind::TIMESTAMPS, 8) if self.timestamps.is_none() => {
                self.timestamps = Some(Timestamps {
                    val: word(0),
                    ecr: word(4),
                });
                self.tsopt_offset = offset + 2;
            }
            (kind::SACK, 8 | 16 | 24 | 32) if self.sack.is_empty() => {
                self.sack = (0..body.len())
                    .step_by(8)
                    .map(|at| (word(at), word(at + 4)))
                    .collect();
                self.sack_offset = offset;
                self.sack_len = body.len() + 2;
            }
            (
                kind::MSS
                | kind::WINDOW_SCALE
                | kind::SACK_PERMITTED
                | kind::TIMESTAMPS
                | kind::SACK,
                _,
            ) => self.malformed = true,
            _ => self.unusual.push(kind),
        }
    }
}
