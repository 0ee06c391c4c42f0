//! Requests over the socket, and clients that behave badly.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use localack_core::{DirectionMode, Service};

use super::{Fake, Place};
use crate::clock::Clock;
use crate::control::protocol::{
    Answer, DirectionChoice, ErrorCode, FlowName, Flows, LONGEST_REQUEST, PolicyRemove, PolicySet,
    ReasonGroup, Request, ServiceWord, SetService, Sort,
};
use crate::control::{BackendError, Client, ClientError, MOST_CLIENTS, Observer, Server};

/// A server before a fake gateway.
pub(super) struct Site {
    pub(super) fake: Arc<Fake>,
    observer: Arc<Observer>,
    server: Option<Server>,
    place: Place,
}

impl Site {
    pub(super) fn new(settings: &str) -> Self {
        let place = Place::new("serving");
        let fake = Arc::new(Fake::new(settings));
        let observer = Observer::start(Arc::clone(&fake) as _).unwrap();
        let server = Server::start(&place.socket(), Arc::clone(&observer)).unwrap();
        Self {
            fake,
            observer,
            server: Some(server),
            place,
        }
    }

    fn client(&self) -> Client {
        Client::connect(&self.place.socket()).unwrap()
    }

    pub(super) fn ask(&self, request: Request) -> Result<Answer, ClientError> {
        self.client().ask(request)
    }

    pub(super) fn flows(&self, sort: Sort, limit: usize) -> crate::control::protocol::FlowList {
        match self.ask(Request::Flows(Flows { sort, limit })).unwrap() {
            Answer::Flows(list) => list,
            other => panic!("{other:?}"),
        }
    }
}

const BOTH: &str = "[default]\nservice = \"local-ack\"\nouter_to_inner = \"local-ack\"\n";

#[test]
fn the_status_tells_what_the_gateway_does() {
    let site = Site::new(BOTH);
    site.fake.open(0, 5000);
    site.fake.open(1, 5001);
    let Answer::Status(status) = site.ask(Request::Status).unwrap() else {
        panic!();
    };
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((status.state.as_str(), status.queues), ("running", 2));
    assert_eq!(status.uptime_ms, 90_061_001);
    assert_eq!(
        (status.inner.as_str(), status.outer.as_str()),
        ("lan0", "sat0")
    );
    assert_eq!(status.flow_slots, 128);
    assert_eq!(status.pool.octets, 2 * 256 * 1536);
    assert_eq!((status.totals.flows.all, status.totals.flows.open), (2, 2));
}

#[test]
fn flows_come_greatest_first_and_no_more_than_wanted() {
    let site = Site::new(BOTH);
    for (queue, port, octets) in [
        (0, 5000, 1000),
        (1, 5001, 9000),
        (0, 5002, 4000),
        (1, 5003, 0),
    ] {
        site.fake.open(queue, port);
        if octets > 0 {
            site.fake.upload(queue, port, octets);
        }
    }
    let list = site.flows(Sort::Custody, 3);
    let ports: Vec<_> = list.flows.iter().map(|flow| flow.inner.port()).collect();
    assert_eq!(ports, [5001, 5002, 5000]);
    assert_eq!(list.totals.flows.all, 4, "also those that are not listed");
    let all: u64 = list
        .flows
        .iter()
        .map(|flow| flow.inner_to_outer.custody)
        .sum();
    assert_eq!(list.totals.custody, all);
    let first = &list.flows[0];
    assert_eq!(first.id, format!("1:{}", site.fake.flow(1, 5001).id));
    assert_eq!(first.inner_to_outer.debt, 9000);
    assert_eq!(site.flows(Sort::Rate, 0).flows, []);
    assert_eq!(site.flows(Sort::Rate, usize::MAX).flows.len(), 4);
}

