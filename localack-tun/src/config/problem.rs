//! What is wrong with a file, told with the place.

use core::fmt;
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column of the line in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself, without its end.
    pub source: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem with the octets `span` of `text`.
    pub(super) fn new(text: &str, span: &Range<usize>, message: String) -> Self {
        let start = boundary(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let source = text[line_start..].split('\n').next().unwrap_or_default();
        let source = source.trim_end_matches('\r');
        let line_end = line_start + source.len();
        let end = boundary(text, span.end).clamp(start, line_end.max(start));
        Self {
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            source: source.to_owned(),
            width: text[start..end].chars().count().max(1),
        }
    }
}

/// The last boundary of a character at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

impl fmt::Display for Problem {
    /// `LINE:COLUMN: MESSAGE`, the line, and carets under what is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        // A tab is as wide as the terminal likes.
        writeln!(f, "{:>5} | {}", self.line, self.source.replace('\t', " "))?;
        let (indent, carets) = (" ".repeat(self.column - 1), "^".repeat(self.width));
        write!(f, "{:5} | {indent}{carets}", "")
    }
}

/// Everything that is wrong in a text, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Problems {}

/// Why a file gives no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Its content is wrong.
    #[error("{}", prefixed(path, problems))]
    Content {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Problems,
    },
}

/// The problems, each with the file's name before its line number.
fn prefixed(path: &Path, problems: &Problems) -> String {
    let path = path.display();
    let told: Vec<_> = problems.0.iter().map(|p| format!("{path}:{p}")).collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_characters_not_octets() {
        let text = "a = 1\r\n\tä = \"ö\" # ü\r\nb = 2";
        let start = text.find("\"ö").unwrap();
        let problem = Problem::new(text, &(start..start + 4), "no".into());
        let place = (problem.line, problem.column, problem.width);
        assert_eq!(place, (2, 6, 3), "{problem:?}");
        assert_eq!(
            problem.to_string(),
            "2:6: no\n    2 |  ä = \"ö\" # ü\n      |      ^^^"
        );
    }

    #[test]
    fn what_spans_lines_is_shown_on_the_first() {
        let text = "x = [\n1,\n]\n";
        let problem = Problem::new(text, &(4..10), "no".into());
        assert_eq!((problem.line, problem.column, problem.width), (1, 5, 1));
        let end = Problem::new(text, &(text.len()..text.len() + 9), "no".into());
        assert_eq!((end.line, end.column, end.width), (4, 1, 1));
    }

    #[test]
    fn a_file_is_named_before_every_line() {
        let problem = Problem::new("a", &(0..1), "no".into());
        let error = LoadError::Content {
            path: "x.toml".into(),
            problems: Problems(vec![problem.clone(), problem]),
        };
        let told = error.to_string();
        assert_eq!(told.matches("x.toml:1:1: no\n").count(), 2, "{told}");
    }
}
