//! Scrapes of a gateway without devices, read by a parser that is not ours.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use localack_core::{Counters, PassReason};
use prometheus_parse::Value;

use super::Server;
use super::families::ENGINE;
use crate::clock::Clock;
use crate::control::tests::Fake;
use crate::control::{BackendError, Observer};

struct Site {
    fake: Arc<Fake>,
    observer: Arc<Observer>,
    server: Server,
}

impl Site {
    fn new() -> Self {
        let fake = Arc::new(Fake::new(
            "[[arrangement]]\nname = \"small\"\nmss_clamp = 1200\n\
             [[policy]]\nname = \"web\"\ndestination_port = 80\nservice = \"local-ack\"\n\
             reverse_arrangement = \"small\"\n",
        ));
        let observer = Observer::start(Arc::clone(&fake) as _).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(any, Arc::clone(&observer)).unwrap();
        Self {
            fake,
            observer,
            server,
        }
    }

    fn request(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The body of an answer.
    fn scrape(&self) -> String {
        let answer = self.request("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("Content-Type: application/openmetrics-text"),
            "{head}"
        );
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
        body.to_owned()
    }
}

/// The value of every sample, under its name and its labels in order.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
    let samples = scrape.samples.into_iter().map(|sample| {
        let value = match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
            other => panic!("{other:?}"),
        };
        let labels: BTreeMap<_, _> = sample.labels.iter().collect();
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (format!("{}[{}]", sample.metric, labels.join(",")), value)
    });
    samples.collect()
}

#[test]
fn a_scrape_tells_what_was_counted() {
    let site = Site::new();
    site.fake.open(0, 5000);
    site.fake.open(1, 5001);
    site.fake.upload(1, 5001, 5000);
    site.observer.enter(Duration::from_secs(10));
    let body = site.scrape();
    let samples = samples(&body);
    let flow = site.fake.flow(1, 5001);
    for (name, value) in [
        ("localack_build_info[version=0.1.0]", 1.0),
        ("localack_state[state=running]", 1.0),
        ("localack_state[state=drained]", 0.0),
        ("localack_queues[]", 2.0),
        ("localack_uptime_seconds[]", 90_061.001),
        ("localack_flows[state=open]", 2.0),
        ("localack_flows[state=tombstone]", 0.0),
        ("localack_flow_slots[]", 128.0),
        (
            "localack_flow_directions[direction=inner_to_outer,mode=local-ack]",
            1.0,
        ),
        (
            "localack_flow_directions[direction=inner_to_outer,mode=store-and-forward]",
            1.0,
        ),
        (
            "localack_flow_directions[direction=outer_to_inner,mode=bypass]",
            2.0,
        ),
        ("localack_flows_adopted_total[]", 2.0),
        ("localack_lost_bytes_total[]", 0.0),
        ("localack_packets_passed_total[reason=handshake]", 6.0),
        (
            "localack_arranged_directions[arrangement=small,direction=outer_to_inner]",
            2.0,
        ),
        (
            "localack_arranged_directions[arrangement=small,direction=inner_to_outer]",
            0.0,
        ),
        (
            "localack_flow_directions[direction=outer_to_inner,mode=snoop]",
            0.0,
        ),
        ("localack_policy_hits_total[policy=web]", 2.0),
        ("localack_policy_hits_total[policy=default]", 0.0),
        ("localack_pool_size_bytes[]", f64::from(2 * 256 * 1536)),
        (
            "localack_pool_used_bytes[]",
            f64::from(flow.inner_to_outer.custody),
        ),
        (
            "localack_custody_bytes[]",
            f64::from(flow.inner_to_outer.custody),
        ),
        ("localack_debt_bytes[]", 5000.0),
        ("localack_acknowledged_early_bytes_total[]", 5000.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{body}");
    }
    assert!(samples["localack_waiting_spared_seconds_total[]"] > 0.0);
    assert!(samples["process_resident_memory_bytes[]"] > 1e6);
    for reason in PassReason::ALL {
        let name = format!("localack_packets_passed_total[reason={}]", reason.slug());
        assert!(samples.contains_key(&name), "{name}");
    }
}

#[test]
fn names_follow_the_rules() {
    let site = Site::new();
    let body = site.scrape();
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    let mut families = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut units = BTreeMap::new();
    for line in body.lines().filter(|line| line.starts_with("# ")) {
        let mut words = line.splitn(4, ' ').skip(1);
        let (what, name, rest) = (words.next().unwrap(), words.next(), words.next());
        match (what, name, rest) {
            ("HELP", Some(name), Some(help)) => {
                assert!(help.len() > 5, "{line}");
                assert!(helped.insert(name), "{name} twice");
            }
            ("TYPE", Some(name), Some(kind)) => {
                assert_eq!(families.insert(name, kind), None, "{name} twice");
            }
            ("UNIT", Some(name), Some(unit)) => {
                units.insert(name, unit);
            }
            ("EOF", None, None) => {}
            _ => panic!("{line}"),
        }
    }
    let with_help: BTreeSet<_> = families.keys().copied().collect();
    assert_eq!(helped, with_help);
    for (name, kind) in &families {
        assert!(
            name.starts_with("localack_") || name.starts_with("process_"),
            "{name}"
        );
        let allowed = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
        assert!(name.chars().all(allowed) && !name.contains("__"), "{name}");
        assert!(
            !name.ends_with("_total") && !name.ends_with("_info"),
            "{name}: a suffix of samples"
        );
        assert!(matches!(*kind, "counter" | "gauge" | "info"), "{kind}");
        for base in ["bytes", "seconds"] {
            let named = name.ends_with(&format!("_{base}"));
            let said = units.get(name) == Some(&base);
            assert!(
                named == said || name.ends_with("_per_second"),
                "{name}: {base}"
            );
        }
    }
    // Every sample belongs to a family, and counters alone end in `_total`.
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = |suffix: &str, kind: &str| {
            let family = name.strip_suffix(suffix);
            family.is_some_and(|family| families.get(family) == Some(&kind))
        };
        assert!(
            family("_total", "counter") || family("_info", "info") || family("", "gauge"),
            "{line}"
        );
    }
}

#[test]
fn every_counter_of_the_engine_has_a_name_and_words() {
    let counters = Counters::ZERO;
    let engine = counters.iter().filter(|(group, ..)| *group == "engine");
    let engine: BTreeSet<_> = engine.map(|(_, name, _)| name).collect();
    let named: BTreeSet<_> = ENGINE.iter().map(|(name, ..)| *name).collect();
    assert_eq!(engine, named);
}

#[test]
fn a_busy_gateway_is_no_success() {
    let site = Site::new();
    site.fake.fail(Some(BackendError::Busy));
    let answer = site.request("GET /metrics HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn slow_and_endless_requests_are_cut_off() {
    let site = Site::new();
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(8200));
    let answer = site.request(&endless);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // As many as there are threads say nothing; the next one waits for them, but not for ever.
    let address = site.server.address();
    let silent = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    let clock = Clock::start();
    site.scrape();
    assert!(clock.now() < Duration::from_secs(8), "{:?}", clock.now());
    drop(silent);
}
