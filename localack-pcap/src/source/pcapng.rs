//! The parts of pcapng that the parser leaves to its user: clocks, and where a packet lies.

use pcap_parser::{Block, InterfaceDescriptionBlock, OptionCode};

use super::LinkType;

/// The obsolete packet block, still found in old files.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// What a frame's octets and ticks mean on one interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    pub(super) link: LinkType,
    snaplen: u32,
    resolution: Resolution,
    /// Seconds to be added to each time stamp.
    offset: i64,
    big_endian: bool,
}

/// How long a tick is.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    /// 10^-n seconds.
    Decimal(u32),
    /// 2^-n seconds.
    Binary(u32),
}

/// A packet block, not yet matched with its interface.
pub(super) struct Packet {
    pub(super) interface: usize,
    /// Offset of the frame's first octet in the block.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) wire_len: u32,
    pub(super) ticks: Option<u64>,
}

/// A block that contradicts itself.
pub(super) struct Broken;

impl Interface {
    /// The only interface of a classic file.
    pub(super) const fn legacy(link: LinkType, nanoseconds: bool) -> Self {
        Self {
            link,
            snaplen: 0,
            resolution: Resolution::Decimal(if nanoseconds { 9 } else { 6 }),
            offset: 0,
            big_endian: false,
        }
    }

    pub(super) fn describe(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let big_endian = block.block_type == 1_u32.swap_bytes();
        let mut interface = Self {
            link: LinkType((block.linktype.0 & 0xffff) as u16),
            snaplen: block.snaplen,
            resolution: Resolution::Decimal(6),
            offset: 0,
            big_endian,
        };
        for option in &block.options {
            match (option.code, option.as_bytes()) {
                (OptionCode::EndOfOpt, _) => break,
                (OptionCode::IfTsresol, Ok(&[exponent])) => {
                    interface.resolution = if exponent & 0x80 == 0 {
                        Resolution::Decimal(u32::from(exponent))
                    } else {
                        Resolution::Binary(u32::from(exponent & 0x7f))
                    };
                }
                (OptionCode::IfTsoffset, Ok(seconds)) => {
                    if let Some(&seconds) = seconds.first_chunk() {
                        interface.offset = if big_endian {
                            i64::from_be_bytes(seconds)
                        } else {
                            i64::from_le_bytes(seconds)
                        };
                    }
                }
                _ => {}
            }
        }
        interface
    }

    /// Nanoseconds since the epoch of a time stamp in ticks.
    pub(super) fn time(&self, ticks: u64) -> i128 {
        const SECOND: u128 = 1_000_000_000;
        let nanoseconds = match self.resolution {
            Resolution::Decimal(digits @ 0..=9) => u128::from(ticks) * 10_u128.pow(9 - digits),
            Resolution::Decimal(digits) => 10_u128
                .checked_pow(digits - 9)
                .map_or(0, |unit| u128::from(ticks) / unit),
            // 2^64 ticks times 10^9 stay below 2^94.
            Resolution::Binary(bits) => (u128::from(ticks) * SECOND) >> bits,
        };
        // At most 2^64 seconds: far inside the range of an i128.
        i128::try_from(nanoseconds).unwrap_or(i128::MAX / 2)
            + i128::from(self.offset) * SECOND as i128
    }

    /// Nanoseconds since the epoch of a classic record's two words.
    pub(super) fn legacy_time(&self, seconds: u32, fraction: u32) -> i128 {
        let unit = match self.resolution {
            Resolution::Decimal(6) => 1000,
            _ => 1,
        };
        i128::from(seconds) * 1_000_000_000 + i128::from(fraction) * unit
    }
}

/// Finds the frame in a block; `Ok(None)` if the block carries none.
pub(super) fn packet(
    block: &Block<'_>,
    interfaces: &[Interface],
) -> Result<Option<Packet>, Broken> {
    match block {
        Block::EnhancedPacket(block) => {
            let len = block.caplen as usize;
            if len > block.data.len() {
                return Err(Broken);
            }
            Ok(Some(Packet {
                interface: block.if_id as usize,
                start: 28,
                len,
                wire_len: block.origlen,
                ticks: Some(u64::from(block.ts_high) << 32 | u64::from(block.ts_low)),
            }))
        }
        Block::SimplePacket(block) => {
            let snaplen = interfaces.first().map_or(0, |interface| interface.snaplen);
            let limit = if snaplen == 0 {
                block.origlen
            } else {
                block.origlen.min(snaplen)
            };
            let len = block.data.len().min(limit as usize);
            Ok(Some(Packet {
                interface: 0,
                start: 12,
                len,
                wire_len: block.origlen,
                ticks: None,
            }))
        }
        Block::Unknown(block) => {
            let big_endian = interfaces
                .first()
                .is_some_and(|interface| interface.big_endian);
            let kind = if big_endian {
                block.block_type.swap_bytes()
            } else {
                block.block_type
            };
            if kind == OBSOLETE_PACKET_BLOCK {
                obsolete(block.data, big_endian).map(Some)
            } else {
                Ok(None)
            }
        }
        _ => Ok(None),
    }
}

/// Reads the body of an obsolete packet block.
fn obsolete(body: &[u8], big_endian: bool) -> Result<Packet, Broken> {
    let word = |offset: usize| -> Result<u32, Broken> {
        let &word = body
            .get(offset..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(Broken)?;
        Ok(if big_endian {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        })
    };
    // The first word is two halves: interface and drops.
    let first = word(0)?;
    let interface = if big_endian {
        first >> 16
    } else {
        first & 0xffff
    };
    let len = word(12)? as usize;
    if body.len().saturating_sub(20) < len {
        return Err(Broken);
    }
    Ok(Packet {
        interface: interface as usize,
        start: 28,
        len,
        wire_len: word(16)?,
        ticks: Some(u64::from(word(4)?) << 32 | u64::from(word(8)?)),
    })
}
