//! A host that runs smoltcp: someone else's TCP.

use core::cell::Cell;
use core::net::SocketAddr;
use std::collections::VecDeque;

use localack_core::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint};

use super::endpoint::Endpoint;
use super::random::Random;

thread_local! {
    /// The timestamp clock of the host that is being polled; smoltcp takes a plain function.
    static STAMP: Cell<u32> = const { Cell::new(0) };
}

/// The octets that one side sends, made from a seed.
#[derive(Clone, Debug)]
pub struct Stream(Vec<u8>);

impl Stream {
    /// `length` octets from `seed`.
    #[must_use]
    pub fn new(seed: u64, length: usize) -> Self {
        let mut random = Random::new(seed);
        Self((0..length).map(|_| random.octet()).collect())
    }
}

/// How a host is set up.
#[derive(Clone, Debug)]
pub struct SmolSettings {
    /// Its own address and port.
    pub own: SocketAddr,
    /// Its peer's.
    pub peer: SocketAddr,
    /// Whether it opens the connection.
    pub connects: bool,
    /// Seed of its sequence numbers.
    pub seed: u64,
    /// Whether it offers timestamps, and where its clock starts.
    pub stamps_from: Option<u32>,
    /// Octets of its send and receive buffers.
    pub buffer: usize,
    /// What it sends before it closes.
    pub sends: Stream,
    /// What it must receive.
    pub expects: Stream,
}

#[derive(Debug, Default)]
struct Wires {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'w>(&'w mut Vec<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Wires {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Self::TxToken<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// One host with one connection: it sends all it has, closes its direction, and takes all that
/// comes.
pub struct SmolHost {
    wires: Wires,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    stamps_from: Option<u32>,
    sends: Vec<u8>,
    sent: usize,
    expects: Vec<u8>,
    received: usize,
    fault: Option<String>,
    closed: bool,
}

impl core::fmt::Debug for SmolHost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SmolHost")
            .field("state", &self.state())
            .field("sent", &self.sent)
            .field("received", &self.received)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl SmolHost {
    /// A host at time zero.
    ///
    /// # Panics
    /// If smoltcp refuses the settings.
    #[must_use]
    pub fn new(settings: SmolSettings) -> Self {
        let mut wires = Wires::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = settings.seed;
        let start = SmolInstant::from_micros(0);
        let mut interface = Interface::new(config, &mut wires, start);
        let address = settings.own.ip();
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(address.into(), 0))
                .expect("room for one address");
        });
        let buffer = || SocketBuffer::new(vec![0; settings.buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        if settings.stamps_from.is_some() {
            socket.set_tsval_generator(Some(|| STAMP.with(Cell::get)));
        }
        let mut sockets = SocketSet::new(Vec::new());
        let own = IpListenEndpoint {
            addr: Some(address.into()),
            port: settings.own.port(),
        };
        if settings.connects {
            socket
                .connect(interface.context(), settings.peer, own)
                .expect("a fresh socket");
        } else {
            socket.listen(own).expect("a fresh socket");
        }
        let handle = sockets.add(socket);
        Self {
            wires,
            interface,
            sockets,
            handle,
            stamps_from: settings.stamps_from,
            sends: settings.sends.0,
            sent: 0,
            expects: settings.expects.0,
            received: 0,
            fault: None,
            closed: false,
        }
    }

    /// What went wrong, if anything did.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Octets received so far, all of them as expected unless there is a fault.
    #[must_use]
    pub const fn received(&self) -> usize {
        self.received
    }

    /// Whether both directions are closed and acknowledged.
    ///
    /// Do not wait for it where a FIN may be lost or overtaken: smoltcp 0.14 may stop
    /// retransmitting it, and ignores one whose data it has already (seen without an engine).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state(), State::Closed | State::TimeWait)
    }

    fn state(&self) -> State {
        self.sockets.get::<Socket<'_>>(self.handle).state()
    }

    fn set_clock(&self, now: Instant) {
        let millis = u32::try_from(now.as_micros() / 1000 % (1 << 32)).expect("reduced");
        STAMP.with(|stamp| stamp.set(self.stamps_from.unwrap_or(0).wrapping_add(millis)));
    }

    /// The application: takes what is there, gives what fits, closes when all is given.
    fn work(&mut self) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        while socket.can_recv() {
            let (expects, received) = (&self.expects, &mut self.received);
            let same = socket.recv(|octets| {
                let end = *received + octets.len();
                let same = expects.get(*received..end) == Some(&*octets);
                *received = end;
                (octets.len(), same)
            });
            if same != Ok(true) && self.fault.is_none() {
                self.fault = Some(format!("octets before {} differ", self.received));
            }
        }
        if socket.can_send() && self.sent < self.sends.len() {
            self.sent += socket.send_slice(&self.sends[self.sent..]).unwrap_or(0);
        }
        if self.sent == self.sends.len() && socket.may_send() && !self.closed {
            socket.close();
            self.closed = true;
        }
        if self.sent > 0 && !socket.is_open() && !self.closed && self.fault.is_none() {
            self.fault = Some("the connection was closed before all was sent".into());
        }
    }
}

fn smol_time(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_micros()).expect("virtual time is short"))
}

impl Endpoint for SmolHost {
    fn receive(&mut self, _: Instant, packet: Vec<u8>) {
        self.wires.incoming.push_back(packet);
    }

    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.set_clock(now);
        self.interface
            .poll(smol_time(now), &mut self.wires, &mut self.sockets);
        self.work();
        self.interface
            .poll(smol_time(now), &mut self.wires, &mut self.sockets);
        core::mem::take(&mut self.wires.outgoing)
    }

    fn next_at(&mut self, now: Instant) -> Option<Instant> {
        if !self.wires.incoming.is_empty() {
            return Some(now);
        }
        let at = self.interface.poll_at(smol_time(now), &self.sockets)?;
        Some(Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)).latest(now))
    }

    /// All was sent and all was received; the FINs may still be on their way.
    fn is_done(&self) -> bool {
        let complete = self.received == self.expects.len() && self.sent == self.sends.len();
        self.fault.is_some() || complete
    }
}
