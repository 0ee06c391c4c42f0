//! Small worlds, searched exhaustively: the real engine between two abstract ends of one connection,
//! in every order of events.
//!
//! A [`Scope`] says what the ends' applications do (a few segments, a close, a reset, a reader that
//! is late, a host that vanishes), which services the engine renders, and how much may go wrong: how
//! many packets may be lost, doubled or overtaken, how many timers may fire although packets are
//! still under way, whether the engine is told to hand the connection back.
//! [`Scope::explore`] visits every state that can be reached, breadth first, so that what it finds
//! is found by the fewest steps.
//!
//! **What is checked** after every step: the [laws](crate::laws) of every packet that leaves the
//! engine; that no end is told anything impossible (an acknowledgement of what it never sent, octets
//! that differ, a reset out of nothing, a FIN acknowledged before it arrived); that whatever a
//! sender was told has arrived *really* has, is held by the engine, or was reported lost by an event
//! and a counter with the right number of octets (invariant 1, rule H6.1); and that from every state,
//! if nothing goes wrong any more, the connection comes to its end: everything delivered and closed
//! as the applications wish, or reset for both.
//!
//! **States.** The engine is driven through its public interface and lends no copy of itself, so a
//! state of it is known by the inputs that lead there, and is what its `Debug` prints of its memory
//! without the counters, with what the witness of the laws knows. What a state does with an input is
//! computed once, by an engine that is led there. A state of the world is that, both ends, the packets
//! under way, the time, and what may still go wrong. States are told apart by 128 bits of a digest.
//!
//! **Time** is virtual and has no course of its own: a packet takes no time (or a fixed one, see
//! [`Scope::delay`]), and an action of an application none. Time passes only when a timer fires, by
//! a jump to the earliest one; if several are due at once, each may be first. While packets are
//! under way or an application has something to do, that counts against the [`Budget`], so that
//! slow packets and slow applications are part of the search, but it is finite. An end's
//! retransmission timer may also fire early at any moment, against the budget. So orders are
//! exhaustive, and distances are not: what depends on how much time passes between two packets is
//! the business of the simulator.
//!
//! **Links** keep packets in order, or in any, or let a bounded number overtake. Only the first packet
//! of a link is lost, which is no restriction: a packet that will never arrive might as well wait
//! until those before it are gone.

mod check;
mod digest;
mod endpoint;
mod machine;
mod report;
mod scope;
mod search;
mod segment;
mod world;

pub use report::{Failure, Summary};
pub use scope::{App, Budget, Scope};
