//! What a small world consists of, and how much may go wrong in it.

use core::time::Duration;

use localack_core::{Config, Controller, Custody, Direction, FlowConfig, Port, Service};

/// Octets of payload in a full segment.
pub(super) const MSS: u32 = 48;
/// Octets of a block of the engine's pool: segments straddle blocks.
const BLOCK: usize = 64;
/// Blocks of the pool.
const BLOCKS: usize = 10;

/// What one end's application does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct App {
    /// Full segments of data that it sends.
    pub segments: u32,
    /// Whether each segment is written by a step of its own, rather than all at the start.
    pub stepwise: bool,
    /// Whether it closes its direction after its data.
    pub closes: bool,
    /// Whether it may reset the connection, at any time.
    pub aborts: bool,
    /// Whether it may fall silent for ever, at any time.
    pub vanishes: bool,
    /// Whether what has arrived is read by a step of its own, so that the window closes and opens.
    pub reads_late: bool,
    /// Whether it sends a FIN although the window is used up, as BSD does; else the FIN needs room
    /// like an octet, as in Linux.
    pub fin_past_window: bool,
    /// Segments that its receive buffer holds.
    pub window: u32,
}

impl App {
    /// Sends nothing, reads everything at once, and never closes.
    pub const IDLE: Self = Self {
        segments: 0,
        stepwise: false,
        closes: false,
        aborts: false,
        vanishes: false,
        reads_late: false,
        fin_past_window: false,
        window: 2,
    };

    /// Sends `segments` full segments and closes.
    #[must_use]
    pub const fn sending(segments: u32) -> Self {
        Self {
            segments,
            closes: true,
            ..Self::IDLE
        }
    }

    /// Octets that it sends in all.
    pub(super) const fn octets(&self) -> u32 {
        self.segments * MSS
    }

    /// Octets of its receive buffer.
    pub(super) const fn buffer(&self) -> u32 {
        self.window * MSS
    }
}

/// How often a run may go otherwise than a perfect network and patient timers would have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    /// Packets lost.
    pub losses: u8,
    /// Packets delivered twice.
    pub duplicates: u8,
    /// Packets that overtake others of their link; [`u8::MAX`]: any order is free.
    pub overtakings: u8,
    /// Timers that fire while packets are under way or an application has something to do.
    pub early: u8,
    /// Retransmission time-outs of an end that come although its time is not up.
    pub timeouts: u8,
    /// Whether the engine may be told, at any time, to hand the connection back to its ends: 1, or 0.
    pub drains: u8,
}

impl Budget {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        losses: 0,
        duplicates: 0,
        overtakings: 0,
        early: 0,
        timeouts: 0,
        drains: 0,
    };
}

/// One small world.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// What it is called in reports.
    pub name: &'static str,
    /// The applications of the inner and the outer end.
    pub apps: [App; 2],
    /// Whether data from the inner and from the outer end is served.
    pub served: [bool; 2],
    /// When custody may begin.
    pub custody: Custody,
    /// The end that opens the connection.
    pub client: Port,
    /// Whether the handshake is part of the search, or is over when it begins.
    pub handshake: bool,
    /// Whether the ends agree on SACK.
    pub sack: bool,
    /// Whether the ends agree on timestamps.
    pub timestamps: bool,
    /// Who controls what the engine has in flight.
    pub controller: Controller,
    /// Whether the engine paces.
    pub pacing: bool,
    /// Segments that the engine may hold in one direction.
    pub store: u32,
    /// Whether the engine knows paths: then it probes a dead one several times a second, instead of
    /// backing off.
    pub knows_paths: bool,
    /// How long a packet takes over a link of the inner and the outer end.
    pub delay: [Duration; 2],
    /// Whether packets may be lost, doubled and reordered between the inner end and the engine,
    /// and between the engine and the outer end.
    pub faulty: [bool; 2],
    /// What may go wrong in one run.
    pub budget: Budget,
    /// States after which the search gives up, because the scope is too large.
    pub most_states: usize,
}

impl Scope {
    /// Three segments from the inner end to the outer one over perfect links, in custody as soon as
    /// the handshake is over.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            apps: [App::sending(3), App::IDLE],
            served: [true, false],
            custody: Custody::AfterHandshake,
            client: Port::Inner,
            handshake: false,
            sack: true,
            timestamps: false,
            controller: Controller::Reno,
            pacing: false,
            store: 2,
            knows_paths: true,
            delay: [Duration::ZERO; 2],
            faulty: [false, true],
            budget: Budget::NONE,
            most_states: 4_000_000,
        }
    }

    /// The engine's settings.
    pub(super) fn config() -> Config {
        let mut config = Config::new([0x736d_616c_6c20_776f, 0x726c_6473]);
        // The least there may be: a receiver that has vanished is a matter of few steps.
        config.give_up_after = Duration::from_secs(100);
        config
    }

    /// How the engine serves the connection.
    pub(super) fn policy(&self) -> FlowConfig {
        let mut policy = FlowConfig::tracked();
        for direction in Direction::BOTH {
            if self.served[index(direction.source())] {
                policy = policy.with_service(direction, Service::LocalAck);
            }
        }
        policy.custody = self.custody;
        policy.controller = self.controller;
        policy.inward_controller = self.controller;
        policy.pacing = self.pacing;
        policy.buffer_limit = self.store * MSS;
        policy
    }

    /// Memory for one flow.
    pub(super) fn memory() -> crate::memory::Memory {
        crate::memory::Memory::new(1, BLOCKS, BLOCK)
    }

    /// The application of the end on `port`.
    pub(super) const fn app(&self, port: Port) -> &App {
        &self.apps[index(port)]
    }
}

/// The place of a port in a pair, inner first.
pub(super) const fn index(port: Port) -> usize {
    match port {
        Port::Inner => 0,
        Port::Outer => 1,
    }
}
