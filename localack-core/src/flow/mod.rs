//! One connection's state: who its hosts are, where it is in its life, and its two streams.

pub(crate) mod admit;
pub(crate) mod audit;
pub(crate) mod heard;
pub(crate) mod host;
pub(crate) mod id;
pub(crate) mod key;
pub(crate) mod phase;
pub(crate) mod stream;
pub(crate) mod table;

pub use id::FlowId;
pub use key::FlowKey;

use crate::policy::{Direction, Port};
use crate::seq::WindowScale;
use crate::time::{Due, Instant, Moment};
use crate::timer::{ReadyLink, ReadyNode, TimerLink, TimerNode};
use host::{Host, PendingSyn};
use key::PackedKey;
use phase::Phase;
use stream::Stream;
use table::FreeNode;

/// The memory of one flow. Opaque; lend a slice of [`FlowSlot::EMPTY`] to the engine.
///
/// Plain old data: integers and indices, all zero when unused.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct FlowSlot {
    pub(crate) timer: TimerLink,
    pub(crate) ready: ReadyLink,
    generation: u32,
    pub(crate) key: PackedKey,
    /// Longest wait of an acknowledgement, in microseconds.
    pub(crate) ack_delay: u16,
    phase: u8,
    client: u8,
    pub(crate) flags: FlowFlags,
    /// Octets that one direction may hold in custody. Of a slot that is free: the next free one.
    pub(crate) buffer_limit: u32,
    pub(crate) pending: PendingSyn,
    pub(crate) hosts: [Host; 2],
    /// When the last challenge was sent (rule H8.6).
    pub(crate) challenge_at: Moment,
    /// When the last unasked duplicate acknowledgement was sent (rule H8.6).
    pub(crate) duplicate_at: Moment,
    /// When a segment of the flow was last seen.
    pub(crate) seen_at: Moment,
    /// When the phase ends by itself.
    pub(crate) phase_due: Due,
    streams: [Stream; 2],
}

// The budget of a flow with every controller, and with Reno alone; see the memory table in the README.
const BUDGET: usize = if cfg!(feature = "bbr") {
    1024
} else if cfg!(feature = "cubic") {
    928
} else {
    808
};
const _: () = assert!(size_of::<FlowSlot>() <= BUDGET);

/// What holds for the flow as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct FlowFlags(u16);

impl FlowFlags {
    pub(crate) const NONE: Self = Self(0);
    /// Both SYNs carried timestamps (RFC 7323 section 3.2).
    pub(crate) const TIMESTAMPS: Self = Self(1);
    /// Both SYNs permitted SACK (RFC 2018).
    pub(crate) const SACK: Self = Self(1 << 1);
    /// A SYN of another incarnation is under way (rule H7.6).
    pub(crate) const SYN_PENDING: Self = Self(1 << 2);
    /// Custody may begin without proof (rule H7.1).
    pub(crate) const CUSTODY_AFTER_HANDSHAKE: Self = Self(1 << 3);
    /// One direction does not pass here (rule H9.3).
    pub(crate) const ASYMMETRIC: Self = Self(1 << 4);
    /// The handshake was repeated: its times are no round trips (rule H7.9).
    pub(crate) const SYN_LOST: Self = Self(1 << 5);
    /// DF may be set for a sender that does not (rule H10.3).
    pub(crate) const ALLOW_DF: Self = Self(1 << 6);
    /// A reset could not be sent yet: the one that waited for delivery, or the second of the two
    /// that give up.
    pub(crate) const RESET_DUE: Self = Self(1 << 7);
    /// The inner host was silent for so long that its timestamp clock may have wrapped (rule H3.9).
    pub(crate) const INNER_CLOCK_VOID: Self = Self(1 << 8);
    /// The same of the outer host.
    pub(crate) const OUTER_CLOCK_VOID: Self = Self(1 << 9);

    /// Data from the inner host has made no progress for long (rule H12.4).
    pub(crate) const INNER_STALLED: Self = Self(1 << 10);
    /// The same of data from the outer host.
    pub(crate) const OUTER_STALLED: Self = Self(1 << 11);

    /// Controllers that need no pacing send at once what their window allows.
    pub(crate) const UNPACED: Self = Self(1 << 12);
    /// Both ends agreed on classic ECN (RFC 3168 section 6.1.1).
    pub(crate) const ECN: Self = Self(1 << 13);
    /// Once the flow is reset, whoever speaks is told again: acknowledged octets were lost, or the engine has
    /// reset a host of its own accord, and the host may not have heard.
    pub(crate) const TELL_AGAIN: Self = Self(1 << 14);

    /// A flow may begin where an earlier one to the same network left off (rule H12.5).
    pub(crate) const CAREFUL_RESUME: Self = Self(1 << 15);

    /// The flag that says that `direction` is stalled.
    pub(crate) const fn stalled(direction: Direction) -> Self {
        match direction {
            Direction::InnerToOuter => Self::INNER_STALLED,
            Direction::OuterToInner => Self::OUTER_STALLED,
        }
    }

