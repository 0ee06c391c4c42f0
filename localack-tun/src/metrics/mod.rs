//! Metrics of a gateway for Prometheus, served over HTTP.
//!
//! [`Server`] answers `GET /metrics` in the OpenMetrics text format, with what the gateway has counted by
//! then, all queues together. Nothing is gathered while nobody asks. It is a small server for one
//! customer: few connections at a time, each with one request and little time for it, so that it cannot
//! take much from the gateway whoever can reach it.
//!
//! All names begin with `localack_`, but for those of the process, which have the usual names.

mod families;
mod http;
mod process;
mod scrape;
#[cfg(test)]
mod tests;

pub use http::{MetricsError, Server};
