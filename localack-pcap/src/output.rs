//! Files that are written whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {error}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub error: io::Error,
}

/// Writes a file: into a new one beside it first, which then takes its name. A file of that name is
/// replaced; nothing is left behind if writing fails. `/dev/stdout` and other things that are no files are
/// written to as they are.
///
/// # Errors
/// [`WriteError`], also if the disk is full.
pub fn write(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    let failed = |error| WriteError {
        path: path.to_owned(),
        error,
    };
    if path
        .metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir())
    {
        return std::fs::write(path, content).map_err(failed);
    }
    // A link is followed, so that the file it leads to is replaced and not the link.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = create(folder.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    io::Write::write_all(&mut file, content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A new file with the permissions that the user's mask leaves.
fn create(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".localack-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.html");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let told = write(Path::new("/dev/full"), b"one")
            .unwrap_err()
            .to_string();
        assert!(
            told.starts_with("cannot write /dev/full: No space left"),
            "{told}"
        );
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), b"one").is_err());
        assert!(write(&folder.path().join("missing/out"), b"one").is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
