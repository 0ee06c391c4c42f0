//! Where the settings of a gateway come from, so that they can be read again.

use std::path::PathBuf;

use crate::config::{EngineSettings, FlagError, Flags, LoadError, Settings};

/// A file, if there is one, and what the command line says.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Source {
    /// The file.
    pub file: Option<PathBuf>,
    /// What wins over it.
    pub flags: Flags,
}

/// Why a source gives no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file.
    #[error(transparent)]
    File(#[from] LoadError),
    /// The command line does not fit, or not to the file.
    #[error(transparent)]
    Flags(#[from] FlagError),
}

impl Source {
    /// From a file, or without one from the defaults, and from the command line.
    #[must_use]
    pub const fn new(file: Option<PathBuf>, flags: Flags) -> Self {
        Self { file, flags }
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// [`SourceError`] if the file cannot be read, or something in it or beside it is wrong.
    pub fn read(&self) -> Result<Settings, SourceError> {
        let mut settings = match &self.file {
            Some(path) => Settings::load(path)?,
            None => Settings::default(),
        };
        settings.apply(&self.flags)?;
        Ok(settings)
    }
}

/// The settings of `now` that can hold for a gateway that has begun with those of `before`, and the
/// names of the others that differ.
pub(super) fn changeable(before: &Settings, now: &Settings) -> (Settings, Vec<String>) {
    let mut kept = now.clone();
    // A deadline is asked for when it is needed.
    let mut engine = before.engine.clone();
    engine.drain_deadline = now.engine.drain_deadline;
    engine.hold = now.engine.hold;
    let mut ignored = differing(&engine, &now.engine);
    let mut keep = |name: &str, differs: bool| {
        if differs {
            ignored.push(name.to_owned());
        }
    };
    keep("[inner] interface", before.inner != now.inner);
    keep("[outer] interface", before.outer != now.outer);
    keep("[inner] or [outer] port", before.port != now.port);
    keep("[inner] host", before.host != now.host);
    keep("[metrics] listen", before.metrics != now.metrics);
    keep("[control] socket", before.control != now.control);
    keep("[log] format", before.log_format != now.log_format);
    kept.engine = engine;
    kept.inner.clone_from(&before.inner);
    kept.outer.clone_from(&before.outer);
    kept.port.clone_from(&before.port);
    kept.host = before.host;
    kept.metrics = before.metrics;
    kept.control.clone_from(&before.control);
    kept.log_format = before.log_format;
    (kept, ignored)
}

/// The keys of `[engine]` that differ.
fn differing(before: &EngineSettings, now: &EngineSettings) -> Vec<String> {
    // Nothing that a struct of texts and numbers holds cannot be written.
    let table = |engine| toml::Table::try_from(engine).unwrap_or_default();
    let (before, now) = (table(before), table(now));
    now.iter()
        .filter(|(key, value)| before.get(*key) != Some(*value))
        .map(|(key, _)| format!("[engine] {key}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn policies_the_level_and_the_deadline_change_and_the_rest_is_told() {
        let before = settings("[engine]\nflows = 10\n[inner]\ninterface = \"a\"");
        let now = settings(
            "[engine]\nflows = 10\ndrain_deadline = \"1s\"\n[inner]\ninterface = \"a\"\n\
             [log]\nlevel = \"debug\"\n[[arrangement]]\nname = \"a\"\n[default]\ncontroller = \"reno\"\n\
             arrangement = \"a\"",
        );
        let (kept, ignored) = changeable(&before, &now);
        assert_eq!((kept, ignored), (now, Vec::new()));

        let now = settings(
            "[engine]\nflows = 11\nqueues = 2\n[inner]\ninterface = \"b\"\n[outer]\n\
             interface = \"a\"\n[metrics]\nlisten = 9180\n[control]\nsocket = \"off\"\n\
             [log]\nformat = \"json\"\n[[policy]]\nname = \"x\"",
        );
        let (kept, ignored) = changeable(&before, &now);
        let expected = [
            "[engine] flows",
            "[engine] queues",
            "[inner] interface",
            "[outer] interface",
            "[metrics] listen",
            "[control] socket",
            "[log] format",
        ];
        assert_eq!(ignored, expected);
        let mut there = before;
        there.policies = now.policies;
        assert_eq!(kept, there);
    }

    #[test]
    fn a_port_stays_the_one_it_was() {
        let [before, now] = ["a", "b"].map(|port| settings(&format!("[inner]\nport = {port:?}")));
        let (kept, ignored) = changeable(&before, &now);
        assert_eq!(ignored, ["[inner] or [outer] port"]);
        assert_eq!(kept, before);
    }

    #[test]
    fn without_a_file_the_command_line_and_the_defaults_hold() {
        let flags = Flags {
            inner: Some("a".to_owned()),
            ..Flags::default()
        };
        let source = Source::new(None, flags);
        let expected = settings("[inner]\ninterface = \"a\"");
        assert_eq!(source.read().ok(), Some(expected));
    }
}
