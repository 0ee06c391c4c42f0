//! Waking workers, and telling them what to do.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor for each queue that makes its worker look up.
#[derive(Clone)]
pub(super) struct Wakers(Arc<[EventFd]>);

impl Wakers {
    pub(super) fn new(queues: usize) -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        (0..queues)
            .map(|_| EventFd::from_value_and_flags(0, flags))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Makes the worker of `queue` look up.
    pub(super) fn wake(&self, queue: usize) {
        if let Some(event) = self.0.get(queue) {
            // It fails only where the worker has 2^64 wakings ahead of it.
            let _ = event.write(1);
        }
    }

    /// What becomes readable when the worker of `queue` is to look up.
    pub(super) fn fd(&self, queue: usize) -> Option<BorrowedFd<'_>> {
        self.0.get(queue).map(AsFd::as_fd)
    }

    /// Looks up: every waking before this call is answered by it.
    pub(super) fn clear(&self, queue: usize) {
        if let Some(event) = self.0.get(queue) {
            let _ = event.read();
        }
    }
}
