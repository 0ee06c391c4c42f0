//! Packet services of the caller's own, arranged before those of the engine: see [`PacketService`].

use crate::flow::{FlowId, FlowKey};
use crate::policy::Port;
use crate::relay::kind_of;
use crate::sink::{LinkId, PacketMeta, Payload, Sink, SinkFull, Transmit, TransmitKind};
use crate::time::Instant;
use crate::wire::{self, HeaderSpec, Parsed, Rewrite, Segment, Sum};

/// Packets that one service may send for one segment.
const ROOM: u8 = 2;

/// What becomes of a segment that a service has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step {
    /// It goes on: to the next service, and then to the engine's own.
    On,
    /// It goes no further. Who absorbs data answers for it, because its sender will send it again.
    Absorb,
}

/// A packet service of the caller's own, arranged before those of the engine.
///
/// An engine gets a tuple of them with [`Engine::with_services`](crate::Engine::with_services). Which of them
/// see the segments of a flow says the [`Shaping`](crate::Shaping) that each of its directions names, and that
/// may change at any time. They see segments whose checksum is right, as they arrived, from the answer to the
/// first SYN on (with that SYN the flow is adopted, and gets its shaping), in the order of the tuple, and before any service of the engine does. Segments that the engine makes they do
/// not see.
///
/// One must not block, needs no allocation, and sends at most two packets for each segment. Calls are bound at
/// compile time; an engine without any has no code for them, and in one that has some the segments of a flow that
/// names none take a look into the flow more: one percent of the instructions for an acknowledgement, half of that
/// for data.
///
/// `examples/header_bits` is one that counts, and is arranged with local acknowledgement.
///
/// ```
/// use localack_core::{PacketService, Passing, Sink, Step};
///
/// /// Counts segments that were marked on a congested path.
/// struct Marks(u64);
///
/// impl PacketService for Marks {
///     fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step {
///         if passing.segment().ip.ecn() == 0b11 {
///             self.0 = self.0.saturating_add(1);
///         }
///         Step::On
///     }
/// }
/// ```
pub trait PacketService {
    /// A segment is on its way: it may be looked at, edited, absorbed, or answered.
    fn on_segment<S: Sink + ?Sized>(&mut self, passing: &mut Passing<'_, S>) -> Step;
}

/// Several services in their order: `()`, or a tuple of up to eight [`PacketService`]s.
pub trait PacketServices {
    /// Whether there are any.
    const ANY: bool;

    /// Shows a segment to the services whose bit is set in `mask`, the first one's lowest.
    fn on_segment<S: Sink + ?Sized>(&mut self, mask: u8, passing: &mut Passing<'_, S>) -> Step;
}

impl PacketServices for () {
    const ANY: bool = false;

    fn on_segment<S: Sink + ?Sized>(&mut self, _: u8, _: &mut Passing<'_, S>) -> Step {
        Step::On
    }
}

/// Implements [`PacketServices`] for a tuple of so many services.
macro_rules! tuples {
    ($($($name:ident $bit:literal),+;)+) => { $(
        impl<$($name: PacketService),+> PacketServices for ($($name,)+) {
            const ANY: bool = true;

            fn on_segment<S: Sink + ?Sized>(&mut self, mask: u8, passing: &mut Passing<'_, S>) -> Step {
                #[expect(non_snake_case, reason = "a value for each type")]
                let ($($name,)+) = self;
                $(
                    if mask & 1 << $bit != 0 && passing.show_to($name) == Step::Absorb {
                        return Step::Absorb;
                    }
                )+
                Step::On
            }
        }
    )+ };
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

/// A segment on its way through a service, and what the service may do with it.
#[derive(Debug)]
pub struct Passing<'p, S: ?Sized> {
    packet: &'p mut [u8],
    segment: Segment,
    meta: PacketMeta,
    port: Port,
    now: Instant,
    flow: FlowId,
    key: FlowKey,
    sink: &'p mut S,
    /// Packets that the service may still send.
    room: u8,
    sent: u8,
    edited: bool,
    /// The segment is to be read anew.
    stale: bool,
}

impl<'p, S: Sink + ?Sized> Passing<'p, S> {
    pub(crate) fn new(
        packet: &'p mut [u8],
        segment: &Segment,
        meta: PacketMeta,
        (port, now): (Port, Instant),
        (flow, key): (FlowId, FlowKey),
        sink: &'p mut S,
    ) -> Self {
        Self {
            packet,
            segment: *segment,
            meta,
            port,
            now,
            flow,
            key,
            sink,
            room: 0,
            sent: 0,
            edited: false,
            stale: false,
        }
    }

    /// How many packets were sent, whether the one that came was edited, and what it says now; `None` if it
    /// is no segment any more.
    pub(crate) fn finish(self) -> (u8, bool, Option<Segment>) {
        let segment = (!self.stale).then_some(self.segment);
        (self.sent, self.edited, segment)
    }

    /// Shows the segment to the next service, as the one before has left it.
    fn show_to<X: PacketService>(&mut self, service: &mut X) -> Step {
        self.room = ROOM;
        let step = service.on_segment(self);
        if self.stale
            && let Parsed::Tcp(segment) = wire::parse(self.packet)
        {
            self.segment = segment;
            self.stale = false;
        }
        step
    }

    /// The port at which the segment arrived.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.port
    }

    /// When it arrived.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The flow it belongs to.
    #[must_use]
    pub const fn flow(&self) -> FlowId {
        self.flow
    }

    /// The addresses and ports of the flow.
    #[must_use]
    pub const fn key(&self) -> &FlowKey {
        &self.key
    }

    /// What the headers said when the service was called.
    #[must_use]
    pub const fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The whole packet, from its IP header on.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.packet
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.segment.payload(self.packet)
    }

    /// Edits of its TCP header, which keep the checksum as right as it was. Numbers that one end does not
    /// expect break the connection: what is edited is the service's responsibility.
    pub fn edit(&mut self, edits: impl FnOnce(&mut Rewrite<'_>)) {
        let mut rewrite = Rewrite::new(self.packet, &self.segment, kind_of(self.meta));
        edits(&mut rewrite);
        if rewrite.changed() {
            self.edited = true;
            self.stale = true;
        }
    }

    /// Sends a packet of the service's own out of `port`: headers that say `spec`, and `payload`.
    ///
    /// # Errors
    /// [`SinkFull`] if the sink takes no more, if the service has sent two packets for this segment already, or
    /// if there is no such packet: too large, or with addresses of two IP versions.
    pub fn send(
        &mut self,
        port: Port,
        spec: &HeaderSpec<'_>,
        payload: &[u8],
    ) -> Result<(), SinkFull> {
        let octets = u32::try_from(payload.len()).map_err(|_| SinkFull)?;
        self.room = self.room.checked_sub(1).ok_or(SinkFull)?;
        let mut sum = Sum::new();
        sum.add_bytes(payload);
        let header = wire::emit(spec, octets, sum).ok_or(SinkFull)?;
        self.sink.transmit(Transmit {
            port,
            flow: self.flow,
            link: LinkId(self.key.link()),
            kind: TransmitKind::Own,
            gso_size: 0,
            header: header.as_slice(),
            payload: Payload::of(payload),
        })?;
        self.sent = self.sent.saturating_add(1);
        Ok(())
    }
}
