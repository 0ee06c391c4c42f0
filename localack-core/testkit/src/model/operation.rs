//! What may happen.

use core::time::Duration;

use localack_core::{
    Controller, Custody, FlowConfig, Port, Provision, Service, Shaping, ShapingId,
};

/// One stretch of network: from a host to the engine, or from the engine to a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hop {
    /// At which side of the engine.
    pub side: Port,
    /// Whether packets travel toward the engine.
    pub inward: bool,
}

impl Hop {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::new(Port::Inner, true),
        Self::new(Port::Inner, false),
        Self::new(Port::Outer, true),
        Self::new(Port::Outer, false),
    ];

    /// A hop.
    #[must_use]
    pub const fn new(side: Port, inward: bool) -> Self {
        Self { side, inward }
    }

    pub(super) const fn index(self) -> usize {
        let side = match self.side {
            Port::Inner => 0,
            Port::Outer => 2,
        };
        if self.inward { side } else { side + 1 }
    }
}

/// A sequence or acknowledgement number of somebody who guesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim {
    /// So far from the right one.
    Near(i16),
    /// So far that it is not even near.
    Anywhere(u32),
}

/// What somebody sends who is not on the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgery {
    /// A RST; never with a number that would be obeyed.
    Reset,
    /// A SYN on the old tuple.
    Syn,
    /// Data that the host never sent.
    Data,
    /// An acknowledgement.
    Ack,
}

/// One thing that happens. Numbers too large for what is there count modulo it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// An application writes; its host sends what the windows admit.
    Write {
        /// Whose.
        from: Port,
        /// At most 4,095.
        octets: u16,
    },
    /// A host sends again what was not acknowledged.
    Resend {
        /// Which.
        from: Port,
        /// Octets from the first unacknowledged one.
        skip: u16,
        /// Octets; no more than a segment.
        octets: u16,
    },
    /// A host acknowledges what it has.
    Acknowledge(Port),
    /// A host asks whether its peer is there, or for its window.
    Keepalive(Port),
    /// An application stops reading, or reads on.
    Stall(Port, bool),
    /// A host takes half of its window back, or offers all of it again.
    Shrink(Port),
    /// An application closes.
    Close(Port),
    /// An application aborts: its host sends a RST and forgets the connection.
    Abort(Port),
    /// A host is never heard of again.
    Vanish(Port),
    /// A host starts anew, knows nothing of the connection, and opens another one with the same ports.
    Reboot(Port),
    /// A router marks a packet instead of losing it, if that may be (RFC 3168).
    Mark(Hop, u8),
    /// An application writes something urgent.
    Urgent(Port),
    /// A packet arrives: the first one, or one behind it.
    Deliver(Hop, u8),
    /// A packet is lost.
    Lose(Hop, u8),
    /// A packet arrives twice.
    Repeat(Hop, u8),
    /// A bit of a packet is turned, from the TCP sequence number on.
    Corrupt(Hop, u8, u16),
    /// The first packet is delayed: it comes last.
    Delay(Hop),
    /// The network is fair for so many round trips, at most 7.
    Exchange(u8),
    /// Milliseconds pass, and the engine's timers fire.
    Wait(u32),
    /// Time passes to the engine's next deadline.
    Deadline,
    /// The engine's clock jumps back by so many milliseconds.
    ClockBack(u16),
    /// The engine's clock stands still, or goes on.
    ClockStill(bool),
    /// A stranger sends something with the addresses of the host on this side.
    Forge {
        /// Whose.
        from: Port,
        /// What.
        what: Forgery,
        /// From the next number of the host.
        seq: Aim,
        /// From the next number of its peer.
        ack: Aim,
    },
    /// A host sends octets again that are not those it has sent.
    Conflict {
        /// Which.
        from: Port,
        /// Octets below what it was told is acknowledged.
        back: u16,
        /// How many; no more than a segment.
        octets: u16,
    },
    /// A router says that a segment of this host's was too big.
    TooBig {
        /// Whose segment.
        from: Port,
        /// The largest packet that would have fit.
        mtu: u16,
        /// Octets of the segment from the first unacknowledged one.
        skip: u16,
    },
    /// Another service is asked for.
    Serve(Port, bool),
    /// Another service and other shaping are asked for: a service by its number modulo 3, a shaping by the rest.
    Arrange(Port, u8),
    /// Another controller takes over: see [`controller`].
    Control(Port, u8),
    /// All flows are handed back.
    Drain,
    /// Whoever owns the engine waits no longer for what is owed.
    GiveUp,
    /// The sink takes nothing, or takes packets again.
    Sink {
        /// Whether it is full.
        full: bool,
    },
    /// The sink takes so many packets more, and is full then.
    Room(u8),
    /// Another flow comes whose receiver takes nothing, so that the pool fills.
    Crowd,
    /// The engine loses its state, if by the rules that may make no difference.
    Forget,
    /// Another engine takes its memory over.
    Succeed,
}

