//! What an endpoint stack takes for the same octets: smoltcp as a splicing proxy. A socket receives them
//! and acknowledges, another sends them on and takes the acknowledgement. Nothing is copied that need not
//! be: from the buffer of one socket into that of the other, and from there into the packet.

use core::net::{SocketAddr, SocketAddrV4};

use localack_core::Port;
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpListenEndpoint};

use crate::load::cases::BATCH;
use crate::load::{Case, Frame, Line, PAYLOAD, SCALE, Say};

/// Octets of each buffer of a socket: whole segments, so that none lies in two pieces.
const BUFFER: usize = 180 * PAYLOAD;
/// The number before the first octet of a host that smoltcp talks to.
const ISN: u32 = 5_000;

/// Packets that were sent, the last of which is still there.
#[derive(Debug)]
struct Gone {
    packet: Vec<u8>,
    count: u32,
}

struct Arrival<'p>(&'p [u8]);
struct Departure<'w>(&'w mut Gone);

impl RxToken for Arrival<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for Departure<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.count += 1;
        self.0.packet.resize(length, 0);
        fill(&mut self.0.packet)
    }
}

/// A device at which at most one packet waits, lent from where it is.
struct Wire<'w> {
    gone: &'w mut Gone,
    waits: Option<&'w [u8]>,
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Arrival<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Departure<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Arrival<'_>, Departure<'_>)> {
        let packet = self.waits.take()?;
        Some((Arrival(packet), Departure(self.gone)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Departure<'_>> {
        Some(Departure(self.gone))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// One end with one connection.
struct Host {
    gone: Gone,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Host {
    fn new(address: SocketAddrV4) -> Self {
        let mut gone = Gone {
            packet: Vec::with_capacity(2048),
            count: 0,
        };
        let mut wire = Wire {
            gone: &mut gone,
            waits: None,
        };
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let own = IpCidr::new((*address.ip()).into(), 0);
            addresses.push(own).expect("room for one address");
        });
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self {
            gone,
            interface,
            sockets,
            handle,
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes a packet.
    #[inline]
    fn hear(&mut self, now: Instant, packet: &[u8]) {
        let mut wire = Wire {
            gone: &mut self.gone,
            waits: Some(packet),
        };
        let _ = self
            .interface
            .poll_ingress_single(now, &mut wire, &mut self.sockets);
    }

    /// Sends what there is to send.
    #[inline]
    fn speak(&mut self, now: Instant) {
        let mut wire = Wire {
            gone: &mut self.gone,
            waits: None,
        };
        let _ = self
            .interface
            .poll_egress(now, &mut wire, &mut self.sockets);
    }

    /// The numbers of the packet that it has sent last.
    fn said(&self) -> Packet {
        Packet::decode(&self.gone.packet).expect("a segment").packet
    }
}

/// A segment that begins a connection, from the host on `port`.
fn opening(port: Port, flags: Flags, ports: [u16; 2], seq: u32, ack: u32) -> Vec<u8> {
    let [source, destination] = [
        SocketAddrV4::new(*Line(0).host(port).ip(), ports[0]),
        SocketAddrV4::new(*Line(0).host(port.other()).ip(), ports[1]),
    ]
    .map(SocketAddr::V4);
    let packet = Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 0xffff,
        urgent: 0,
        options: Options {
            mss: Some(1460),
            window_scale: Some(SCALE),
            ..Options::default()
        },
        payload: Vec::new(),
    };
    packet.encode(Layout::Aligned)
}

/// A segment in and its acknowledgement out at one socket, the segment out and its acknowledgement in at
/// the other. A unit is all of that.
pub(super) struct Splice {
    /// The socket that receives, in the place of the outer host.
    outer: Host,
    /// The socket that sends, in the place of the inner host.
    inner: Host,
    now: Instant,
    data: Vec<Frame>,
    acks: Vec<Frame>,
    /// The next sequence number of the sender and the acknowledgement number that it sends.
    received: [u32; 2],
    /// The acknowledgement number and the sequence number of the receiver.
    sent: [u32; 2],
    before: [u32; 2],
}

impl core::fmt::Debug for Splice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Splice").finish_non_exhaustive()
    }
}

impl Splice {
    /// Both connections are open.
    ///
    /// # Errors
    /// If smoltcp does not open them.
    pub(super) fn new() -> Result<Self, String> {
        let [near, far] = Port::BOTH.map(|port| Line(0).host(port));
        let mut splice = Self {
            outer: Host::new(far),
            inner: Host::new(near),
            now: Instant::from_millis(1),
            data: Frame::ring(BATCH, PAYLOAD),
            acks: Frame::ring(BATCH, 0),
            received: [ISN + 1, 0],
            sent: [0, ISN + 1],
            before: [0; 2],
        };
        splice.open_outer(near, far)?;
        splice.open_inner(near, far)?;
        Ok(splice)
    }

    fn open_outer(&mut self, near: SocketAddrV4, far: SocketAddrV4) -> Result<(), String> {
        let (now, host) = (self.now, &mut self.outer);
        let listen = IpListenEndpoint::from(far.port());
        host.socket().listen(listen).map_err(|e| e.to_string())?;
        let ports = [near.port(), far.port()];
        host.hear(now, &opening(Port::Inner, Flags::SYN, ports, ISN, 0));
        host.speak(now);
        self.received[1] = host.said().seq.wrapping_add(1);
        let mut ack = Frame::new(0);
        let [seq, number] = self.received;
        ack.write(Port::Inner, Line(0), Say::ack(seq, number));
        host.hear(now, ack.packet());
        host.is_open()
    }

    fn open_inner(&mut self, near: SocketAddrV4, far: SocketAddrV4) -> Result<(), String> {
        let (now, host) = (self.now, &mut self.inner);
        let socket = host.sockets.get_mut::<Socket<'_>>(host.handle);
        let peer = (IpAddress::from(*far.ip()), far.port());
        socket
            .connect(host.interface.context(), peer, near.port())
            .map_err(|e| e.to_string())?;
        host.speak(now);
        self.sent[0] = host.said().seq.wrapping_add(1);
        let ports = [far.port(), near.port()];
        let flags = Flags::SYN | Flags::ACK;
        host.hear(now, &opening(Port::Outer, flags, ports, ISN, self.sent[0]));
        host.speak(now);
        host.is_open()
    }
}

impl Host {
    fn is_open(&mut self) -> Result<(), String> {
        match self.socket().state() {
            State::Established => Ok(()),
            other => Err(format!("smoltcp is {other}")),
        }
    }
}

impl Case for Splice {
    fn prepare(&mut self) {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            let [seq, number] = self.received;
            data.write(Port::Inner, Line(0), Say::ack(seq, number));
            self.received[0] = seq.wrapping_add(PAYLOAD as u32);
            self.sent[0] = self.sent[0].wrapping_add(PAYLOAD as u32);
            let [number, seq] = self.sent;
            ack.write(Port::Outer, Line(0), Say::ack(seq, number));
        }
        self.before = [self.outer.gone.count, self.inner.gone.count];
    }

    fn run(&mut self) -> u32 {
        for (data, ack) in self.data.iter_mut().zip(&mut self.acks) {
            self.now += Duration::from_micros(100);
            self.outer.hear(self.now, data.packet());
            let from = self.outer.sockets.get_mut::<Socket<'_>>(self.outer.handle);
            let to = self.inner.sockets.get_mut::<Socket<'_>>(self.inner.handle);
            let moved = from.recv(|octets| {
                let moved = to.send_slice(octets).unwrap_or(0);
                (moved, moved)
            });
            debug_assert!(moved.is_ok());
            self.outer.speak(self.now);
            self.inner.speak(self.now);
            self.now += Duration::from_micros(100);
            self.inner.hear(self.now, ack.packet());
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        let acks = self.outer.gone.count - self.before[0];
        let data = self.inner.gone.count - self.before[1];
        let left = self.inner.socket().send_queue() + self.outer.socket().recv_queue();
        let batch = BATCH as u32;
        if [acks, data] == [batch; 2] && left == 0 {
            Ok(())
        } else {
            Err(format!(
                "smoltcp has sent {acks} acknowledgements and {data} segments of {batch}, and {left} \
                 octets are left"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_is_acknowledged_and_sent_on() {
        let mut splice = Splice::new().unwrap();
        for _ in 0..10 {
            splice.prepare();
            assert_eq!(splice.run(), BATCH as u32);
            splice.check().unwrap();
        }
        let said = splice.inner.said();
        assert_eq!(said.payload, splice.data[0].payload());
    }
}
