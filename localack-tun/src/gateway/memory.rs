//! The memory of the engines. All of it is there from the start, and it never grows.

use std::collections::TryReserveError;
use std::fs;
use std::path::Path;

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot, Storage};
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};

use crate::config::{EngineSettings, Geometry};

/// Why there is no memory for the engines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The machine has less than the settings ask for.
    #[error(
        "the engine is to have {needed} MiB of memory, but {available} MiB are available; `flows`, \
         `buffer` and `networks` in [engine] decide about it",
        needed = mib(*.needed), available = available >> 20
    )]
    Short {
        /// Octets that are asked for.
        needed: u64,
        /// Octets that there are.
        available: u64,
    },
    /// The process gets no more.
    #[error("the engine is to have {} MiB of memory, and the system refuses: {error}", mib(*.needed))]
    Refused {
        /// Octets that are asked for.
        needed: u64,
        /// What the allocator says.
        error: TryReserveError,
    },
    /// It cannot be kept from being swapped out.
    #[error(
        "`lock_memory` in [engine]: {} MiB cannot be locked: {error}; it needs CAP_IPC_LOCK, or a limit \
         (`ulimit -l`, LimitMEMLOCK= of systemd) that allows it", mib(*.needed)
    )]
    Lock {
        /// Octets that the engines have.
        needed: u64,
        /// What the kernel says.
        error: Errno,
    },
}

/// Octets in whole MiB, the last one begun.
const fn mib(octets: u64) -> u64 {
    octets.div_ceil(1 << 20)
}

/// Owns what an engine borrows.
pub(super) struct Memory {
    head: Box<EngineHead>,
    flows: Vec<FlowSlot>,
    index: Vec<IndexSlot>,
    blocks: Vec<BlockSlot>,
    arena: Vec<u8>,
    paths: Vec<PathSlot>,
}

impl Memory {
    /// Memory for an engine of this size. The slots are written to at once; of the arena that is so if
    /// it is to be `prefault`ed, and else its pages come when they are first used.
    pub(super) fn new(geometry: &Geometry, prefault: bool) -> Result<Self, TryReserveError> {
        let mut memory = Self {
            head: Box::new(EngineHead::EMPTY),
            flows: filled(geometry.flows, FlowSlot::EMPTY)?,
            index: filled(geometry.index, IndexSlot::EMPTY)?,
            blocks: filled(geometry.blocks, BlockSlot::EMPTY)?,
            arena: untouched(geometry.arena)?,
            paths: filled(geometry.paths, PathSlot::EMPTY)?,
        };
        if prefault {
            // Or the compiler would know that there are zeroes already, and write none.
            core::hint::black_box(&mut memory.arena).fill(0);
        }
        Ok(memory)
    }

    /// The memory of the engines of all queues.
    pub(super) fn for_queues(settings: &EngineSettings) -> Result<Vec<Self>, MemoryError> {
        let geometry = settings.per_queue();
        let needed = octets(&geometry).saturating_mul(settings.queues.into());
        if let Some(available) = available(!settings.lock_memory)
            && available < needed
        {
            return Err(MemoryError::Short { needed, available });
        }
        (0..settings.queues)
            .map(|_| Self::new(&geometry, settings.prefault))
            .collect::<Result<_, _>>()
            .map_err(|error| MemoryError::Refused { needed, error })
    }

    /// Lends it.
    pub(super) fn storage(&mut self) -> Storage<'_> {
        Storage {
            head: &mut self.head,
            flows: &mut self.flows,
            index: &mut self.index,
            blocks: &mut self.blocks,
            arena: &mut self.arena,
            paths: &mut self.paths,
        }
    }
}

/// Keeps all memory that the process has by now from being swapped out, and all of its pages present.
/// What comes later, such as the memory of requests, is not bound by it.
pub(super) fn lock(settings: &EngineSettings) -> Result<(), MemoryError> {
    mlockall(MlockAllFlags::MCL_CURRENT).map_err(|error| MemoryError::Lock {
        needed: octets(&settings.per_queue()).saturating_mul(settings.queues.into()),
        error,
    })
}

fn filled<T: Copy>(number: usize, content: T) -> Result<Vec<T>, TryReserveError> {
    let mut list = Vec::new();
    list.try_reserve_exact(number)?;
    list.resize(number, content);
    Ok(list)
}

