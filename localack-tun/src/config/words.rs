//! Choices that are written as words.

use core::fmt;
use core::str::FromStr;

use localack_core::{Custody, Port, Service};
use serde::{Serialize, Serializer};

/// A word that is none of those that are known in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordError(String);

/// The known word that `given` is most likely a misspelling of.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The choice that `text` stands for.
fn choose<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, WordError> {
    if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let hint = nearest(text, known.iter().copied())
        .map(|word| format!("; did you mean {word:?}?"))
        .unwrap_or_default();
    let known = known.join(", ");
    Err(WordError(format!("{text:?} is none of {known}{hint}")))
}

fn word_for<T: Copy + PartialEq>(choice: T, words: &[(&'static str, T)]) -> &'static str {
    words
        .iter()
        .find(|(_, other)| *other == choice)
        .map_or("", |(word, _)| word)
}

/// Gives an enumeration its words, both ways.
macro_rules! words {
    ($name:ident, $($word:literal = $choice:ident),+) => {
        impl $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$choice)),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(word_for(*self, Self::WORDS))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                choose(text, Self::WORDS)
            }
        }
    };
}

/// What is done with one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceChoice {
    /// Its data is acknowledged at once, kept, and delivered.
    LocalAck,
    /// Copies of its data answer losses on the receiver's side; nothing is acknowledged early.
    Snoop,
    /// It passes as it is.
    Bypass,
}

words!(
    ServiceChoice,
    "local-ack" = LocalAck,
    "snoop" = Snoop,
    "bypass" = Bypass
);

impl From<ServiceChoice> for Service {
    fn from(choice: ServiceChoice) -> Self {
        match choice {
            ServiceChoice::LocalAck => Self::LocalAck,
            ServiceChoice::Snoop => Self::Snoop,
            ServiceChoice::Bypass => Self::Bypass,
        }
    }
}

/// The name of a congestion controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControllerName {
    /// The window grows by a segment a round trip and is halved by a loss.
    Reno,
    /// It follows a cubic curve of the time since the last loss.
    Cubic,
    /// It follows a model of the path's bandwidth and shortest round trip.
    Bbr,
    /// The operator vouches for a rate.
    Provisioned,
}

words!(
    ControllerName,
    "reno" = Reno,
    "cubic" = Cubic,
    "bbr" = Bbr,
    "provisioned" = Provisioned
);

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LogFormat {
    /// A line of text for each event.
    #[default]
    Text,
    /// A JSON object on a line of its own for each event.
    Json,
}

words!(LogFormat, "text" = Text, "json" = Json);

/// The least grave events that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum LogLevel {
    /// What went wrong and was not repaired.
    Error,
    /// What an operator should look at.
    Warn,
    /// What is rare and normal.
    #[default]
    Info,
    /// What happens to each connection.
    Debug,
    /// Everything.
    Trace,
}

words!(
    LogLevel,
    "error" = Error,
    "warn" = Warn,
    "info" = Info,
    "debug" = Debug,
    "trace" = Trace
);

const CUSTODIES: &[(&str, Custody)] = &[
    ("after-proof", Custody::AfterProof),
    ("after-handshake", Custody::AfterHandshake),
];

/// Reads `after-proof` or `after-handshake`.
///
/// # Errors
/// [`WordError`] for any other text.
pub fn custody(text: &str) -> Result<Custody, WordError> {
    choose(text, CUSTODIES)
}

pub(super) fn custody_word(custody: Custody) -> &'static str {
    word_for(custody, CUSTODIES)
}

const SIDES: &[(&str, Port)] = &[("inner", Port::Inner), ("outer", Port::Outer)];

/// Reads `inner` or `outer`.
///
/// # Errors
/// [`WordError`] for any other text.
pub fn side(text: &str) -> Result<Port, WordError> {
    choose(text, SIDES)
}

pub(super) fn side_word(side: Port) -> &'static str {
    word_for(side, SIDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(read: Result<T, WordError>) -> String {
        read.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_misspelt_word_is_told_what_is_near() {
        assert_eq!(
            error("cubik".parse::<ControllerName>()),
            "\"cubik\" is none of reno, cubic, bbr, provisioned; did you mean \"cubic\"?"
        );
        assert_eq!(
            error("vegas".parse::<ControllerName>()),
            "\"vegas\" is none of reno, cubic, bbr, provisioned"
        );
        assert_eq!(
            error(custody("after_proof")),
            "\"after_proof\" is none of after-proof, after-handshake; did you mean \"after-proof\"?"
        );
        assert_eq!(error(side("lan")), "\"lan\" is none of inner, outer");
    }

    #[test]
    fn a_misspelt_service_is_told_which_there_are() {
        assert_eq!(
            error("snop".parse::<ServiceChoice>()),
            "\"snop\" is none of local-ack, snoop, bypass; did you mean \"snoop\"?"
        );
    }

    #[test]
    fn every_word_reads_back() {
        for (word, choice) in ServiceChoice::WORDS {
            assert_eq!(word.parse(), Ok(*choice));
            assert_eq!(choice.to_string(), *word);
        }
        for (word, choice) in LogLevel::WORDS {
            assert_eq!(word.parse(), Ok(*choice));
            assert_eq!(choice.to_string(), *word);
        }
        for (word, choice) in CUSTODIES {
            assert_eq!(custody(word), Ok(*choice));
            assert_eq!(custody_word(*choice), *word);
        }
        for (word, choice) in SIDES {
            assert_eq!(side(word), Ok(*choice));
            assert_eq!(side_word(*choice), *word);
        }
    }
}
