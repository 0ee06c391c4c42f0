//! TCP options: one walk over the list that visits every kind, known or not.

use core::fmt;

use super::bytes::Reader;
use crate::seq::SeqNum;

/// Option kinds that matter to an engine in the path, as IANA numbers them.
pub mod kind {
    /// End of option list (RFC 9293).
    pub const END: u8 = 0;
    /// No operation (RFC 9293).
    pub const NOP: u8 = 1;
    /// Maximum segment size (RFC 9293).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted (RFC 2018).
    pub const SACK_PERMITTED: u8 = 4;
    /// Selective acknowledgement (RFC 2018).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323).
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5: u8 = 19;
    /// Authentication, TCP-AO (RFC 5925).
    pub const AUTHENTICATION: u8 = 29;
    /// Multipath TCP (RFC 8684).
    pub const MULTIPATH: u8 = 30;
    /// TCP Fast Open cookie (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
    /// Encryption negotiation, TCP-ENO (RFC 8547).
    pub const ENCRYPTION: u8 = 69;
    /// Accurate ECN, order 0 (RFC 9768).
    pub const ACCURATE_ECN_0: u8 = 172;
    /// Accurate ECN, order 1 (RFC 9768).
    pub const ACCURATE_ECN_1: u8 = 174;
    /// Experiment 1 (RFC 4727, RFC 6994), the number that SMC-R uses too (RFC 7609).
    pub const EXPERIMENT_1: u8 = 253;
    /// Experiment 2 (RFC 4727, RFC 6994), the number that SMC-R uses too (RFC 7609).
    pub const EXPERIMENT_2: u8 = 254;
}

/// The most octets of options that a TCP header holds.
pub(super) const MAX_OPTIONS_LEN: usize = 40;

/// The most blocks that fit in one SACK option: forty octets of options hold four.
pub const MAX_SACK_BLOCKS: usize = 4;

/// The values of a timestamps option (RFC 7323 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timestamps {
    /// TSval, the sender's clock.
    pub val: u32,
    /// TSecr, the echo of the receiver's.
    pub ecr: u32,
}

/// One block of a SACK option exactly as the segment has it, even if its edges are reversed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SackBlock {
    /// First sequence number of the block.
    pub left: SeqNum,
    /// Sequence number behind the block.
    pub right: SeqNum,
}

/// The blocks of a SACK option in their order, at most [`MAX_SACK_BLOCKS`].
///
/// A `heapless::Vec` would do but is not `Copy`, and a segment is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SackBlocks {
    blocks: [SackBlock; MAX_SACK_BLOCKS],
    count: u8,
}

impl SackBlocks {
    /// The blocks.
    #[must_use]
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads the body of a SACK option, or nothing if its length is not that of 1 ..= 4 blocks.
    fn read(body: &[u8]) -> Option<Self> {
        let (pairs, rest) = body.as_chunks::<8>();
        if pairs.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut list = Self {
            blocks: Default::default(),
            count: u8::try_from(pairs.len()).ok()?,
        };
        for (index, pair) in pairs.iter().enumerate() {
            let mut edges = Reader(pair);
            *list.blocks.get_mut(index)? = SackBlock {
                left: SeqNum::new(edges.u32()?),
                right: SeqNum::new(edges.u32()?),
            };
        }
        Some(list)
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// A set of option kinds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KindSet([u64; 4]);

impl KindSet {
    /// The set of no kinds.
    pub const EMPTY: Self = Self([0; 4]);

    /// The set of `kinds`.
    #[must_use]
    pub fn of(kinds: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        for &kind in kinds {
            set.insert(kind);
        }
        set
    }

    /// Adds a kind.
    pub fn insert(&mut self, kind: u8) {
        if let Some(word) = self.0.get_mut(usize::from(kind >> 6)) {
            *word |= 1 << (kind & 63);
        }
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub fn contains(&self, kind: u8) -> bool {
        self.0
            .get(usize::from(kind >> 6))
            .is_some_and(|word| (word >> (kind & 63)) & 1 == 1)
    }

    /// Whether no kind is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Whether some kind is in both sets.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    /// The set in one word: kinds 32 apart share a bit.
    pub(crate) fn folded(&self) -> u32 {
        let all = self.0.iter().fold(0, |all, word| all | word);
        let [a, b, c, d, e, f, g, h] = all.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) | u32::from_le_bytes([e, f, g, h])
    }

    /// The kinds in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|kind| self.contains(*kind))
    }
}

impl fmt::Debug for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The options of one segment.
///
/// When a kind with a value is repeated, the first one is kept and the list counts as malformed:
/// hosts differ in which one they obey.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Options {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale as sent; more than 14 means 14 (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// Whether SACK permitted is there.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Blocks of the SACK option.
    pub sack: SackBlocks,
    /// Every other kind but end of list and no operation.
    pub unusual: KindSet,
    /// Whether a length is impossible, runs past the header, or a kind is repeated. What was read
    /// before is kept.
    pub malformed: bool,
    /// Offset of TSval from the start of the TCP header; 0 if there is none.
    pub tsopt_offset: u16,
    /// Offset of the whole SACK option, kind and length octet included, from the start of the TCP
    /// header; 0 if there is none.
    pub sack_offset: u16,
    /// Octets of the whole SACK option; 0 if there is none.
    pub sack_len: u16,
}