/// Zeroes that the kernel has promised, but not given yet.
fn untouched(octets: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut probe = Vec::<u8>::new();
    probe.try_reserve_exact(octets)?;
    // Seen by nobody, it would not be asked for at all.
    drop(core::hint::black_box(probe));
    Ok(vec![0; octets])
}

/// What an engine of this size takes, in octets.
fn octets(geometry: &Geometry) -> u64 {
    [
        (1, size_of::<EngineHead>()),
        (geometry.flows, size_of::<FlowSlot>()),
        (geometry.index, size_of::<IndexSlot>()),
        (geometry.blocks, size_of::<BlockSlot>()),
        (geometry.arena, 1),
        (geometry.paths, size_of::<PathSlot>()),
    ]
    .into_iter()
    .fold(0, |sum: u64, (number, size)| {
        let octets = u64::try_from(number.saturating_mul(size)).unwrap_or(u64::MAX);
        sum.saturating_add(octets)
    })
}

/// Octets that the machine, and the control group of this process, can still give; `None` if that cannot
/// be found out.
fn available(with_swap: bool) -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| of_machine(&text, with_swap));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.as_deref().and_then(of_groups);
    [machine, group].into_iter().flatten().min()
}

/// What `/proc/meminfo` says.
fn of_machine(text: &str, with_swap: bool) -> Option<u64> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let free = field("MemAvailable:")?;
    let swap = if with_swap { field("SwapFree:") } else { None };
    Some(free.saturating_add(swap.unwrap_or(0)))
}

/// What the control groups (version 2) of a process leave, by its line in `/proc/self/cgroup`.
fn of_groups(text: &str) -> Option<u64> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(group);
    let number = |group: &Path, file: &str| {
        let text = fs::read_to_string(group.join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    group
        .ancestors()
        .filter_map(|group| {
            let most = number(group, "memory.max")?;
            Some(most.saturating_sub(number(group, "memory.current")?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        4000000 kB\nMemFree:          100000 kB\n\
                           MemAvailable:    2000000 kB\nSwapFree:         500000 kB\n";

    #[test]
    fn what_a_machine_has_is_what_is_available_and_swap_unless_locked() {
        assert_eq!(of_machine(MEMINFO, false), Some(2_000_000 << 10));
        assert_eq!(of_machine(MEMINFO, true), Some(2_500_000 << 10));
        assert_eq!(of_machine("MemTotal: 1 kB", true), None);
    }

    #[test]
    fn an_engine_gets_what_the_settings_say() {
        let mut settings = EngineSettings {
            flows: 100,
            networks: 7,
            buffer: 8 << 20,
            queues: 2,
            ..EngineSettings::default()
        };
        for prefault in [false, true] {
            settings.prefault = prefault;
            let mut memories = Memory::for_queues(&settings).unwrap();
            assert_eq!(memories.len(), 2);
            for memory in &mut memories {
                let lent = memory.storage();
                let sizes = [
                    lent.flows.len(),
                    lent.index.len(),
                    lent.blocks.len(),
                    lent.arena.len(),
                    lent.paths.len(),
                ];
                assert_eq!(sizes, [50, 128, 2730, 2730 * 1536, 4]);
            }
        }
    }

    #[test]
    fn more_than_the_machine_has_is_refused_with_numbers() {
        let settings = EngineSettings {
            buffer: 1 << 40,
            ..EngineSettings::default()
        };
        let Err(error) = Memory::for_queues(&settings) else {
            panic!("a tebibyte");
        };
        let told = error.to_string();
        assert!(told.contains("MiB of memory, but "), "{told}");
        assert!(matches!(error, MemoryError::Short { needed, .. } if needed > 1 << 40));
    }

    #[test]
    fn the_sum_is_that_of_the_parts() {
        let geometry = EngineSettings::default().per_queue();
        // 65,536 flows of 1,024 octets with two index slots of 8 each, 256 MiB in blocks with 60 octets
        // beside each, 16,384 networks of 96 octets.
        let blocks = (256 << 20) / 1536;
        let expected = size_of::<EngineHead>() as u64
            + 65_536 * (1024 + 16)
            + blocks * (1536 + 60)
            + 16_384 * 96;
        assert_eq!(octets(&geometry), expected);
    }
}
