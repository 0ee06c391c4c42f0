//! How an operator speaks to a gateway that runs: a socket with a protocol of JSON lines.
//!
//! [`Server`] answers on the gateway's side, [`Client`] asks. What they exchange is in [`protocol`], and
//! described for other programs, with an example of everything, in `docs/control.md`. What a gateway has
//! to know and do for it is the trait [`Backend`].
//!
//! The socket is a Unix socket that only its owner can connect to. Whoever can is the operator: there are
//! no other permissions. Lines are bounded ([`protocol::LONGEST_REQUEST`]), clients too
//! ([`MOST_CLIENTS`]); each has a thread, and the gateway's workers answer only what is asked for in small
//! steps, so that a slow client, or one that asks all the time, keeps no packet waiting.
//!
//! The kernel module speaks the same protocol over a device. It reads no policies: [`Client`] makes rules of them
//! that it takes.
//!
//! Each of a flow's directions has a [`protocol::Reason`], which says by a number that stays the same why
//! it is or is not acknowledged early.

mod answers;
mod backend;
mod client;
mod device;
mod flow;
pub mod human;
mod kernel;
mod lines;
mod observer;
mod policies;
pub mod protocol;
mod reason;
mod savings;
mod selection;
mod server;
mod socket;
#[cfg(test)]
pub(crate) mod tests;

pub use backend::{
    Applied, Backend, BackendError, Chosen, GatewayState, Occupancy, Overview, QueueReport, Refusal,
};
pub use client::{Client, ClientError, KERNEL_DEVICE};
pub use observer::Observer;
pub use savings::{Saving, Standing};
pub use selection::{Seen, Selection, Totals};
pub use server::{MOST_CLIENTS, Server};
pub use socket::SocketError;

pub(crate) use answers::sum;
pub(crate) use flow::{MODES, STATES};
