//! What a gateway tells its standby: one record after the other, each with its length before it.

use std::io::{self, Read};

use localack_core::{Checksum, LAYOUT, LinkId, PacketMeta};
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::policy::Numbers;

/// Changes when records come to mean something else.
const VERSION: u32 = 2;
/// The longest record, in octets: the longest packet, or a piece of memory, and what goes with it.
const LONGEST: usize = 1 << 20;

/// What must be alike in both gateways, and what the standby needs of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway) struct Hello {
    version: u32,
    layout: u32,
    /// The settings that decide what engines do, as text.
    settings: String,
    /// The secrets of the engines' tables and of the choice among queues.
    pub(super) keys: [[u64; 2]; 2],
    /// The largest packets that go out on either side, inner first, in octets.
    pub(super) mtu: [u16; 2],
    /// The numbers of arrangements in the flows.
    pub(super) numbers: Numbers,
}

impl Hello {
    pub(in crate::gateway) fn new(
        settings: &Settings,
        numbers: Numbers,
        keys: [[u64; 2]; 2],
        mtu: [u16; 2],
    ) -> Self {
        Self {
            version: VERSION,
            layout: LAYOUT,
            settings: essence(settings),
            keys,
            mtu,
            numbers,
        }
    }

    /// The same with other settings.
    pub(super) fn with(&self, settings: &Settings, numbers: Numbers) -> Self {
        Self::new(settings, numbers, self.keys, self.mtu)
    }

    /// Why a gateway with these settings cannot be a standby, if it cannot.
    pub(super) fn difference(&self, settings: &Settings) -> Option<&'static str> {
        if self.version != VERSION || self.layout != LAYOUT {
            Some("it is another build")
        } else if self.settings != essence(settings) {
            Some("[engine], [[arrangement]], [default] or [[policy]] of its settings are others")
        } else {
            None
        }
    }
}

/// The settings that decide what engines do.
fn essence(settings: &Settings) -> String {
    let mut engine = settings.engine.clone();
    // Those are for each gateway alone.
    engine.state = None;
    engine.hold = Default::default();
    engine.drain_deadline = Default::default();
    engine.lock_memory = false;
    engine.prefault = false;
    // Their order means nothing.
    let mut arrangements: Vec<_> = settings.arrangements.iter().collect();
    arrangements.sort_by_key(|one| &one.name);
    let essence = (engine, arrangements, &settings.default, &settings.policies);
    serde_json::to_string(&essence).unwrap_or_default()
}

/// What became of the packets that an engine wanted to send in one call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::gateway) struct Outcome {
    /// How often it tried.
    pub(in crate::gateway) tries: u32,
    /// Which of these the kernel had no room for.
    pub(in crate::gateway) failed: Vec<u32>,
}

impl Outcome {
    /// Notes one more.
    pub(in crate::gateway) fn note(&mut self, has_failed: bool) {
        if has_failed {
            self.failed.push(self.tries);
        }
        self.tries = self.tries.wrapping_add(1);
    }
}

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record<'r> {
    Hello(Hello),
    /// The memory of this queue is zeroes but for what follows.
    Clear {
        queue: u16,
    },
    /// Octets of one of the parts of its memory.
    Part {
        queue: u16,
        part: u8,
        offset: u64,
        #[serde(borrow)]
        octets: &'r [u8],
    },
    /// All of its memory is told.
    Begin {
        queue: u16,
    },
    /// A packet has come in.
    Ingest {
        queue: u16,
        now_us: u64,
        outer: bool,
        meta: Meta,
        outcome: Outcome,
        #[serde(borrow)]
        packet: &'r [u8],
    },
    /// The engine was asked what is due.
    Poll {
        queue: u16,
        now_us: u64,
        outcome: Outcome,
    },
    /// This gateway goes on by itself, as another program: nobody is to take its place.
    Stay,
    /// Nothing, at this time.
    Beat {
        now_us: u64,
    },
}

/// What is known of a packet beside its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    checksum: u8,
    gso_size: u16,
    link: u32,
}

impl From<PacketMeta> for Meta {
    fn from(meta: PacketMeta) -> Self {
        Self {
            checksum: match meta.checksum {
                Checksum::Verify => 0,
                Checksum::Verified => 1,
                Checksum::Partial => 2,
            },
            gso_size: meta.gso_size,
            link: meta.link.0,
        }
    }
}

impl From<Meta> for PacketMeta {
    fn from(meta: Meta) -> Self {
        Self {
            checksum: match meta.checksum {
                0 => Checksum::Verify,
                1 => Checksum::Verified,
                _ => Checksum::Partial,
            },
            gso_size: meta.gso_size,
            link: LinkId(meta.link),
        }
    }
}

