//! Policies as rules, and a stand-in for the kernel's device.

use core::net::IpAddr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use localack_core::{FlowKey, Port};
use serde_json::{Value, json};

use super::compile::compile;
use super::words::{Order, Report, Rule};
use crate::config::Settings;
use crate::control::device::Device;
use crate::control::protocol::{
    Answer, ArrangementSet, ErrorCode, PolicyRemove, PolicySet, Question, Request,
};
use crate::control::{Client, ClientError};
use crate::policy::{Numbers, Policies, Subject};

const TEXT: &str = include_str!("../../../docs/control.md");

/// What the documentation shows of the kernel's own requests and answers.
fn documented(kind: &str) -> Vec<Value> {
    let heading = format!("```json kernel-{kind}\n");
    let blocks = TEXT.split(heading.as_str()).skip(1);
    blocks
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect()
}

fn settings(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Whether a rule matches, as the kernel decides it.
fn matches(rule: &Rule, subject: &Subject) -> bool {
    let within = |ports: Option<(u16, u16)>, port| {
        ports.is_none_or(|(first, last)| (first..=last).contains(&port))
    };
    let is_in = |network: &Option<String>, address: IpAddr| {
        let Some(network) = network else { return true };
        let (digits, length) = network.split_once('/').unwrap();
        let own = match address {
            IpAddr::V4(four) => format!("{:032b}", four.to_bits()),
            IpAddr::V6(six) => format!("{:0128b}", six.to_bits()),
        };
        let bits: String = digits
            .chars()
            .map(|digit| format!("{:04b}", digit.to_digit(16).unwrap()))
            .collect();
        let length: usize = length.parse().unwrap();
        own.len() == bits.len() && own[..length] == bits[..length]
    };
    let side = match subject.from {
        Port::Inner => "inner",
        Port::Outer => "outer",
    };
    let key = &subject.key;
    rule.from.as_ref().is_none_or(|from| from == side)
        && (rule.dscp.is_empty() || rule.dscp.contains(&subject.dscp.number()))
        && within(rule.inner_ports, key.inner_port())
        && within(rule.outer_ports, key.outer_port())
        && is_in(&rule.inner, key.inner())
        && is_in(&rule.outer, key.outer())
}

#[test]
fn rules_match_what_their_policies_match() {
    let settings = settings(
        r#"
        [[policy]]
        name = "opened"
        source = ["10.1.0.0/16", "2001:db8::/32"]
        destination = ["192.0.2.0/24", "10.0.0.0/8", "2001:db8:1::/48"]
        destination_port = ["80-90", 443]
        dscp = ["ef", 0]
        [[policy]]
        name = "both"
        inner = ["10.0.0.0/8"]
        source = ["10.1.2.0/24", "192.0.2.0/24"]
        outer_port = ["1-1000"]
        destination_port = ["500-2000"]
        [[policy]]
        name = "one side"
        from = "outer"
        source_port = [5000]
        [[policy]]
        name = "never"
        inner = ["10.0.0.0/8"]
        outer = ["2001:db8::/32"]
        [[policy]]
        name = "six"
        outer = ["2001:db8:1::/48"]
        "#
        .replace("one side", "one-side")
        .as_str(),
    );
    let policies = Policies::new(&settings);
    let compiled = compile(&settings, &Numbers::default(), 0);
    let addresses: [[IpAddr; 5]; 2] = [
        [
            "10.1.2.3",
            "10.1.9.9",
            "10.9.9.9",
            "192.0.2.7",
            "198.51.100.1",
        ],
        [
            "2001:db8::1",
            "2001:db8:1::1",
            "2001:db8:1:1::1",
            "2001:db9::1",
            "::1",
        ],
    ]
    .map(|family| family.map(|text| text.parse().unwrap()));
    let ports = [0, 80, 90, 91, 443, 500, 1000, 1001, 2000, 5000, 65_535];
    let mut found = std::collections::BTreeMap::<String, u32>::new();
    for family in addresses {
        for (inner, outer) in family
            .iter()
            .flat_map(|one| family.map(|other| (*one, other)))
        {
            for (near, far) in ports
                .iter()
                .flat_map(|one| ports.map(|other| (*one, other)))
            {
                for (from, class) in [
                    (Port::Inner, 0xb8),
                    (Port::Inner, 4),
                    (Port::Outer, 3),
                    (Port::Outer, 0xff),
                ] {
                    let key = FlowKey::new(inner, near, outer, far, 0);
                    let subject = Subject::new(key, from, class);
                    let expected = policies.find(&subject).name();
                    let kernel = compiled
                        .policies
                        .iter()
                        .find(|policy| policy.rules.iter().any(|rule| matches(rule, &subject)));
                    let kernel = kernel.map_or("default", |policy| policy.name.as_str());
                    assert_eq!(kernel, expected, "{subject:?}");
                    *found.entry(expected.to_owned()).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(found.len(), 5, "all but one are met: {found:?}");
}

#[test]
fn the_documented_rules_are_those_of_the_documented_policies() {
    let [_, set] = &documented("request")[..] else {
        panic!("two requests are shown");
    };
    let Order::SetRules(set) = serde_json::from_value(set["request"].clone()).unwrap() else {
        panic!("{set}");
    };
    let compiled = compile(&settings(&set.settings), &Numbers::default(), set.revision);
    let shown = serde_json::to_value(&set).unwrap();
    let mut made = serde_json::to_value(&compiled).unwrap();
    // The text is longer than what is shown of it.
    made["settings"] = shown["settings"].clone();
    assert_eq!(made, shown);
    for answer in documented("answer") {
        let report: Report = serde_json::from_value(answer["answer"].clone()).unwrap();
        assert_eq!(serde_json::to_value(&report).unwrap(), answer["answer"]);
    }
}

/// A device that answers in the kernel's words, and keeps what rules it was given.
fn kernel(most: u64, mut refusals: u32) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let answers = documented("answer");
    thread::spawn(move || {
        let mut rules = answers[0]["answer"]["rules"].clone();
        rules["settings"] = json!("");
        rules["policies"] = json!([]);
        rules["arrangements"] = json!([]);
        rules["most"] = json!(most);
        let mut out = theirs.try_clone().unwrap();
        for line in BufReader::new(theirs).lines() {
            let question: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let outcome = match &question["request"] {
                Value::String(name) if name == "rules" => json!({"answer": {"rules": rules}}),
                Value::String(name) if name == "drain" => json!({"answer": "drain"}),
                Value::Object(map) if map.contains_key("set-rules") && refusals > 0 => {
                    refusals -= 1;
                    json!({"error": {"code": "busy", "message": "changed"}})
                }
                Value::Object(map) => {
                    let set = &map["set-rules"];
                    assert_eq!(set["revision"], rules["revision"]);
                    let count = set["policies"].as_array().unwrap().len();
                    let named = |list: &Value, more: &str| -> Value {
                        let list = list.as_array().unwrap().iter();
                        list.map(|one| {
                            let mut one = json!({"name": one["name"], "number": one["number"]});
                            one[more] = json!(5);
                            one
                        })
                        .collect()
                    };
                    rules["settings"] = set["settings"].clone();
                    rules["default"] = set["default"].clone();
                    rules["policies"] = named(&set["policies"], "hits");
                    rules["arrangements"] = named(&set["arrangements"], "directions");
                    rules["revision"] = json!(rules["revision"].as_u64().unwrap() + 1);
                    json!({"answer": {"set-rules": {"revision": rules["revision"], "policies": count,
                        "flows_changed": 2, "flows_partial": 1}}})
                }
                other => panic!("{other}"),
            };
            let mut reply = json!({"v": 1, "id": question["id"]});
            reply
                .as_object_mut()
                .unwrap()
                .extend(outcome.as_object().unwrap().clone());
            writeln!(out, "{reply}").unwrap();
        }
    });
    Client::of_device(Device::of(File::from(OwnedFd::from(ours))))
}

fn set(toml: &str) -> Request {
    Request::PolicySet(PolicySet {
        toml: toml.to_owned(),
        before: None,
    })
}

fn code(outcome: Result<Answer, ClientError>) -> Option<ErrorCode> {
    outcome.unwrap_err().code()
}

#[test]
fn policies_are_set_listed_and_removed_through_the_device() {
    let mut kernel = kernel(256, 2);
    let thin = "[[arrangement]]\nname = \"thin\"\nack_interval = \"20ms\"\n";
    let arranged = kernel.ask(Request::ArrangementSet(ArrangementSet {
        toml: thin.to_owned(),
    }));
    assert!(
        matches!(arranged, Ok(Answer::ArrangementSet(_))),
        "{arranged:?}"
    );
    let voice = "[[policy]]\nname = \"voice\"\ndscp = \"ef\"\nreverse_arrangement = \"thin\"\n";
    let Ok(Answer::PolicySet(applied)) = kernel.ask(set(voice)) else {
        panic!("not set");
    };
    assert_eq!((applied.policies, applied.flows_changed), (1, 2));
    assert_eq!(applied.flows_partial, 1);
    let Ok(Answer::PolicyList(list)) = kernel.ask(Request::PolicyList) else {
        panic!("not listed");
    };
    let [own, last] = &list.policies[..] else {
        panic!("{list:?}");
    };
    assert_eq!((own.name.as_str(), own.hits), ("voice", 5));
    assert!(
        own.toml.contains("reverse_arrangement = \"thin\""),
        "{}",
        own.toml
    );
    // What the module was loaded with is the default, and what the policy has of it.
    assert!(
        last.toml.contains("controller = \"cubic\""),
        "{}",
        last.toml
    );
    assert!(own.toml.contains("buffer = \"1mib\""), "{}", own.toml);
    let Ok(Answer::ArrangementList(list)) = kernel.ask(Request::ArrangementList) else {
        panic!("not listed");
    };
    assert_eq!(list.arrangements[0].policies, ["voice"]);
    assert_eq!(list.arrangements[0].directions, 5);
    let remove = |name: &str| Request::PolicyRemove(PolicyRemove { name: name.into() });
    assert_eq!(
        code(kernel.ask(remove("noise"))),
        Some(ErrorCode::UnknownPolicy)
    );
    let Ok(Answer::PolicyRemove(applied)) = kernel.ask(remove("voice")) else {
        panic!("not removed");
    };
    assert_eq!(applied.policies, 0);
    assert_eq!(kernel.ask(Request::Drain).unwrap(), Answer::Drain);
}

#[test]
fn what_the_kernel_does_not_take_is_told() {
    let mut few = kernel(3, 0);
    let ports = "[[policy]]\nname = \"a\"\nouter_port = [1, 2, 3, 4]\n";
    let error = few.ask(set(ports)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadPolicy));
    assert!(error.to_string().contains("make 4 rules"), "{error}");
    assert!(
        few.ask(set("[[policy]]\nname = \"a\"\nouter_port = [1, 2, 3]\n"))
            .is_ok()
    );
    assert_eq!(
        code(few.ask(set("[engine]\nflows = 7\n"))),
        Some(ErrorCode::BadPolicy)
    );
    for request in [Request::Refused, Request::PolicyReload] {
        assert_eq!(code(few.ask(request)), Some(ErrorCode::Refused));
    }
    let mut busy = kernel(256, 3);
    let outcome = busy.ask(set("[default]\nservice = \"snoop\"\n"));
    assert_eq!(code(outcome), Some(ErrorCode::Busy));
}

#[test]
fn a_request_is_one_call_and_a_device_that_is_not_there_is_told() {
    let place = crate::control::tests::Place::new("device");
    let error = Client::kernel(&place.socket()).unwrap_err().to_string();
    assert!(error.contains("is localack.ko loaded?"), "{error}");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut device = Client::of_device(Device::of(File::from(OwnedFd::from(ours))));
    let asked = thread::spawn(move || device.ask(Request::Status));
    let mut line = String::new();
    BufReader::new(&theirs).read_line(&mut line).unwrap();
    let question: Question = serde_json::from_str(&line).unwrap();
    assert_eq!(question.request, Request::Status);
    drop(theirs);
    let error = asked.join().unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
}
