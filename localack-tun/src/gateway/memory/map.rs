//! Mapped memory: the only place with `unsafe` in it.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Zeroes that belong to this process alone; all of their pages at once if they are to be there `now`.
pub(super) fn anonymous(octets: u64, now: bool) -> io::Result<MmapMut> {
    options(octets, now)?.map_anon()
}

/// A part of a file, shared with it: what is written here is in the file, and stays there when the process
/// is gone.
pub(super) fn shared(file: &File, offset: u64, octets: u64, now: bool) -> io::Result<MmapMut> {
    let mut options = options(octets, now)?;
    let end = offset.saturating_add(octets);
    if file.metadata()?.len() < end {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file is shorter than {end} octets"),
        ));
    }
    // SAFETY: the mapped octets must not change except through this mapping, nor the file be shortened. The
    // file is its owner's alone (mode 0600), who holds a lock on it, so that no other gateway maps it, and all
    // of it has been checked to exist. A privileged process that writes to it all the same could as well
    // write to this process.
    #[expect(unsafe_code, reason = "a file can be mapped in no other way")]
    unsafe {
        options.offset(offset).map_mut(file)
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
