//! The capture that is replayed when none is named.

/// Two Linux TCP stacks across an emulated long, lossy path, captured beside the client.
pub const SAMPLE: &[u8] = include_bytes!("../sample/long-lossy-path.pcap");

/// What reports call it.
pub const NAME: &str = "sample: a long, lossy path (embedded)";
