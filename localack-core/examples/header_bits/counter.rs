//! A packet service that counts the bits of TCP headers.

use core::fmt;

use localack_core::wire::Flags;
use localack_core::{PacketService, Passing, Port, Sink, Step};

/// The control bits and what they are called.
const BITS: [(Flags, &str); 8] = [
    (Flags::FIN, "FIN"),
    (Flags::SYN, "SYN"),
    (Flags::RST, "RST"),
    (Flags::PSH, "PSH"),
    (Flags::ACK, "ACK"),
    (Flags::URG, "URG"),
    (Flags::ECE, "ECE"),
    (Flags::CWR, "CWR"),
];

/// How often each control bit was set in segments from each side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderBits {
    segments: [u64; 2],
    bits: [[u64; BITS.len()]; 2],
}

impl HeaderBits {
    /// Segments that arrived on `port`.
    pub(crate) const fn segments(&self, port: Port) -> u64 {
        let [inner, outer] = self.segments;
        match port {
            Port::Inner => inner,
            Port::Outer => outer,
        }
    }

    /// Those of them with this control bit.
    pub(crate) fn with(&self, port: Port, flag: Flags) -> u64 {
        let [inner, outer] = &self.bits;
        let counts = match port {
            Port::Inner => inner,
            Port::Outer => outer,
        };
        let found = BITS.iter().zip(counts).find(|((bit, _), _)| *bit == flag);
        found.map_or(0, |(_, count)| *count)
    }
}

impl PacketService for HeaderBits {
    fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step {
        let flags = passing.segment().flags;
        let ([inner, outer], [inner_bits, outer_bits]) = (&mut self.segments, &mut self.bits);
        let (segments, bits) = match passing.port() {
            Port::Inner => (inner, inner_bits),
            Port::Outer => (outer, outer_bits),
        };
        *segments = segments.saturating_add(1);
        for (count, (bit, _)) in bits.iter_mut().zip(BITS) {
            if flags.contains(bit) {
                *count = count.saturating_add(1);
            }
        }
        Step::On
    }
}

impl fmt::Display for HeaderBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (port, name) in [(Port::Inner, "inner"), (Port::Outer, "outer")] {
            write!(f, "{name}: {} segments", self.segments(port))?;
            for (bit, name) in BITS {
                match self.with(port, bit) {
                    0 => {}
                    count => write!(f, ", {name} {count}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
