//! Octets of which no two streams have the same, and what became of them on their way.

use core::hash::Hasher;
use std::io::{self, ErrorKind, Read, Write};

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Octets that are read or written at a time.
const PIECE: usize = 64 << 10;

/// An endless stream of octets that begins with its number, so that its receiver can tell which it is.
pub(crate) struct Content {
    number: Option<u64>,
    octets: Pcg64Mcg,
}

impl Content {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number: Some(number),
            octets: Pcg64Mcg::new(u128::from(number) << 64 | 0x9e37_79b9),
        }
    }

    /// The next octets; the first call must ask for eight at least.
    pub(crate) fn fill(&mut self, room: &mut [u8]) {
        self.octets.fill_bytes(room);
        if let Some(number) = self.number.take() {
            room[..8].copy_from_slice(&number.to_be_bytes());
        }
    }
}

/// Takes the digest of octets as they come.
struct Digest(SipHasher13);

impl Digest {
    fn new() -> Self {
        Self(SipHasher13::new())
    }

    fn finish(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

/// The digest of the first `octets` of a stream.
fn digest(number: u64, octets: u64) -> u128 {
    let (mut content, mut digest) = (Content::new(number), Digest::new());
    let mut room = vec![0; PIECE];
    let mut left = octets;
    while left > 0 {
        content.fill(&mut room);
        let some = left.min(PIECE as u64);
        digest.0.write(&room[..usize::try_from(some).unwrap()]);
        left -= some;
    }
    digest.finish()
}

/// Writes the first `octets` of a stream, at most `at_a_time` with each call of the system's.
pub(crate) fn send_in_pieces(
    mut to: impl Write,
    number: u64,
    octets: u64,
    at_a_time: usize,
) -> io::Result<()> {
    let mut content = Content::new(number);
    let mut room = vec![0; PIECE];
    let mut left = octets;
    while left > 0 {
        content.fill(&mut room);
        let some = usize::try_from(left.min(PIECE as u64)).unwrap();
        for piece in room[..some].chunks(at_a_time) {
            to.write_all(piece)?;
        }
        left -= some as u64;
    }
    Ok(())
}

/// Writes the first `octets` of a stream.
pub(crate) fn send(to: impl Write, number: u64, octets: u64) -> io::Result<()> {
    send_in_pieces(to, number, octets, PIECE)
}

/// What has come out of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The number of the stream; none if not even that has come.
    pub(crate) number: Option<u64>,
    pub(crate) octets: u64,
    digest: u128,
    /// How it ended if not in order.
    pub(crate) error: Option<ErrorKind>,
}

impl Received {
    /// All of it has come, nothing else, and the end.
    pub(crate) fn is_whole(&self, number: u64, octets: u64) {
        let whole = Self {
            number: Some(number),
            octets,
            digest: digest(number, octets),
            error: None,
        };
        assert_eq!(self, &whole);
    }

    /// What has come is the stream's beginning.
    pub(crate) fn is_a_beginning(&self, number: u64) {
        assert_eq!(self.digest, digest(number, self.octets), "{self:?}");
    }
}

/// Reads until the end of the stream or an error.
pub(crate) fn receive(from: impl Read) -> Received {
    receive_at_most(from, u64::MAX)
}

/// Reads so many octets, if the stream does not end before.
pub(crate) fn receive_at_most(from: impl Read, octets: u64) -> Received {
    let mut from = from.take(octets);
    let (mut digest, mut received, mut first) = (Digest::new(), 0, Vec::new());
    let mut room = vec![0; PIECE];
    let error = loop {
        match from.read(&mut room) {
            Ok(0) => break None,
            Ok(some) => {
                digest.0.write(&room[..some]);
                received += some as u64;
                first.extend(room[..some].iter().take(8 - first.len()));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Some(error.kind()),
        }
    };
    Received {
        number: first.try_into().ok().map(u64::from_be_bytes),
        octets: received,
        digest: digest.finish(),
        error,
    }
}
