//! The two faces of one direction: a TCP receiver toward the data's sender, and a TCP sender
//! toward its receiver.

pub(crate) mod recv;
pub(crate) mod send;
pub(crate) mod window;