#[test]
fn every_direction_has_its_numbered_reason() {
    let site = Site::new("[default]\nservice = \"local-ack\"\n");
    site.fake.open(0, 5000);
    let reasons = || {
        let flows = site.flows(Sort::Custody, 1).flows;
        flows[0].directions().map(|direction| {
            let reason = &direction.reason;
            (reason.group, reason.number, reason.name.clone())
        })
    };
    let [there, back] = reasons();
    assert_eq!(
        there,
        (ReasonGroup::Mode, 1, "store-and-forward".into()),
        "no proof yet"
    );
    assert_eq!(back, (ReasonGroup::Pass, 24, "bypass-service".into()));
    site.fake.upload(0, 5000, 1000);
    let [there, _] = reasons();
    assert_eq!(there, (ReasonGroup::Mode, 2, "local-ack".into()));

    // A cause that the gateway remembers.
    let site = Site::new(BOTH);
    site.fake.open(1, 5001);
    let name = FlowName::Id(format!("1:{}", site.fake.flow(1, 5001).id));
    let set = |service| SetService {
        flow: name.clone(),
        direction: None,
        service: Some(service),
        arrangement: None,
    };
    site.ask(Request::Flow(set(ServiceWord::Bypass))).unwrap();
    let flows = site.flows(Sort::Custody, 1).flows;
    let reason = &flows[0].outer_to_inner.reason;
    assert_eq!(
        (reason.group, reason.number),
        (ReasonGroup::Demote, 3),
        "{reason:?}"
    );
}

#[test]
fn the_service_of_a_flow_changes_by_direction_and_by_either_name() {
    let site = Site::new(BOTH);
    site.fake.open(0, 5000);
    site.fake.open(0, 5001);
    let ends = [
        "192.0.2.1:80".parse().unwrap(),
        "10.0.0.1:5000".parse().unwrap(),
    ];
    let request = Request::Flow(SetService {
        flow: FlowName::Ends(ends),
        direction: Some(DirectionChoice::OuterToInner),
        service: Some(ServiceWord::Bypass),
        arrangement: None,
    });
    let Answer::Flow(set) = site.ask(request).unwrap() else {
        panic!();
    };
    assert_eq!(set.directions, [DirectionChoice::OuterToInner]);
    let flow = site.fake.flow(0, 5000);
    assert_eq!(flow.outer_to_inner.service, Service::Bypass);
    assert_eq!(flow.inner_to_outer.service, Service::LocalAck);
    assert_eq!(
        site.fake.flow(0, 5001).outer_to_inner.service,
        Service::LocalAck
    );

    let by_id = Request::Flow(SetService {
        flow: FlowName::Id(set.id),
        direction: None,
        service: Some(ServiceWord::Bypass),
        arrangement: None,
    });
    site.ask(by_id).unwrap();
    let flow = site.fake.flow(0, 5000);
    assert_eq!(flow.inner_to_outer.mode, DirectionMode::Bypass);
}

#[test]
fn a_flow_that_is_not_there_or_not_the_only_one_is_told() {
    let site = Site::new(BOTH);
    site.fake.open(0, 5000);
    site.fake.open(1, 5000);
    let code = |flow| {
        let service = ServiceWord::Bypass;
        let request = Request::Flow(SetService {
            flow,
            direction: None,
            service: Some(service),
            arrangement: None,
        });
        site.ask(request).unwrap_err().code()
    };
    let ends =
        |port: u16| FlowName::Ends([([10, 0, 0, 1], port).into(), ([192, 0, 2, 1], 80).into()]);
    assert_eq!(code(ends(5000)), Some(ErrorCode::AmbiguousFlow));
    assert_eq!(code(ends(5001)), Some(ErrorCode::UnknownFlow));
    assert_eq!(
        code(FlowName::Id("0:9.9".into())),
        Some(ErrorCode::UnknownFlow)
    );
    assert_eq!(
        code(FlowName::Id("nonsense".into())),
        Some(ErrorCode::BadRequest)
    );
}

