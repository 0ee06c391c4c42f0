//! Reading captures: pcap and pcapng, streamed through one bounded buffer.
//!
//! A file that is cut off or broken in its middle is not an error: everything before the damage
//! is used, and [`Source::cut`] says where the reading stopped.

mod format;
mod open;
mod pcapng;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError};

pub use format::{Format, LinkType};
pub use open::OpenError;
use pcapng::{Interface, Packet};

/// Octets of the read buffer at the start; it grows for larger blocks.
const BUFFER: usize = 1 << 20;
/// Octets of the largest block that is believed.
const LARGEST_BLOCK: usize = 16 << 20;
/// Octets of the largest frame that is believed, as in other readers of these formats.
const LARGEST_FRAME: u32 = 262_144;
/// Octets of a pcapng block without a body: its type, and its length twice.
const SMALLEST_BLOCK: u32 = 12;
/// The type of a section header, alike in both orders of octets.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One captured frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The octets that were stored.
    pub data: &'a [u8],
    /// Octets that the frame had on the wire; at least `data.len()`.
    pub wire_len: usize,
    /// Nanoseconds since the capture's epoch, if the record carries a time stamp.
    pub time: Option<i128>,
    /// Which clock made the time stamp: the number of the interface in the file.
    pub clock: u32,
    /// What the first octet of `data` belongs to.
    pub link: LinkType,
}

/// Where and why the reading of a damaged file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the file of the first octet that could not be used.
    pub offset: u64,
    /// What is wrong there.
    pub reason: CutReason,
}

/// What is wrong with a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutReason {
    /// The file ends within a record.
    #[error("the file ends in the middle of a record")]
    Truncated,
    /// A record contradicts itself.
    #[error("the file is damaged")]
    Damaged,
    /// The operating system could not read on.
    #[error("the file could not be read any further")]
    Unreadable,
}

/// A capture that is read frame by frame.
pub struct Source {
    reader: Box<dyn PcapReaderIterator>,
    format: Format,
    /// Interfaces of all sections so far; the current section's begin at `section`.
    interfaces: Vec<Interface>,
    section: usize,
    /// The order of octets in the current section.
    big_endian: bool,
    /// Octets of the record that was handed out last and is still in the buffer.
    pending: usize,
    capacity: usize,
    cut: Option<Cut>,
    ended: bool,
}

impl core::fmt::Debug for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Source")
            .field("format", &self.format)
            .field("interfaces", &self.interfaces)
            .field("consumed", &self.offset())
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

/// A frame whose octets are still to be taken from the buffer.
struct Located {
    start: usize,
    len: usize,
    wire_len: u32,
    time: Option<i128>,
    clock: u32,
    link: LinkType,
}

/// What one look at the buffer gave.
enum Step {
    Frame(Located),
    /// A record without a frame, of this many octets.
    Skip(usize),
    /// Only part of a record is there.
    More,
    Grow,
    End(Option<CutReason>),
}

