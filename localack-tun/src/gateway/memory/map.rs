//! Mapped memory: the only place with `unsafe` in it.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Zeroes that belong to this process alone; all of their pages at once if they are to be there `now`.
pub(super) fn anonymous(octets: u64, now: bool) -> io::Result<MmapMut> {
    options(octets, now)?.map_anon()
}

/// Whether what is written to mapped memory is written to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Sharing {
    /// It is, and stays there when the process is gone.
    Shared,
    /// It is for this process alone.
    Private,
}

/// A part of a file.
pub(super) fn of_file(
    file: &File,
    offset: u64,
    octets: u64,
    now: bool,
    sharing: Sharing,
) -> io::Result<MmapMut> {
    let mut options = options(octets, now)?;
    let end = offset.saturating_add(octets);
    if file.metadata()?.len() < end {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file is shorter than {end} octets"),
        ));
    }
    options.offset(offset);
    // SAFETY: the mapped octets must not change except through this mapping, nor the file be shortened. The
    // file is its owner's alone (mode 0600), and whoever calls this holds a lock on it, so that no other
    // gateway maps it to write to it; all of it has been checked to exist. A privileged process that writes
    // to it all the same could as well write to this process.
    #[expect(unsafe_code, reason = "a file can be mapped in no other way")]
    unsafe {
        match sharing {
            Sharing::Shared => options.map_mut(file),
            Sharing::Private => options.map_copy(file),
        }
    }
}

fn options(octets: u64, now: bool) -> io::Result<MmapOptions> {
    let octets = usize::try_from(octets).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut options = MmapOptions::new();
    options.len(octets);
    if now {
        options.populate();
    }
    Ok(options)
}
