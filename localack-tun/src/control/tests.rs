//! The control socket before a gateway without devices: real engines, and connections that somebody
//! opens.

mod arranging;
mod documented;
mod fake;
mod policies;
mod serving;
mod sums;

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::path::PathBuf;

pub(crate) use fake::Fake;

/// A directory of a test's own that is removed with this value.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("la-control-{}-{name}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(own));
        fs::create_dir(&place.0).unwrap();
        place
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
