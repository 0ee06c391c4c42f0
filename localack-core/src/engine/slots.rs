//! Flow slots: finding, taking and giving back.

use super::Engine;
use crate::config::Config;
use crate::event::Event;
use crate::flow::table::{self, FlowIndex, IndexSlot};
use crate::flow::{FlowId, FlowKey, FlowSlot};
use crate::head::EngineHead;
use crate::path::{PathSlot, PathTable};
use crate::policy::Direction;
use crate::pool::{BlockSize, Pool};
use crate::seal::Seal;
use crate::sink::Sink;
use crate::storage::Storage;
use crate::time::{Instant, micros};

/// Slots that are looked at for a handshake to evict.
const EVICTION_PROBES: u32 = 16;

impl Config {
    /// Checks that settings and slices fit together.
    pub(super) fn check(
        &self,
        storage: &Storage<'_>,
    ) -> Result<BlockSize, crate::config::ConfigError> {
        use crate::config::ConfigError as Error;
        let flows = storage.flows.len();
        if flows == 0 || flows > 1 << 30 {
            return Err(Error::Flows);
        }
        if !storage.index.len().is_power_of_two() || storage.index.len() < flows.saturating_mul(2) {
            return Err(Error::Index);
        }
        let size = BlockSize::of(storage.blocks, storage.arena).ok_or(Error::Blocks)?;
        let reserved = usize::try_from(self.reserved_blocks).unwrap_or(usize::MAX);
        if reserved == 0 || reserved > storage.blocks.len() {
            return Err(Error::Reservation);
        }
        if self.sink_waits && storage.before.is_empty() {
            return Err(Error::Before);
        }
        // Deadlines are kept modulo 2^32 microseconds and must stay well below half of that.
        let half_hour = 1800_u64.saturating_mul(1_000_000);
        let short = [
            self.debt_time,
            self.drain_patience,
            self.handshake_time,
            self.rto_min,
            self.rto_max,
            self.demotion_hold,
            self.give_up_after,
        ];
        // Ages are kept in milliseconds modulo 2^32, which is 49 days.
        let month = 30_u64
            .saturating_mul(24)
            .saturating_mul(3600)
            .saturating_mul(1_000_000);
        let long = [self.idle_time, self.closing_time];
        let in_order = self.rto_min <= self.rto_max && micros(self.give_up_after) >= 100_000_000;
        let too_long = short.iter().any(|&time| micros(time) > half_hour)
            || long.iter().any(|&time| micros(time) > month);
        if !in_order || too_long || self.rto_min.is_zero() {
            return Err(Error::Time);
        }
        Ok(size)
    }
}

