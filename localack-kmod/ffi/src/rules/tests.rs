//! Rules and what they match.

use super::*;
use crate::abi::{LOCALACK_FROM_INNER, LOCALACK_FROM_OUTER, LOCALACK_MOST_RULES};
use crate::convert::is_in;
use std::boxed::Box;

fn key(inner: [u8; 4], outer_port: u16) -> FlowKey {
    FlowKey::new(inner.into(), 50_000, [192, 0, 2, 1].into(), outer_port, 0)
}

fn rules() -> Box<Rules> {
    Box::new(Rules::new())
}

fn marked(rules: &Rules, key: &FlowKey) -> u32 {
    rules.table().find(key, Port::Inner, 0).1.buffer_limit
}

fn rule(network: [u8; 4], bits: u8, ports: [u16; 2], mark: u32) -> Rule {
    let mut inner = [0; 16];
    inner[..4].copy_from_slice(&network);
    Rule {
        version: 4,
        inner,
        inner_bits: bits,
        inner_ports: [0, u16::MAX],
        outer_ports: ports,
        serving: Serving {
            adopt: 1,
            buffer_limit: mark,
            ..Serving::default()
        },
        ..Rule::default()
    }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let mut rules = rules();
    assert!(rules.replace(&[
        rule([10, 1, 0, 0], 16, [80, 90], 1),
        rule([10, 0, 0, 0], 8, [0, u16::MAX], 2),
    ]));
    for (inner, port, mark) in [
        ([10, 1, 2, 3], 80, 1),
        ([10, 1, 2, 3], 90, 1),
        ([10, 1, 2, 3], 91, 2),
        ([10, 2, 2, 3], 80, 2),
        ([11, 1, 2, 3], 80, 0),
    ] {
        assert_eq!(marked(&rules, &key(inner, port)), mark);
    }
    assert!(rules.replace(&[]));
    assert_eq!(
        rules
            .table()
            .find(&key([10, 1, 2, 3], 80), Port::Inner, 0)
            .1
            .adopt,
        0
    );
}

#[test]
fn what_means_nothing_changes_nothing() {
    let mut rules = rules();
    let good = rule([10, 0, 0, 0], 8, [0, 9], 7);
    assert!(rules.replace(&[good]));
    for bad in [
        Rule { version: 5, ..good },
        Rule { from: 3, ..good },
        Rule {
            serving: Serving {
                arrangement: [0, 16],
                ..good.serving
            },
            ..good
        },
        Rule {
            inner_bits: 33,
            ..good
        },
        Rule {
            outer_ports: [9, 8],
            ..good
        },
        Rule {
            serving: Serving {
                controller: 9,
                ..good.serving
            },
            ..good
        },
        Rule {
            serving: Serving {
                ack_delay_us: 10_001,
                ..good.serving
            },
            ..good
        },
    ] {
        assert!(!rules.replace(&[good, bad]), "{bad:?}");
    }
    assert!(!rules.replace(&[good; LOCALACK_MOST_RULES + 1]));
    assert_eq!(rules.table().count_of_rules(), 1);
    assert!(!rules.serve_rest(&Serving {
        inner_to_outer: 3,
        ..Serving::default()
    }));
}

#[test]
fn networks_have_edges() {
    let six = "2001:db8:0:8000::".parse().unwrap();
    let net = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
    assert!(is_in(six, &net("2001:db8::"), 48));
    assert!(!is_in(six, &net("2001:db8::"), 49));
    assert!(is_in(six, &net("2001:db8:0:8000::"), 128));
    assert!(is_in([1, 2, 3, 4].into(), &[9; 16], 0));
    assert!(!is_in([1, 2, 3, 4].into(), &[1; 16], 64));
}

#[test]
fn the_side_that_opens_and_its_code_point_are_asked_for() {
    let mut rules = rules();
    let any = rule([0, 0, 0, 0], 0, [0, u16::MAX], 0);
    let with = |from, dscp, mark| Rule {
        from,
        dscp,
        serving: Serving {
            buffer_limit: mark,
            ..any.serving
        },
        ..any
    };
    assert!(rules.replace(&[
        with(LOCALACK_FROM_OUTER, 0, 1),
        with(LOCALACK_FROM_INNER, 1 << 46, 2),
        with(0, 1 << 63 | 1, 3),
    ]));
    let key = key([10, 1, 2, 3], 80);
    for (from, class, mark) in [
        (Port::Outer, 46 << 2, 1),
        (Port::Inner, 46 << 2 | 3, 2),
        (Port::Inner, 63 << 2, 3),
        (Port::Inner, 3, 3),
        (Port::Inner, 45 << 2, 0),
    ] {
        let found = rules.table().find(&key, from, class).1.buffer_limit;
        assert_eq!(found, mark, "{from:?} {class}");
    }
}

#[test]
fn arrangements_stay_when_only_rules_are_replaced() {
    let mut rules = rules();
    let thin = Arrangement {
        ack_interval_us: 20_000,
        ..Arrangement::default()
    };
    assert!(rules.arrange(1, &thin) && !rules.arrange(0, &thin) && !rules.arrange(16, &thin));
    let slow = Arrangement {
        ack_interval_us: 500_001,
        ..thin
    };
    assert!(!rules.arrange(1, &slow));
    assert!(rules.replace(&[]));
    let id = ShapingId::new(1).unwrap();
    assert_eq!(rules.table().arranged(id).unwrap().arrangement, thin);
}
