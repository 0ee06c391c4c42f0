//! What a state file says of itself: two pages of text at its beginning, of which the second one is spare.
//!
//! Both are written to through a mapping, for a file of huge pages (hugetlbfs) can be written to in no other way.
//! A process may be killed at any octet of that, so a title goes to the spare page first: its first octet is put
//! there last, and taken away when the title is in its own page too. Whoever reads the file believes the spare page
//! where it begins with something.

use core::sync::atomic::{Ordering, compiler_fence};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use localack_core::Geometry;
use serde::{Deserialize, Serialize};

use super::KeepError;
use crate::config::EngineSettings;
use crate::gateway::memory::{self, Mapped, Memory, Sharing};
use crate::policy::Numbers;

/// How every such file begins.
const MAGIC: &str = "localack-tun connections, version 1\n";
/// Octets of a title.
const PAGE: usize = 4096;
/// The length of a file, and of each queue's part, is a multiple of a huge page, of which this is the usual size.
pub(super) const GRAIN: u64 = 2 << 20;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Title {
    pub(super) layout: u32,
    pub(super) pid: u32,
    /// The run of the machine, outside which its monotonic clock means nothing.
    pub(super) boot: String,
    /// What that clock said when the engines' clocks were at zero.
    pub(super) began_ns: u64,
    /// The same of the wall clock, since 1970.
    pub(super) began_unix_ns: u64,
    pub(super) queues: u16,
    pub(super) flows: usize,
    pub(super) index: usize,
    pub(super) blocks: usize,
    pub(super) arena: usize,
    pub(super) paths: usize,
    pub(super) engine_key: [u64; 2],
    pub(super) spread_key: [u64; 2],
    /// The numbers of arrangements in its flows.
    #[serde(default)]
    pub(super) arrangements: Numbers,
    /// Octets that the title and the part of each queue take a multiple of.
    #[serde(default = "usual_grain")]
    pub(super) grain: u64,
}

fn usual_grain() -> u64 {
    GRAIN
}

impl Title {
    fn geometry(&self) -> Geometry {
        Geometry {
            flows: self.flows,
            index: self.index,
            blocks: self.blocks,
            arena: self.arena,
            paths: self.paths,
        }
    }

    /// Octets of a queue's part of the file.
    fn part(&self) -> u64 {
        let octets = memory::octets(&self.geometry());
        octets
            .checked_next_multiple_of(self.grain)
            .unwrap_or(u64::MAX)
    }

    /// Where the memory of a queue begins.
    fn offset(&self, queue: u16) -> u64 {
        let parts = self.part().saturating_mul(queue.into());
        parts.saturating_add(self.grain)
    }

    /// The length of the file.
    pub(super) fn length(&self) -> u64 {
        self.offset(self.queues)
    }

    /// The memory of all queues.
    pub(super) fn memories(
        &self,
        file: &File,
        prefault: bool,
        sharing: Sharing,
    ) -> io::Result<Vec<Memory>> {
        let geometry = self.geometry();
        let part = |queue| {
            let mapped = Mapped {
                file,
                offset: self.offset(queue),
                octets: self.part(),
                prefault,
                sharing,
            };
            Memory::in_file(&mapped, &geometry)
        };
        (0..self.queues).map(part).collect()
    }

