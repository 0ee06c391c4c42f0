//! Goodput in virtual time: what a receiver gets with and without an engine on the path.
//!
//! ```text
//! sender == LAN, 0.2 ms == engine or wire == rate, queue, loss, rest of the round trip == receiver
//! ```
//!
//! Both hosts are [`LinuxHost`](localack_testkit::sim::LinuxHost)s, which check every octet. The LAN
//! has 1 Gbit/s, 10 Gbit/s where the path itself has 1. The queue before the path is drop-tail and
//! holds one bandwidth-delay product, at least 64 packets. Only data is lost, not acknowledgements.
//!
//! A [`Cell`] says what is measured, [`measure`] measures it, and a [`Row`] holds the figures;
//! [`Bar`]s are the least that the rows must show, and [`golden`] tells whether they got worse.

mod bars;
mod cell;
pub mod golden;
mod lab;
mod matrix;
mod measure;
mod meter;
mod row;
mod table;

pub use bars::{Bar, bars};
pub use cell::{Cell, Contender, Scenario};
pub use matrix::{checked, full, subset};
pub use measure::{Outcome, measure, measure_all};
pub use row::{Completion, Row};
pub use table::{table_of_bars, table_of_rows};
