//! The file that keeps the engines' memory when their process is gone.
//!
//! Text says what the rest is (the [`Title`]); then comes the memory of each queue's engine. The process that has
//! the file locked is its owner, and a lock ends with its process, however that ends. Who finds a file that nobody
//! owns goes on with what is in it ([`Engine::attach`](localack_core::Engine::attach)).

mod title;

use core::time::Duration;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use localack_core::{
    AttachError, Config, Direction, DirectionMode, Engine, FlowConfig, FlowInfo, FlowKey,
    FlowState, LAYOUT,
};
use nix::fcntl::{OFlag, posix_fallocate};

use self::title::{GRAIN, Title};
use super::memory::{Memory, MemoryError, Sharing};
use crate::clock::Clock;
use crate::config::EngineSettings;
use crate::policy::Numbers;

/// How long a lock is waited for: somebody may just be looking whether there is an owner.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same for whoever is to be the next owner: a watchdog may be holding a million connections back.
const PATIENCE_OF_OWNER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The system refuses something.
    #[error("{}: {error}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Another process has it.
    #[error("{}: a gateway with these connections is running (process {pid})", path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// Its owner.
        pid: u32,
    },
    /// It is not ours to read or write.
    #[error(
        "{}: belongs to another user, or others may read or write it; connections are private (mode 0600)",
        .0.display()
    )]
    Exposed(PathBuf),
    /// It is something else, or damaged.
    #[error("{}: is no state file of a gateway, or a damaged one; it is left alone", .0.display())]
    Foreign(PathBuf),
    /// The connections in it are those of another build.
    #[error(
        "{}: the connections in it were left by another build (layout {theirs:08x}, this one has {:08x}): \
         only that build can go on with them. Start it again and let it drain (SIGTERM), or remove the file: \
         then they are lost, and their ends not told", path.display(), LAYOUT
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout of the build that has left it.
        theirs: u32,
    },
    /// The engines in it have other sizes than the settings say.
    #[error(
        "{}: there are connections in it, of engines whose `{key}` was different: set it as it was (see the \
         log of the earlier start) until these connections are drained, or remove the file: then they are \
         lost, and their ends not told", path.display()
    )]
    Sizes {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
    },
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// How the connections in a file were left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// There are none.
    Nothing,
    /// Their engines were stopped, whyever.
    Connections,
    /// The same, and the machine was started anew since.
    BeforeReboot,
}

/// A state file, locked.
#[derive(Debug)]
pub(super) struct Keep {
    path: PathBuf,
    file: File,
    title: Title,
    pub(super) left: Left,
}

