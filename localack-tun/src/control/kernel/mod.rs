//! What the kernel module is asked, and what is done here for it: it takes rules, which policies and arrangements
//! are made into, and keeps the text that they were made from.

mod compile;
#[cfg(test)]
mod tests;
mod words;

use super::client::{Client, ClientError};
use super::policies;
use super::protocol::{
    Answer, AppliedEntry, ArrangementList, ErrorCode, ErrorEntry, PolicyEntry, PolicyList, Request,
};
use crate::config::{DEFAULT, Settings};
use crate::policy::{Numbers, Policies};
use words::{Applied, Order, Report, Rules, SetRules};

/// How often rules are made anew because others were set meanwhile.
const TRIES: u32 = 3;
/// More custody than a machine has: how much there is in the kernel was said when the module was loaded.
const ROOM: u64 = 1 << 40;

/// Asks the kernel module.
pub(super) fn ask(client: &mut Client, request: Request) -> Result<Answer, ClientError> {
    Ok(match request {
        Request::Status
        | Request::Flows(_)
        | Request::Flow(_)
        | Request::Drain
        | Request::Stats => return client.exchange(request),
        Request::PolicyList => Answer::PolicyList(policy_list(&present(client)?)?),
        Request::ArrangementList => Answer::ArrangementList(arrangement_list(&present(client)?)?),
        Request::PolicySet(set) => Answer::PolicySet(change(client, |settings| {
            let fragment = policies::Fragment::parse(&set.toml, &settings.arrangements)?;
            fragment.apply(settings, set.before.as_deref())
        })?),
        Request::PolicyRemove(remove) => Answer::PolicyRemove(change(client, |settings| {
            policies::remove(settings, &remove.name)
        })?),
        Request::ArrangementSet(set) => Answer::ArrangementSet(change(client, |settings| {
            policies::set_arrangements(settings, &set.toml)
        })?),
        Request::ArrangementRemove(remove) => {
            Answer::ArrangementRemove(change(client, |settings| {
                policies::remove_arrangement(settings, &remove.name)
            })?)
        }
        Request::PolicyReload => {
            return Err(refused(
                "the kernel module has no file of settings: give it the file's policies with `policy set`",
            ));
        }
        Request::Refused => {
            return Err(refused(
                "the kernel module does not remember what it left alone: see the counters of `stats`",
            ));
        }
        Request::Upgrade(_) => {
            return Err(refused(
                "the kernel module cannot go on as another program: drain and unload it",
            ));
        }
    })
}

fn refused(why: &str) -> ClientError {
    ClientError::Refused(ErrorEntry::new(ErrorCode::Refused, why))
}

fn present(client: &mut Client) -> Result<Rules, ClientError> {
    match client.exchange(Order::Rules)? {
        Report::Rules(rules) => Ok(rules),
        Report::SetRules(_) => Err(ClientError::Nonsense(
            "the answer to another request".into(),
        )),
    }
}

impl Rules {
    /// The settings that they were made from; those that the module was loaded with if they never were.
    fn settings(&self) -> Result<Settings, ClientError> {
        let nonsense = |problems: crate::config::Problems| {
            ClientError::Nonsense(format!("the kernel's settings: {problems}"))
        };
        if !self.settings.is_empty() {
            return Settings::parse(&self.settings).map_err(nonsense);
        }
        let mut settings = Settings::default();
        settings.engine.queues = 1;
        settings.engine.buffer = ROOM;
        let loaded = Settings::parse(&self.default.to_toml()).map_err(nonsense)?;
        settings.default = loaded.default;
        Ok(settings)
    }

    fn numbers(&self) -> Numbers {
        let numbered = self.arrangements.iter();
        numbered.map(|one| (one.number, one.name.clone())).collect()
    }

    fn hits(&self, name: &str) -> u64 {
        if name == DEFAULT {
            return self.hits;
        }
        let found = self.policies.iter().find(|policy| policy.name == name);
        found.map_or(0, |policy| policy.hits)
    }
}

fn policy_list(rules: &Rules) -> Result<PolicyList, ClientError> {
    let settings = rules.settings()?;
    let policies = Policies::numbered(&settings, &rules.numbers());
    let entry = |rule: &crate::policy::Rule| PolicyEntry {
        name: rule.name().to_owned(),
        hits: rules.hits(rule.name()),
        toml: policies::text(rule.settings(), &settings.arrangements),
    };
    Ok(PolicyList {
        policies: policies.rules().map(entry).collect(),
    })
}

fn arrangement_list(rules: &Rules) -> Result<ArrangementList, ClientError> {
    let settings = rules.settings()?;
    let directions = |name: &str| {
        let found = rules.arrangements.iter().find(|one| one.name == name);
        found.map_or(0, |one| one.directions)
    };
    Ok(policies::arrangement_list(&settings, directions))
}

/// Sets the rules of the settings that `edit` makes of the present ones.
fn change(
    client: &mut Client,
    edit: impl Fn(&Settings) -> Result<Settings, ErrorEntry>,
) -> Result<AppliedEntry, ClientError> {
    let mut tries = 1;
    loop {
        let rules = present(client)?;
        let settings = edit(&rules.settings()?).map_err(ClientError::Refused)?;
        let set = compile::compile(&settings, &rules.numbers(), rules.revision);
        check(&set, rules.most).map_err(ClientError::Refused)?;
        match client.exchange(Order::SetRules(set)) {
            Ok(Report::SetRules(applied)) => return Ok(applied.into()),
            Ok(Report::Rules(_)) => {
                return Err(ClientError::Nonsense(
                    "the answer to another request".into(),
                ));
            }
            Err(ClientError::Refused(error)) if error.code == ErrorCode::Busy && tries < TRIES => {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a kernel that takes so many rules takes these.
fn check(set: &SetRules, most: u64) -> Result<(), ErrorEntry> {
    let count: usize = set.policies.iter().map(|policy| policy.rules.len()).sum();
    if u64::try_from(count).is_ok_and(|count| count <= most) {
        return Ok(());
    }
    let message = format!(
        "the policies make {count} rules, and the kernel module takes {most}: each combination of a network and \
         a range of ports of one end with those of the other is a rule"
    );
    Err(ErrorEntry::new(ErrorCode::BadPolicy, message))
}

impl From<Applied> for AppliedEntry {
    fn from(applied: Applied) -> Self {
        Self {
            policies: applied.policies,
            flows_changed: applied.flows_changed,
            flows_partial: applied.flows_partial,
            ignored: Vec::new(),
        }
    }
}
