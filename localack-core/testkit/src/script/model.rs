//! What a script says, parsed.

use localack_core::{Controller, Service, Shaping};

use crate::packet::Flags;

/// A parsed script.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) setup: Setup,
    pub(super) steps: Vec<Step>,
}

/// `either` stands for two variants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    On,
    Off,
    Either,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    S,
    R,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::S, Self::R];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::S => Self::R,
            Self::R => Self::S,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// R is the client, or custody may begin after the handshake.
    Given,
    /// S is the client and R has shown nothing.
    Missing,
}

/// What one side's SYN offers.
#[derive(Clone, Debug)]
pub(super) struct SideSetup {
    /// The first window field, if the script names it.
    pub(super) window: Option<u16>,
    /// The window scale option, if the script names it or its absence.
    pub(super) shift: Option<Option<u8>>,
    pub(super) timestamps: Choice,
    pub(super) sack: Choice,
    pub(super) first_stamp: Option<u32>,
    pub(super) isn: Option<u32>,
    pub(super) syn_options: Vec<u8>,
    pub(super) syn_flags: Flags,
}

impl Default for SideSetup {
    fn default() -> Self {
        Self {
            window: None,
            shift: None,
            timestamps: Choice::Either,
            sack: Choice::Either,
            first_stamp: None,
            isn: None,
            syn_options: Vec::new(),
            syn_flags: Flags::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// What is done with data of S, of R.
    pub(super) services: [Service; 2],
    /// What else is done with packets of S, of R.
    pub(super) shaping: [Shaping; 2],
    pub(super) proof: Proof,
    pub(super) client: Option<Side>,
    pub(super) inner: Side,
    pub(super) mss: u16,
    pub(super) sides: [SideSetup; 2],
    pub(super) rtt_ms: u64,
    pub(super) buffer: Option<u32>,
    pub(super) debt_floor: Option<u32>,
    pub(super) queue_floor: Option<u32>,
    pub(super) ack_delay_ms: Option<u64>,
    pub(super) controller: Controller,
    pub(super) pacing: bool,
    pub(super) give_up_s: Option<u64>,
    pub(super) mtu: Option<u16>,
    pub(super) blocks: usize,
    pub(super) flows: usize,
    pub(super) reserved: Option<u32>,
    pub(super) allow_df: bool,
    pub(super) laws: bool,
    pub(super) versions: [bool; 2],
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            services: [Service::LocalAck, Service::Bypass],
            shaping: [Shaping::NONE; 2],
            proof: Proof::Given,
            client: None,
            inner: Side::S,
            mss: 1000,
            sides: [SideSetup::default(), SideSetup::default()],
            rtt_ms: 20,
            buffer: None,
            debt_floor: None,
            queue_floor: None,
            ack_delay_ms: None,
            // Scripts are about packets, not about their distances.
            controller: Controller::Reno,
            pacing: false,
            give_up_s: None,
            mtu: None,
            blocks: 512,
            flows: 8,
            reserved: None,
            allow_df: false,
            laws: true,
            versions: [true, true],
        }
    }
}

/// One line, with the lines that go on with it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) at_ms: i64,
    pub(super) action: Action,
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Handshake,
    Packet(Side, Box<PacketSpec>),
    Raw(Side, Vec<u8>),
    /// A router beyond the engine as seen from this side's peer answers it.
    TooBig {
        from: Side,
        mtu: u32,
        seq: Term,
        /// Payload octets of the packet that it quotes; a full segment if not said.
        len: Option<i64>,
    },
    Tick,
    Check {
        reverse: bool,
        facts: Vec<(String, String)>,
    },
    SetService {
        reverse: bool,
        service: Service,
    },
    /// Packets of S, or of R, are treated otherwise.
    Shape {
        reverse: bool,
        shaping: Shaping,
    },
    Drain,
    GiveUp,
    Sink {
        /// Packets that it takes before it is full; no bound if not said.
        room: Option<u8>,
    },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) verdict: Option<(String, Option<String>)>,
    pub(super) packets: Vec<Expected>,
    pub(super) events: Vec<String>,
    pub(super) others_allowed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quantity {
    One,
    Maybe,
    Not,
    First,
    Last,
    Each,
}

#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) quantity: Quantity,
    /// The side it leaves toward.
    pub(super) toward: Side,
    pub(super) same: bool,
    pub(super) packet: PacketSpec,
    pub(super) text: String,
}

/// A number, perhaps relative to something seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Term {
    pub(super) symbol: Option<char>,
    pub(super) offset: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number {
    Any,
    Is(Term),
    AtLeast(Term),
    AtMost(Term),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    At(Number),
    Range(Term, Term),
    Series(Term, Term),
}

/// The fields of a packet that a line names.
#[derive(Clone, Debug, Default)]
pub(super) struct PacketSpec {
    pub(super) flags: Option<Flags>,
    pub(super) place: Option<Place>,
    pub(super) ack: Option<Number>,
    pub(super) window: Option<Number>,
    pub(super) edge: Option<Number>,
    pub(super) stamp: Option<Number>,
    pub(super) echo: Option<Number>,
    pub(super) sack: Option<Vec<(Term, Term)>>,
    pub(super) dsack: Option<(Term, Term)>,
    pub(super) urgent: Option<u16>,
    pub(super) fill: Option<u8>,
    pub(super) len: Option<Number>,
    pub(super) hop_limit: Option<u8>,
    pub(super) traffic_class: Option<u8>,
    /// The ECN field alone.
    pub(super) ecn: Option<u8>,
    pub(super) options: Vec<u8>,
    pub(super) bad_checksum: bool,
    pub(super) checksum_vouched: bool,
    pub(super) checksum_partial: bool,
    pub(super) fragment: bool,
    pub(super) may_fragment: bool,
    pub(super) ip_options: bool,
    pub(super) odd: bool,
    pub(super) no_stamp: bool,
    /// A series ends with a FIN.
    pub(super) fin: bool,
}
