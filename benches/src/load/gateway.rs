//! An engine as a caller runs it, with a clock of its own.

use core::time::Duration;

use localack_core::{
    Checksum, Config, Custody, Engine, FlowConfig, Instant, LinkId, PacketMeta, PacketServices,
    Poll, Port, Sink, SinkFull, Storage, Transmit, Verdict,
};

/// Packets and octets that an engine has made, and that a sink has looked at and forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Octets, headers included.
    pub octets: u64,
}

impl Sink for Sent {
    #[inline]
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.packets += 1;
        for slice in packet.slices() {
            self.octets += core::hint::black_box(slice).len() as u64;
        }
        Ok(())
    }
}

/// How an engine is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What holds for the engine.
    pub config: Config,
    /// What holds for its flows.
    pub flow: FlowConfig,
}

impl Setting {
    /// Data from the inner side is served, from the handshake on; all else is as it is by default.
    #[must_use]
    pub const fn new() -> Self {
        let mut flow = FlowConfig::inner_local_ack();
        flow.custody = Custody::AfterHandshake;
        Self {
            config: Config::new([7, 11]),
            flow,
        }
    }

    /// The same with as much in custody of a flow as can be.
    #[must_use]
    pub const fn large() -> Self {
        let mut setting = Self::new();
        setting.flow.buffer_limit = 1 << 29;
        setting.config.debt_floor = 1 << 29;
        setting.config.queue_floor = 1 << 29;
        setting
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self::new()
    }
}

/// An engine, its clock and its sink.
#[derive(Debug)]
pub struct Gateway<'a, S = Sent, X = ()> {
    /// The engine.
    pub engine: Engine<'a, FlowConfig, X>,
    now: Instant,
    /// Time from packet to packet.
    pub tick: Duration,
    /// Where the engine's packets go.
    pub sink: S,
}

impl<'a, S: Sink> Gateway<'a, S> {
    /// An engine over `storage`.
    ///
    /// # Panics
    /// If the storage does not fit together.
    #[must_use]
    pub fn new(storage: Storage<'a>, setting: Setting, sink: S) -> Self {
        let engine = Engine::new(storage, setting.config, setting.flow).expect("it fits together");
        Self {
            engine,
            now: Instant::from_millis(1),
            tick: Duration::from_micros(100),
            sink,
        }
    }

    /// The same with packet services of the caller's own.
    #[must_use]
    pub fn with_services<X: PacketServices>(self, services: X) -> Gateway<'a, S, X> {
        Gateway {
            engine: self.engine.with_services(services),
            now: self.now,
            tick: self.tick,
            sink: self.sink,
        }
    }
}

impl<S: Sink, X: PacketServices> Gateway<'_, S, X> {
    /// Carries one packet, a tick after the last one, and all that it brings about.
    #[inline]
    pub fn carry(&mut self, port: Port, packet: &mut [u8]) -> Verdict {
        self.carry_with(port, packet, PacketMeta::default())
    }

    /// The same with a super-segment of segments with `gso_size` octets.
    #[inline]
    pub fn carry_super(&mut self, port: Port, packet: &mut [u8], gso_size: u16) -> Verdict {
        let meta = PacketMeta {
            checksum: Checksum::Verify,
            gso_size,
            link: LinkId::default(),
        };
        self.carry_with(port, packet, meta)
    }

    #[inline]
    fn carry_with(&mut self, port: Port, packet: &mut [u8], meta: PacketMeta) -> Verdict {
        self.now = self.now.after(self.tick);
        let verdict = self
            .engine
            .ingest(port, self.now, packet, meta, &mut self.sink);
        self.poll();
        verdict
    }

    /// Sends what is due.
    #[inline]
    pub fn poll(&mut self) {
        while self.engine.poll(self.now, 64, &mut self.sink) == Poll::More {}
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass, and sees to everything when it is due.
    pub fn rest(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.engine.next_deadline().filter(|due| *due < end) {
            self.now = due.latest(self.now);
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    /// Goes to the next time at which something is due, and `later` than that, and does it.
    pub fn rest_until_due(&mut self, later: Duration) {
        if let Some(due) = self.engine.next_deadline() {
            self.now = due.latest(self.now).after(later);
            self.poll();
        }
    }

    /// Opens the connection of a handshake.
    ///
    /// # Panics
    /// If the handshake does not pass.
    pub fn open(&mut self, handshake: [(Port, Vec<u8>); 3]) {
        for (port, mut packet) in handshake {
            let verdict = self.carry(port, &mut packet);
            assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
        }
    }
}
