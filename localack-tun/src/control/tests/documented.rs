//! `docs/control.md` says what is so.

use std::collections::BTreeSet;

use localack_core::{DemoteCause, PassReason};
use serde_json::Value;

use crate::control::MOST_CLIENTS;
use crate::control::protocol::{
    ErrorCode, LONGEST_ANSWER, LONGEST_REQUEST, MOST_FLOWS, Outcome, Question, Reply, VERSION,
};
use crate::control::reason;

const TEXT: &str = include_str!("../../../docs/control.md");

/// The examples of a kind, `request` or `answer`.
fn examples(kind: &str) -> Vec<&'static str> {
    let heading = format!("```json {kind}\n");
    let blocks = TEXT.split(heading.as_str()).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// The name under which a request or an answer stands.
fn name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(map) if map.len() == 1 => map.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

/// Every request there is; a new one breaks the build here.
fn all_requests() -> BTreeSet<String> {
    use crate::control::protocol::Request;
    fn name_of(request: &Request) -> &'static str {
        match request {
            Request::Status => "status",
            Request::Flows(_) => "flows",
            Request::Refused => "refused",
            Request::PolicyList => "policy-list",
            Request::PolicySet(_) => "policy-set",
            Request::PolicyRemove(_) => "policy-remove",
            Request::PolicyReload => "policy-reload",
            Request::ArrangementList => "arrangement-list",
            Request::ArrangementSet(_) => "arrangement-set",
            Request::ArrangementRemove(_) => "arrangement-remove",
            Request::Flow(_) => "flow",
            Request::Drain => "drain",
            Request::Upgrade(_) => "upgrade",
            Request::Stats => "stats",
        }
    }
    let questions = examples("request").into_iter().map(|text| {
        let question: Question = serde_json::from_str(text).unwrap();
        name_of(&question.request).to_owned()
    });
    questions.collect()
}

#[test]
fn every_request_has_an_example_that_is_one() {
    let mut names = BTreeSet::new();
    for text in examples("request") {
        let value: Value = serde_json::from_str(text).unwrap();
        let question: Question = serde_json::from_str(text).expect(text);
        assert_eq!(question.v, VERSION);
        assert_eq!(serde_json::to_value(&question).unwrap(), value, "{text}");
        names.insert(name(&value["request"]));
    }
    assert_eq!(names, all_requests());
    assert_eq!(names.len(), 14, "{names:?}");
}

#[test]
fn every_answer_has_an_example_with_all_that_is_in_it() {
    let mut names = BTreeSet::new();
    let mut errors = 0;
    for text in examples("answer") {
        let value: Value = serde_json::from_str(text).unwrap();
        let reply: Reply = serde_json::from_str(text).expect(text);
        assert_eq!(serde_json::to_value(&reply).unwrap(), value, "{text}");
        match reply.outcome {
            Outcome::Answer(_) => {
                names.insert(name(&value["answer"]));
            }
            Outcome::Error(_) => errors += 1,
        }
    }
    assert_eq!(names, all_requests(), "answers have the names of requests");
    assert_eq!(errors, 1);
}

#[test]
fn every_error_is_explained() {
    let codes: BTreeSet<_> = table("| code |")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    for code in &codes {
        let read: ErrorCode = serde_json::from_value(Value::String(code.clone())).unwrap();
        assert_ne!(read, ErrorCode::Unknown, "{code}");
    }
    use ErrorCode as E;
    let all = [
        E::BadRequest,
        E::TooLong,
        E::Version,
        E::TooManyClients,
        E::UnknownFlow,
        E::AmbiguousFlow,
        E::UnknownPolicy,
        E::UnknownArrangement,
        E::BadPolicy,
        E::Refused,
        E::Busy,
        E::Ending,
    ];
    let written = all.map(|code| serde_json::to_value(code).unwrap());
    let written: BTreeSet<_> = written
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes, written);
}

/// The rows of the table whose heading begins so, without code marks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let start = TEXT.find(heading).unwrap();
    let rows = TEXT[start..].lines().skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

#[test]
fn every_reason_of_a_flow_is_listed_with_its_number() {
    let listed: BTreeSet<_> = table("| group |").into_iter().collect();
    let row = |reason: crate::control::protocol::Reason| {
        let group = serde_json::to_value(reason.group).unwrap();
        let group = group.as_str().unwrap().to_owned();
        vec![group, reason.number.to_string(), reason.name, reason.text]
    };
    let causes = [
        DemoteCause::Request,
        DemoteCause::Urgent,
        DemoteCause::UnknownOption,
        DemoteCause::WentRound,
        DemoteCause::Asymmetric,
        DemoteCause::DfClear,
        DemoteCause::PoolLow,
    ];
    use localack_core::DirectionMode as M;
    let modes = [
        M::Bypass,
        M::StoreAndForward,
        M::LocalAck,
        M::Draining,
        M::Snoop,
    ];
    let passes = [
        PassReason::Handshake,
        PassReason::BypassService,
        PassReason::Reset,
    ];
    let all: BTreeSet<_> = causes
        .into_iter()
        .map(reason::demoted)
        .chain(modes.into_iter().map(reason::of_mode))
        .chain(passes.into_iter().map(reason::pass))
        .map(row)
        .collect();
    assert_eq!(listed, all);
}

#[test]
fn every_pass_reason_has_words() {
    let texts: BTreeSet<_> = PassReason::ALL
        .iter()
        .map(|one| reason::pass_text(*one))
        .collect();
    assert_eq!(texts.len(), PassReason::COUNT);
    assert!(
        !texts.contains("see the counters"),
        "a new reason needs words"
    );
}

#[test]
fn the_bounds_are_those_of_the_code() {
    for bound in [
        format!("of at most {LONGEST_REQUEST} octets"),
        format!("of at most {LONGEST_ANSWER} octets"),
        format!("Up to {MOST_CLIENTS} clients"),
        format!("`limit` at most {MOST_FLOWS}"),
        format!("This is version {VERSION} of"),
    ] {
        assert!(TEXT.contains(&bound), "{bound}");
    }
}
