//! What is known of the path to a receiver, from which losses are inferred.

pub(crate) mod attempt;
pub(crate) mod brink;
pub(crate) mod delivery;
pub(crate) mod lost;
pub(crate) mod min_rtt;
pub(crate) mod path_mtu;
pub(crate) mod rack;
pub(crate) mod rtt;
pub(crate) mod undo;
