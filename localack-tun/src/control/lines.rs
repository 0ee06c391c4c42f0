//! Lines of bounded length from a stream.

use std::io::{self, Read};

/// What a stream had to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line that is longer than allowed. Nothing can be read after it.
    TooLong,
    /// The other side has closed.
    End,
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    stream: R,
    /// What was read beyond the last line.
    rest: Vec<u8>,
    longest: usize,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `longest` octets with their ends.
    pub(super) const fn new(stream: R, longest: usize) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            longest,
        }
    }

    /// The stream itself, to write to.
    pub(super) const fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The next line, without its end; what stands behind the last end of a line is none.
    pub(super) fn next(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        let mut piece = [0; 8192];
        loop {
            let fresh = self.rest.get(searched..).unwrap_or_default();
            if let Some(place) = fresh.iter().position(|octet| *octet == b'\n') {
                let end = searched + place;
                if end >= self.longest {
                    return Ok(Line::TooLong);
                }
                let after = self.rest.split_off(end + 1);
                let mut line = core::mem::replace(&mut self.rest, after);
                line.pop();
                return Ok(Line::Whole(line));
            }
            if self.rest.len() >= self.longest {
                return Ok(Line::TooLong);
            }
            searched = self.rest.len();
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Line::End),
                Ok(octets) => self
                    .rest
                    .extend_from_slice(piece.get(..octets).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its octets in pieces of one length.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(to.len());
            let (piece, rest) = self.0.split_at(length);
            to[..length].copy_from_slice(piece);
            self.0 = rest;
            Ok(length)
        }
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        for length in 1..10 {
            let mut lines = Lines::new(Pieces(b"one\n\nthree\nrest", length), 6);
            for expected in ["one", "", "three"] {
                assert_eq!(lines.next().unwrap(), Line::Whole(expected.into()));
            }
            assert_eq!(lines.next().unwrap(), Line::End);
        }
    }

    #[test]
    fn the_longest_line_passes_and_a_longer_one_is_not_gathered() {
        for length in 1..10 {
            let mut lines = Lines::new(Pieces(b"1234\n12345\n", length), 5);
            assert_eq!(lines.next().unwrap(), Line::Whole("1234".into()));
            assert_eq!(lines.next().unwrap(), Line::TooLong);
        }
        let mut endless = Lines::new(io::repeat(b'x'), 100_000);
        assert_eq!(endless.next().unwrap(), Line::TooLong);
        assert!(endless.rest.len() < 110_000);
    }
}
