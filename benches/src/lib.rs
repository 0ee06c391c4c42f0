//! Benchmarks of localack: what is measured is in [`load`], packet by packet; [`goodput`] is measured in
//! virtual time.

pub mod figures;
pub mod goodput;
pub mod load;
pub mod services;

/// The README of the workspace, whose example must compile and hold. It is tested here because this
/// package is never published and may look outside its folder.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
