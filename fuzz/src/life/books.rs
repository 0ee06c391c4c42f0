//! What an engine's books say that it holds, and that it acknowledges no more.

use localack_core::{Direction, DirectionMode, Engine, FlowInfo, FlowKey, Port, SeqNum};
use localack_testkit::packet::{Flags, Packet};

/// The books as they were before something happened.
#[derive(Debug, Default)]
pub(super) struct Books {
    flows: Vec<FlowInfo>,
    /// What the host on a port acknowledges with the segment that happened.
    word: Option<(Port, u32)>,
}

impl Books {
    /// Something is about to happen.
    pub(super) fn open<P: localack_core::Policy>(&mut self, engine: &Engine<'_, P>) {
        self.word = None;
        self.flows.clear();
        self.flows.extend(engine.flows());
    }

    /// It is that a host has sent a packet, which has arrived on `port`.
    pub(super) fn note(&mut self, port: Port, octets: &[u8]) {
        let packet = Packet::decode(octets).ok().map(|decoded| decoded.packet);
        self.word = packet
            .filter(|packet| packet.flags.has(Flags::ACK))
            .map(|packet| (port, packet.ack));
    }

    /// # Panics
    /// If `packet`, which has left by `port`, acknowledges to the host there what is in custody of neither the
    /// engine nor anybody behind it (invariant 1).
    pub(super) fn check<P: localack_core::Policy>(
        &self,
        engine: &Engine<'_, P>,
        port: Port,
        packet: &Packet,
    ) {
        let flags = packet.flags;
        if !flags.has(Flags::ACK) || flags.has(Flags::SYN) || flags.has(Flags::RST) {
            return;
        }
        let (inner, outer) = match port {
            Port::Inner => (packet.destination, packet.source),
            Port::Outer => (packet.source, packet.destination),
        };
        let key = FlowKey::new(inner.ip(), inner.port(), outer.ip(), outer.port(), 0);
        let of_it = |flow: &FlowInfo| flow.key == key;
        let before = self.flows.iter().copied().find(of_it);
        let after = engine.flows().find(of_it);
        let mut directions = [before, after]
            .into_iter()
            .flatten()
            .map(|flow| *flow.direction(Direction::arriving_on(port)))
            .peekable();
        // Of a connection that is over with a segment nobody can say any more what its receiver had: it may have
        // said so itself.
        let is_hosts_own = self.word == Some((port.other(), packet.ack));
        if directions.peek().is_none() || (is_hosts_own && after.is_none()) {
            return;
        }
        let backed = directions.any(|direction| match direction.mode {
            // What its receiver says is the receiver's word.
            DirectionMode::Bypass | DirectionMode::Snoop | DirectionMode::StoreAndForward => true,
            DirectionMode::LocalAck | DirectionMode::Draining => {
                let (stored, has) = (direction.rcv_nxt, direction.snd_una);
                covers(stored.latest(has), packet.ack)
            }
            _ => panic!("a new mode"),
        });
        assert!(
            backed,
            "{} is acknowledged, which is not there (invariant 1): {before:#?} {after:#?}",
            packet.ack
        );
    }
}

/// Whether all before `ack` is there, or all but a FIN.
const fn covers(there: SeqNum, ack: u32) -> bool {
    ack.wrapping_sub(there.raw()).cast_signed() <= 1
}
