//! Who is served, and how: the caller's choices.

use core::time::Duration;

use crate::congestion::Controller;
use crate::flow::key::FlowKey;
use crate::seq::{SeqNum, WindowScale};
use crate::shaping::ShapingId;
use crate::time::Instant;

/// One of the two sides of the box.
///
/// `Inner` is by convention the side of the hosts that wait (the LAN), `Outer` the long link;
/// the engine treats them alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Port {
    /// The side of the local hosts.
    Inner,
    /// The side of the long or lossy path.
    Outer,
}

impl Port {
    /// Both ports.
    pub const BOTH: [Self; 2] = [Self::Inner, Self::Outer];

    /// The opposite port.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Inner => Self::Outer,
            Self::Outer => Self::Inner,
        }
    }
}

/// A direction of data through the box.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// Data that arrives on [`Port::Inner`].
    InnerToOuter,
    /// Data that arrives on [`Port::Outer`].
    OuterToInner,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::InnerToOuter, Self::OuterToInner];

    /// The direction of data that arrives on `port`.
    #[must_use]
    pub const fn arriving_on(port: Port) -> Self {
        match port {
            Port::Inner => Self::InnerToOuter,
            Port::Outer => Self::OuterToInner,
        }
    }

    /// The port at which data of this direction arrives: its sender's side.
    #[must_use]
    pub const fn source(self) -> Port {
        match self {
            Self::InnerToOuter => Port::Inner,
            Self::OuterToInner => Port::Outer,
        }
    }

    /// The opposite direction.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::InnerToOuter => Self::OuterToInner,
            Self::OuterToInner => Self::InnerToOuter,
        }
    }
}

/// What the engine does with one direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Service {
    /// Nothing: its data and the acknowledgements for it pass as they are.
    #[default]
    Bypass,
    /// Keep copies of its data as long as there is room, acknowledge nothing, and answer losses on the
    /// receiver's side from the copies: the sender is spared the duplicate acknowledgements that the engine
    /// answers (rule H13.3). For a lossy last hop whose ends must go on trusting only each other.
    Snoop,
    /// Acknowledge its data at once, keep it in custody, and deliver it.
    LocalAck,
}

/// When custody may begin on a new connection (rule H7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Custody {
    /// Only once the receiver has shown that its side of the connection exists.
    #[default]
    AfterProof,
    /// As soon as the handshake is complete: one round trip earlier, on the operator's word.
    AfterHandshake,
}

/// What is known of a connection at its SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SynInfo {
    /// The SYN's initial sequence number.
    pub isn: SeqNum,
    /// Its maximum segment size option, in octets.
    pub mss: Option<u16>,
    /// Its window scale option.
    pub window_scale: Option<WindowScale>,
    /// Whether it permits selective acknowledgements.
    pub sack_permitted: bool,
    /// Whether it offers timestamps.
    pub timestamps: bool,
    /// Its differentiated-services and ECN octet.
    pub traffic_class: u8,
}

/// What is known of a connection when its handshake is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Handshake {
    /// The port on which the SYN arrived.
    pub client: Port,
    /// When the last SYN, the last SYN-ACK and the third ACK arrived.
    pub syn_at: Instant,
    /// See [`Handshake::syn_at`].
    pub syn_ack_at: Instant,
    /// See [`Handshake::syn_at`].
    pub ack_at: Instant,
    /// Whether the SYN or the SYN-ACK was seen more than once, so that the times are no measure.
    pub retransmitted: bool,
}

impl Handshake {
    /// The round-trip time between the box and the host on `port`, as the handshake showed it.
    #[must_use]
    pub fn round_trip(&self, port: Port) -> Duration {
        if port == self.client {
            self.ack_at.since(self.syn_ack_at)
        } else {
            self.syn_ack_at.since(self.syn_at)
        }
    }
}

/// How one adopted flow is to be served. Kept in its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct FlowConfig {
    /// The service for data that arrives on [`Port::Inner`].
    pub inner_to_outer: Service,
    /// The service for data that arrives on [`Port::Outer`].
    pub outer_to_inner: Service,
    /// What else is done with packets that arrive on [`Port::Inner`].
    pub inner_shaping: ShapingId,
    /// The same of packets that arrive on [`Port::Outer`].
    pub outer_shaping: ShapingId,
    /// When custody may begin.
    pub custody: Custody,
    /// Who decides how much may be in flight toward the receiver of data from the inner side.
    pub controller: Controller,
    /// The same of data from the outer side, which goes toward the local hosts.
    pub inward_controller: Controller,
    /// Whether a flow may begin with half of what an earlier one to the same network could use, and
    /// go on with the whole once that half has arrived (Careful Resume, RFC 9959), instead of the
    /// usual initial window. Paced, and taken back at the first sign that the path has less to give.
    pub careful_resume: bool,
    /// Whether Reno and CUBIC space their segments out over the round trip, in bursts of at most ten
    /// segments or a super-segment (rule H12.1), rather than send what an acknowledgement allows at
    /// once. The other controllers always do.
    pub pacing: bool,
    /// Octets that one direction may hold in custody and offer as window, at most 2^29.
    pub buffer_limit: u32,
    /// How long an acknowledgement may wait for a second segment, at most 10 ms (rule H5.6).
    pub ack_delay: Duration,
    /// Whether segments may be sent with DF = 1 for a sender that allows fragmentation (rule H10.3).
    pub allow_dont_fragment: bool,
}