impl<P, X> Engine<'_, P, X> {
    /// Forgets whatever the memory held.
    pub(super) fn format(&mut self) {
        *self.storage.head = EngineHead::EMPTY;
        self.storage.index.fill(IndexSlot::EMPTY);
        // Slots and blocks count as never used once the head says so.
        self.storage.flows.fill(FlowSlot::EMPTY);
        self.storage.paths.fill(PathSlot::EMPTY);
        self.storage.head.seal = Seal::of(&self.storage);
    }

    pub(super) fn slot(&self, slot: u32) -> Option<&FlowSlot> {
        self.storage.flows.get(usize::try_from(slot).ok()?)
    }

    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut FlowSlot> {
        self.storage.flows.get_mut(usize::try_from(slot).ok()?)
    }

    /// The slot of a flow that still lives.
    pub(super) fn live_slot(&self, flow: FlowId) -> Option<u32> {
        (self.id_of(flow.slot) == Some(flow)).then_some(flow.slot)
    }

    pub(super) fn id_of(&self, slot: u32) -> Option<FlowId> {
        table::live_id(self.storage.flows, slot)
    }

    /// The flow of a connection, from its first SYN on; `None` if the engine has no state of it.
    #[must_use]
    pub fn find_flow(&mut self, key: &FlowKey) -> Option<FlowId> {
        self.find(key).and_then(|slot| self.id_of(slot))
    }

    pub(super) fn find(&mut self, key: &FlowKey) -> Option<u32> {
        let hash = key.hash(self.config.hash_key);
        let flows = &*self.storage.flows;
        FlowIndex::new(self.storage.index).find(hash, |slot| {
            let flow = usize::try_from(slot).ok().and_then(|slot| flows.get(slot));
            flow.is_some_and(|flow| flow.key.is(key))
        })
    }

    /// Takes a slot for a connection; `None` if there is none.
    pub(super) fn take_slot(&mut self, key: &FlowKey) -> Option<u32> {
        let Storage {
            head, flows, index, ..
        } = &mut self.storage;
        let id = head.slots.alloc(flows)?;
        let slot = id.slot();
        // Whoever takes it begins to fill it, and says when that is done.
        head.seal.open(slot);
        let hash = key.hash(self.config.hash_key);
        if FlowIndex::new(index).insert(hash, slot).is_err() {
            head.slots.free(flows, id);
            return None;
        }
        let flow = self.slot_mut(slot)?;
        flow.wipe();
        flow.key = key.into();
        self.storage.head.embryonic = self.storage.head.embryonic.saturating_add(1);
        Some(slot)
    }

    /// Makes room for another handshake: if unfinished ones hold their share of the slots, one of
    /// them is forgotten, and its packets pass (rule H7.8). Which one is a matter of chance for
    /// whoever does not know the hash key. `false` if none was found: then there is no room.
    pub(super) fn make_room(&mut self) -> bool {
        let flows = self.storage.flows.len();
        let share = flows.saturating_mul(usize::from(self.config.handshake_share)) / 100;
        let full = self.storage.head.slots.live() as usize >= flows;
        if (self.storage.head.embryonic as usize) < share.max(1) && !full {
            return true;
        }
        let [_, salt] = self.config.hash_key;
        let mut state = salt ^ u64::from(self.storage.head.eviction);
        self.storage.head.eviction = self.storage.head.eviction.wrapping_add(1);
        let watermark = u64::from(self.storage.head.slots.watermark()).max(1);
        for _ in 0..EVICTION_PROBES {
            state = mix(state);
            let slot = u32::try_from(state.checked_rem(watermark).unwrap_or(0)).unwrap_or(0);
            if self
                .slot(slot)
                .is_some_and(|flow| flow.phase().is_embryonic())
            {
                self.release_slot(slot);
                let counters = &mut self.storage.head.counters;
                counters.handshakes_evicted = counters.handshakes_evicted.saturating_add(1);
                return true;
            }
        }
        false
    }

    /// Gives a flow's slot, blocks and timers back.
    pub(super) fn release_slot(&mut self, slot: u32) {
        let Some(id) = self.id_of(slot) else { return };
        let Storage {
            head,
            flows,
            index,
            blocks,
            arena,
            paths,
            ..
        } = &mut self.storage;
        head.wheel.disarm(flows, slot);
        head.ready.remove(flows, slot);
        head.shares.leave(flows, slot);
        let now = head.clock.now();
        PathTable::new(&mut head.paths, paths, self.config.hash_key).withdraw(flows, slot, now);
        let Some(flow) = usize::try_from(slot)
            .ok()
            .and_then(|slot| flows.get_mut(slot))
        else {
            return;
        };
        if let Some(key) = flow.key.unpack() {
            FlowIndex::new(index).remove(key.hash(self.config.hash_key), slot);
        }
        if flow.phase().is_embryonic() {
            head.embryonic = head.embryonic.saturating_sub(1);
        }
        head.stalled_blocks = head.stalled_blocks.saturating_sub(flow.stalled_blocks());
        if let Some(key) = flow.key.unpack() {
            let mut table = PathTable::new(&mut head.paths, paths, self.config.hash_key);
            for (path, lesson) in Direction::BOTH
                .iter()
                .filter_map(|&direction| flow.lesson(&key, direction))
            {
                table.learn(&path, now, &lesson);
            }
        }
        let mut pool = Pool::new(&mut head.pool, blocks, arena, self.block_size);
        for direction in Direction::BOTH {
            let stream = flow.stream_mut(direction);
            if stream.chain.has_quota()
                && let Some(share) = stream.send.congestion.share()
            {
                head.shares.close(share);
            }
            pool.retire(&mut stream.chain);
        }
        flow.wipe();
        head.slots.free(flows, id);
    }

    /// Gives up a flow that had been adopted, and says so.
    pub(super) fn forget<S: Sink + ?Sized>(&mut self, slot: u32, wall: Instant, sink: &mut S) {
        let Some(flow) = self.id_of(slot) else { return };
        let Some(state) = self.slot(slot) else { return };
        let key = state.key.unpack().filter(|_| !state.phase().is_embryonic());
        self.release_slot(slot);
        if let Some(key) = key {
            sink.event(wall, Event::Closed { flow, key });
        }
    }
}

/// Scrambles a number (the finaliser of SplitMix64).
const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
