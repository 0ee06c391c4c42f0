//! What an engine's books say that it holds, and that it acknowledges no more.

use localack_core::{Direction, DirectionMode, Engine, FlowInfo, FlowKey, Port, SeqNum};
use localack_testkit::packet::{Flags, Packet};

/// The books as they were before something happened.
#[derive(Debug, Default)]
pub(super) struct Books(Vec<FlowInfo>);

impl Books {
    /// Something is about to happen.
    pub(super) fn open<P: localack_core::Policy>(&mut self, engine: &Engine<'_, P>) {
        self.0.clear();
        self.0.extend(engine.flows());
    }

    /// `is_hosts_own` says that a host has sent the packet, with that number.
    ///
    /// # Panics
    /// If `packet`, which has left by `port`, acknowledges to the host there what is in custody of neither the
    /// engine nor anybody behind it (invariant 1).
    pub(super) fn check<P: localack_core::Policy>(
        &self,
        engine: &Engine<'_, P>,
        port: Port,
        packet: &Packet,
        is_hosts_own: bool,
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
        let before = self.0.iter().copied().find(of_it);
        let after = engine.flows().find(of_it);
        let mut directions = [before, after]
            .into_iter()
            .flatten()
            .map(|flow| *flow.direction(Direction::arriving_on(port)))
            .peekable();
        // Of a connection that is over with the very packet, nobody can say any more what its receiver had.
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