impl Options {
    /// Reads an option list: all octets of the TCP header behind the first twenty.
    #[must_use]
    pub fn read(list: &[u8]) -> Self {
        // What nearly every segment carries, laid out as RFC 7323 appendix A recommends.
        if let &[
            kind::NOP,
            kind::NOP,
            kind::TIMESTAMPS,
            10,
            v0,
            v1,
            v2,
            v3,
            e0,
            e1,
            e2,
            e3,
        ] = list
        {
            return Self {
                timestamps: Some(Timestamps {
                    val: u32::from_be_bytes([v0, v1, v2, v3]),
                    ecr: u32::from_be_bytes([e0, e1, e2, e3]),
                }),
                tsopt_offset: super::bytes::TCP_HEADER_LEN.saturating_add(4),
                ..Self::default()
            };
        }
        Self::walk(list)
    }

    fn walk(list: &[u8]) -> Self {
        let mut options = Self::default();
        let mut rest = list;
        let mut offset = super::bytes::TCP_HEADER_LEN;
        loop {
            match *rest {
                [] | [kind::END, ..] => return options,
                [kind::NOP, ref tail @ ..] => {
                    rest = tail;
                    offset = offset.saturating_add(1);
                }
                [kind, len, ..] => {
                    let Some((option, tail)) = rest.split_at_checked(usize::from(len)) else {
                        break;
                    };
                    // Of a length below two nothing can be left behind the two octets.
                    let Some(body) = option.get(2..) else { break };
                    options.note(kind, offset, len, body);
                    rest = tail;
                    offset = offset.saturating_add(u16::from(len));
                }
                // A kind at the very end, without room for its length.
                [_] => break,
            }
        }
        options.malformed = true;
        options
    }

    /// Takes in one option of `len` octets that stands at `offset` in the TCP header.
    fn note(&mut self, kind: u8, offset: u16, len: u8, body: &[u8]) {
        let well_formed = match kind {
            kind::MSS => match *body {
                [a, b] => keep_first(&mut self.mss, u16::from_be_bytes([a, b])),
                _ => false,
            },
            kind::WINDOW_SCALE => match *body {
                [shift] => keep_first(&mut self.window_scale, shift),
                _ => false,
            },
            kind::SACK_PERMITTED => {
                self.sack_permitted |= body.is_empty();
                body.is_empty()
            }
            kind::TIMESTAMPS => self.note_timestamps(offset, body),
            kind::SACK => self.note_sack(offset, len, body),
            _ => {
                self.unusual.insert(kind);
                true
            }
        };
        self.malformed |= !well_formed;
    }

    fn note_timestamps(&mut self, offset: u16, body: &[u8]) -> bool {
        let mut fields = Reader(body);
        let (8, Some(val), Some(ecr)) = (body.len(), fields.u32(), fields.u32()) else {
            return false;
        };
        let first = keep_first(&mut self.timestamps, Timestamps { val, ecr });
        if first {
            self.tsopt_offset = offset.saturating_add(2);
        }
        first
    }

    fn note_sack(&mut self, offset: u16, len: u8, body: &[u8]) -> bool {
        let Some(blocks) = SackBlocks::read(body) else {
            return false;
        };
        let first = self.sack.is_empty();
        if first {
            self.sack = blocks;
            self.sack_offset = offset;
            self.sack_len = u16::from(len);
        }
        first
    }
}

/// Fills an empty `place`; answers whether it was empty.
fn keep_first<T>(place: &mut Option<T>, value: T) -> bool {
    let empty = place.is_none();
    if empty {
        *place = Some(value);
    }
    empty
}
