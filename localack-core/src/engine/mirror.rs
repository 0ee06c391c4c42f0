//! Two engines with the same memory: what one has, octet for octet, and another that goes on with it.
//!
//! An engine is a function of its memory and of what it is told: two with the same memory that are told the same,
//! in the same order and at the same times, remain the same. That is all that a standby needs.

use bytemuck::{Pod, bytes_of, bytes_of_mut, cast_slice, cast_slice_mut};

use super::{AttachError, Engine, Storage};
use crate::config::Config;
use crate::policy::Policy;

impl<'a, P: Policy> Engine<'a, P> {
    /// An engine over the exact copy of another's memory ([`Self::memory`]), made between two calls. What the
    /// memory says is believed, so that both remain the same; memory that nobody vouches for is for
    /// [`Self::attach`].
    ///
    /// # Errors
    /// [`AttachError`] if it is the memory of another build or size, or of an engine that was at work;
    /// [`AttachError::Empty`] stands for the last, too.
    pub fn mirror(storage: Storage<'a>, config: Config, policy: P) -> Result<Self, AttachError> {
        let block_size = config.check(&storage)?;
        storage.head.seal.fits(&storage)?;
        if storage.head.seal.opened().is_some() {
            return Err(AttachError::Empty);
        }
        Ok(Self {
            storage,
            config,
            policy,
            block_size,
            services: (),
        })
    }
}

impl<P, X> Engine<'_, P, X> {
    /// The engine's memory as octets, in the order in which [`Storage::parts_mut`] has its parts.
    #[must_use]
    pub fn memory(&self) -> [&[u8]; 7] {
        let Storage {
            head,
            flows,
            index,
            blocks,
            arena,
            paths,
            before,
        } = &self.storage;
        [
            bytes_of(*head),
            octets(before),
            octets(flows),
            octets(index),
            octets(blocks),
            octets(paths),
            arena,
        ]
    }
}

impl Storage<'_> {
    /// The parts of the memory as octets, for a copy of [`Engine::memory`].
    pub fn parts_mut(&mut self) -> [&mut [u8]; 7] {
        [
            bytes_of_mut(self.head),
            cast_slice_mut(self.before),
            cast_slice_mut(self.flows),
            cast_slice_mut(self.index),
            cast_slice_mut(self.blocks),
            cast_slice_mut(self.paths),
            self.arena,
        ]
    }
}

fn octets<T: Pod>(slots: &[T]) -> &[u8] {
    cast_slice(slots)
}
