//! What the engine takes of memory, and how much of it is put to use.

use core::fmt::Write as _;
use core::mem::size_of;

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot, Port};
use localack_testkit::memory::Memory;

use crate::load::{Frame, Gateway, INNER_FIRST, Line, OUTER_FIRST, PAYLOAD, Say, Sent, Setting};

/// Octets of a block, for Ethernet segments.
const BLOCK: usize = 1536;
/// Blocks that are filled to see how dense they are.
const BLOCKS: usize = 256;

// An established flow and its place in the index, for each direction.
const _: () = assert!(per_direction() <= 520);
// What a block costs beside its octets: 4 %.
const _: () = assert!(25 * size_of::<BlockSlot>() <= BLOCK);

/// Octets of state for each direction of a flow.
const fn per_direction() -> usize {
    (size_of::<FlowSlot>() + 2 * size_of::<IndexSlot>()) / 2
}

/// What the memory of an engine is used for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Usage {
    /// Octets of state for each direction of a flow, with its places in the index.
    pub per_direction: usize,
    /// Octets of state for a block.
    pub per_block: usize,
    /// Octets of state for a network that is remembered.
    pub per_network: usize,
    /// Octets of state for an engine.
    pub head: usize,
    /// Octets in custody for each octet of blocks and their slots, with segments of 1,448 octets.
    pub full_segments: f64,
    /// The same with writes of one octet.
    pub single_octets: f64,
}

impl Usage {
    /// As it is.
    #[must_use]
    pub fn measure() -> Self {
        Self {
            per_direction: per_direction(),
            per_block: size_of::<BlockSlot>(),
            per_network: size_of::<PathSlot>(),
            head: size_of::<EngineHead>(),
            full_segments: efficiency(PAYLOAD),
            single_octets: efficiency(1),
        }
    }

    /// For people to read.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (what, octets) in [
            ("state of a flow and direction", self.per_direction),
            ("state of a block of 1536", self.per_block),
            ("state of a network", self.per_network),
            ("state of an engine", self.head),
        ] {
            writeln!(text, "{what:44} {octets:6} octets").expect("a string takes all");
        }
        for (what, share) in [
            (
                "in custody of memory, 1448-octet segments",
                self.full_segments,
            ),
            ("in custody of memory, 1-octet writes", self.single_octets),
        ] {
            writeln!(text, "{what:44} {:6.1} %", 100.0 * share).expect("a string takes all");
        }
        text
    }
}

/// How much of the memory for custody holds octets, once segments of `payload` octets fill it.
fn efficiency(payload: usize) -> f64 {
    let mut memory = Memory::new(1, BLOCKS + 16, BLOCK);
    let mut gateway = Gateway::new(memory.storage(), Setting::large(), Sent::default());
    gateway.open(Line(0).handshake());
    let mut frame = Frame::new(payload);
    let mut octets = 0_u32;
    while (gateway.engine.blocks_used() as usize) < BLOCKS {
        let seq = INNER_FIRST.wrapping_add(octets);
        frame.write(Port::Inner, Line(0), Say::ack(seq, OUTER_FIRST));
        let _ = gateway.carry(Port::Inner, frame.packet());
        octets += u32::try_from(payload).expect("a short payload");
    }
    let held = gateway.engine.flows().next();
    let held = held.map_or(0, |flow| flow.inner_to_outer.debt);
    assert_eq!(held, octets, "all of it is in custody");
    let memory = (gateway.engine.blocks_used() as usize * (BLOCK + size_of::<BlockSlot>())) as f64;
    f64::from(held) / memory
}

/// Sees that `octets` of memory can be had.
///
/// # Errors
/// If the machine says that it has less.
pub(super) fn see_that_there_is(octets: usize) -> Result<(), String> {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        // Elsewhere nobody says.
        return Ok(());
    };
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<usize>().ok())
        .map_or(usize::MAX, |kib| kib.saturating_mul(1024));
    if octets <= available {
        return Ok(());
    }
    let mib = |octets: usize| octets >> 20;
    Err(format!(
        "it takes {} MiB of memory, and {} MiB can be had; --only leaves figures out",
        mib(octets),
        mib(available)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Architecture, section 3: full segments fill at least 90 % of their blocks, and single octets cost at
    /// most a few octets each, never a block.
    #[test]
    fn custody_is_dense_whatever_is_written() {
        let usage = Usage::measure();
        assert!(usage.full_segments > 0.9, "{usage:?}");
        assert!(usage.single_octets > 0.9, "{usage:?}");
    }

    #[test]
    fn nobody_has_more_memory_than_there_is() {
        assert_eq!(see_that_there_is(1), Ok(()));
        if std::path::Path::new("/proc/meminfo").exists() {
            assert!(see_that_there_is(usize::MAX - 1).is_err());
        }
    }
}
