//! The headline figures: what the engine takes for a packet, beside the least that could be done instead
//! or beside somebody else's code, measured in the same rounds.
//!
//! | figure | its unit | against |
//! |---|---|---|
//! | `cycle_cache` | data cycle: a full segment in, its local acknowledgement out, an acknowledgement of the receiver in | copy and checksum of the payload |
//! | `cycle_memcpy` | the same | copy of the payload |
//! | `cycle_etherparse` | the same | `etherparse` parses the segment and adds it up |
//! | `smoltcp` | the same | smoltcp as a splicing proxy |
//! | `two_engines` | the same on two cores at once | on one core, the other idle |
//! | `cycle_256m` | the same, 256 connections with 1 MiB in custody each | copy and checksum into 256 MiB, place after place |
//! | `cycle_256m_frames` | the same out of 256 MiB of frames, one connection | copy and checksum out of them |
//! | `pass` | a full segment of a connection that is not served | checksum of its payload |
//! | `pass_etherparse` | the same | `etherparse` parses it and adds it up |
//! | `pure_ack` | an acknowledgement of a sender that is ahead of the receiver, edited in place | checksum of 1,448 octets |
//! | `sack_ack` | an acknowledgement with three SACK blocks, one of which has grown | the same |
//! | `super_segment` | data cycle of a super-segment of 62,264 octets | copy and checksum of its payload |
//! | `out_of_order` | a segment of a pair that comes in the wrong order | copy and checksum of the payload |
//! | `churn` | a connection without data from SYN to its end, six packets | six checksums of 1,448 octets |
//! | `adopt_expire` | a connection that is opened and forgotten after hours, three packets | three checksums of 1,448 octets |
//! | `custody_64k_floor`, `_16m_`, `_256m_` | data cycle with so many octets always in flight | copy and checksum into so much memory |
//! | `custody_16m`, `custody_256m` | the same | as many times that floor as with 64 KiB |
//! | `retransmit_64k_floor`, `_256m_` | a SACK that tells of a loss, and the segment sent again into a copying sink, with so many octets in flight | copy and checksum out of so much memory |
//! | `retransmit_256m` | the same | as many times that floor as with 64 KiB |
//! | `flows_1k_uniform`, `_100k_`, `_1m_`, and `_zipf` | data cycle of a connection whose turn comes by chance, a segment of each in flight | the same of one connection, and touching as many cold lines |
//!
//! A cycle is two calls of `ingest`, each with the `poll` that belongs to it. Where nothing else is said
//! all of it stays in the first caches, except for the packets of a batch, [`BATCH`](crate::load::cases::BATCH) of them.

mod etherparse;
mod figure;
mod floors;
mod list;
mod measure;
pub mod memory;
mod pair;
mod smoltcp;
mod touches;

pub use figure::{Figure, json, table};
pub use floors::{Floor, Task};
pub use list::{measure, names};
pub use measure::Meter;
