//! Policies and arrangements that come as text, and what becomes of the settings with them.

use super::protocol::{ArrangementEntry, ArrangementList, ErrorCode, ErrorEntry};
use crate::config::{Actions, ArrangementSettings, DEFAULT, PolicySettings, Settings};

/// Policies as they were sent.
#[derive(Debug)]
pub(super) struct Fragment {
    policies: Vec<PolicySettings>,
    /// The table `[default]`, if there is one.
    default: Option<Actions>,
}

impl Fragment {
    /// Reads tables `[[policy]]` and `[default]`, which may name these arrangements.
    pub(super) fn parse(
        text: &str,
        arrangements: &[ArrangementSettings],
    ) -> Result<Self, ErrorEntry> {
        let (settings, table) = parse(text, arrangements)?;
        if let Some(key) = other_than(&table, &["policy", "default"]) {
            return Err(wrong(format!(
                "`{key}`: only [[policy]] and [default] can be set while the gateway runs, and \
                 [[arrangement]] by `arrangement set`"
            )));
        }
        let default = table.contains_key("default").then_some(settings.default);
        if settings.policies.is_empty() && default.is_none() {
            return Err(wrong(
                "there is neither a table [[policy]] nor [default] in the text".to_owned(),
            ));
        }
        Ok(Self {
            policies: settings.policies,
            default,
        })
    }

    /// The settings with these policies.
    pub(super) fn apply(
        &self,
        present: &Settings,
        before: Option<&str>,
    ) -> Result<Settings, ErrorEntry> {
        let mut settings = present.clone();
        let place = |settings: &Settings, name: &str| {
            settings.policies.iter().position(|one| one.name == name)
        };
        if let Some(default) = &self.default {
            settings.default.clone_from(default);
        }
        for policy in &self.policies {
            match place(&settings, &policy.name) {
                Some(at) => {
                    if let Some(old) = settings.policies.get_mut(at) {
                        old.clone_from(policy);
                    }
                }
                None => {
                    let at = match before {
                        None => settings.policies.len(),
                        Some(name) => place(&settings, name).ok_or_else(|| unknown(name))?,
                    };
                    settings.policies.insert(at, policy.clone());
                }
            }
        }
        check(&settings)
    }
}

/// Why a text is refused.
fn wrong(message: impl Into<String>) -> ErrorEntry {
    ErrorEntry::new(ErrorCode::BadPolicy, message)
}

/// Reads a text whose policies may name these arrangements, too.
fn parse(
    text: &str,
    arrangements: &[ArrangementSettings],
) -> Result<(Settings, toml::Table), ErrorEntry> {
    let settings = Settings::parse_beside(text, arrangements);
    let settings = settings.map_err(|problems| wrong(problems.to_string()))?;
    // It was read once already.
    let table = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    Ok((settings, table))
}

/// A key that is none of these.
fn other_than<'t>(table: &'t toml::Table, keys: &[&str]) -> Option<&'t str> {
    let mut found = table.keys().map(String::as_str);
    found.find(|key| !keys.contains(key))
}

/// The settings with the tables `[[arrangement]]` of a text.
pub(super) fn set_arrangements(present: &Settings, text: &str) -> Result<Settings, ErrorEntry> {
    let (new, table) = parse(text, &[])?;
    if let Some(key) = other_than(&table, &["arrangement"]) {
        return Err(wrong(format!(
            "`{key}`: here are only tables [[arrangement]]; policies are set by `policy set`"
        )));
    }
    if new.arrangements.is_empty() {
        return Err(wrong("there is no table [[arrangement]] in the text"));
    }
    let mut settings = present.clone();
    for one in new.arrangements {
        let mut known = settings.arrangements.iter_mut();
        match known.find(|other| other.name == one.name) {
            Some(known) => *known = one,
            None => settings.arrangements.push(one),
        }
    }
    check(&settings)
}

/// The settings without an arrangement.
pub(super) fn remove_arrangement(present: &Settings, name: &str) -> Result<Settings, ErrorEntry> {
    let mut settings = present.clone();
    settings.arrangements.retain(|one| one.name != name);
    if settings.arrangements.len() == present.arrangements.len() {
        let message = format!("there is no arrangement called {name:?}");
        return Err(ErrorEntry::new(ErrorCode::UnknownArrangement, message));
    }
    let users = users(present, name);
    if !users.is_empty() {
        let message = format!(
            "the arrangement {name:?} is named by {}: change or remove that first",
            users.join(", ")
        );
        return Err(ErrorEntry::new(ErrorCode::Refused, message));
    }
    check(&settings)
}

/// The policies that name an arrangement themselves.
fn users(settings: &Settings, name: &str) -> Vec<String> {
    let policies = settings.policies.iter();
    policies
        .map(|policy| (policy.name.as_str(), &policy.actions))
        .chain([(DEFAULT, &settings.default)])
        .filter(|(_, actions)| actions.name_arrangement(name))
        .map(|(policy, _)| policy.to_owned())
        .collect()
}

/// The settings without a policy.
pub(super) fn remove(present: &Settings, name: &str) -> Result<Settings, ErrorEntry> {
    let mut settings = present.clone();
    settings.policies.retain(|policy| policy.name != name);
    if settings.policies.len() == present.policies.len() {
        return Err(unknown(name));
    }
    check(&settings)
}

fn unknown(name: &str) -> ErrorEntry {
    let message = format!("there is no policy called {name:?}");
    ErrorEntry::new(ErrorCode::UnknownPolicy, message)
}

/// The same settings if they fit together: what holds for a file as a whole holds here too, such as one
/// rate for a share.
fn check(settings: &Settings) -> Result<Settings, ErrorEntry> {
    Settings::parse(&settings.to_toml()).map_err(|problems| {
        // The places are those of a text that nobody has seen.
        let messages: Vec<_> = problems.0.into_iter().map(|one| one.message).collect();
        ErrorEntry::new(ErrorCode::BadPolicy, messages.join("\n"))
    })
}

/// A policy as in a file of settings with these arrangements, without the heading of its table.
pub(super) fn text(policy: &PolicySettings, arrangements: &[ArrangementSettings]) -> String {
    let mut policy = policy.clone();
    policy.actions = policy.actions.without_arranged(arrangements);
    // Nothing that a struct of texts and numbers holds cannot be written.
    toml::to_string(&policy).unwrap_or_default()
}

/// The arrangements of these settings, of which so many directions have the one of a name.
pub(super) fn arrangement_list(
    settings: &Settings,
    directions: impl Fn(&str) -> u64,
) -> ArrangementList {
    let entry = |one: &ArrangementSettings| ArrangementEntry {
        name: one.name.clone(),
        policies: users(settings, &one.name),
        directions: directions(&one.name),
        toml: toml::to_string(one).unwrap_or_default(),
    };
    ArrangementList {
        arrangements: settings.arrangements.iter().map(entry).collect(),
    }
}