impl Record<'_> {
    /// The queue that it is about.
    pub(super) const fn queue(&self) -> Option<u16> {
        match self {
            Self::Hello(_) | Self::Stay | Self::Beat { .. } => None,
            Self::Clear { queue }
            | Self::Part { queue, .. }
            | Self::Begin { queue }
            | Self::Ingest { queue, .. }
            | Self::Poll { queue, .. } => Some(*queue),
        }
    }

    /// The record with its length before it.
    pub(super) fn framed(&self) -> Vec<u8> {
        let framed = postcard::to_extend(self, vec![0; 4]).unwrap_or_default();
        let mut framed = framed;
        let length = u32::try_from(framed.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(room) = framed.first_chunk_mut() {
            *room = length.to_le_bytes();
        }
        framed
    }

    /// The record that octets are.
    pub(super) fn parse(octets: &[u8]) -> io::Result<Record<'_>> {
        postcard::from_bytes(octets)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Octets of what a standby says: a queue, and how many of its records it has.
pub(super) const WORD: usize = 10;

pub(super) fn write_word(queue: u16, count: u64) -> [u8; WORD] {
    let mut word = [0; WORD];
    if let Some((name, number)) = word.split_first_chunk_mut::<2>() {
        *name = queue.to_le_bytes();
        number.copy_from_slice(&count.to_le_bytes());
    }
    word
}

pub(super) fn read_word(word: &[u8]) -> Option<(u16, u64)> {
    let (queue, count) = word.split_first_chunk::<2>()?;
    let count = count.first_chunk::<8>()?;
    Some((u16::from_le_bytes(*queue), u64::from_le_bytes(*count)))
}

/// Whether it may go on after that.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Collects records from what a stream gives.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    octets: Vec<u8>,
}

impl Inbox {
    /// Whether a whole record is there already.
    pub(super) fn has_more(&self) -> bool {
        self.octets.first_chunk::<4>().is_some_and(|length| {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            self.octets.len() >= length.saturating_add(4)
        })
    }

    /// Waits for the next record and leaves it in `record`. A timeout loses nothing.
    pub(super) fn next(&mut self, from: &mut impl Read, record: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if let Some(length) = self.octets.first_chunk::<4>() {
                let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
                if length > LONGEST {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if let Some(whole) = self.octets.get(4..length.saturating_add(4)) {
                    record.clear();
                    record.extend_from_slice(whole);
                    self.octets.drain(..length.saturating_add(4));
                    return Ok(());
                }
            }
            let mut room = [0; 1 << 16];
            match from.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => self
                    .octets
                    .extend_from_slice(room.get(..more).unwrap_or_default()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_alike_whatever_the_order_of_arrangements() {
        let settings = |text: &str| Settings::parse(text).unwrap();
        let arrangement = |name: &str, octets: u16| {
            format!("[[arrangement]]\nname = {name:?}\nmss_clamp = {octets}\n")
        };
        let (a, b) = (arrangement("a", 1000), arrangement("b", 1200));
        let hello = |settings: &Settings| {
            let numbers = Numbers::default();
            Hello::new(settings, numbers, [[1, 2], [3, 4]], [1500; 2])
        };
        let first = hello(&settings(&[a.clone(), b.clone()].concat()));
        assert_eq!(first.difference(&settings(&[b, a.clone()].concat())), None);
        let other = settings(&[a, arrangement("b", 1300)].concat());
        assert_eq!(
            first.difference(&other),
            Some("[engine], [[arrangement]], [default] or [[policy]] of its settings are others")
        );
        // A gateway that was told so is followed by one that has that in its file.
        let renewed = first.with(&other, Numbers::default());
        assert_eq!(renewed.difference(&other), None);
        assert_eq!((renewed.keys, renewed.mtu), (first.keys, first.mtu));
    }

    #[test]
    fn records_are_read_as_they_were_written_however_they_are_cut() {
        let mut outcome = Outcome::default();
        [false, true, false]
            .into_iter()
            .for_each(|failed| outcome.note(failed));
        assert_eq!((outcome.tries, outcome.failed.as_slice()), (3, &[1][..]));
        let records = [
            Record::Hello(Hello::new(
                &Settings::default(),
                Numbers::default(),
                [[1, 2], [3, 4]],
                [1500, 1400],
            )),
            Record::Clear { queue: 1 },
            Record::Part {
                queue: 1,
                part: 2,
                offset: 1 << 40,
                octets: &[7; 3000],
            },
            Record::Ingest {
                queue: 1,
                now_us: 5,
                outer: true,
                meta: PacketMeta {
                    gso_size: 1448,
                    checksum: Checksum::Partial,
                    ..PacketMeta::default()
                }
                .into(),
                outcome: outcome.clone(),
                packet: &[4; 70],
            },
            Record::Poll {
                queue: 0,
                now_us: u64::MAX,
                outcome,
            },
        ];
        let stream: Vec<u8> = records.iter().flat_map(Record::framed).collect();
        for at_a_time in [1, 7, 5000] {
            let mut pieces = stream.chunks(at_a_time);
            let mut from = ReadPieces(&mut pieces);
            let (mut inbox, mut octets) = (Inbox::default(), Vec::new());
            for record in &records {
                inbox.next(&mut from, &mut octets).unwrap();
                assert_eq!(&Record::parse(&octets).unwrap(), record);
            }
            assert!(inbox.next(&mut from, &mut octets).is_err());
        }
        assert!(Record::parse(&[200, 1]).is_err());
        assert_eq!(read_word(&write_word(513, 1 << 40)), Some((513, 1 << 40)));
    }

    struct ReadPieces<'p, 'o>(&'p mut core::slice::Chunks<'o, u8>);

    impl Read for ReadPieces<'_, '_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.next() else {
                return Ok(0);
            };
            room[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }
}
