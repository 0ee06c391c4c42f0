//! Reads JSON piece by piece, without memory but the caller's.
//!
//! The parser is `picojson`: of the libraries for this it is one that the kernel's gates let through. What
//! `serde-json-core` reads and writes links panics (of slices, texts and `Option`), which `localack-kmod/build`
//! refuses.
#![forbid(unsafe_code)]

use picojson::{Event, PullParser, SliceParser};

/// Octets of a name or a word at most.
const LONGEST_WORD: usize = 64;

/// A short text, such as a key, a name, or an end of a connection.
#[derive(Clone, Copy)]
pub(super) struct Word {
    octets: [u8; LONGEST_WORD],
    length: usize,
}

impl Word {
    fn new(text: &str) -> Option<Self> {
        let mut octets = [0; LONGEST_WORD];
        let room = octets.get_mut(..text.len())?;
        for (to, from) in room.iter_mut().zip(text.as_bytes()) {
            *to = *from;
        }
        Some(Self {
            octets,
            length: text.len(),
        })
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// A piece of JSON.
#[derive(Clone, Copy)]
pub(super) enum Piece {
    Object,
    ObjectEnd,
    List,
    ListEnd,
    Key(Word),
    Text(Word),
    Number(u64),
    Bool(bool),
    /// What no request has here: a text that is too long, a fraction, a negative number, nothing.
    Other,
    End,
}

impl Piece {
    fn of(event: &Event<'_, '_>) -> Self {
        match event {
            Event::StartObject => Self::Object,
            Event::EndObject => Self::ObjectEnd,
            Event::StartArray => Self::List,
            Event::EndArray => Self::ListEnd,
            Event::Key(key) => Word::new(key.as_str()).map_or(Self::Other, Self::Key),
            Event::String(text) => Word::new(text.as_str()).map_or(Self::Other, Self::Text),
            Event::Number(number) => match number.as_str().parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Other,
            },
            Event::Bool(flag) => Self::Bool(*flag),
            Event::Null => Self::Other,
            Event::EndDocument => Self::End,
        }
    }
}

/// What is left of a line.
pub(super) struct Reader<'a, 's> {
    parser: SliceParser<'a, 's>,
    /// A piece that was looked at, and not taken yet.
    next: Option<Piece>,
}

impl<'a, 's> Reader<'a, 's> {
    /// `scratch` has room for the longest text that has escapes.
    pub(super) fn new(line: &'a [u8], scratch: &'s mut [u8]) -> Self {
        Self {
            parser: SliceParser::with_buffer_from_slice(line, scratch),
            next: None,
        }
    }

    /// The next piece; `None` if the line is no JSON.
    pub(super) fn take(&mut self) -> Option<Piece> {
        match self.next.take() {
            Some(piece) => Some(piece),
            None => Some(Piece::of(&self.parser.next_event().ok()?)),
        }
    }

    /// The next piece, which stays the next.
    pub(super) fn look(&mut self) -> Option<Piece> {
        let piece = self.take()?;
        self.next = Some(piece);
        Some(piece)
    }

    /// A short text.
    pub(super) fn word(&mut self) -> Option<Word> {
        match self.take()? {
            Piece::Text(word) => Some(word),
            _ => None,
        }
    }

    /// A text of any length, for `use_it`.
    pub(super) fn text<T>(&mut self, use_it: impl FnOnce(&str) -> T) -> Option<T> {
        match (self.next, self.parser.next_event().ok()?) {
            (None, Event::String(text)) => Some(use_it(text.as_str())),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        match self.take()? {
            Piece::Number(number) => N::try_from(number).ok(),
            _ => None,
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            Piece::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The keys of an object; `each` reads what belongs to one, and says whether it knows it.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&[u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        let Piece::Object = self.take()? else {
            return None;
        };
        loop {
            match self.take()? {
                Piece::Key(key) => each(key.octets(), self)?,
                Piece::ObjectEnd => return Some(()),
                _ => return None,
            }
        }
    }

    /// The elements of a list, which `each` reads.
    pub(super) fn list(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let Piece::List = self.take()? else {
            return None;
        };
        loop {
            if let Piece::ListEnd = self.look()? {
                self.next = None;
                return Some(());
            }
            each(self)?;
        }
    }

    /// A list of two.
    pub(super) fn pair<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<[T; 2]> {
        let (mut first, mut second) = (None, None);
        self.list(|reader| {
            let place = match (&first, &second) {
                (None, _) => &mut first,
                (Some(_), None) => &mut second,
                _ => return None,
            };
            *place = Some(one(reader)?);
            Some(())
        })?;
        Some([first?, second?])
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        matches!(self.take(), Some(Piece::End))
    }
}
