//! Mapped memory: the only place with `unsafe` in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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

/// A part of a file. In one of huge pages it begins and ends at such pages.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Mapped<'a> {
    pub(in crate::gateway) file: &'a File,
    /// Where it begins.
    pub(in crate::gateway) offset: u64,
    /// Its length.
    pub(in crate::gateway) octets: u64,
    /// Its pages are to be there at once.
    pub(in crate::gateway) prefault: bool,
    pub(in crate::gateway) sharing: Sharing,
}

/// Maps a part of a file.
pub(in crate::gateway) fn of_file(part: &Mapped<'_>) -> io::Result<MmapMut> {
    let mut options = options(part.octets, part.prefault)?;
    let end = part.offset.saturating_add(part.octets);
    if part.file.metadata()?.len() < end {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file is shorter than {end} octets"),
        ));
    }
    options.offset(part.offset);
    // SAFETY: the mapped octets must not change except through this mapping, nor the file be shortened. The
    // file is its owner's alone (mode 0600), and whoever calls this holds a lock on it, so that no other
    // gateway maps it to write to it; all of it has been checked to exist. A privileged process that writes
    // to it all the same could as well write to this process.
    #[expect(unsafe_code, reason = "a file can be mapped in no other way")]
    let mapped = unsafe {
        match part.sharing {
            Sharing::Shared => options.map_mut(part.file),
            Sharing::Private => options.map_copy(part.file),
        }
    };
    match part.sharing {
        // A machine that has just so many huge pages as the file takes has none for what is written.
        Sharing::Private => mapped.or_else(|_| copy_of(part)),
        Sharing::Shared => mapped,
    }
}

/// What a part of a file holds, in memory that is touched only where that is not zero.
fn copy_of(part: &Mapped<'_>) -> io::Result<MmapMut> {
    let mut memory = anonymous(part.octets, part.prefault)?;
    let mut octets = vec![0; 1 << 16];
    let mut offset = part.offset;
    for place in memory.chunks_mut(octets.len()) {
        let octets = octets.get_mut(..place.len()).unwrap_or_default();
        part.file.read_exact_at(octets, offset)?;
        if octets.iter().any(|&octet| octet != 0) {
            place.copy_from_slice(octets);
        }
        offset = offset.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
    }
    Ok(memory)
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
