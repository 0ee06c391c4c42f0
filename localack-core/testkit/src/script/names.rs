//! What a script names, and so depends on.

use super::model::{Action, Number, PacketSpec, Place, Script, Step, Term};

impl Script {
    /// Whether it names SACK blocks, arriving or leaving: it means hosts that agreed on SACK.
    pub(super) fn names_blocks(&self) -> bool {
        self.packets().any(|packet| {
            packet.dsack.is_some()
                || packet
                    .sack
                    .as_ref()
                    .is_some_and(|blocks| !blocks.is_empty())
        })
    }

    /// Whether it names windows: as fields, as right edges, or by what the engine says of them.
    pub(super) fn names_windows(&self) -> bool {
        self.setup.sides.iter().any(|side| side.window.is_some())
            || self.steps.iter().any(checks_windows)
            || self.packets().any(|packet| {
                let fields = packet.window.is_some() || packet.edge.is_some();
                fields || terms(packet).iter().any(|term| term.symbol == Some('E'))
            })
    }

    /// All packets that arrive or are expected.
    fn packets(&self) -> impl Iterator<Item = &PacketSpec> {
        self.steps.iter().flat_map(|step| {
            let arriving = match &step.action {
                Action::Packet(_, packet) => Some(&**packet),
                _ => None,
            };
            let expected = step.outcome.iter().flat_map(|outcome| &outcome.packets);
            let expected = expected.map(|expected| &expected.packet);
            arriving.into_iter().chain(expected)
        })
    }
}

/// Whether a line looks at windows from inside.
fn checks_windows(step: &Step) -> bool {
    match &step.action {
        Action::Check { facts, .. } => facts.iter().any(|(name, _)| name == "edge"),
        _ => false,
    }
}

/// The numbers of a packet that may be relative to something seen.
fn terms(packet: &PacketSpec) -> Vec<Term> {
    let place = match packet.place {
        Some(Place::At(number)) => term(number).into_iter().collect(),
        Some(Place::Range(start, end) | Place::Series(start, end)) => vec![start, end],
        None => Vec::new(),
    };
    let ack = packet.ack.and_then(term);
    place.into_iter().chain(ack).collect()
}

const fn term(number: Number) -> Option<Term> {
    match number {
        Number::Any => None,
        Number::Is(term) | Number::AtLeast(term) | Number::AtMost(term) => Some(term),
    }
}
