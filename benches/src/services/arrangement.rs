//! What the engine does with the flows of a case.

use core::time::Duration;

use localack_core::{
    Admit, Controller, Custody, Direction, FlowConfig, FlowKey, Policy, Port, Service, Shaping,
    ShapingId, SynInfo,
};

/// What the engine does, if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrangement {
    /// Its name in tables.
    pub name: &'static str,
    /// Whether there is an engine at all.
    pub has_engine: bool,
    /// The service of the data.
    pub service: Service,
    /// Who controls congestion where the service sends.
    pub controller: Controller,
    /// When custody begins.
    pub custody: Custody,
    /// Octets per second that the data of each flow may take; zero is no limit.
    pub rate_limit: u32,
    /// The least interval of acknowledgements on their way back; zero is none.
    pub ack_interval: Duration,
    /// Octets that the engine may hold for a flow; `None`: as many as could be of use.
    pub buffer: Option<u32>,
}

impl Arrangement {
    /// A wire.
    pub const DIRECT: Self = Self {
        name: "direct",
        has_engine: false,
        service: Service::Bypass,
        controller: Controller::Cubic,
        custody: Custody::AfterProof,
        rate_limit: 0,
        ack_interval: Duration::ZERO,
        buffer: None,
    };

    /// An engine that does nothing by itself.
    pub const BYPASS: Self = Self {
        name: "bypass",
        has_engine: true,
        ..Self::DIRECT
    };

    /// Copies.
    pub const SNOOP: Self = Self {
        name: "snoop",
        service: Service::Snoop,
        ..Self::BYPASS
    };

    /// Local acknowledgement with CUBIC.
    pub const CUBIC: Self = Self {
        name: "local-ack cubic",
        service: Service::LocalAck,
        ..Self::BYPASS
    };

    /// Local acknowledgement with BBR.
    pub const BBR: Self = Self {
        name: "local-ack bbr",
        controller: Controller::Bbr,
        ..Self::CUBIC
    };

    /// Local acknowledgement at a known rate, in octets per second.
    #[must_use]
    pub const fn provisioned(rate: u32) -> Self {
        Self {
            name: "local-ack provisioned",
            controller: Controller::provisioned(rate),
            ..Self::CUBIC
        }
    }

    /// The same by another name.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The same, and acknowledgements are thinned out to one in so many milliseconds.
    #[must_use]
    pub const fn thinned(mut self, millis: u64) -> Self {
        self.ack_interval = Duration::from_millis(millis);
        self
    }

    /// The same, and the data of each flow keeps to so many octets of packets per second.
    #[must_use]
    pub const fn limited(mut self, rate: u32) -> Self {
        self.rate_limit = rate;
        self
    }

    /// The same, but custody begins with the handshake.
    #[must_use]
    pub const fn trusting(mut self) -> Self {
        self.custody = Custody::AfterHandshake;
        self
    }

    /// The same, but the engine may hold no more than so many octets for a flow.
    #[must_use]
    pub const fn holding(mut self, octets: u32) -> Self {
        self.buffer = Some(octets);
        self
    }

    /// The number of what is done beside the service.
    pub(super) const SHAPED: [u8; 2] = [1, 2];

    /// What is done beside the service of data, and of acknowledgements.
    pub(super) const fn shapings(&self) -> [Shaping; 2] {
        [
            Shaping::NONE.with_rate_limit(self.rate_limit),
            Shaping::NONE.with_ack_interval(self.ack_interval),
        ]
    }

    /// The policy that arranges it, where the engine may hold `buffer` octets for a flow.
    pub(super) fn policy(&self, buffer: u32) -> Arranged {
        let [data, acks] = Self::SHAPED.map(|number| ShapingId::new(number).expect("below 16"));
        let mut config = FlowConfig::tracked()
            .with_service(Direction::InnerToOuter, self.service)
            .with_shaping(Direction::InnerToOuter, data)
            .with_shaping(Direction::OuterToInner, acks);
        config.controller = self.controller;
        config.custody = self.custody;
        config.buffer_limit = self.buffer.unwrap_or(buffer);
        Arranged(config)
    }
}

/// The port of a flow that no service is for.
pub(super) const BYSTANDER: u16 = 7;

/// The same for all flows but the bystander's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arranged(FlowConfig);

impl Policy for Arranged {
    fn admit(&mut self, key: &FlowKey, _: Port, _: &SynInfo) -> Admit {
        let ports = [key.inner_port(), key.outer_port()];
        if ports.contains(&BYSTANDER) {
            Admit::Pass
        } else {
            Admit::Adopt(self.0)
        }
    }
}
