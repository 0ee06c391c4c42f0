//! How packets enter with their circumstances and leave through the caller's sink.

use crate::event::Event;
use crate::flow::id::FlowId;
use crate::policy::Port;
use crate::time::Instant;
use crate::verdict::reasons;

/// A VLAN, encapsulation or device of the caller's, part of a flow's identity (rule H9.5).
///
/// The engine gives it no meaning; it comes back with each [`Transmit`] of the flow, so that the
/// caller can rebuild the link layer. Zero where the caller has only one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkId(pub u32);

/// What is known of a packet's TCP checksum (rule H5.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Checksum {
    /// Nothing: the engine verifies it before it believes a single field.
    #[default]
    Verify,
    /// Hardware or the caller has verified it.
    Verified,
    /// The field holds only the pseudo-header's sum; whoever sends the packet completes it.
    Partial,
}

/// The circumstances of one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PacketMeta {
    /// What is known of the TCP checksum.
    pub checksum: Checksum,
    /// Payload octets per segment if this is a super-segment of several, else zero.
    pub gso_size: u16,
    /// The link the packet arrived by.
    pub link: LinkId,
}

reasons! {
    /// What a packet made by the engine is for.
    TransmitKind {
        /// A local acknowledgement of new octets to their sender.
        LocalAck = 0 "local-ack",
        /// A repeated acknowledgement: a duplicate arrived, a gap is open, or a probe was answered.
        DuplicateAck = 1 "duplicate-ack",
        /// The offered window has grown.
        WindowUpdate = 2 "window-update",
        /// Octets from custody, sent to the receiver for the first time.
        Data = 3 "data",
        /// Octets from custody, sent to the receiver again.
        Retransmission = 4 "retransmission",
        /// One octet into a closed window (RFC 9293 section 3.8.6.1).
        WindowProbe = 5 "window-probe",
        /// The sender's acknowledgement, passed on ahead of its data (rule H5.10).
        AckRelay = 6 "ack-relay",
        /// A challenge to an inexact reset (rule H8.1).
        Challenge = 7 "challenge",
        /// A reset: the connection cannot go on, or its other end has reset it.
        Reset = 8 "reset",
        /// A packet of one of the caller's own services.
        Own = 9 "own",
    }
}

/// A packet that the engine wants sent; it lends its memory for the time of the call.
///
/// The payload is scattered over blocks of the pool: use [`Transmit::slices`] with vectored
/// output, or [`Transmit::copy_to`].
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'p> {
    pub(crate) port: Port,
    pub(crate) flow: FlowId,
    pub(crate) link: LinkId,
    pub(crate) kind: TransmitKind,
    pub(crate) gso_size: u16,
    pub(crate) header: &'p [u8],
    pub(crate) payload: Payload<'p>,
}

pub(crate) use crate::pool::Payload;

impl<'p> Transmit<'p> {
    /// The port to send it out of.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.port
    }

    /// The flow it belongs to.
    #[must_use]
    pub const fn flow(&self) -> FlowId {
        self.flow
    }

    /// The link by which packets of its direction last arrived.
    #[must_use]
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> TransmitKind {
        self.kind
    }

    /// Payload octets per segment if it is a super-segment, else zero. Whoever cuts it computes the
    /// checksums of the segments: the field of TCP holds the sum of the pseudo-header of the whole
    /// ([`Checksum::Partial`]). Without it the checksum is complete.
    #[must_use]
    pub const fn gso_size(&self) -> u16 {
        self.gso_size
    }

    /// The IP and TCP headers.
    #[must_use]
    pub const fn header(&self) -> &'p [u8] {
        self.header
    }

    /// Octets of the whole packet, headers included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.slices().map(<[u8]>::len).sum()
    }

    /// The packet in pieces, in order: the headers, then the payload.
    pub fn slices(&self) -> impl Iterator<Item = &'p [u8]> + use<'p> {
        core::iter::once(self.header).chain(self.payload)
    }

    /// Copies the packet into `buffer` and returns its length, or `None` if it does not fit.
    #[must_use]
    pub fn copy_to(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut rest = &mut *buffer;
        let mut length = 0_usize;
        for piece in self.slices() {
            let (target, tail) = rest.split_at_mut_checked(piece.len())?;
            target.copy_from_slice(piece);
            length = length.saturating_add(piece.len());
            rest = tail;
        }
        Some(length)
    }
}

/// The sink cannot take another packet now; the engine keeps the debt and tries again in `poll`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SinkFull;

/// Where the engine's own packets and events go.
pub trait Sink {
    /// Takes one packet.
    ///
    /// # Errors
    /// [`SinkFull`] if it cannot be taken now. Nothing is lost: what the packet was for is kept
    /// in the flow's state and offered again by [`Engine::poll`](crate::Engine::poll).
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull>;

    /// Learns that something rare happened. The default ignores it.
    fn event(&mut self, now: Instant, event: Event) {
        let _ = (now, event);
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        (**self).transmit(packet)
    }

    fn event(&mut self, now: Instant, event: Event) {
        (**self).event(now, event);
    }
}
