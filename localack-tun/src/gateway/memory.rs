//! The memory of the engines. All of it is there from the start, and it never grows.

mod map;
mod room;

pub(super) use map::{Mapped, Sharing, of_file as map};

use std::io;

use localack_core::{Geometry, Misfit, Storage};
use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};

use crate::config::EngineSettings;

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
        /// What it says.
        error: io::Error,
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

/// Owns what an engine borrows: zeroes at first, or what an engine that is gone has left.
pub(super) struct Memory {
    map: MmapMut,
    geometry: Geometry,
}

impl Memory {
    /// Memory for an engine of this size. Its pages come when they are first used, or at once if it is to be
    /// `prefault`ed.
    pub(super) fn new(geometry: &Geometry, prefault: bool) -> io::Result<Self> {
        Ok(Self {
            map: map::anonymous(octets(geometry), prefault)?,
            geometry: *geometry,
        })
    }

    /// The memory of an engine of this size that this part of a file holds, and perhaps more.
    ///
    /// Nobody else may shorten the file or write to it as long as this lives.
    pub(super) fn in_file(mapped: &Mapped<'_>, geometry: &Geometry) -> io::Result<Self> {
        Ok(Self {
            map: map::of_file(mapped)?,
            geometry: *geometry,
        })
    }

    /// The memory of the engines of all queues.
    pub(super) fn for_queues(settings: &EngineSettings) -> Result<Vec<Self>, MemoryError> {
        let geometry = settings.per_queue();
        let needed = check_room(settings)?;
        (0..settings.queues)
            .map(|_| Self::new(&geometry, settings.prefault))
            .collect::<Result<_, _>>()
            .map_err(|error| MemoryError::Refused { needed, error })
    }

    /// Takes over all that another of the same size holds.
    pub(super) fn copy_from(&mut self, other: &Self) {
        let octets = self.map.len().min(other.map.len());
        if let (Some(own), Some(theirs)) = (self.map.get_mut(..octets), other.map.get(..octets)) {
            own.copy_from_slice(theirs);
        }
    }

    /// Lends it.
    pub(super) fn storage(&mut self) -> Result<Storage<'_>, Misfit> {
        Storage::cut(&mut self.map, &self.geometry)
    }
}

/// Octets that the engines of all queues need, if the machine has them.
pub(super) fn check_room(settings: &EngineSettings) -> Result<u64, MemoryError> {
    let needed = octets(&settings.per_queue()).saturating_mul(settings.queues.into());
    if let Some(available) = room::available(!settings.lock_memory)
        && available < needed
    {
        return Err(MemoryError::Short { needed, available });
    }
    Ok(needed)
}

/// Keeps all memory that the process has by now from being swapped out, and all of its pages present.
/// What comes later, such as the memory of requests, is not bound by it.
pub(super) fn lock(settings: &EngineSettings) -> Result<(), MemoryError> {
    mlockall(MlockAllFlags::MCL_CURRENT).map_err(|error| MemoryError::Lock {
        needed: octets(&settings.per_queue()).saturating_mul(settings.queues.into()),
        error,
    })
}

/// What an engine of this size takes, in octets.
pub(super) fn octets(geometry: &Geometry) -> u64 {
    let octets = geometry.octets().unwrap_or(usize::MAX);
    u64::try_from(octets).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use localack_core::EngineHead;

    use super::*;

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
                let lent = memory.storage().unwrap();
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
        // 65,536 flows of 1,024 octets and the copy of one, with two index slots of 8 each, 256 MiB in blocks with 60 octets
        // beside each, 16,384 networks of 96 octets.
        let blocks = (256 << 20) / 1536;
        let expected = size_of::<EngineHead>() as u64
            + (1 + 65_536) * 1024
            + 65_536 * 16
            + blocks * (1536 + 60)
            + 16_384 * 96;
        // Each of the seven parts begins at a cache line.
        assert!((expected..expected + 7 * 64).contains(&octets(&geometry)));
    }
}
