//! Fuzz targets of localack, as functions of the octets that a fuzzer thinks up.
//!
//! Each panics if what it checks does not hold. `cargo test` replays the committed corpora through
//! them on any toolchain; `cargo +nightly fuzz run <target>` goes looking for more.
//!
//! | target | octets | what must hold |
//! |---|---|---|
//! | [`wire_parse`] | an IP packet | it is read as etherparse reads it, or refused for a reason |
//! | [`options`] | a TCP option list | it is read as a plain loop reads it |
//! | [`rewrite`] | edits and a packet | only what was edited changes; right stays right, wrong wrong |
//! | [`ingest`] | a life of two hosts | bounded, exact, in memory: see [`operation`] |
//! | [`model`] | what happens to a connection | every invariant that can be seen from outside |
//! | [`attach`] | damage to an engine's memory, and what happens next | bounded; nothing is acknowledged that is not there; whom damage does not reach goes on |
//! | [`pcap_reader`] | a capture | frames lie in their records; pieces are read as the whole |

mod attach;
mod captures;
mod input;
mod life;
mod model;
pub mod operation;
mod options;
mod pcap_reader;
mod rewrite;
pub mod seeds;
mod wire_parse;

pub use attach::attach;
pub use life::ingest;
pub use model::model;
pub use options::options;
pub use pcap_reader::pcap_reader;
pub use rewrite::rewrite;
pub use wire_parse::wire_parse;

/// What is done with the octets that a fuzzer thinks up.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("wire_parse", wire_parse),
    ("options", options),
    ("rewrite", rewrite),
    ("ingest", ingest),
    ("model", model),
    ("attach", attach),
    ("pcap_reader", pcap_reader),
];

/// The program around a target: libFuzzer's entry point under cargo-fuzz, otherwise a `main` that
/// replays the files it is given.
#[macro_export]
macro_rules! target {
    ($target:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|octets: &[u8]| $target(octets));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for path in std::env::args_os().skip(1) {
                println!("{}", path.display());
                $target(&std::fs::read(path)?);
            }
            Ok(())
        }
    };
}
