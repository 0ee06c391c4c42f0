//! The bridge: the engine between two of smoltcp's devices, which it takes turns with.
//!
//! No allocation and no operating system. It works for devices that carry IP packets and, with smoltcp's
//! feature `medium-ethernet`, for those that carry Ethernet frames.

use localack_core::{
    Engine, Event, Instant, LinkId, PacketMeta, Policy, Poll, Port, Sink, SinkFull, Transmit,
    Verdict,
};
use smoltcp::phy::{Device, Medium, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;

/// Packets that one turn takes from each device, so that neither waits long for the other.
const BURST: usize = 4;
/// Pairs of Ethernet addresses whose connections are served.
const PAIRS: usize = 8;
/// Octets before the IP packet in an Ethernet frame.
const ETHERNET: usize = 14;

/// Learns what happens to the flows.
pub(crate) trait Observer {
    /// Something rare happened.
    fn event(&mut self, now: Instant, event: Event);
}

/// Two devices with an engine between them. `FRAME` is the longest frame that passes, in octets.
pub(crate) struct Bridge<'e, P, I, O, const FRAME: usize> {
    engine: Engine<'e, P>,
    inner: I,
    outer: O,
    neighbours: Neighbours,
    frame: [u8; FRAME],
    dropped: u32,
}

impl<'e, P: Policy, I: Device, O: Device, const FRAME: usize> Bridge<'e, P, I, O, FRAME> {
    /// A bridge between two devices of the same kind; `inner` is the side of the hosts that wait.
    pub(crate) fn new(engine: Engine<'e, P>, inner: I, outer: O) -> Self {
        let is_ip = inner.capabilities().medium == Medium::Ip;
        Self {
            engine,
            inner,
            outer,
            neighbours: Neighbours {
                header: if is_ip { 0 } else { ETHERNET },
                pairs: [[0; 12]; PAIRS],
                known: 0,
            },
            frame: [0; FRAME],
            dropped: 0,
        }
    }

    /// The engine, for its counters and flows.
    pub(crate) const fn engine(&mut self) -> &mut Engine<'e, P> {
        &mut self.engine
    }

    /// Frames that found their device full or were too long. Their senders repeat them.
    pub(crate) const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// When to call [`Bridge::turn`] again at the latest, if no frame arrives before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Carries what has arrived, and sends what is due. Whether there may be more to do at once.
    pub(crate) fn turn(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        let mut busy = false;
        for port in [Port::Inner, Port::Outer]
            .into_iter()
            .cycle()
            .take(2 * BURST)
        {
            if let Some(length) = self.receive(port, now) {
                self.carry(port, now, length, observer);
                busy = true;
            }
        }
        let mut sink = Outlet {
            inner: &mut self.inner,
            outer: &mut self.outer,
            neighbours: &self.neighbours,
            now,
            observer,
        };
        let poll = self.engine.poll(now, 2 * BURST, &mut sink);
        // A device that is full has to become empty first: there is nothing to do for the bridge.
        busy || poll == Poll::More
    }

    /// Takes a frame from a device; answers its length.
    fn receive(&mut self, port: Port, now: Instant) -> Option<usize> {
        let frame = &mut self.frame;
        let taken = match port {
            Port::Inner => take(&mut self.inner, now, frame),
            Port::Outer => take(&mut self.outer, now, frame),
        };
        if taken == Some(None) {
            self.dropped = self.dropped.saturating_add(1);
        }
        taken.flatten()
    }

    /// Lets the engine decide about the frame that was taken.
    fn carry(&mut self, port: Port, now: Instant, length: usize, observer: &mut impl Observer) {
        let Some(frame) = self.frame.get_mut(..length) else {
            return;
        };
        if let Some((link, packet)) = self.neighbours.link_of(port, frame) {
            let meta = PacketMeta {
                link,
                ..PacketMeta::default()
            };
            let mut sink = Outlet {
                inner: &mut self.inner,
                outer: &mut self.outer,
                neighbours: &self.neighbours,
                now,
                observer,
            };
            match self.engine.ingest(port, now, packet, meta, &mut sink) {
                Verdict::Pass(_) | Verdict::Forward => {}
                Verdict::Absorb(_) | Verdict::Drop(_) => return,
            }
        }
        let copy = |buffer: &mut [u8]| buffer.copy_from_slice(frame);
        let sent = match port.other() {
            Port::Inner => put(&mut self.inner, now, length, copy),
            Port::Outer => put(&mut self.outer, now, length, copy),
        };
        if sent.is_none() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// Where the engine's own packets go.
struct Outlet<'b, I, O, W> {
    inner: &'b mut I,
    outer: &'b mut O,
    neighbours: &'b Neighbours,
    now: Instant,
    observer: &'b mut W,
}

