//! A TCP local-acknowledgement engine.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod pool;
pub mod seq;
pub mod time;
pub mod wire;
