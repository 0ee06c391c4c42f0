//! The socket in the file system: private from the first moment, and taken over only from the dead.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

/// Nobody but the owner may connect.
const MODE: u32 = 0o600;
/// Clients that may wait to be accepted.
const WAITING: i32 = 16;
/// Locks that may be removed under our hands one after the other.
const MOST_TRIES: usize = 8;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another gateway answers there.
    #[error("{}: another gateway answers on this socket", .0.display())]
    InUse(PathBuf),
    /// There is something else than a socket.
    #[error("{}: is there already, and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A listening socket that is removed from the file system with this value.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    path: PathBuf,
    /// What the file is, so that nobody else's is removed.
    metadata: fs::Metadata,
    /// Held as long as the socket is there, so that of two gateways that start at the same time one
    /// does not replace the other's socket.
    _lock: File,
}

impl Listener {
    /// Listens at `path`, where a socket may be left over from a gateway that has died.
    pub(super) fn new(path: &Path) -> Result<Self, SocketError> {
        let failed = |error| SocketError::System {
            path: path.to_owned(),
            error,
        };
        let lock = lock(path)?;
        remove_stale(path)?;
        let socket = listen_at(path).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            metadata,
            _lock: lock,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|there| same_file(&there, &self.metadata));
        // There is nobody to tell at the end, and the next start does with what is left.
        if ours {
            let _ = fs::remove_file(&self.path);
        }
        // While it is locked.
        let _ = fs::remove_file(lock_path(&self.path));
    }
}

/// The name of the lock of a socket.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Keeps other gateways from this path as long as the file is open.
fn lock(path: &Path) -> Result<File, SocketError> {
    let name = lock_path(path);
    let failed = |error| SocketError::System {
        path: name.clone(),
        error,
    };
    for _ in 0..MOST_TRIES {
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(MODE)
            .open(&name)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(SocketError::InUse(path.to_owned()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Who had it may have removed it just before: then the next one would lock another file.
        let ours = file.metadata().map_err(failed)?;
        if fs::symlink_metadata(&name).is_ok_and(|there| same_file(&there, &ours)) {
            return Ok(file);
        }
    }
    Err(SocketError::InUse(path.to_owned()))
}

fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Removes a socket on which nobody answers.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |error| SocketError::System {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(SocketError::NoSocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // A full queue of clients, for example: somebody is there.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(SocketError::InUse(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Binds and listens. Linux gives the file the socket's own mode, which is set before there is a file.
fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let socket = File::from(socket);
    socket.set_permissions(Permissions::from_mode(MODE))?;
    let socket = OwnedFd::from(socket);
    let address = UnixAddr::new(path).map_err(|error| match error {
        Errno::ENAMETOOLONG => io::Error::new(
            io::ErrorKind::InvalidInput,
            "a socket's path has at most 107 octets",
        ),
        error => error.into(),
    })?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)?;
    listen(&socket, Backlog::new(WAITING)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Place;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn only_the_owner_may_connect() {
        let place = Place::new("mode");
        let listener = Listener::new(&place.socket()).unwrap();
        assert_eq!(mode(&place.socket()), MODE);
        drop(listener);
        assert!(!place.socket().exists(), "it is removed with the listener");
        assert!(!lock_path(&place.socket()).exists());
    }

    /// The kernel counts, not a thread that looks: a mode that is changed after the file has appeared
    /// shows, however short the moment was in which it had another.
    #[test]
    fn a_socket_is_never_wider_for_a_moment() {
        use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
        let place = Place::new("moment");
        let path = place.socket();
        let seen = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB;
        seen.add_watch(path.parent().unwrap(), changes).unwrap();
        let listener = Listener::new(&path).unwrap();
        assert_eq!(mode(&path), MODE);
        assert_eq!(mode(&lock_path(&path)), MODE);
        let happened: Vec<_> = seen.read_events().unwrap();
        let happened = happened
            .into_iter()
            .map(|event| (event.name.map(PathBuf::from), event.mask));
        let made = |path: &Path| {
            let name = path.file_name().map(PathBuf::from);
            (name, AddWatchFlags::IN_CREATE)
        };
        let expected = [made(&lock_path(&path)), made(&path)];
        assert_eq!(happened.collect::<Vec<_>>(), expected);
        drop(listener);
    }

    #[test]
    fn what_a_dead_gateway_left_is_replaced_and_a_live_one_is_not() {
        let place = Place::new("stale");
        let path = place.socket();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket that nobody listens on");
        let listener = Listener::new(&path).unwrap();
        let again = Listener::new(&path).unwrap_err();
        assert!(matches!(again, SocketError::InUse(_)), "{again}");
        UnixStream::connect(&path).unwrap();
        drop(listener);

        // Somebody who does not know of the lock.
        let foreign = UnixListener::bind(&path).unwrap();
        let refused = Listener::new(&path).unwrap_err();
        assert!(matches!(refused, SocketError::InUse(_)), "{refused}");
        UnixStream::connect(&path).unwrap();
        drop(foreign);
    }

    #[test]
    fn of_many_that_start_at_once_one_listens() {
        let place = Place::new("race");
        let path = place.socket();
        for _ in 0..20 {
            drop(UnixListener::bind(&path).unwrap());
            let listeners: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| Listener::new(&path)))
                    .collect();
                let ends = starts.into_iter().map(|start| start.join().unwrap());
                ends.filter_map(Result::ok).collect()
            });
            assert_eq!(listeners.len(), 1);
            UnixStream::connect(&path).unwrap();
            drop(listeners);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_is_left_alone() {
        let place = Place::new("file");
        fs::write(place.socket(), "precious").unwrap();
        let error = Listener::new(&place.socket()).unwrap_err();
        assert!(matches!(error, SocketError::NoSocket(_)), "{error}");
        assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    }

    #[test]
    fn another_ones_socket_is_not_removed() {
        let place = Place::new("other");
        let listener = Listener::new(&place.socket()).unwrap();
        fs::remove_file(place.socket()).unwrap();
        let other = UnixListener::bind(place.socket()).unwrap();
        drop(listener);
        assert!(place.socket().exists());
        drop(other);
    }
}
