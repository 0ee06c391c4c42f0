//! A second gateway that has every connection of this one at any moment, and goes on with them when this one
//! is gone.
//!
//! An engine does nothing but what its memory and its inputs say. So the second gateway, the *standby*, gets a
//! copy of the memory once, and from then on each packet and each call of the first one's engines, with the
//! time at which it was; its own engines follow, and send nothing. Whether the kernel took a packet is an input,
//! too. What the standby's engines would have sent is compared with what the first one's have: where that
//! differs, it begins again with a copy.
//!
//! What is under way to the standby is bounded ([`MOST_BEHIND`]): a standby that does not keep up is let go, and
//! may come back. It never keeps a worker from its packets.
//!
//! Packets of the first gateway wait until the standby has what they tell of, unless [`Standby::confirms`] is off: so
//! nobody was told anything that the standby does not know. A standby that says nothing for a second is let go.
//!
//! The octets of all connections go over that way as they are. It belongs on a network of its own, or a Unix
//! socket.

mod address;
mod feed;
mod follow;
mod record;

pub use address::{Address, AddressError};
pub use feed::{ServerError, Standby};
pub use follow::{FollowError, Inheritance, follow};

pub(super) use feed::{Feed, Greeting, Server};
pub(super) use record::{Hello, Outcome};

use core::time::Duration;

/// Octets that may be under way to a standby, besides a copy of the memory.
pub const MOST_BEHIND: usize = 32 << 20;
/// How often a gateway that has nothing to say shows that it is there.
const BEAT: Duration = Duration::from_millis(100);
/// How long a gateway may be silent before it counts as gone.
pub const SILENCE: Duration = Duration::from_millis(1000);