#[test]
fn policies_change_while_flows_live() {
    let site =
        Site::new("[[policy]]\nname = \"web\"\ndestination_port = 80\nservice = \"local-ack\"\n");
    site.fake.open(0, 5000);
    assert_eq!(
        site.fake.flow(0, 5000).inner_to_outer.service,
        Service::LocalAck
    );
    let set = |toml: &str, before: Option<&str>| {
        site.ask(Request::PolicySet(PolicySet {
            toml: toml.into(),
            before: before.map(str::to_owned),
        }))
    };
    let first = "[[policy]]\nname = \"alone\"\ninner = \"10.0.0.1\"\nservice = \"bypass\"\n";
    let Answer::PolicySet(applied) = set(first, Some("web")).unwrap() else {
        panic!();
    };
    assert_eq!((applied.policies, applied.flows_changed), (2, 1));
    assert_eq!(
        site.fake.flow(0, 5000).inner_to_outer.service,
        Service::Bypass
    );
    let Answer::PolicyList(list) = site.ask(Request::PolicyList).unwrap() else {
        panic!();
    };
    let names: Vec<_> = list
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect();
    assert_eq!(names, ["alone", "web", "default"]);
    assert_eq!(list.policies[1].hits, 1);
    assert!(
        list.policies[1].toml.contains("destination_port"),
        "{}",
        list.policies[1].toml
    );

    let error = set("[[policy]]\nname = \"x\"\nservcie = \"bypass\"\n", None).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadPolicy));
    assert!(
        error.to_string().starts_with("3:1: unknown key `servcie`"),
        "{error}"
    );
    let remove = |name: &str| site.ask(Request::PolicyRemove(PolicyRemove { name: name.into() }));
    assert_eq!(
        remove("x").unwrap_err().code(),
        Some(ErrorCode::UnknownPolicy)
    );
    remove("alone").unwrap();
    assert_eq!(
        site.fake.flow(0, 5000).inner_to_outer.service,
        Service::LocalAck
    );
    let Answer::PolicyReload(applied) = site.ask(Request::PolicyReload).unwrap() else {
        panic!();
    };
    assert_eq!((applied.policies, applied.ignored.len()), (0, 1));
}

#[test]
fn savings_and_rates_are_entered_and_order_flows() {
    let site = Site::new(BOTH);
    for (port, octets) in [(5000, 2000), (5001, 8000)] {
        site.fake.open(0, port);
        site.fake.upload(0, port, octets);
    }
    site.observer.enter(Duration::from_secs(2));
    let list = site.flows(Sort::Saved, 5);
    let ports: Vec<_> = list.flows.iter().map(|flow| flow.inner.port()).collect();
    assert_eq!(ports, [5001, 5000]);
    let first = &list.flows[0].inner_to_outer;
    assert_eq!(first.acknowledged_early, 8000);
    assert!(first.saved_ms > 0);
    assert_eq!(list.totals.acknowledged_early, 10_000);
    assert_eq!(site.flows(Sort::Saved, 1).flows.len(), 1);

    site.fake.open(1, 5002);
    site.fake.deliver(0, 5000, 1000);
    site.observer.enter(Duration::from_secs(1));
    let list = site.flows(Sort::Rate, 5);
    let ports: Vec<_> = list.flows.iter().map(|flow| flow.inner.port()).collect();
    assert_eq!(ports, [5000, 5001, 5002], "those without a rate too");
    assert_eq!(list.flows[0].inner_to_outer.rate, 1000);
    assert_eq!(list.totals.rate_inner_to_outer, 1000);
}

#[test]
fn draining_counters_and_refusals_are_told() {
    let site = Site::new(BOTH);
    site.fake.open(0, 5000);
    assert_eq!(site.ask(Request::Drain).unwrap(), Answer::Drain);
    let Answer::Status(status) = site.ask(Request::Status).unwrap() else {
        panic!();
    };
    assert_eq!(status.state, "draining");
    let Answer::Stats(stats) = site.ask(Request::Stats).unwrap() else {
        panic!();
    };
    let adopted = stats
        .counters
        .iter()
        .find(|one| one.name == "flows-adopted")
        .unwrap();
    assert_eq!(adopted.count, 1);
    let handshake = stats
        .counters
        .iter()
        .find(|one| one.name == "handshake")
        .unwrap();
    assert_eq!(
        (handshake.group.as_str(), handshake.number, handshake.count),
        ("pass", Some(9), 3)
    );
    assert_eq!(stats.queues.len(), 2);
    assert_eq!(stats.queues[1].counters, []);
    let Answer::Refused(list) = site.ask(Request::Refused).unwrap() else {
        panic!();
    };
    assert_eq!(list.refused[0].reason.number, 14);
}

#[test]
fn a_busy_or_ending_gateway_says_so() {
    let site = Site::new(BOTH);
    for (error, code) in [
        (BackendError::Busy, ErrorCode::Busy),
        (BackendError::Gone, ErrorCode::Ending),
    ] {
        site.fake.fail(Some(error));
        assert_eq!(site.ask(Request::Status).unwrap_err().code(), Some(code));
        assert_eq!(
            site.ask(Request::PolicyReload).unwrap_err().code(),
            Some(code)
        );
    }
}