impl Source {
    /// Which kind of file it is.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Octets of the file that have been used so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        (self.reader.consumed() + self.pending) as u64
    }

    /// Where reading ended early, once it has.
    #[must_use]
    pub const fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// The next frame, or `None` at the end.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let located = self.advance()?;
        let data = self
            .reader
            .data()
            .get(located.start..located.start + located.len)?;
        Some(Frame {
            data,
            wire_len: (located.wire_len as usize).max(data.len()),
            time: located.time,
            clock: located.clock,
            link: located.link,
        })
    }

    fn advance(&mut self) -> Option<Located> {
        if self.ended {
            return None;
        }
        self.reader.consume(core::mem::take(&mut self.pending));
        loop {
            match self.step() {
                Step::Frame(_) if !self.lengths_agree(self.pending) => {
                    self.pending = 0;
                    return self.end(Some(CutReason::Damaged));
                }
                Step::Skip(octets) if !self.lengths_agree(octets) => {
                    return self.end(Some(CutReason::Damaged));
                }
                Step::Frame(located) => return Some(located),
                Step::Skip(octets) => self.reader.consume(octets),
                Step::More => {
                    if self.reader.refill().is_err() {
                        return self.end(Some(CutReason::Unreadable));
                    }
                }
                Step::Grow => {
                    self.capacity *= 2;
                    if self.capacity > 2 * LARGEST_BLOCK || !self.reader.grow(self.capacity) {
                        return self.end(Some(CutReason::Damaged));
                    }
                }
                Step::End(reason) => return self.end(reason),
            }
        }
    }

    /// Whether a block's length at its end is the one at its beginning; classic records have one.
    fn lengths_agree(&self, octets: usize) -> bool {
        let data = self.reader.data();
        self.format != Format::Pcapng
            || data
                .get(4..8)
                .zip(data.get(..octets))
                .is_some_and(|(first, block)| block.ends_with(first))
    }

    fn end(&mut self, reason: Option<CutReason>) -> Option<Located> {
        self.ended = true;
        self.cut = reason.map(|reason| Cut {
            offset: self.offset(),
            reason,
        });
        None
    }

    /// Whether a block says that it is smaller than any: the parser relies on that. A section header it
    /// measures itself, since only that tells the order of octets.
    fn is_impossibly_small(&self) -> bool {
        let data = self.reader.data();
        let Some((kind, rest)) = data.split_first_chunk::<4>() else {
            return false;
        };
        let length = rest.first_chunk().map(|&length| {
            if self.big_endian {
                u32::from_be_bytes(length)
            } else {
                u32::from_le_bytes(length)
            }
        });
        self.format == Format::Pcapng
            && *kind != SECTION_HEADER
            && length.is_some_and(|length| length < SMALLEST_BLOCK)
    }

    fn step(&mut self) -> Step {
        if self.is_impossibly_small() {
            return Step::End(Some(CutReason::Damaged));
        }
        let exhausted = self.reader.reader_exhausted();
        match self.reader.next() {
            Ok((octets, PcapBlockOwned::Legacy(record))) => {
                let Some(interface) = self.interfaces.first() else {
                    return Step::End(Some(CutReason::Damaged));
                };
                if record.caplen > LARGEST_FRAME {
                    return Step::End(Some(CutReason::Damaged));
                }
                self.pending = octets;
                Step::Frame(Located {
                    start: octets - record.data.len(),
                    len: record.data.len(),
                    wire_len: record.origlen,
                    time: Some(interface.legacy_time(record.ts_sec, record.ts_usec)),
                    clock: 0,
                    link: interface.link,
                })
            }
            Ok((octets, PcapBlockOwned::LegacyHeader(_))) => Step::Skip(octets),
            Ok((octets, PcapBlockOwned::NG(block))) => {
                if let Block::SectionHeader(header) = &block {
                    self.big_endian = header.big_endian();
                }
                Self::block(
                    &mut self.interfaces,
                    &mut self.section,
                    &mut self.pending,
                    octets,
                    &block,
                )
            }
            Err(PcapError::Eof) => Step::End(None),
            Err(PcapError::Incomplete(_)) if !exhausted => Step::More,
            Err(PcapError::BufferTooSmall) if !exhausted => {
                // Also said when the buffer could take the record after a shift.
                if self.reader.position() > 0 {
                    Step::More
                } else {
                    Step::Grow
                }
            }
            Err(PcapError::ReadError) => Step::End(Some(CutReason::Unreadable)),
            Err(
                PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::BufferTooSmall,
            ) => Step::End(if self.reader.data().is_empty() {
                None
            } else {
                Some(CutReason::Truncated)
            }),
            Err(_) => Step::End(Some(CutReason::Damaged)),
        }
    }

    /// Interprets one pcapng block of `octets` octets.
    fn block(
        interfaces: &mut Vec<Interface>,
        section: &mut usize,
        pending: &mut usize,
        octets: usize,
        block: &Block<'_>,
    ) -> Step {
        match block {
            Block::SectionHeader(_) => {
                *section = interfaces.len();
                return Step::Skip(octets);
            }
            Block::InterfaceDescription(description) => {
                interfaces.push(Interface::describe(description));
                return Step::Skip(octets);
            }
            _ => {}
        }
        let local = interfaces.get(*section..).unwrap_or_default();
        match pcapng::packet(block, local) {
            Ok(None) => Step::Skip(octets),
            Ok(Some(Packet {
                interface,
                start,
                len,
                wire_len,
                ticks,
            })) => {
                let Some(found) = local.get(interface) else {
                    return Step::End(Some(CutReason::Damaged));
                };
                if len > LARGEST_FRAME as usize {
                    return Step::End(Some(CutReason::Damaged));
                }
                *pending = octets;
                Step::Frame(Located {
                    start,
                    len,
                    wire_len,
                    time: ticks.map(|ticks| found.time(ticks)),
                    clock: u32::try_from(*section + interface).unwrap_or(u32::MAX),
                    link: found.link,
                })
            }
            Err(pcapng::Broken) => Step::End(Some(CutReason::Damaged)),
        }
    }
}