impl<I: Device, O: Device, W: Observer> Sink for Outlet<'_, I, O, W> {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let before = self.neighbours.header;
        let length = before.saturating_add(packet.wire_len());
        let fill = |buffer: &mut [u8]| {
            let (header, rest) = buffer.split_at_mut_checked(before)?;
            self.neighbours.write(&packet, header);
            packet.copy_to(rest)
        };
        let sent = match packet.port() {
            Port::Inner => put(self.inner, self.now, length, fill),
            Port::Outer => put(self.outer, self.now, length, fill),
        };
        sent.map(|_| ()).ok_or(SinkFull)
    }

    fn event(&mut self, now: Instant, event: Event) {
        self.observer.event(now, event);
    }
}

/// Who speaks with whom: the link layer of a packet that the engine makes.
///
/// A [`LinkId`] is part of a flow's identity, so it stands for both hosts and not for one of them: it is
/// the same for both directions.
struct Neighbours {
    /// Octets of the link layer's header.
    header: usize,
    /// The addresses of the host on the inner side and of the one on the outer side.
    pairs: [[u8; 12]; PAIRS],
    known: usize,
}

impl Neighbours {
    /// The link of a frame, and the IP packet in it; `None` if the frame has to pass as it is.
    fn link_of<'f>(&mut self, port: Port, frame: &'f mut [u8]) -> Option<(LinkId, &'f mut [u8])> {
        let (header, packet) = frame.split_at_mut_checked(self.header)?;
        if header.is_empty() {
            return Some((LinkId::default(), packet));
        }
        let (to, from) = (header.get(..6)?, header.get(6..12)?);
        if !matches!(header.get(12..)?, [0x08, 0x00] | [0x86, 0xdd]) || to.first()? & 1 != 0 {
            return None;
        }
        let mut pair = [0; 12];
        let ends = match port {
            Port::Inner => [from, to],
            Port::Outer => [to, from],
        };
        for (place, octet) in pair.iter_mut().zip(ends.into_iter().flatten()) {
            *place = *octet;
        }
        let known = self.pairs.get(..self.known)?;
        let at = known.iter().position(|known| *known == pair);
        let at = at.or_else(|| {
            *self.pairs.get_mut(self.known)? = pair;
            self.known = self.known.saturating_add(1);
            self.known.checked_sub(1)
        });
        Some((LinkId(u32::try_from(at?).ok()?), packet))
    }

    /// Writes the link layer's header of a packet that the engine has made.
    fn write(&self, packet: &Transmit<'_>, header: &mut [u8]) {
        let at = usize::try_from(packet.link().0).ok();
        let Some(pair) = at.and_then(|at| self.pairs.get(at)) else {
            return;
        };
        let (inner, outer) = pair.split_at(6);
        let (to, from) = match packet.port() {
            Port::Inner => (inner, outer),
            Port::Outer => (outer, inner),
        };
        let is_v6 = packet.header().first().is_some_and(|octet| octet >> 4 == 6);
        let kind: [u8; 2] = if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let octets = to.iter().chain(from).chain(&kind);
        for (place, octet) in header.iter_mut().zip(octets) {
            *place = *octet;
        }
    }
}

/// Takes a frame, if one has arrived; `Some(None)` if it was too long.
fn take(device: &mut impl Device, now: Instant, frame: &mut [u8]) -> Option<Option<usize>> {
    let (token, _) = device.receive(smol(now))?;
    Some(token.consume(|arrived| {
        frame.get_mut(..arrived.len())?.copy_from_slice(arrived);
        Some(arrived.len())
    }))
}

/// Sends a frame, if the device has room.
fn put<R>(
    device: &mut impl Device,
    now: Instant,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> R,
) -> Option<R> {
    let longest = device.capabilities().max_transmission_unit;
    if length > longest {
        return None;
    }
    Some(device.transmit(smol(now))?.consume(length, fill))
}

/// A time as smoltcp has it.
pub(crate) fn smol(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
