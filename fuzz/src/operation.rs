//! What can happen to an engine, in a form in which a few octets go a long way.
//!
//! A fuzzer that had to invent whole packets would never complete a handshake. Here it invents
//! *deviations*: by default a segment is the next one that its host would send, and each set bit of
//! its first octet makes one field of it something else.

use localack_core::{Controller, Provision};

use crate::input::Input;

/// How the engine is set up: the first two octets of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// See the constants.
    pub bits: u8,
    /// What the sequence numbers begin with; from 128 on, just below the wrap (invariant 28). Its last
    /// bits also say who controls congestion, and how, see [`Setup::controllers`].
    pub isn: u8,
}

impl Setup {
    /// IPv6 instead of IPv4.
    pub const V6: u8 = 0x01;
    /// Both directions are served, not only data from the inner side.
    pub const BOTH: u8 = 0x02;
    /// Both hosts speak timestamps.
    pub const TIMESTAMPS: u8 = 0x04;
    /// Both hosts speak SACK.
    pub const SACK: u8 = 0x08;
    /// Both hosts scale their windows.
    pub const SCALE: u8 = 0x10;
    /// Custody begins at the third ACK, without proof.
    pub const EARLY: u8 = 0x20;
    /// The host on the outer side opens the connection.
    pub const OUTER_CLIENT: u8 = 0x40;
    /// Acknowledgements may wait, and the pool is tiny.
    pub const TIGHT: u8 = 0x80;

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.bits & bits == bits
    }

    /// Who controls congestion toward the outer host and toward the inner one: numbers for
    /// [`controller`].
    #[must_use]
    pub const fn controllers(self) -> [u8; 2] {
        match self.isn & 7 {
            1 => [1, 1],
            2 => [2, 2],
            3 => [4, 1],
            4 => [4, 4],
            5 => [4, 5],
            6 => [5, 2],
            _ => [0, 0],
        }
    }

    /// Whether both hosts agree on ECN.
    #[must_use]
    pub const fn has_ecn(self) -> bool {
        self.isn >> 3 & 3 == 1
    }

    /// Whether Reno and CUBIC send at once what an acknowledgement lets go.
    #[must_use]
    pub const fn is_unpaced(self) -> bool {
        self.isn >> 3 & 3 == 2
    }

    pub(crate) fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(Self {
            bits: input.u8()?,
            isn: input.u8()?,
        })
    }
}

/// The controllers by number: vouched rates from 4 on, a slow one of which a packet takes long, and one
/// with a floor and a ceiling.
#[must_use]
pub const fn controller(number: u8) -> Controller {
    match number {
        1 => Controller::Reno,
        2 => Controller::Bbr,
        4 => Controller::Provisioned(Provision::new(0, 20_000)),
        5 => {
            let mut provision = Provision::new(1, 1_000_000);
            (provision.floor, provision.ceiling) = (100_000, 300_000);
            Controller::Provisioned(provision)
        }
        _ => Controller::Cubic,
    }
}

/// How a segment differs from the next one of its host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Octets from the host's next sequence number.
    pub seq: Option<i16>,
    /// Octets from the highest sequence number its host has seen.
    pub ack: Option<i16>,
    /// The window field.
    pub window: Option<u16>,
    /// SACK blocks: start, from the acknowledgement number on, and length; at most three.
    pub sack: Vec<(i16, u16)>,
    /// Octets of payload, at most 4,095.
    pub payload: Option<u16>,
    /// The control bits, instead of ACK.
    pub flags: Option<u8>,
    /// Ticks from the host's clock.
    pub clock: Option<i16>,
    /// Octets of the finished packet to spoil: where, and with which bits.
    pub damage: Vec<(u16, u8)>,
}

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A segment arrives from the outer (or inner) host, with what is said of its checksum.
    Segment {
        /// Whether it arrives on the outer port.
        outer: bool,
        /// What the adapter says of its checksum: 2 that it is right, 3 that it is partial.
        checksum: u8,
        /// The segment.
        shape: Shape,
    },
    /// Time passes: 2 to the power of `log` microseconds, times `steps` + 1. The timers on the way
    /// fire in time, or all at the end.
    Wait {
        /// At most 31.
        log: u8,
        /// At most 3.
        steps: u8,
        /// Whether nobody polls on the way.
        jump: bool,
    },
    /// Octets arrive that need not be a packet.
    Octets(bool, Vec<u8>),
    /// Another service is asked for, in the direction of data from the outer (or inner) side.
    Service(bool, bool),
    /// A router says that the last segment of the outer (or inner) host was too big.
    TooBig(bool, u16),
    /// The sink refuses the next packets.
    Full(u8),
    /// Another controller takes over data from the outer (or inner) side: see [`controller`].
    Controller(bool, u8),
    /// All flows are handed back.
    Drain,
    /// Time runs backwards.
    Backwards,
}

