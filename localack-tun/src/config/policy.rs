//! The tables `[[policy]]`.

use super::actions::{Actions, Context, ReadActions};
use super::matches::Match;
use super::reader::{Reader, Section, Span};
use super::value::text;

/// One policy: which connections, and how they are served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicySettings {
    /// Its name, of 1 to 64 letters, digits, `-`, `_` and `.`; no other has it.
    pub name: String,
    /// Which connections it is for.
    pub matches: Match,
    /// How it serves them.
    pub actions: Actions,
}

/// The name of the table `[default]` among the policies: what no other is for.
pub const DEFAULT: &str = "default";

/// The keys of `[[policy]]`.
pub(super) const KEYS: &[&str] = &[
    "name",
    "inner",
    "outer",
    "source",
    "destination",
    "inner_port",
    "outer_port",
    "source_port",
    "destination_port",
    "from",
    "dscp",
    "track",
    "service",
    "inner_to_outer",
    "outer_to_inner",
    "arrangement",
    "reverse_arrangement",
    "controller",
    "rate",
    "share",
    "floor",
    "ceiling",
    "reverse_controller",
    "reverse_rate",
    "reverse_share",
    "reverse_floor",
    "reverse_ceiling",
    "custody",
    "pacing",
    "careful_resume",
    "buffer",
    "ack_delay",
    "allow_dont_fragment",
];

impl PolicySettings {
    /// A policy of this name for all connections that changes nothing.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            matches: Match::default(),
            actions: Actions::default(),
        }
    }

    /// Reads one table, unless it has no name; answers where its vouched rates stand too.
    pub(super) fn read(
        mut section: Section<'_>,
        reader: &mut Reader<'_>,
        context: Context<'_>,
    ) -> Option<(Self, [Option<Span>; 2], Span)> {
        let stated = section.place_of("name").is_some();
        let name = section.read(reader, "name", text(name));
        if !stated {
            let message = "this policy has no `name`, such as name = \"backups\"";
            reader.report(section.span.clone(), message);
        }
        let matches = Match::read(&mut section, reader);
        let ReadActions { actions, rates } = Actions::read(&mut section, reader, context);
        section.finish(reader);
        let name = name?;
        let policy = Self {
            name: name.value,
            matches,
            actions,
        };
        Some((policy, rates, name.span))
    }
}

/// A name of a policy or an arrangement.
pub(super) fn plain_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(format!(
            "{text:?} is not a name of 1 to 64 letters, digits, '-', '_' and '.'"
        ));
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    if text == DEFAULT {
        return Err(format!(
            "{text:?} is the name of what no policy is for: see the table [default]"
        ));
    }
    plain_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{actions, matches};

    #[test]
    fn a_policy_has_the_keys_of_matches_and_actions() {
        let mut keys = vec!["name"];
        keys.extend(matches::KEYS);
        keys.extend(actions::KEYS);
        assert_eq!(KEYS, keys);
    }
}
