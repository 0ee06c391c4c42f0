//! The state file: what has to be put back, safe on disk before anything is changed.
//!
//! The file appears whole or not at all, and its owner holds a lock on it, which ends with the
//! process however that ends. So an unlocked file is what a crash has left.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::SteerError;
use super::name::InterfaceName;
use super::port::Port;
use super::sysctl::Setting;

/// The network namespace of the calling thread.
const NAMESPACE: &str = "/proc/thread-self/ns/net";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) pid: u32,
    /// The inode of the network namespace that all of this is about.
    namespace: u64,
    devices: [String; 2],
    pub(super) settings: Vec<Setting>,
    /// A port that was taken from its bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<Port>,
    /// The file that keeps the connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept_in: Option<PathBuf>,
    /// An interface of which the machine's own packets were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
}

impl State {
    pub(super) fn new(
        devices: [&InterfaceName; 2],
        settings: Vec<Setting>,
    ) -> Result<Self, SteerError> {
        Ok(Self {
            pid: std::process::id(),
            namespace: namespace()?,
            devices: devices.map(ToString::to_string),
            settings,
            port: None,
            kept_in: None,
            host: None,
        })
    }

    /// The TUN devices; a name that is none is left out.
    pub(super) fn devices(&self) -> impl Iterator<Item = InterfaceName> {
        self.devices.iter().filter_map(|name| name.parse().ok())
    }
}

/// A state file that this process has locked.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    state: State,
    /// Holds the lock.
    _file: File,
}

impl StateFile {
    /// Writes a new state file, and its directory if that is missing.
    pub(super) fn create(path: &Path, state: State) -> Result<Self, SteerError> {
        let failed = |error| SteerError::State(path.to_owned(), error);
        let text = toml::to_string(&state).map_err(|error| failed(io::Error::other(error)))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let draft = draft(path, state.pid);
        let write = || {
            let file = write_draft(&draft, &text)?;
            // Unlike a rename, a link never takes the place of another's file.
            fs::hard_link(&draft, path)?;
            File::open(directory)?.sync_all()?;
            Ok(file)
        };
        let written: io::Result<File> = write();
        let _ = fs::remove_file(&draft);
        match written {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                state,
                _file: file,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Somebody was quicker between our look and now.
                let other = Self::take_over(path)?;
                Err(SteerError::Running {
                    pid: other.map_or(0, |file| file.state.pid),
                })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes over what an ended process has left; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// [`SteerError::Running`] while its owner lives, [`SteerError::OtherNamespace`] when it is
    /// not about the caller's network namespace.
    pub(super) fn take_over(path: &Path) -> Result<Option<Self>, SteerError> {
        let failed = |error| SteerError::State(path.to_owned(), error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let state: State = toml::from_str(&text)
            .map_err(|error| SteerError::Meaning(path.to_owned(), error.message().to_owned()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SteerError::Running { pid: state.pid }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Its owner may have removed the file between our opening and locking it.
        let removed = file.metadata().map_err(failed)?.nlink() == 0;
        if removed {
            return Ok(None);
        }
        let file = Self {
            path: path.to_owned(),
            state,
            _file: file,
        };
        file.check_namespace()?;
        Ok(Some(file))
    }

    /// Writes the same state for this process, in the place of the old file.
    pub(super) fn renew(self) -> Result<Self, SteerError> {
        let failed = |error| SteerError::State(self.path.clone(), error);
        let mut state = self.state.clone();
        state.pid = std::process::id();
        let text = toml::to_string(&state).map_err(|error| failed(io::Error::other(error)))?;
        let draft = draft(&self.path, state.pid);
        let write = || {
            let file = write_draft(&draft, &text)?;
            fs::rename(&draft, &self.path)?;
            Ok(file)
        };
        let written: io::Result<File> = write();
        let file = written.map_err(|error| {
            let _ = fs::remove_file(&draft);
            failed(error)
        })?;
        Ok(Self {
            path: self.path,
            state,
            _file: file,
        })
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Refuses to work in another network namespace than the one the state is about.
    pub(super) fn check_namespace(&self) -> Result<(), SteerError> {
        if namespace()? == self.state.namespace {
            return Ok(());
        }
        Err(SteerError::OtherNamespace(self.path.clone()))
    }

    /// Removes the file: everything is as it was.
    pub(super) fn remove(self) -> Result<(), SteerError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SteerError::State(self.path, error))
            }
            _ => Ok(()),
        }
    }
}

/// Where a file is written before it takes its place.
fn draft(path: &Path, pid: u32) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{pid}"));
    PathBuf::from(draft)
}

/// Writes a file that is safe on disk, and locks it.
fn write_draft(draft: &Path, text: &str) -> io::Result<File> {
    let mut file = File::create(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    file.try_lock()?;
    Ok(file)
}

fn namespace() -> Result<u64, SteerError> {
    let metadata = fs::metadata(NAMESPACE);
    Ok(metadata
        .map_err(|error| SteerError::State(PathBuf::from(NAMESPACE), error))?
        .ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that exists as long as this value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("la-test-state-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn state() -> State {
        let devices = ["lak-in", "lak-out"].map(|name| name.parse::<InterfaceName>().unwrap());
        State::new([&devices[0], &devices[1]], Vec::new()).unwrap()
    }

    #[test]
    fn a_state_is_kept_until_it_is_removed_and_has_one_owner() {
        let scratch = Scratch::new("owner");
        let path = scratch.0.join("deep").join("state.toml");
        assert!(StateFile::take_over(&path).unwrap().is_none());
        let file = StateFile::create(&path, state()).unwrap();
        let owner = std::process::id();
        for refusal in [
            StateFile::take_over(&path).map(|_| ()),
            StateFile::create(&path, state()).map(|_| ()),
        ] {
            assert!(matches!(refusal, Err(SteerError::Running { pid }) if pid == owner));
        }
        // As after a crash: the lock has gone, the file has not.
        drop(file);
        let left = StateFile::take_over(&path).unwrap().unwrap();
        assert_eq!(*left.state(), state());
        let renewed = left.renew().unwrap();
        let refusal = StateFile::take_over(&path).map(|_| ());
        assert!(matches!(refusal, Err(SteerError::Running { .. })));
        drop(renewed);
        let left = StateFile::take_over(&path).unwrap().unwrap();
        left.remove().unwrap();
        assert!(StateFile::take_over(&path).unwrap().is_none());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let scratch = Scratch::new("foreign");
        fs::create_dir_all(&scratch.0).unwrap();
        let path = scratch.0.join("state.toml");
        fs::write(&path, "name = \"value\"\n").unwrap();
        let refusal = StateFile::take_over(&path).map(|_| ());
        assert!(
            matches!(refusal, Err(SteerError::Meaning(..))),
            "{refusal:?}"
        );
        assert!(path.exists());
    }

    #[test]
    fn a_state_of_another_namespace_is_refused() {
        let scratch = Scratch::new("namespace");
        let path = scratch.0.join("state.toml");
        let mut elsewhere = state();
        elsewhere.namespace += 1;
        drop(StateFile::create(&path, elsewhere).unwrap());
        let refusal = StateFile::take_over(&path).map(|_| ());
        assert!(
            matches!(refusal, Err(SteerError::OtherNamespace(_))),
            "{refusal:?}"
        );
        assert!(path.exists());
    }
}
