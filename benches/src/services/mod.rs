//! What each service is good for: scenarios in virtual time, each with several arrangements.
//!
//! ```text
//! senders == inner link == engine or wire == outer link == receivers
//! ```
//!
//! All hosts are [`LinuxHost`](localack_testkit::sim::LinuxHost)s with CUBIC, which check every octet. Data
//! goes outward, acknowledgements come back. A [`Case`] is one arrangement on one route, [`measure_all`]
//! measures cases, and a [`Row`] holds the figures.

mod arrangement;
mod case;
mod lab;
mod list;
mod measure;
mod nodes;
mod route;
mod row;
mod table;

pub use arrangement::Arrangement;
pub use case::{Case, Figure, Work};
pub use list::all;
pub use measure::{Outcome, measure, measure_all};
pub use route::{Hazard, Route, Way};
pub use row::Row;
pub use table::tables;