    /// The setting that the sizes differ by.
    pub(super) fn difference(&self, settings: &EngineSettings) -> Option<&'static str> {
        let (own, wanted) = (self.geometry(), settings.per_queue());
        if self.queues != settings.queues {
            Some("queues")
        } else if own.flows != wanted.flows || own.index != wanted.index {
            Some("flows")
        } else if own.paths != wanted.paths {
            Some("networks")
        } else if own.blocks != wanted.blocks || own.arena != wanted.arena {
            Some("buffer")
        } else {
            None
        }
    }

    /// Writes it into the file, which must be long enough.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let mut text = MAGIC.to_owned();
        text.push_str(&serde_json::to_string(self)?);
        text.push('\n');
        let mut page = text.into_bytes();
        if page.len() >= PAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        page.resize(PAGE, 0);
        let mut map = memory::map(&Mapped {
            file,
            offset: 0,
            octets: self.grain,
            prefault: false,
            sharing: Sharing::Shared,
        })?;
        let pages = map.get_mut(..2 * PAGE).ok_or(io::ErrorKind::InvalidData)?;
        put(pages, &page);
        Ok(())
    }

    /// Reads it; `None` if nothing was ever finished in the file.
    pub(super) fn read(file: &File, path: &Path) -> Result<Option<Self>, KeepError> {
        let foreign = || KeepError::Foreign(path.to_owned());
        let pages = beginning(file).map_err(|error| KeepError::System {
            path: path.to_owned(),
            error,
        })?;
        let page = believed(&pages);
        if page.iter().all(|&octet| octet == 0) {
            return Ok(None);
        }
        let text = page.split(|&octet| octet == 0).next().unwrap_or_default();
        let text = core::str::from_utf8(text).map_err(|_| foreign())?;
        let text = text.strip_prefix(MAGIC).ok_or_else(foreign)?;
        let title: Self = serde_json::from_str(text).map_err(|_| foreign())?;
        if !title.grain.is_power_of_two() || title.grain < GRAIN {
            return Err(foreign());
        }
        Ok(Some(title))
    }
}

/// The page that holds the title.
fn believed(pages: &[u8]) -> &[u8] {
    let (own, spare) = pages.split_at(pages.len().min(PAGE));
    if spare.first().is_some_and(|&octet| octet != 0) {
        spare
    } else {
        own
    }
}

/// Puts a title into its page, so that at each moment the old one is believed or the new one.
fn put(pages: &mut [u8], title: &[u8]) {
    let (own, spare) = pages.split_at_mut(PAGE);
    let (Some((first, spare)), Some((begins, goes_on))) =
        (spare.split_first_mut(), title.split_first())
    else {
        return;
    };
    // Somebody was killed at this: the title that is believed must not be lost.
    if *first != 0
        && let Some((own_first, own)) = own.split_first_mut()
    {
        own.copy_from_slice(spare);
        *own_first = *first;
        compiler_fence(Ordering::SeqCst);
        *first = 0;
        compiler_fence(Ordering::SeqCst);
    }
    spare.copy_from_slice(goes_on);
    compiler_fence(Ordering::SeqCst);
    *first = *begins;
    compiler_fence(Ordering::SeqCst);
    own.copy_from_slice(title);
    compiler_fence(Ordering::SeqCst);
    *first = 0;
}

/// The octets of the two pages, as far as the file has them.
fn beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut pages = vec![0; 2 * PAGE];
    let mut at = 0;
    while at < pages.len() {
        let rest = pages.get_mut(at..).unwrap_or_default();
        let offset = u64::try_from(at).unwrap_or(u64::MAX);
        match file.read_at(rest, offset) {
            Ok(0) => break,
            Ok(more) => at += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    pages.truncate(at);
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Vec<u8> {
        let mut page = text.as_bytes().to_vec();
        page.resize(PAGE, 0);
        page
    }

    /// The old title and an empty spare page.
    fn old() -> Vec<u8> {
        [page("old"), page("")].concat()
    }

    #[test]
    fn a_title_takes_the_place_of_the_old_one() {
        let mut pages = old();
        put(&mut pages, &page("new"));
        assert_eq!(believed(&pages), page("new"));
        assert_eq!(pages[..PAGE], page("new"));
        put(&mut pages, &page("newer"));
        assert_eq!(believed(&pages), page("newer"));
    }

    #[test]
    fn whoever_is_killed_while_writing_leaves_the_old_title_or_the_new_one() {
        let new = page("new");
        // The spare page, from its second octet on, and its first octet last.
        for done in 1..4 {
            let mut pages = old();
            pages[PAGE + 1..PAGE + done].copy_from_slice(&new[1..done]);
            assert_eq!(believed(&pages), page("old"));
        }
        // Then its own page.
        for done in 0..=3 {
            let mut pages = [page("old"), new.clone()].concat();
            pages[..done].copy_from_slice(&new[..done]);
            assert_eq!(believed(&pages), new, "{done} octets");
            // Whoever comes after that first makes it whole.
            put(&mut pages, &page("newer"));
            assert_eq!(believed(&pages), page("newer"));
            assert_eq!(pages[PAGE], 0);
        }
    }
}