impl Shape {
    const SEQ: u8 = 0x01;
    const ACK: u8 = 0x02;
    const WINDOW: u8 = 0x04;
    const SACK: u8 = 0x08;
    const PAYLOAD: u8 = 0x10;
    const FLAGS: u8 = 0x20;
    const CLOCK: u8 = 0x40;
    const DAMAGE: u8 = 0x80;

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let present = input.u8()?;
        let has = |bit| present & bit != 0;
        let mut shape = Self::default();
        if has(Self::SEQ) {
            shape.seq = Some(input.i16()?);
        }
        if has(Self::ACK) {
            shape.ack = Some(input.i16()?);
        }
        if has(Self::WINDOW) {
            shape.window = Some(input.u16()?);
        }
        if has(Self::SACK) {
            for _ in 0..=input.u8()? % 3 {
                shape.sack.push((input.i16()?, input.u16()?));
            }
        }
        if has(Self::PAYLOAD) {
            shape.payload = Some(input.u16()? & 0x0fff);
        }
        if has(Self::FLAGS) {
            shape.flags = Some(input.u8()?);
        }
        if has(Self::CLOCK) {
            shape.clock = Some(input.i16()?);
        }
        if has(Self::DAMAGE) {
            for _ in 0..=input.u8()? % 3 {
                shape.damage.push((input.u16()?, input.u8()?));
            }
        }
        Some(shape)
    }

    fn write(&self, octets: &mut Vec<u8>) {
        let bit = |present: bool, bit: u8| if present { bit } else { 0 };
        octets.push(
            bit(self.seq.is_some(), Self::SEQ)
                | bit(self.ack.is_some(), Self::ACK)
                | bit(self.window.is_some(), Self::WINDOW)
                | bit(!self.sack.is_empty(), Self::SACK)
                | bit(self.payload.is_some(), Self::PAYLOAD)
                | bit(self.flags.is_some(), Self::FLAGS)
                | bit(self.clock.is_some(), Self::CLOCK)
                | bit(!self.damage.is_empty(), Self::DAMAGE),
        );
        let count = |len: usize| u8::try_from(len - 1).expect("at most three");
        octets.extend(self.seq.into_iter().flat_map(i16::to_be_bytes));
        octets.extend(self.ack.into_iter().flat_map(i16::to_be_bytes));
        octets.extend(self.window.into_iter().flat_map(u16::to_be_bytes));
        if !self.sack.is_empty() {
            octets.push(count(self.sack.len()));
            for (start, length) in &self.sack {
                octets.extend(start.to_be_bytes());
                octets.extend(length.to_be_bytes());
            }
        }
        octets.extend(self.payload.into_iter().flat_map(u16::to_be_bytes));
        octets.extend(self.flags);
        octets.extend(self.clock.into_iter().flat_map(i16::to_be_bytes));
        if !self.damage.is_empty() {
            octets.push(count(self.damage.len()));
            for (at, bits) in &self.damage {
                octets.extend(at.to_be_bytes());
                octets.push(*bits);
            }
        }
    }
}

impl Operation {
    /// The next operation; `None` at the end of the input.
    pub(crate) fn read(input: &mut Input<'_>) -> Option<Self> {
        let head = input.u8()?;
        let operand = head >> 4;
        let side = head & 0x08 != 0;
        Some(match head & 0x07 {
            0 | 1 => Self::Segment {
                outer: side,
                checksum: operand & 3,
                shape: Shape::read(input)?,
            },
            2 => {
                let time = input.u8()?;
                Self::Wait {
                    log: time & 31,
                    steps: time >> 5 & 3,
                    jump: time & 0x80 != 0,
                }
            }
            3 => {
                let count = input.u8()?;
                Self::Octets(side, input.octets(count.into()).to_vec())
            }
            4 => Self::Service(side, operand & 1 != 0),
            5 => Self::TooBig(side, input.u16()?),
            6 => Self::Full(operand),
            _ => match operand {
                1..=6 => Self::Controller(side, operand - 1),
                15 => Self::Drain,
                _ => Self::Backwards,
            },
        })
    }

    /// Appends the octets that read as this operation.
    pub fn write(&self, octets: &mut Vec<u8>) {
        let side = |outer: bool| if outer { 0x08 } else { 0 };
        match self {
            Self::Segment {
                outer,
                checksum,
                shape,
            } => {
                octets.push(checksum << 4 | side(*outer));
                shape.write(octets);
            }
            Self::Wait { log, steps, jump } => {
                octets.extend([0x02, u8::from(*jump) << 7 | steps << 5 | log]);
            }
            Self::Octets(outer, content) => {
                octets.extend([
                    0x03 | side(*outer),
                    u8::try_from(content.len()).expect("short"),
                ]);
                octets.extend(content);
            }
            Self::Service(outer, serve) => {
                octets.push(0x04 | side(*outer) | u8::from(*serve) << 4);
            }
            Self::TooBig(outer, mtu) => {
                octets.push(0x05 | side(*outer));
                octets.extend(mtu.to_be_bytes());
            }
            Self::Full(count) => octets.push(0x06 | count << 4),
            Self::Controller(outer, number) => {
                octets.push(0x07 | side(*outer) | (number.min(&5) + 1) << 4);
            }
            Self::Drain => octets.push(0xf7),
            Self::Backwards => octets.push(0x07),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shape = Shape {
            seq: Some(-1),
            ack: Some(300),
            window: Some(17),
            sack: vec![(5, 10), (-20, 1)],
            payload: Some(1000),
            flags: Some(0x11),
            clock: Some(-9),
            damage: vec![(700, 1), (0, 255), (3, 4)],
        };
        let operations = [
            Operation::Segment {
                outer: true,
                checksum: 3,
                shape,
            },
            Operation::Segment {
                outer: false,
                checksum: 0,
                shape: Shape::default(),
            },
            Operation::Wait {
                log: 31,
                steps: 3,
                jump: true,
            },
            Operation::Octets(true, vec![1, 2, 3]),
            Operation::Service(false, true),
            Operation::TooBig(true, 1280),
            Operation::Full(15),
            Operation::Controller(true, 5),
            Operation::Controller(false, 0),
            Operation::Drain,
            Operation::Backwards,
        ];
        let mut octets = Vec::new();
        for operation in &operations {
            operation.write(&mut octets);
        }
        let mut input = Input(&octets);
        for operation in operations {
            assert_eq!(Operation::read(&mut input), Some(operation));
        }
        assert_eq!(Operation::read(&mut input), None);
    }
}
