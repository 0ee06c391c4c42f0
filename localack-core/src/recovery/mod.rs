//! What is known of the path to a receiver, from which losses are inferred.

pub(crate) mod delivery;
pub(crate) mod rtt;