impl Keep {
    /// Opens or makes the file, and becomes its owner.
    pub(super) fn open(
        path: &Path,
        settings: &EngineSettings,
        keys: impl FnOnce() -> Result<[[u64; 2]; 2], io::Error>,
    ) -> Result<Self, KeepError> {
        let failed = |error| KeepError::System {
            path: path.to_owned(),
            error,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.uid() != nix::unistd::geteuid().as_raw() || about.mode() & 0o077 != 0 {
            return Err(KeepError::Exposed(path.to_owned()));
        }
        lock(&file, path, PATIENCE_OF_OWNER, File::try_lock)?;
        let title = Title::read(&file, path)?;
        let Some(mut title) = title else {
            return Self::begin(path, file, settings, keys);
        };
        if title.layout != LAYOUT {
            return Err(KeepError::Layout {
                path: path.to_owned(),
                theirs: title.layout,
            });
        }
        if let Some(key) = title.difference(settings) {
            return Err(KeepError::Sizes {
                path: path.to_owned(),
                key,
            });
        }
        let boot = boot().map_err(failed)?;
        let left = if title.boot == boot {
            Left::Connections
        } else {
            Left::BeforeReboot
        };
        title.pid = std::process::id();
        let keep = Self {
            path: path.to_owned(),
            file,
            title,
            left,
        };
        keep.title.write(&keep.file).map_err(failed)?;
        Ok(keep)
    }

    fn begin(
        path: &Path,
        file: File,
        settings: &EngineSettings,
        keys: impl FnOnce() -> Result<[[u64; 2]; 2], io::Error>,
    ) -> Result<Self, KeepError> {
        let failed = |error| KeepError::System {
            path: path.to_owned(),
            error,
        };
        let [engine_key, spread_key] = keys().map_err(failed)?;
        let geometry = settings.per_queue();
        let keep = Self {
            path: path.to_owned(),
            title: Title {
                layout: LAYOUT,
                pid: std::process::id(),
                boot: boot().map_err(failed)?,
                began_ns: now_ns(),
                began_unix_ns: unix_ns(),
                queues: settings.queues,
                flows: geometry.flows,
                index: geometry.index,
                blocks: geometry.blocks,
                arena: geometry.arena,
                paths: geometry.paths,
                engine_key,
                spread_key,
                arrangements: Numbers::default(),
                grain: grain_of(&file).map_err(failed)?,
            },
            file,
            left: Left::Nothing,
        };
        let made = keep.reserve().and_then(|()| keep.title.write(&keep.file));
        made.inspect_err(|_| drop(fs::remove_file(path)))
            .map_err(failed)?;
        Ok(keep)
    }

    /// Makes the file anew for connections that come from elsewhere, whose engines' clocks were at zero so long
    /// ago.
    pub(super) fn begin_anew(
        path: &Path,
        settings: &EngineSettings,
        keys: [[u64; 2]; 2],
        since: Duration,
    ) -> Result<Self, KeepError> {
        let mut keep = Self::open(path, settings, || Ok(keys))?;
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        [keep.title.engine_key, keep.title.spread_key] = keys;
        keep.title.began_ns = now_ns().saturating_sub(since);
        keep.title.began_unix_ns = unix_ns().saturating_sub(since);
        keep.left = Left::Connections;
        let written = keep.title.write(&keep.file);
        written.map_err(|error| KeepError::System {
            path: path.to_owned(),
            error,
        })?;
        Ok(keep)
    }

    /// Has the system set the memory aside, so that there is enough when it is written to.
    fn reserve(&self) -> io::Result<()> {
        // What a start that was interrupted has left.
        self.file.set_len(0)?;
        let length = self.title.length();
        let octets = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        posix_fallocate(&self.file, 0, octets).map_err(|error| {
            let why = format!("{} MiB cannot be set aside: {error}", length >> 20);
            io::Error::new(io::Error::from(error).kind(), why)
        })
    }

    /// The numbers of arrangements in the flows in it.
    pub(super) const fn numbers(&self) -> &Numbers {
        &self.title.arrangements
    }

    /// For noting other numbers while the file is in use.
    pub(super) fn notes(&self) -> Result<Notes, KeepError> {
        let file = self.file.try_clone();
        Ok(Notes {
            path: self.path.clone(),
            file: file.map_err(|error| KeepError::System {
                path: self.path.clone(),
                error,
            })?,
            title: self.title.clone(),
        })
    }

    /// The memory of all queues. To be asked for once.
    pub(super) fn memories(&self, prefault: bool) -> Result<Vec<Memory>, KeepError> {
        self.title
            .memories(&self.file, prefault, Sharing::Shared)
            .map_err(|error| KeepError::System {
                path: self.path.clone(),
                error,
            })
    }

    /// The clock of the engines in it.
    pub(super) fn clock(&self) -> Clock {
        let since = match self.left {
            Left::Nothing | Left::Connections => now_ns().saturating_sub(self.title.began_ns),
            Left::BeforeReboot => unix_ns().saturating_sub(self.title.began_unix_ns),
        };
        Clock::started_before(Duration::from_nanos(since))
    }

    /// The secrets of the engines' tables and of the choice among queues.
    pub(super) fn keys(&self) -> [[u64; 2]; 2] {
        [self.title.engine_key, self.title.spread_key]
    }

    /// Removes the file: nothing in it is of use to anybody.
    pub(super) fn remove(self) -> Result<(), KeepError> {
        fs::remove_file(&self.path).map_err(|error| KeepError::System {
            path: self.path,
            error,
        })
    }
}

/// Writes into a state file what changes while it is in use. Keeps it locked.
#[derive(Debug)]
pub(super) struct Notes {
    path: PathBuf,
    file: File,
    title: Title,
}

impl Notes {
    /// Notes the numbers of arrangements that flows will have.
    pub(super) fn write(&mut self, numbers: &Numbers) -> Result<(), KeepError> {
        if self.title.arrangements == *numbers {
            return Ok(());
        }
        self.title.arrangements.clone_from(numbers);
        self.title
            .write(&self.file)
            .map_err(|error| KeepError::System {
                path: self.path.clone(),
                error,
            })
    }
}

/// The process that has left connections in a state file which no gateway looks after; `None` if there are none.
#[must_use]
pub fn orphaned_by(path: &Path) -> Option<u32> {
    left_by(path, Duration::ZERO)
}

/// The same for whoever is to be their next gateway: one that has just died may not have let go of the file yet,
/// and its watchdog may be looking into it.
#[must_use]
pub fn to_be_gone_on_with(path: &Path) -> Option<u32> {
    left_by(path, PATIENCE_OF_OWNER)
}

fn left_by(path: &Path, patience: Duration) -> Option<u32> {
    let file = File::open(path).ok()?;
    lock(&file, path, patience, File::try_lock_shared).ok()?;
    let title = Title::read(&file, path).ok()??;
    Some(title.pid)
}

/// Connections that no gateway looks after, and none begins to as long as this lives.
#[derive(Debug)]
pub struct Orphans {
    served: Vec<FlowKey>,
    _lock: File,
}

impl Orphans {
    /// Those that are served, or reset: nobody but an engine is to hear of them.
    #[must_use]
    pub fn served(&self) -> &[FlowKey] {
        &self.served
    }
}

/// The connections in a state file that are served, as long as no gateway looks after it. The file stays as it
/// is.
///
/// # Errors
///
/// [`KeepError`] if there are none that this build knows.
pub fn served_in(path: &Path) -> Result<Orphans, KeepError> {
    let failed = |error| KeepError::System {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    let title = Title::read(&file, path)?.ok_or_else(|| KeepError::Foreign(path.to_owned()))?;
    // A process that dies lets go of one file after the other.
    lock(&file, path, PATIENCE, File::try_lock)?;
    let mut served = Vec::new();
    let memories = title.memories(&file, false, Sharing::Private);
    for mut memory in memories.map_err(failed)? {
        let foreign = || KeepError::Foreign(path.to_owned());
        let storage = memory.storage().map_err(|_| foreign())?;
        if !storage.head.is_used() {
            continue;
        }
        let config = Config::new(title.engine_key);
        let engine = Engine::attach(storage, config, FlowConfig::tracked());
        let (engine, _) = engine.map_err(|error| match error {
            AttachError::Layout => KeepError::Layout {
                path: path.to_owned(),
                theirs: title.layout,
            },
            _ => foreign(),
        })?;
        // One that is reset, or about to be, is not to be heard of by others either.
        let is_served = |flow: &FlowInfo| {
            let [out, back] = Direction::BOTH.map(|direction| flow.direction(direction).mode);
            // Copies owe nobody anything.
            [out, back]
                .iter()
                .any(|mode| !matches!(mode, DirectionMode::Bypass | DirectionMode::Snoop))
                || matches!(flow.state, FlowState::Resetting | FlowState::Tombstone)
        };
        served.extend(engine.flows().filter(is_served).map(|flow| flow.key));
    }
    Ok(Orphans {
        served,
        _lock: file,
    })
}

/// Takes a lock, with some patience.
fn lock(
    file: &File,
    path: &Path,
    patience: Duration,
    try_to: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), KeepError> {
    let mut left = patience;
    loop {
        match try_to(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if left.is_zero() => {
                let title = Title::read(file, path).ok().flatten();
                return Err(KeepError::Running {
                    path: path.to_owned(),
                    pid: title.map_or(0, |title| title.pid),
                });
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(LOOK);
                left = left.saturating_sub(LOOK);
            }
            Err(TryLockError::Error(error)) => {
                return Err(KeepError::System {
                    path: path.to_owned(),
                    error,
                });
            }
        }
    }
}

/// What the parts of a file are to be a multiple of: on hugetlbfs the size of its pages.
fn grain_of(file: &File) -> io::Result<u64> {
    let block = file.metadata()?.blksize();
    // Other file systems may say anything.
    let block = block.checked_next_power_of_two().unwrap_or(GRAIN);
    Ok(block.max(GRAIN))
}

fn boot() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

fn now_ns() -> u64 {
    u64::try_from(Clock::machine_time().as_nanos()).unwrap_or(u64::MAX)
}

fn unix_ns() -> u64 {
    u64::try_from(Clock::start().stamp(Duration::ZERO).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
