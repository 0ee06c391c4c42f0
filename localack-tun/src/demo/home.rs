//! A directory for the files of the gateway's program, and those that killed demonstrations have left.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the directories are: only root can write there.
const PLACE: &str = "/run";
/// How their names begin; the number of the process follows.
const PREFIX: &str = "localack-demo.";
/// The file in each that its process has locked for as long as it lives.
const LOCK: &str = "lock";

/// A directory of our own, removed at the end.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes it, and removes those of processes that are gone.
    pub(super) fn new() -> io::Result<Self> {
        Self::new_in(Path::new(PLACE))
    }

    fn new_in(place: &Path) -> io::Result<Self> {
        clear(place)?;
        let path = place.join(format!("{PREFIX}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let locked = || {
            let lock = File::create_new(path.join(LOCK))?;
            lock.lock()?;
            Ok(lock)
        };
        match locked() {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories whose processes are gone.
fn clear(place: &Path) -> io::Result<()> {
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(PREFIX))
            .is_some_and(|number| number.parse::<u32>().is_ok());
        if ours && is_abandoned(&path) {
            // Another demonstration may just be removing it.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// Whether nobody has locked it. Without a lock it is one that is just being made, or was left at that.
fn is_abandoned(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => !path
            .extension()
            .is_some_and(|process| Path::new("/proc").join(process).exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_have_left_is_removed_and_nothing_else() {
        let place = std::env::temp_dir().join(format!("localack-homes-{}", std::process::id()));
        let made = |name: &str| {
            let path = place.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        // No process has a number beyond 2^22.
        let (killed, early) = (made("localack-demo.4194305"), made("localack-demo.4194306"));
        fs::write(killed.join(LOCK), "").unwrap();
        let (foreign, living) = (made("localack-demo.conf"), made("localack-demo.4194307"));
        let lock = File::create(living.join(LOCK)).unwrap();
        lock.lock().unwrap();

        let home = Home::new_in(&place).unwrap();
        assert!(!killed.exists() && !early.exists());
        assert!(foreign.exists() && living.exists());
        let file = home.path("file");
        fs::write(&file, "").unwrap();
        drop(home);
        assert!(!file.parent().unwrap().exists());
        fs::remove_dir_all(place).unwrap();
    }
}
