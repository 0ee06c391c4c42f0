//! The hosts on the two sides, with smoltcp as their TCP: on each of them one end of every connection, and
//! on each connection a stream both ways.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a mistake in the scenery should be seen at once"
)]

use core::net::Ipv4Addr;

use localack_core::{Instant, Port};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint, IpListenEndpoint};

use super::bridge::smol;
use super::cable::End;

/// Connections between the hosts.
pub(crate) const FLOWS: usize = 8;
/// Octets of each buffer of a socket.
const BUFFER: usize = 4096;
/// The first of the ports that the outer host listens on.
const SERVICE: u16 = 7000;

/// What the sockets of a host keep their octets in.
pub(crate) type Buffers = [[[u8; BUFFER]; 2]; FLOWS];
/// Empty ones.
pub(crate) const fn buffers() -> Buffers {
    [[[0; BUFFER]; 2]; FLOWS]
}

/// Where the sockets of a host are.
pub(crate) type Sockets<'h> = [SocketStorage<'h>; FLOWS];

/// Octets that each connection carries, from the inner host and from the outer one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// From the inner host.
    pub(crate) outward: u32,
    /// From the outer host.
    pub(crate) inward: u32,
}

impl Amount {
    const fn from(self, side: Port) -> u32 {
        match side {
            Port::Inner => self.outward,
            Port::Outer => self.inward,
        }
    }
}

/// The hosts of one side.
pub(crate) struct Host<'h> {
    side: Port,
    interface: Interface,
    device: End<'h>,
    sockets: SocketSet<'h>,
    flows: [Flow; FLOWS],
    amount: Amount,
}

#[derive(Clone, Copy)]
struct Flow {
    handle: SocketHandle,
    sent: u32,
    received: u32,
    /// Octets that were not the ones that had been sent.
    wrong: u32,
}

impl<'h> Host<'h> {
    /// The host on `side`, at the far end of the cable that `device` is. The inner one connects.
    pub(crate) fn new(
        side: Port,
        mut device: End<'h>,
        sockets: &'h mut Sockets<'h>,
        buffers: &'h mut Buffers,
        amount: Amount,
    ) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        // The first sequence number: some of the streams pass 2^32 on the way.
        config.random_seed = if side == Port::Inner { 11 } else { 17 };
        let mut interface = Interface::new(config, &mut device, smol(Instant::ZERO));
        interface.update_ip_addrs(|addresses| {
            let own = IpCidr::new(address(side).into(), 0);
            addresses.push(own).expect("room for one address");
        });
        let mut sockets = SocketSet::new(&mut sockets[..]);
        let mut ports = SERVICE..;
        let flows = buffers.each_mut().map(|[incoming, outgoing]| {
            let port = ports.next().expect("a few ports");
            let mut socket = Socket::new(
                SocketBuffer::new(&mut incoming[..]),
                SocketBuffer::new(&mut outgoing[..]),
            );
            let own = IpListenEndpoint {
                addr: Some(address(side).into()),
                port,
            };
            if side == Port::Inner {
                let peer = IpEndpoint::new(address(Port::Outer).into(), port);
                socket
                    .connect(interface.context(), peer, own)
                    .expect("a fresh socket");
            } else {
                socket.listen(own).expect("a fresh socket");
            }
            Flow {
                handle: sockets.add(socket),
                sent: 0,
                received: 0,
                wrong: 0,
            }
        });
        Self {
            side,
            interface,
            device,
            sockets,
            flows,
            amount,
        }
    }

    /// Takes packets, lets the sockets send, and moves their streams on.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.interface
            .poll(smol(now), &mut self.device, &mut self.sockets);
        for (number, flow) in (0..).zip(&mut self.flows) {
            let socket = self.sockets.get_mut::<Socket<'_>>(flow.handle);
            flow.speak(socket, number, self.side, self.amount.from(self.side));
            flow.listen(socket, number, self.side.other());
        }
        self.interface
            .poll(smol(now), &mut self.device, &mut self.sockets);
    }

    /// When a timer of a socket is due.
    pub(crate) fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(smol(now), &self.sockets)?;
        Some(Instant::from_micros(u64::try_from(at.total_micros()).ok()?))
    }

    /// Octets that arrived as they were sent, of all connections; `None` if any did not.
    pub(crate) fn received(&self) -> Option<u32> {
        self.flows.iter().try_fold(0, |sum, flow| {
            (flow.wrong == 0).then_some(sum + flow.received)
        })
    }

    /// Whether all that was to arrive has arrived.
    pub(crate) fn is_content(&self) -> bool {
        let expected = self.amount.from(self.side.other());
        self.flows.iter().all(|flow| flow.received == expected)
    }
}

impl Flow {
    fn speak(&mut self, socket: &mut Socket<'_>, number: u8, side: Port, amount: u32) {
        while self.sent < amount && socket.can_send() {
            let sent = socket.send(|space| {
                let rest = usize::try_from(amount - self.sent).unwrap_or(usize::MAX);
                let length = space.len().min(rest);
                for (at, octet) in (self.sent..).zip(&mut space[..length]) {
                    *octet = content(number, side, at);
                }
                (length, length as u32)
            });
            self.sent += sent.expect("it may send");
        }
        if self.sent == amount && socket.state() == State::Established {
            socket.close();
        }
    }

    fn listen(&mut self, socket: &mut Socket<'_>, number: u8, from: Port) {
        while socket.can_recv() {
            let (wrong, length) = socket
                .recv(|octets| {
                    let arrived = (self.received..).zip(octets.iter());
                    let wrong = arrived
                        .filter(|&(at, &octet)| octet != content(number, from, at))
                        .count();
                    (octets.len(), (wrong as u32, octets.len() as u32))
                })
                .expect("there is something");
            self.wrong += wrong;
            self.received += length;
        }
    }
}

/// The octet at one place of a stream: no two streams, and no two stretches of one, are alike.
const fn content(number: u8, side: Port, at: u32) -> u8 {
    let stream = 2 * (number as u32) + side as u32;
    let mixed = (at ^ (stream << 24)).wrapping_mul(0x9e37_79b1);
    ((mixed ^ (mixed >> 15)) >> 11) as u8
}

const fn address(side: Port) -> Ipv4Addr {
    match side {
        Port::Inner => Ipv4Addr::new(192, 0, 2, 1),
        Port::Outer => Ipv4Addr::new(203, 0, 113, 1),
    }
}
