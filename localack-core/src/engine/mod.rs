//! The engine: finds the flow a packet belongs to, and lets it do the work.

mod attach;
mod connect;
mod info;
#[cfg(feature = "bytemuck")]
mod mirror;
mod own;
mod queues;
mod slots;
mod work;

pub use attach::{AttachError, AttachReport};

use core::ops::Range;

use crate::config::{Config, ConfigError};
use crate::congestion::Controller;
use crate::flow::phase::Phase;
use crate::flow::{FlowId, FlowKey, FlowSlot};
use crate::policy::{Direction, Policy, Port, Service};
use crate::pool::BlockSize;
use crate::services::PacketServices;
use crate::shaping::{Shaping, ShapingId};
use crate::sink::{Checksum, PacketMeta, Sink, SinkFull};
use crate::stats::{Counters, FlowInfo};
use crate::storage::Storage;
use crate::time::Instant;
use crate::verdict::{PassReason, Verdict};
use crate::wire::checksum;
use crate::wire::{self, Flags, IcmpError, NotTcp, Parsed, Segment};

/// Most packets that one `ingest` pushes; the rest comes from `poll`.
const INGEST_ROOM: usize = 3;
/// Most packets that giving up takes: two resets for each end.
const GIVE_UP_ROOM: usize = 4;
/// Timers that one `poll` looks at for each packet it may send, and at least.
const TIMER_STEPS: u32 = 64;

/// What `poll` leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "there may be more to send"]
pub enum Poll {
    /// The budget is spent and there is more to do: call again.
    More,
    /// The sink is full: call again when it has room.
    Blocked,
    /// Nothing to do before [`Engine::next_deadline`].
    Idle,
}

/// No flow has this id any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownFlow;

impl core::fmt::Display for UnknownFlow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no flow has this id any more")
    }
}

impl core::error::Error for UnknownFlow {}

/// A local-acknowledgement engine over lent memory.
///
/// # Call order
/// 1. [`Engine::ingest`] for each packet, with the time it arrived; do with it what the
///    [`Verdict`] says. Packets that go to the sink meanwhile leave before it.
/// 2. [`Engine::poll`] with the same time, until it answers [`Poll::Idle`].
/// 3. [`Engine::poll`] again at [`Engine::next_deadline`] at the latest.
///
/// Everything else may be called at any time.
#[derive(Debug)]
pub struct Engine<'a, P, X = ()> {
    storage: Storage<'a>,
    config: Config,
    policy: P,
    block_size: BlockSize,
    services: X,
}

impl<'a, P: Policy> Engine<'a, P> {
    /// An engine over `storage`, whose former content is forgotten.
    ///
    /// # Errors
    /// [`ConfigError`] if the slices do not fit together or a setting is out of range.
    pub fn new(storage: Storage<'a>, config: Config, policy: P) -> Result<Self, ConfigError> {
        let block_size = config.check(&storage)?;
        let mut engine = Self {
            storage,
            config,
            policy,
            block_size,
            services: (),
        };
        engine.format();
        Ok(engine)
    }
}

