//! What a replay is asked to do.

use ipnet::IpNet;
use localack_core::{
    Admit, Controller, Direction, FlowConfig, FlowKey, Handshake, Policy, Port, Provision, Service,
    SynInfo,
};

/// How a replay is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which end of a connection is the inner one, whose data is served.
    pub inner: Inner,
    /// Whether the other end's data is served too.
    pub both_directions: bool,
    /// What is done with the data that is served.
    pub service: Service,
    /// Who decides how much may be in flight toward the receivers. Of a vouched rate there is as much
    /// toward the inner ends, for their data is another path's.
    pub controller: Controller,
    /// Whether Reno and CUBIC space segments out over the round trip.
    pub pacing: bool,
    /// Flow slots of the engine.
    pub flows: usize,
    /// Octets lent to the engine for data in custody.
    pub buffer: usize,
    /// What wrong checksums mean.
    pub checksums: Checksums,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inner: Inner::Auto,
            both_directions: false,
            service: Service::LocalAck,
            controller: Controller::default(),
            pacing: true,
            flows: 16_384,
            buffer: 64 << 20,
            checksums: Checksums::Auto,
        }
    }
}

/// Which end of a connection is the inner one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inner {
    /// The one with the shorter handshake round trip; the client if they are equal.
    Auto,
    /// The one whose address is in one of these networks.
    Networks(Vec<IpNet>),
}

/// What wrong checksums mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// A sender's usual pseudo-header sums are offloaded; all other wrong sums are corruption.
    Auto,
    /// Every wrong sum is corruption.
    Verify,
    /// No sum is looked at: all segments are as their sender made them.
    Trust,
}

/// The engine's policy in a replay, where the client is always on the inner port.
#[derive(Debug, Clone)]
pub(crate) struct ReplayPolicy {
    inner: Inner,
    both_directions: bool,
    service: Service,
    controller: Controller,
    pacing: bool,
    buffer_limit: u32,
}

impl ReplayPolicy {
    pub(crate) fn new(options: &Options) -> Self {
        /// The most that the engine lets one direction hold.
        const MOST: usize = 1 << 29;
        Self {
            inner: options.inner.clone(),
            both_directions: options.both_directions,
            service: options.service,
            controller: options.controller,
            pacing: options.pacing,
            // No flow may take more than a quarter of the memory.
            buffer_limit: u32::try_from((options.buffer / 4).clamp(1, MOST)).unwrap_or(1 << 29),
        }
    }

    /// The port of the inner end, as the handshake shows it.
    pub(crate) fn inner_by_round_trip(handshake: &Handshake) -> Port {
        let (client, server) = (handshake.client, handshake.client.other());
        if handshake.round_trip(server) < handshake.round_trip(client) {
            server
        } else {
            client
        }
    }

    /// The ports whose ends are in the inner networks.
    pub(crate) fn inner_by_network(&self, key: &FlowKey) -> Vec<Port> {
        let Inner::Networks(networks) = &self.inner else {
            return Vec::new();
        };
        let is_inner = |address| networks.iter().any(|network| network.contains(&address));
        let address = |port| {
            if port == Port::Inner {
                key.inner()
            } else {
                key.outer()
            }
        };
        Port::BOTH
            .into_iter()
            .filter(|&port| is_inner(address(port)))
            .collect()
    }

    /// The controller toward the outer ends, or toward the inner ones.
    fn controller_of(&self, inward: bool) -> Controller {
        match self.controller {
            Controller::Provisioned(provision) => {
                let mut vouched = Provision::new(u8::from(inward), provision.rate);
                (vouched.floor, vouched.ceiling) = (provision.floor, provision.ceiling);
                Controller::Provisioned(vouched)
            }
            other => other,
        }
    }

    fn serve(&self, ports: &[Port]) -> FlowConfig {
        let mut config = FlowConfig::tracked();
        config.buffer_limit = self.buffer_limit;
        config.pacing = self.pacing;
        // The client is on the inner port, and may be the outer end.
        let clients_are_outer = ports == [Port::Outer];
        config.controller = self.controller_of(clients_are_outer);
        config.inward_controller = self.controller_of(!clients_are_outer);
        for port in Port::BOTH {
            if self.both_directions || ports.contains(&port) {
                config = config.with_service(Direction::arriving_on(port), self.service);
            }
        }
        config
    }
}

impl Policy for ReplayPolicy {
    fn admit(&mut self, key: &FlowKey, from: Port, _: &SynInfo) -> Admit {
        match &self.inner {
            // Until the round trips are known the client counts as inner; nothing is in custody
            // before.
            Inner::Auto => Admit::Adopt(self.serve(&[from])),
            Inner::Networks(_) => {
                let ports = self.inner_by_network(key);
                if ports.is_empty() {
                    Admit::Pass
                } else {
                    Admit::Adopt(self.serve(&ports))
                }
            }
        }
    }

    fn established(
        &mut self,
        _: &FlowKey,
        handshake: &Handshake,
        chosen: FlowConfig,
    ) -> FlowConfig {
        match self.inner {
            Inner::Auto => self.serve(&[Self::inner_by_round_trip(handshake)]),
            Inner::Networks(_) => chosen,
        }
    }
}
