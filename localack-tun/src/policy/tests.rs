mod engine;

use core::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::{Actions, DEFAULT, Match, ServiceChoice, written};

fn policies(text: &str) -> Policies {
    let settings = Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    Policies::new(&settings)
}

fn subject(inner: &str, outer: &str, from: Port, traffic_class: u8) -> Subject {
    let end = |text: &str| {
        let at: core::net::SocketAddr = text.parse().unwrap();
        (at.ip(), at.port())
    };
    let ((inner, inner_port), (outer, outer_port)) = (end(inner), end(outer));
    let key = FlowKey::new(inner, inner_port, outer, outer_port, 0);
    Subject::new(key, from, traffic_class)
}

#[test]
fn the_first_that_matches_is_for_a_connection() {
    let policies = policies(
        r#"
        [[policy]]
        name = "web"
        destination_port = [80, 443]
        [[policy]]
        name = "host"
        inner = "10.0.0.7"
        "#,
    );
    let name = |subject: Subject| policies.find(&subject).name().to_owned();
    let (host, other) = ("10.0.0.7:5000", "10.0.0.8:5000");
    assert_eq!(name(subject(host, "192.0.2.1:443", Port::Inner, 0)), "web");
    assert_eq!(name(subject(host, "192.0.2.1:22", Port::Inner, 0)), "host");
    assert_eq!(
        name(subject(other, "192.0.2.1:22", Port::Inner, 0)),
        DEFAULT
    );
    let opened_from_outside = subject(host, "192.0.2.1:443", Port::Outer, 0);
    assert_eq!(name(opened_from_outside), "host");
    let names: Vec<_> = policies.rules().map(Rule::name).collect();
    assert_eq!(names, ["web", "host", DEFAULT]);
}

#[test]
fn a_mapped_address_is_not_in_the_network_of_ipv4() {
    let policies = policies("[[policy]]\nname = \"v4\"\nouter = \"0.0.0.0/0\"");
    let name = |outer| {
        let subject = subject("10.0.0.1:1", outer, Port::Inner, 0);
        policies.find(&subject).name().to_owned()
    };
    assert_eq!(name("192.0.2.1:80"), "v4");
    assert_eq!(name("[::ffff:192.0.2.1]:80"), DEFAULT);
}

#[test]
fn ecn_is_no_part_of_the_code_point() {
    let policies = policies("[[policy]]\nname = \"ef\"\ndscp = \"ef\"");
    let name = |class| {
        let subject = subject("10.0.0.1:1", "192.0.2.1:80", Port::Inner, class);
        policies.find(&subject).name().to_owned()
    };
    for class in 0..=u8::MAX {
        let expected = if class >> 2 == 46 { "ef" } else { DEFAULT };
        assert_eq!(name(class), expected, "{class}");
    }
}

#[test]
fn a_share_is_told_of_another_rate() {
    let vouch = |share: u8, rate: &str| {
        format!(
            "[[policy]]\nname = \"s{share}\"\ncontroller = \"provisioned\"\nshare = {share}\nrate = \"{rate}\"\n"
        )
    };
    let engine = "[engine]\nqueues = 2\n".to_owned();
    let old =
        policies(&(engine.clone() + &vouch(1, "8mbit") + &vouch(2, "8mbit") + &vouch(3, "8mbit")));
    let new = policies(&(engine + &vouch(1, "16mbit") + &vouch(3, "8mbit")));
    assert_eq!(new.rate_changes(&old), [(1, 1_000_000)], "of each queue");
    assert_eq!(old.rate_changes(&old), []);
}

/// The plainest reading of what a policy asks.
fn is_for(matches: &Match, subject: &Subject) -> bool {
    let (inner, outer) = (subject.key.inner(), subject.key.outer());
    let (inner_port, outer_port) = (subject.key.inner_port(), subject.key.outer_port());
    let from_inside = subject.from == Port::Inner;
    let swap = |inner, outer| {
        if from_inside {
            (inner, outer)
        } else {
            (outer, inner)
        }
    };
    let (source, destination) = swap(inner, outer);
    let in_one = |networks: &[ipnet::IpNet], address: IpAddr| {
        networks.is_empty() || networks.iter().any(|network| network.contains(&address))
    };
    let (source_port, destination_port) = if from_inside {
        (inner_port, outer_port)
    } else {
        (outer_port, inner_port)
    };
    let of_one = |ports: &[crate::config::PortRange], port: u16| {
        ports.is_empty()
            || ports.iter().any(|range| {
                let (first, last) = range.bounds();
                (first..=last).contains(&port)
            })
    };
    in_one(&matches.inner, inner)
        && in_one(&matches.outer, outer)
        && in_one(&matches.source, source)
        && in_one(&matches.destination, destination)
        && of_one(&matches.inner_port, inner_port)
        && of_one(&matches.outer_port, outer_port)
        && of_one(&matches.source_port, source_port)
        && of_one(&matches.destination_port, destination_port)
        && matches.from.is_none_or(|from| from == subject.from)
        && (matches.dscp.is_empty() || matches.dscp.contains(&subject.dscp))
}

