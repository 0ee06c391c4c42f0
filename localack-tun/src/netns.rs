//! Running code inside a named network namespace.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Where `ip netns add` keeps its handles.
const HANDLES: &str = "/run/netns";

/// Runs `work` inside the network namespace `name` and returns what it returns.
///
/// Devices and sockets that `work` opens stay in that namespace after it has ended. Only a
/// short-lived thread enters the namespace: the caller stays where it is.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] when there is no such namespace,
/// [`io::ErrorKind::PermissionDenied`] without `CAP_SYS_ADMIN`, or another error of the kernel's.
pub fn within<T, F>(name: &str, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    inside(&File::open(Path::new(HANDLES).join(name))?, work)
}

/// The same inside the namespace that `handle` is open on, whether it has a name or not.
pub(crate) fn inside<T, F>(handle: &File, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(handle, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_namespace_is_not_found() {
        let outcome = within("no-such-namespace-of-localack", || ());
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