/// Sends `octets` and reads one line.
fn say(stream: &UnixStream, octets: &[u8]) -> String {
    let mut to = stream;
    to.write_all(octets).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn what_is_no_request_is_answered_and_the_client_may_go_on() {
    let site = Site::new(BOTH);
    let stream = UnixStream::connect(site.place.socket()).unwrap();
    for (request, answer) in [
        ("nonsense", "\"bad-request\""),
        ("\u{fffd}", "\"bad-request\""),
        ("", "\"bad-request\""),
        ("{\"request\":\"status\"}", "\"bad-request\""),
        (
            "{\"v\":2,\"id\":9,\"request\":{\"new\":[]}}",
            "\"id\":9,\"error\":{\"code\":\"version\"",
        ),
        (
            "{\"v\":1,\"id\":3,\"request\":\"stats!\"}",
            "\"id\":3,\"error\":{\"code\":\"bad-request\"",
        ),
        (
            "{\"v\":1,\"request\":\"status\",\"also\":1}",
            "\"bad-request\"",
        ),
        (
            "{\"v\":1,\"request\":{\"flows\":{\"order\":\"rate\"}}}",
            "\"bad-request\"",
        ),
        (
            "{\"v\":1,\"id\":4,\"request\":\"status\"}",
            "\"id\":4,\"answer\":{\"status\"",
        ),
    ] {
        let line = say(&stream, format!("{request}\n").as_bytes());
        assert!(line.contains(answer), "{request}: {line}");
        assert!(line.starts_with("{\"v\":1,"), "{line}");
    }
}

#[test]
fn an_endless_request_is_cut_off() {
    let site = Site::new(BOTH);
    let stream = UnixStream::connect(site.place.socket()).unwrap();
    let line = say(&stream, &vec![b' '; LONGEST_REQUEST]);
    assert!(line.contains("\"too-long\""), "{line}");
    let mut rest = Vec::new();
    // Closed, with or without octets that the server did not read.
    let _ = (&stream).read_to_end(&mut rest);
    assert!(rest.is_empty());
}

#[test]
fn slow_and_many_clients_keep_nobody_waiting() {
    let site = Site::new(BOTH);
    site.fake.open(0, 5000);
    // One asks all the time and reads nothing, one stops in the middle of a request.
    let deaf = UnixStream::connect(site.place.socket()).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let question = b"{\"v\":1,\"request\":\"stats\"}\n".repeat(100);
    while (&deaf).write_all(&question).is_ok() {}
    let half = UnixStream::connect(site.place.socket()).unwrap();
    (&half).write_all(b"{\"v\":1,").unwrap();
    let clock = Clock::start();
    for _ in 0..5 {
        site.ask(Request::Status).unwrap();
    }
    // Who waited for the deaf one would wait until it is given up, five seconds each.
    assert!(clock.now() < Duration::from_secs(4), "{:?}", clock.now());

    let mut there = Vec::new();
    let refused = loop {
        let mut client = site.client();
        match client.ask(Request::Status) {
            Ok(_) => there.push(client),
            Err(error) => break error,
        }
        assert!(there.len() <= MOST_CLIENTS);
    };
    assert_eq!(refused.code(), Some(ErrorCode::TooManyClients), "{refused}");
    there.pop();
    // Its thread needs a moment to see that it has gone.
    let again = (0..1500).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        site.ask(Request::Status).ok()
    });
    assert!(again.is_some());
}

#[test]
fn the_end_of_the_server_is_the_end_of_its_clients_and_its_socket() {
    let mut site = Site::new(BOTH);
    let mut client = site.client();
    client.ask(Request::Status).unwrap();
    let clock = Clock::start();
    site.server = None;
    // Its thread waits five minutes for a question.
    assert!(clock.now() < Duration::from_secs(20));
    assert!(matches!(
        client.ask(Request::Status),
        Err(ClientError::Broken(_))
    ));
    assert!(!site.place.socket().exists());
    let nobody = Client::connect(&site.place.socket()).unwrap_err();
    assert!(matches!(nobody, ClientError::NoGateway { .. }), "{nobody}");
}