    /// The flag that voids the timestamps of the host on `port`.
    pub(crate) const fn clock_void(port: Port) -> Self {
        match port {
            Port::Inner => Self::INNER_CLOCK_VOID,
            Port::Outer => Self::OUTER_CLOCK_VOID,
        }
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(crate) const fn put(&mut self, other: Self, on: bool) {
        if on {
            self.set(other)
        } else {
            self.clear(other)
        }
    }
}

impl FlowSlot {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        timer: TimerLink::EMPTY,
        ready: ReadyLink::EMPTY,
        generation: 0,
        key: PackedKey::EMPTY,
        ack_delay: 0,
        phase: 0,
        client: 0,
        flags: FlowFlags::NONE,
        buffer_limit: 0,
        pending: PendingSyn::EMPTY,
        hosts: [Host::EMPTY; 2],
        challenge_at: Moment::NEVER,
        duplicate_at: Moment::NEVER,
        seen_at: Moment::NEVER,
        phase_due: Due::NEVER,
        streams: [Stream::EMPTY; 2],
    };

    /// Empties the slot but for its links, its place in lists, and its generation.
    pub(crate) const fn wipe(&mut self) {
        *self = Self {
            timer: self.timer,
            ready: self.ready,
            generation: self.generation,
            buffer_limit: self.buffer_limit,
            ..Self::EMPTY
        };
    }

    pub(crate) const fn phase(&self) -> Phase {
        Phase::decode(self.phase)
    }

    pub(crate) const fn set_phase(&mut self, phase: Phase) {
        self.phase = phase.encode();
    }

    /// The port on which the SYN arrived.
    pub(crate) const fn client(&self) -> Port {
        if self.client == 0 {
            Port::Inner
        } else {
            Port::Outer
        }
    }

    pub(crate) const fn set_client(&mut self, port: Port) {
        self.client = match port {
            Port::Inner => 0,
            Port::Outer => 1,
        };
    }

    /// The host on the side of `port`.
    pub(crate) const fn host(&self, port: Port) -> &Host {
        let [inner, outer] = &self.hosts;
        match port {
            Port::Inner => inner,
            Port::Outer => outer,
        }
    }

    pub(crate) const fn host_mut(&mut self, port: Port) -> &mut Host {
        let [inner, outer] = &mut self.hosts;
        match port {
            Port::Inner => inner,
            Port::Outer => outer,
        }
    }

    pub(crate) const fn stream(&self, direction: Direction) -> &Stream {
        let [inner, outer] = &self.streams;
        match direction {
            Direction::InnerToOuter => inner,
            Direction::OuterToInner => outer,
        }
    }

    pub(crate) const fn stream_mut(&mut self, direction: Direction) -> &mut Stream {
        let [inner, outer] = &mut self.streams;
        match direction {
            Direction::InnerToOuter => inner,
            Direction::OuterToInner => outer,
        }
    }

    /// The most octets that one direction may come to hold: rounding of windows lets a sender go a
    /// little further with each acknowledgement (rule H2.1).
    pub(crate) fn most_held(&self, scale: WindowScale) -> u32 {
        self.buffer_limit
            .saturating_add(self.buffer_limit / 4)
            .saturating_add(scale.unit())
    }

    /// Whether anything but bypass and local acknowledgement is asked for in either direction, or in force.
    pub(crate) const fn is_arranged(&self) -> bool {
        let [inner, outer] = &self.streams;
        inner.is_arranged() || outer.is_arranged()
    }

    /// Blocks held by directions that are stalled.
    pub(crate) fn stalled_blocks(&self) -> u32 {
        let any = FlowFlags::INNER_STALLED.0 | FlowFlags::OUTER_STALLED.0;
        if self.flags.0 & any == 0 {
            return 0;
        }
        let stalled = |&d: &Direction| self.flags.has(FlowFlags::stalled(d));
        Direction::BOTH
            .iter()
            .filter(|d| stalled(d))
            .fold(0, |sum, &d| {
                sum.saturating_add(self.stream(d).chain.blocks())
            })
    }

    /// Lets the flow's time end no later than `at`.
    pub(crate) fn end_by(&mut self, at: Instant, now: Instant) {
        if self.phase_due.is_set() {
            self.phase_due = self.phase_due.sooner(Due::at(at), now);
        }
    }

    /// Whether everything acknowledged to a sender has reached its receiver, so that the flow may be
    /// forgotten once it has been silent for long (rule H9.8). What was SACKed alone is advice, and
    /// may be taken back (RFC 2018 section 8).
    pub(crate) fn is_without_debt(&self) -> bool {
        Direction::BOTH.iter().all(|&d| self.stream(d).debt() == 0)
    }
}

impl TimerNode for FlowSlot {
    fn timer(&self) -> &TimerLink {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

impl ReadyNode for FlowSlot {
    fn ready(&self) -> &ReadyLink {
        &self.ready
    }

    fn ready_mut(&mut self) -> &mut ReadyLink {
        &mut self.ready
    }
}

impl FreeNode for FlowSlot {
    fn next_free(&self) -> u32 {
        self.buffer_limit
    }

    fn set_next_free(&mut self, next: u32) {
        self.buffer_limit = next;
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }
}

#[cfg(test)]
mod tests;
