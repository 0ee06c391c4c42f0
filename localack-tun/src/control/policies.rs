//! Policies that come as text, and what becomes of the settings with them.

use super::protocol::{ErrorCode, ErrorEntry};
use crate::config::{Actions, PolicySettings, Settings};

/// Policies as they were sent.
#[derive(Debug)]
pub(super) struct Fragment {
    policies: Vec<PolicySettings>,
    /// The table `[default]`, if there is one.
    default: Option<Actions>,
}

impl Fragment {
    /// Reads tables `[[policy]]` and `[default]`.
    pub(super) fn parse(text: &str) -> Result<Self, ErrorEntry> {
        let wrong = |message: String| ErrorEntry::new(ErrorCode::BadPolicy, message);
        let settings = Settings::parse(text).map_err(|problems| wrong(problems.to_string()))?;
        // It was read once already.
        let table: toml::Table = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if let Some(key) = table
            .keys()
            .find(|key| !matches!(key.as_str(), "policy" | "default"))
        {
            return Err(wrong(format!(
                "`{key}`: only [[policy]] and [default] can be set while the gateway runs"
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
            settings.default = *default;
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

/// A policy as in a file of settings, without the heading of its table.
pub(super) fn text(policy: &PolicySettings) -> String {
    // Nothing that a struct of texts and numbers holds cannot be written.
    toml::to_string(policy).unwrap_or_default()
}
