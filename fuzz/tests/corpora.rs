//! Every committed input runs through its target, on any toolchain.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use localack_fuzz::TARGETS;
use localack_fuzz::seeds::seeds;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

#[test]
fn corpora_replay() {
    for (target, run) in TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(corpus(target)).expect("every target has a corpus") {
            let path = entry.expect("a readable folder").path();
            let octets = fs::read(&path).expect("a readable file");
            assert!(
                catch_unwind(|| run(&octets)).is_ok(),
                "{target}: {}",
                path.display()
            );
            replayed += 1;
        }
        assert!(
            replayed >= seeds(target).len(),
            "{target}: only {replayed} inputs"
        );
    }
}

/// A seed whose meaning has changed is written anew: `cargo run -p localack-fuzz --example
/// write_seeds`.
#[test]
fn seeds_are_the_committed_ones() {
    for (target, _) in TARGETS {
        for (name, octets) in seeds(target) {
            let path = corpus(target).join(&name);
            assert_eq!(fs::read(&path).ok(), Some(octets), "{}", path.display());
        }
    }
}
