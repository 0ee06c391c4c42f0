//! Reads tables key by key, and gathers what is wrong with them.

use core::ops::Range;

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::value::{Fault, Value};
use super::words::nearest;

/// The place of something in the text, in octets.
pub(super) type Span = Range<usize>;

/// The text of a file and what was found wrong in it.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    problems: Vec<(Span, String)>,
}

impl<'t> Reader<'t> {
    /// Reads the text as TOML.
    pub(super) fn open(text: &'t str) -> Result<(Self, DeTable<'t>), Problems> {
        let fresh = || Self {
            text,
            problems: Vec::new(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = fresh();
        for error in &errors {
            reader.report(error.span().unwrap_or_default(), error.message());
        }
        // What could not be read would seem to be absent.
        reader.finish()?;
        Ok((fresh(), table.into_inner()))
    }

    pub(super) fn report(&mut self, span: Span, message: impl Into<String>) {
        self.problems.push((span, message.into()));
    }

    /// Whether all went well.
    pub(super) fn finish(self) -> Result<(), Problems> {
        let Self { text, mut problems } = self;
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|(span, _)| span.start);
        let problems = problems
            .into_iter()
            .map(|(span, message)| Problem::new(text, &span, message))
            .collect();
        Err(Problems(problems))
    }
}

/// What was written behind one key.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// The place of the value.
    pub(super) span: Span,
    pub(super) value: T,
}

/// One table of a file.
#[derive(Debug)]
pub(super) struct Section<'t> {
    title: String,
    keys: &'static [&'static str],
    entries: DeTable<'t>,
    /// The place of the table.
    pub(super) span: Span,
}

impl<'t> Section<'t> {
    /// The table `entries`, which is called `title` and may have these keys.
    pub(super) fn new(
        title: impl Into<String>,
        keys: &'static [&'static str],
        entries: DeTable<'t>,
        span: Span,
    ) -> Self {
        Self {
            title: title.into(),
            keys,
            entries,
            span,
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(self.keys.contains(&key), "{key} is missing in the list");
        self.entries.remove(key)
    }

    /// The place of `key` itself, if it is there and was not read.
    pub(super) fn place_of(&self, key: &str) -> Option<Span> {
        self.entries.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Reads what is behind `key`; a value that is refused is told, and counts as absent.
    pub(super) fn read<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        parse: impl FnOnce(&Value<'t>) -> Result<T, Fault>,
    ) -> Option<Entry<T>> {
        let value = self.take(key)?;
        match parse(&value) {
            Ok(parsed) => Some(Entry {
                span: value.span(),
                value: parsed,
            }),
            Err(Fault { span, message }) => {
                reader.report(span, format!("`{key}`: {message}"));
                None
            }
        }
    }

    /// Reads what is behind `key` into `place`, which keeps its value if there is nothing; answers
    /// where the value is.
    pub(super) fn read_into<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        place: &mut T,
        parse: impl FnOnce(&Value<'t>) -> Result<T, Fault>,
    ) -> Option<Span> {
        let entry = self.read(reader, key, parse)?;
        *place = entry.value;
        Some(entry.span)
    }

    /// Takes the table behind `key`.
    pub(super) fn section(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        keys: &'static [&'static str],
    ) -> Option<Self> {
        let value = self.take(key)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some(Self::new(format!("[{key}]"), keys, entries, span)),
            _ => {
                reader.report(span, format!("`{key}` is a table: [{key}]"));
                None
            }
        }
    }

    /// Takes the list of tables behind `key`.
    pub(super) fn sections(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        keys: &'static [&'static str],
    ) -> Vec<Self> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let span = value.span();
        let wanted = format!("`{key}` is a list of tables: [[{key}]]");
        let DeValue::Array(items) = value.into_inner() else {
            reader.report(span, wanted);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            let span = item.span();
            match item.into_inner() {
                DeValue::Table(entries) => {
                    sections.push(Self::new(format!("[[{key}]]"), keys, entries, span));
                }
                _ => reader.report(span, wanted.clone()),
            }
        }
        sections
    }

    /// Tells of every key that nobody read.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        let Self {
            title,
            keys,
            entries,
            ..
        } = self;
        for key in entries.keys() {
            let name = key.get_ref().as_ref();
            let hint = nearest(name, keys.iter().copied()).map_or_else(
                || format!("the keys are {}", keys.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("unknown key `{name}` in {title}; {hint}");
            reader.report(key.span(), message);
        }
    }
}