fn subjects() -> impl Strategy<Value = Subject> {
    let address = || {
        let some = [
            "10.1.0.0",
            "10.1.0.1",
            "10.1.0.2",
            "192.0.2.1",
            "2001:db8::1",
            "2001:db8:0:1::1",
            "fd00::1",
            "::ffff:10.1.0.1",
        ];
        let addresses: Vec<IpAddr> = some.iter().map(|text| text.parse().unwrap()).collect();
        select(addresses)
    };
    let port = || select(vec![0, 1, 80, 81, 443, 444, u16::MAX]);
    let from = select(Port::BOTH.to_vec());
    let class = select(vec![0, 3, 46 << 2, 63 << 2, 7 << 2]);
    (address(), port(), address(), port(), from, class).prop_map(
        |(inner, inner_port, outer, outer_port, from, class)| {
            let key = FlowKey::new(inner, inner_port, outer, outer_port, 0);
            Subject::new(key, from, class)
        },
    )
}

proptest! {
    #[test]
    fn rules_match_as_they_read(
        policies in written::policies(),
        default in written::actions(),
        subjects in proptest::collection::vec(subjects(), 1..20),
    ) {
        let settings = Settings {
            policies,
            default: default.or(&Actions::builtin()),
            arrangements: written::arrangements(),
            ..Settings::default()
        };
        let compiled = Policies::new(&settings);
        for subject in subjects {
            let first = settings.policies.iter().find(|policy| is_for(&policy.matches, &subject));
            let actions = first.map_or(settings.default.clone(), |policy| {
                policy.actions.or(&settings.default)
            });
            let rule = compiled.find(&subject);
            prop_assert_eq!(rule.name(), first.map_or(DEFAULT, |policy| &policy.name));
            let number = |name: &Option<String>| match name.as_deref() {
                Some("plain") => ShapingId::new(1).unwrap(),
                Some("shaped") => ShapingId::new(2).unwrap(),
                _ => ShapingId::NONE,
            };
            let expected = match actions.admit(1) {
                Admit::Pass => Admit::Pass,
                Admit::Adopt(config) => Admit::Adopt(
                    config
                        .with_shaping(Direction::InnerToOuter, number(&actions.arrangement))
                        .with_shaping(Direction::OuterToInner, number(&actions.reverse_arrangement)),
                ),
            };
            prop_assert_eq!(*rule.answer(), expected);
        }
    }

    #[test]
    fn there_and_back_again_changes_nothing(
        [one, other] in [written::policies(), written::policies()],
        subject in subjects(),
    ) {
        let compile = |policies| Policies::new(&Settings {
            policies,
            arrangements: written::arrangements(),
            ..Settings::default()
        });
        let (one, other) = (compile(one), compile(other));
        prop_assert!(one.change(&one, &subject).is_empty());
        let (there, back) = (other.change(&one, &subject), one.change(&other, &subject));
        for direction in Direction::BOTH {
            let (there, back) = (there.direction(direction), back.direction(direction));
            prop_assert_eq!(there.service.is_some(), back.service.is_some());
            prop_assert_eq!(there.shaping.is_some(), back.shaping.is_some());
        }
    }
}

#[test]
fn the_list_of_rules_shows_what_holds() {
    let policies =
        policies("[default]\nservice = \"bypass\"\n[[policy]]\nname = \"a\"\npacing = false");
    let rule = policies.rules().next().unwrap();
    let actions = &rule.settings().actions;
    assert_eq!(actions.inner_to_outer, Some(ServiceChoice::Bypass));
    assert_eq!(actions.pacing, Some(false));
}