/// The services and shapings by number.
#[must_use]
pub(super) const fn arrangement(number: u8) -> (Service, ShapingId) {
    let service = match number % 3 {
        1 => Service::Snoop,
        2 => Service::LocalAck,
        _ => Service::Bypass,
    };
    let shaping = match ShapingId::new(number / 3 % 4) {
        Some(shaping) => shaping,
        None => ShapingId::NONE,
    };
    (service, shaping)
}

/// What the numbers of shapings mean.
pub(super) fn shapings() -> impl Iterator<Item = (ShapingId, Shaping)> {
    let limited = Shaping::NONE.with_rate_limit(50_000);
    let thinned = Shaping::NONE.with_ack_interval(Duration::from_millis(20));
    let both = limited.with_ack_interval(Duration::from_millis(20));
    (1..)
        .filter_map(ShapingId::new)
        .zip([limited, thinned, both])
}

/// The controllers by number.
#[must_use]
pub const fn controller(number: u8) -> Controller {
    match number % 5 {
        1 => Controller::Reno,
        2 => Controller::Bbr,
        3 => Controller::Provisioned(Provision::new(0, 20_000)),
        4 => Controller::Provisioned(Provision::new(1, 2_000_000)),
        _ => Controller::Cubic,
    }
}

/// What the connection is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Whether data from the inner and from the outer side is served.
    pub served: [bool; 2],
    /// IPv6 instead of IPv4.
    pub v6: bool,
    /// Timestamps, SACK.
    pub timestamps: bool,
    /// See [`Setup::timestamps`].
    pub sack: bool,
    /// The shift of both hosts' windows, at most 14; none: it is not offered.
    pub shift: Option<u8>,
    /// Whether the host on the outer side is the client.
    pub outer_opens: bool,
    /// Whether custody begins with the handshake, and not with proof.
    pub early: bool,
    /// Initial sequence numbers, inner first.
    pub isns: [u32; 2],
    /// Octets that the hosts can buffer, inner first.
    pub room: [u16; 2],
    /// Payload octets of a full segment.
    pub mss: u16,
    /// Blocks of the pool, of 2,048 octets each.
    pub blocks: u8,
    /// Whether the engine may delay acknowledgements, and the hosts do.
    pub lazy: bool,
    /// The controllers of both directions: see [`controller`].
    pub controller: u8,
    /// Whether Reno and CUBIC space segments out.
    pub paced: bool,
    /// Whether the hosts agree on ECN (RFC 3168).
    pub ecn: bool,
    /// Whether the third packet of the handshake is lost beyond the engine.
    pub third_lost: bool,
    /// Whether another connection follows on the same ports.
    pub again: bool,
    /// Whether the network neither reorders nor repeats: then a host that refuses something is right.
    pub orderly: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            served: [true, false],
            v6: false,
            timestamps: true,
            sack: true,
            shift: Some(0),
            outer_opens: true,
            early: false,
            isns: [1000, 70_000],
            room: [20_000, 8_000],
            mss: 200,
            blocks: 24,
            lazy: false,
            controller: 1,
            paced: false,
            ecn: false,
            third_lost: false,
            again: false,
            orderly: false,
        }
    }
}

impl Setup {
    pub(super) fn policy(&self) -> FlowConfig {
        let mut policy = FlowConfig::tracked();
        let directions = localack_core::Direction::BOTH;
        for (direction, _) in directions
            .into_iter()
            .zip(self.served)
            .filter(|&(_, on)| on)
        {
            policy = policy.with_service(direction, Service::LocalAck);
        }
        if self.early {
            policy.custody = Custody::AfterHandshake;
        }
        if self.lazy {
            policy.ack_delay = Duration::from_millis(10);
        }
        policy.controller = controller(self.controller);
        policy.inward_controller = policy.controller;
        policy.pacing = self.paced;
        policy
    }

    pub(super) fn client(&self) -> Port {
        if self.outer_opens {
            Port::Outer
        } else {
            Port::Inner
        }
    }
}
