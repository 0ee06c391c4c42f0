//! Being told to stop.

use core::sync::atomic::{AtomicBool, Ordering};

use super::error::DemoError;

/// Somebody's wish that there be no more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop<'a>(pub(super) &'a AtomicBool);

impl Stop<'_> {
    pub(super) fn is_wanted(self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if there is to be no more.
    pub(super) fn check(self) -> Result<(), DemoError> {
        if self.is_wanted() {
            return Err(DemoError::Interrupted);
        }
        Ok(())
    }
}