impl FlowConfig {
    /// Local acknowledgement for data from the inner side, and nothing for the other direction.
    #[must_use]
    pub const fn inner_local_ack() -> Self {
        Self {
            inner_to_outer: Service::LocalAck,
            outer_to_inner: Service::Bypass,
            ..Self::tracked()
        }
    }

    /// Local acknowledgement for both directions.
    #[must_use]
    pub const fn both_local_ack() -> Self {
        Self {
            inner_to_outer: Service::LocalAck,
            outer_to_inner: Service::LocalAck,
            ..Self::tracked()
        }
    }

    /// A flow that is known and counted but not served; its service may be changed later.
    #[must_use]
    pub const fn tracked() -> Self {
        Self {
            inner_to_outer: Service::Bypass,
            outer_to_inner: Service::Bypass,
            inner_shaping: ShapingId::NONE,
            outer_shaping: ShapingId::NONE,
            custody: Custody::AfterProof,
            controller: Controller::DEFAULT,
            inward_controller: Controller::DEFAULT,
            careful_resume: false,
            pacing: true,
            buffer_limit: 1 << 20,
            ack_delay: Duration::ZERO,
            allow_dont_fragment: false,
        }
    }

    /// The service of one direction.
    #[must_use]
    pub const fn service(&self, direction: Direction) -> Service {
        match direction {
            Direction::InnerToOuter => self.inner_to_outer,
            Direction::OuterToInner => self.outer_to_inner,
        }
    }

    /// The controller of one direction.
    #[must_use]
    pub const fn controller(&self, direction: Direction) -> Controller {
        match direction {
            Direction::InnerToOuter => self.controller,
            Direction::OuterToInner => self.inward_controller,
        }
    }

    /// What else is done with packets of one direction.
    #[must_use]
    pub const fn shaping(&self, direction: Direction) -> ShapingId {
        match direction {
            Direction::InnerToOuter => self.inner_shaping,
            Direction::OuterToInner => self.outer_shaping,
        }
    }

    /// The same with other shaping of one direction.
    #[must_use]
    pub const fn with_shaping(mut self, direction: Direction, shaping: ShapingId) -> Self {
        match direction {
            Direction::InnerToOuter => self.inner_shaping = shaping,
            Direction::OuterToInner => self.outer_shaping = shaping,
        }
        self
    }

    /// The same with another service for one direction.
    #[must_use]
    pub const fn with_service(mut self, direction: Direction, service: Service) -> Self {
        match direction {
            Direction::InnerToOuter => self.inner_to_outer = service,
            Direction::OuterToInner => self.outer_to_inner = service,
        }
        self
    }
}

/// A policy's answer to a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Admit {
    /// Leave it alone.
    Pass,
    /// Follow it, and serve it so once its handshake is complete.
    Adopt(FlowConfig),
}

/// The caller's choice of what to serve.
pub trait Policy {
    /// Decides at the SYN, which arrived on `from`.
    fn admit(&mut self, key: &FlowKey, from: Port, syn: &SynInfo) -> Admit;

    /// May change the choice when the handshake is complete and both round trips are known.
    /// The default keeps it.
    fn established(
        &mut self,
        key: &FlowKey,
        handshake: &Handshake,
        chosen: FlowConfig,
    ) -> FlowConfig {
        let _ = (key, handshake);
        chosen
    }
}

impl<P: Policy + ?Sized> Policy for &mut P {
    fn admit(&mut self, key: &FlowKey, from: Port, syn: &SynInfo) -> Admit {
        (**self).admit(key, from, syn)
    }

    fn established(
        &mut self,
        key: &FlowKey,
        handshake: &Handshake,
        chosen: FlowConfig,
    ) -> FlowConfig {
        (**self).established(key, handshake, chosen)
    }
}

/// The same answer for every connection.
impl Policy for FlowConfig {
    fn admit(&mut self, _: &FlowKey, _: Port, _: &SynInfo) -> Admit {
        Admit::Adopt(*self)
    }
}