impl<'a, P: Policy, X: PacketServices> Engine<'a, P, X> {
    /// The same engine with other services of the caller's own, which see the segments of every flow that
    /// names them in its [`Shaping`]. They are lost with the engine, and not in its memory.
    #[must_use]
    pub fn with_services<Y: PacketServices>(self, services: Y) -> Engine<'a, P, Y> {
        Engine {
            storage: self.storage,
            config: self.config,
            policy: self.policy,
            block_size: self.block_size,
            services,
        }
    }

    /// The caller's own services.
    #[must_use]
    pub const fn services(&self) -> &X {
        &self.services
    }

    /// The caller's own services, to be changed.
    pub const fn services_mut(&mut self) -> &mut X {
        &mut self.services
    }

    /// Decides about one IP packet that arrived on `port`, and sends what it causes at once: at
    /// most three packets, the rest comes from [`Engine::poll`].
    ///
    /// `packet` begins with the IP header and may have padding of the link behind it. It is
    /// changed only if the verdict is [`Verdict::Forward`], and its length never.
    pub fn ingest<S: Sink + ?Sized>(
        &mut self,
        port: Port,
        now: Instant,
        packet: &mut [u8],
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        self.advance(now);
        // Looked at where it lies: a segment is large.
        let verdict = match &wire::parse(packet) {
            Parsed::Tcp(seg) => self.on_tcp(port, now, packet, seg, meta, sink),
            Parsed::Icmp(error) => self.on_icmp(port, now, error, meta, sink),
            Parsed::Other(reason) => Verdict::Pass(pass_reason(*reason)),
        };
        self.storage.head.counters.count_verdict(verdict);
        verdict
    }

    /// Sends what timers and opened windows allow, at most `budget` packets.
    pub fn poll<S: Sink + ?Sized>(&mut self, now: Instant, budget: usize, sink: &mut S) -> Poll {
        let engine_now = self.advance(now);
        if self.is_due(engine_now) {
            self.do_what_is_due(now, engine_now, budget, sink)
        } else {
            Poll::Idle
        }
    }

    fn do_what_is_due<S: Sink + ?Sized>(
        &mut self,
        now: Instant,
        engine_now: Instant,
        budget: usize,
        sink: &mut S,
    ) -> Poll {
        let mut room = budget;
        let mut steps = TIMER_STEPS.saturating_add(u32::try_from(budget).unwrap_or(u32::MAX));
        while let Some(slot) =
            self.storage
                .head
                .wheel
                .pop_expired(self.storage.flows, engine_now, &mut steps)
        {
            let verdicts = self.ask_paths(slot);
            let blocked = self
                .work(slot, now, room, sink, |work| work.on_timer(verdicts))
                .is_some_and(|(_, done)| {
                    room = done.room;
                    done.blocked
                });
            if blocked {
                return Poll::Blocked;
            }
            if room == 0 {
                return Poll::More;
            }
        }
        if steps == 0 {
            return Poll::More;
        }
        match self.serve_paths(now, room, &mut steps, sink) {
            Ok(left) => room = left,
            Err(SinkFull) => return Poll::Blocked,
        }
        while room > 0 && steps > 0 {
            let Some(slot) = self.storage.head.ready.pop_front(self.storage.flows) else {
                break;
            };
            let before = room;
            let Some((_, done)) = self.work(slot, now, room, sink, |work| work.run()) else {
                continue;
            };
            room = done.room;
            if done.blocked {
                return Poll::Blocked;
            }
            if room == before {
                steps = steps.saturating_sub(1);
                // A flow that sends nothing although it says it could must not spin.
                if !done.walks {
                    self.storage.head.ready.remove(self.storage.flows, slot);
                }
            }
        }
        if self.serve_shares(now, room, steps, sink) == Err(SinkFull) {
            return Poll::Blocked;
        }
        if self.is_due(engine_now) {
            Poll::More
        } else {
            Poll::Idle
        }
    }

    /// When [`Engine::poll`] must be called at the latest; `None` if nothing waits for time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let clock = &self.storage.head.clock;
        self.next_due().map(|at| clock.wall(at))
    }

    /// Asks for another service of one direction of a flow; after [`Engine::drain`] there is none
    /// but [`Service::Bypass`]. It takes effect at the next packet or
    /// poll, and is reached once nothing hangs on the old one:
    /// [`Event::ServiceChanged`](crate::Event::ServiceChanged) tells.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn set_service(
        &mut self,
        flow: FlowId,
        direction: Direction,
        service: Service,
        now: Instant,
    ) -> Result<(), UnknownFlow> {
        self.advance(now);
        let slot = self.live_slot(flow).ok_or(UnknownFlow)?;
        self.ask_for(slot, direction, service).ok_or(UnknownFlow)
    }

    /// Asks for another service and other shaping of one direction of a flow at once. The shaping takes effect
    /// with the next packet, the service as [`Engine::set_service`] says.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn arrange(
        &mut self,
        flow: FlowId,
        direction: Direction,
        service: Service,
        shaping: ShapingId,
        now: Instant,
    ) -> Result<(), UnknownFlow> {
        self.advance(now);
        let slot = self.live_slot(flow).ok_or(UnknownFlow)?;
        let state = self.slot_mut(slot).ok_or(UnknownFlow)?;
        state.stream_mut(direction).set_shaping(shaping);
        self.ask_for(slot, direction, service).ok_or(UnknownFlow)
    }

    /// Lets a number mean another shaping from the next packet on, for every flow that names it. `false`, and
    /// no change, for [`ShapingId::NONE`].
    pub fn set_shaping(&mut self, id: ShapingId, shaping: &Shaping, now: Instant) -> bool {
        self.advance(now);
        self.storage.head.shapings.set(id, shaping)
    }

    /// What a number means.
    #[must_use]
    pub fn shaping(&self, id: ShapingId) -> Shaping {
        self.storage.head.shapings.get(id)
    }

    fn ask_for(&mut self, slot: u32, direction: Direction, service: Service) -> Option<()> {
        let service = if self.storage.head.draining == 0 {
            service
        } else {
            Service::Bypass
        };
        let state = self.slot_mut(slot)?;
        state.stream_mut(direction).set_service(service);
        if state.phase() == Phase::Open {
            self.look_after(slot);
        }
        Some(())
    }

    /// The next poll looks at the flow, even if it waits for its turn at a vouched rate.
    fn look_after(&mut self, slot: u32) {
        let Storage { head, flows, .. } = &mut self.storage;
        head.shares.leave(flows, slot);
        head.ready.push_back(flows, slot);
    }

    /// Lets another controller take over one direction of a flow, with the window as it is.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn set_controller(
        &mut self,
        flow: FlowId,
        direction: Direction,
        controller: Controller,
        now: Instant,
    ) -> Result<(), UnknownFlow> {
        self.advance(now);
        let slot = self.live_slot(flow).ok_or(UnknownFlow)?;
        // It waits for its turn at the rate that it may be about to give up.
        let Storage { head, flows, .. } = &mut self.storage;
        head.shares.leave(flows, slot);
        let mut quiet = connect::Quiet;
        self.work(slot, now, 0, &mut quiet, |work| {
            work.set_controller(direction, controller);
        });
        if self
            .slot(slot)
            .is_some_and(|state| state.phase() == Phase::Open)
        {
            self.storage.head.ready.push_back(self.storage.flows, slot);
        }
        Ok(())
    }

    /// Vouches for another rate of a share, 0 to 15 (more counts modulo 16), in octets of IP packets
    /// per second; zero is no limit. The flows that use it divide it from now on, and so do those that
    /// come while one of them is there, whatever rate their [`Provision`](crate::Provision) names.
    /// `false`, and no change, if no flow uses the share.
    pub fn set_shared_rate(&mut self, share: u8, rate: u32, now: Instant) -> bool {
        self.advance(now);
        self.storage.head.shares.set_rate(share, rate)
    }

    /// Hands every flow back to its endpoints and adopts no new ones: from now on nothing is
    /// acknowledged early, and once everything in custody is delivered all packets pass. Takes a
    /// step per flow slot ever used.
    pub fn drain(&mut self, now: Instant) {
        self.advance(now);
        self.storage.head.draining = 1;
        for slot in 0..self.storage.head.slots.watermark() {
            let Some(state) = self.slot_mut(slot) else {
                continue;
            };
            if state.phase() == Phase::Open {
                for direction in Direction::BOTH {
                    state.stream_mut(direction).set_service(Service::Bypass);
                }
                self.look_after(slot);
            }
        }
    }

    /// Resets a flow at both ends if it still owes something, as if its receiver had been silent for too
    /// long: for a drain that may take no longer. [`Event::GivenUp`](crate::Event::GivenUp) says what was
    /// lost. A flow that owes nothing stays as it is.
    ///
    /// `false` if the sink was full: the flow owes as before, so call again later.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn give_up<S: Sink + ?Sized>(
        &mut self,
        flow: FlowId,
        now: Instant,
        sink: &mut S,
    ) -> Result<bool, UnknownFlow> {
        self.advance(now);
        let slot = self.live_slot(flow).ok_or(UnknownFlow)?;
        let given = self.work(slot, now, GIVE_UP_ROOM, sink, |work| work.give_up_debts());
        Ok(given.is_some_and(|(given, _)| given))
    }

    /// A snapshot of one flow; `None` if it is gone.
    #[must_use]
    pub fn flow(&self, flow: FlowId) -> Option<FlowInfo> {
        self.live_slot(flow).and_then(|slot| self.info(slot))
    }

    /// Snapshots of all flows whose handshake was seen, in no particular order.
    pub fn flows(&self) -> impl Iterator<Item = FlowInfo> + '_ {
        self.flows_in(0..u32::MAX)
    }

    /// The same of some slots, so that many flows can be looked at in steps; all flows are in the first
    /// [`Engine::slots_used`].
    pub fn flows_in(&self, slots: Range<u32>) -> impl Iterator<Item = FlowInfo> + '_ {
        let end = slots.end.min(self.slots_used());
        (slots.start..end).filter_map(|slot| self.info(slot))
    }

    /// Slots that were ever in use, the first ones of the storage's flows.
    #[must_use]
    pub const fn slots_used(&self) -> u32 {
        self.storage.head.slots.watermark()
    }

    /// Blocks of the arena that are in use, of all that the storage has.
    #[must_use]
    pub const fn blocks_used(&self) -> u32 {
        self.storage.head.pool.used()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.storage.head.counters
    }

    /// The policy; what it answers from now on holds for new connections.
    pub const fn policy_mut(&mut self) -> &mut P {
        &mut self.policy
    }

    #[inline(always)]
    fn advance(&mut self, wall: Instant) -> Instant {
        match self.storage.head.clock.step(wall) {
            Some(now) => now,
            None => self.leap(wall),
        }
    }

    #[cold]
    fn leap(&mut self, wall: Instant) -> Instant {
        let due = self.next_due();
        self.storage.head.clock.leap(wall, due)
    }

    fn on_tcp<S: Sink + ?Sized>(
        &mut self,
        port: Port,
        wall: Instant,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        self.hear(seg.src, port, meta.link);
        let key = key_of(port, seg, meta);
        let Some(slot) = self.find(&key) else {
            return if seg.flags.contains(Flags::SYN)
                && !seg.flags.intersects(Flags::ACK.union(Flags::RST))
            {
                if meta.checksum == Checksum::Verify && !checksum::verify(packet, seg) {
                    return Verdict::Pass(PassReason::BadChecksum);
                }
                let verdict = self.on_first_syn(&key, port, wall, seg, sink);
                let verdict = self.clamp_mss(&key, port, packet, seg, meta, verdict);
                self.storage.head.seal.close();
                verdict
            } else {
                Verdict::Pass(PassReason::MidStream)
            };
        };
        // One place goes on with what services have seen and with what none has, so that the latter does not pay
        // for the former.
        let shown = if X::ANY
            && let Some((mask, id)) = self.named_services(slot, port)
        {
            match self.show_to_services((mask, (id, key)), (port, wall), packet, seg, meta, sink) {
                Ok(shown) => Some(shown),
                Err(verdict) => return verdict,
            }
        } else {
            None
        };
        let (seg, edited) = match &shown {
            Some((seg, edited)) => (seg, *edited),
            None => (seg, false),
        };
        let verdict = self.on_known_tcp(slot, &key, port, wall, packet, seg, meta, sink);
        if edited && matches!(verdict, Verdict::Pass(_)) {
            Verdict::Forward
        } else {
            verdict
        }
    }

    /// A segment of a flow that is known.
    #[expect(
        clippy::too_many_arguments,
        reason = "a packet, its circumstances and its flow"
    )]
    #[inline(always)]
    fn on_known_tcp<S: Sink + ?Sized>(
        &mut self,
        slot: u32,
        key: &FlowKey,
        port: Port,
        wall: Instant,
        packet: &mut [u8],
        seg: &Segment,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        let phase = self.slot(slot).map_or(Phase::Free, FlowSlot::phase);
        let is_syn = seg.flags.contains(Flags::SYN);
        if is_syn || phase.is_embryonic() {
            self.storage.head.seal.open(slot);
            let verdict = if is_syn {
                let verdict = self.on_syn(slot, key, port, wall, packet, seg, meta, sink);
                self.clamp_mss(key, port, packet, seg, meta, verdict)
            } else {
                self.on_handshake_segment(slot, key, port, wall, packet, seg, meta, sink)
            };
            self.storage.head.seal.close();
            return verdict;
        }
        let direction = Direction::arriving_on(port);
        let arrived = Some((direction, seg));
        self.work_here(slot, wall, arrived, INGEST_ROOM, sink, |work| {
            work.on_segment(direction, packet, seg, meta)
        })
        .map_or(Verdict::Pass(PassReason::MidStream), |(verdict, _)| verdict)
    }

    /// An error about a packet comes from where the packet went.
    fn on_icmp<S: Sink + ?Sized>(
        &mut self,
        port: Port,
        wall: Instant,
        error: &IcmpError,
        meta: PacketMeta,
        sink: &mut S,
    ) -> Verdict {
        let quoted = &error.quoted;
        let direction = Direction::arriving_on(port.other());
        let key = match direction {
            Direction::InnerToOuter => FlowKey::new(
                quoted.src,
                quoted.src_port,
                quoted.dst,
                quoted.dst_port,
                meta.link.0,
            ),
            Direction::OuterToInner => FlowKey::new(
                quoted.dst,
                quoted.dst_port,
                quoted.src,
                quoted.src_port,
                meta.link.0,
            ),
        };
        let is_open = |state: &FlowSlot| state.phase() == Phase::Open;
        self.find(&key)
            .filter(|&slot| self.slot(slot).is_some_and(is_open))
            .and_then(|slot| {
                self.work(slot, wall, INGEST_ROOM, sink, |work| {
                    work.on_icmp(direction, error)
                })
            })
            .map_or(Verdict::Pass(PassReason::Icmp), |(verdict, _)| verdict)
    }
}

/// The key of the flow that a segment on `port` belongs to.
const fn key_of(port: Port, seg: &Segment, meta: PacketMeta) -> FlowKey {
    match port {
        Port::Inner => FlowKey::new(seg.src, seg.src_port, seg.dst, seg.dst_port, meta.link.0),
        Port::Outer => FlowKey::new(seg.dst, seg.dst_port, seg.src, seg.src_port, meta.link.0),
    }
}

const fn pass_reason(reason: NotTcp) -> PassReason {
    match reason {
        NotTcp::NotIp => PassReason::NotIp,
        NotTcp::Truncated => PassReason::Truncated,
        NotTcp::Malformed => PassReason::Malformed,
        NotTcp::Fragment => PassReason::Fragment,
        NotTcp::Jumbo => PassReason::Jumbo,
        NotTcp::Ipsec => PassReason::Ipsec,
        NotTcp::Tunnel => PassReason::Tunnel,
        NotTcp::Protocol => PassReason::OtherProtocol,
    }
}
