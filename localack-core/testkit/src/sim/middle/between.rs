//! An engine or nothing, as one type: for worlds that are run with both.

use localack_core::{Instant, Policy, Port};

use super::{BareBox, Middle, Wire};

/// An engine or a piece of wire.
#[derive(Debug)]
pub enum Between<'e, P> {
    /// Whatever comes in goes out.
    Wire(Wire),
    /// An engine without a witness.
    Engine(Box<BareBox<'e, P>>),
}

impl<'e, P: Policy> Between<'e, P> {
    /// `engine`, or a piece of wire where there is none.
    #[must_use]
    pub fn new(engine: Option<BareBox<'e, P>>) -> Self {
        engine.map_or(Self::Wire(Wire), |engine| Self::Engine(Box::new(engine)))
    }

    /// The engine, if there is one.
    #[must_use]
    pub const fn engine(&self) -> Option<&BareBox<'e, P>> {
        match self {
            Self::Wire(_) => None,
            Self::Engine(engine) => Some(engine),
        }
    }
}

impl<P: Policy> Middle for Between<'_, P> {
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        match self {
            Self::Wire(wire) => wire.ingest(now, port, packet),
            Self::Engine(engine) => engine.ingest(now, port, packet),
        }
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        match self {
            Self::Wire(wire) => wire.poll(now),
            Self::Engine(engine) => engine.poll(now),
        }
    }

    fn next_at(&self) -> Option<Instant> {
        match self {
            Self::Wire(wire) => wire.next_at(),
            Self::Engine(engine) => engine.next_at(),
        }
    }
}
