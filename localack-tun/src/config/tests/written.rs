//! Settings at random, and what becomes of them when they are written and read.

use core::time::Duration;

use localack_core::{Custody, Port};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::example_in_full;

fn vouched() -> impl Strategy<Value = ControllerChoice> {
    (1_u32..1000, 0_u8..16, any::<bool>()).prop_map(|(rate, share, bounded)| {
        // The rate of a share is always the same.
        let mbit = |number| format!("{number}mbit").parse::<Rate>().unwrap();
        let mut vouched = Vouched::new(mbit(1000 + u32::from(share)));
        vouched.share = share;
        vouched.floor = bounded.then(|| mbit(rate));
        vouched.ceiling = bounded.then(|| mbit(rate + 1));
        ControllerChoice::Provisioned(vouched)
    })
}

fn controller() -> impl Strategy<Value = ControllerChoice> {
    let plain = [
        ControllerChoice::Reno,
        ControllerChoice::Cubic,
        ControllerChoice::Bbr,
    ];
    prop_oneof![select(plain.to_vec()), vouched()]
}

pub(crate) fn actions() -> impl Strategy<Value = Actions> {
    let flag = || option::of(any::<bool>());
    let services = vec![
        ServiceChoice::LocalAck,
        ServiceChoice::Snoop,
        ServiceChoice::Bypass,
    ];
    let names = vec!["plain", "shaped", NO_ARRANGEMENT];
    let arrangement = move || option::of(select(names.clone()).prop_map(str::to_owned));
    let service = || option::of(select(services.clone()));
    let controller = || option::of(controller());
    let custodies = vec![Custody::AfterProof, Custody::AfterHandshake];
    let numbers = (option::of(1_u32..64), option::of(0_u64..10_000));
    (
        [flag(), flag(), flag()],
        ([service(), service()], [arrangement(), arrangement()]),
        [controller(), controller()],
        option::of(select(custodies)),
        numbers,
    )
        .prop_map(
            |(flags, (services, arranged), controllers, custody, (pages, delay))| {
                let mut actions = Actions::default();
                [actions.arrangement, actions.reverse_arrangement] = arranged;
                [
                    actions.pacing,
                    actions.careful_resume,
                    actions.allow_dont_fragment,
                ] = flags;
                [actions.inner_to_outer, actions.outer_to_inner] = services;
                [actions.controller, actions.reverse_controller] = controllers;
                let is_arranged = |name: &Option<String>| {
                    name.as_deref().is_some_and(|name| name != NO_ARRANGEMENT)
                };
                if services == [Some(ServiceChoice::Bypass); 2]
                    && !is_arranged(&actions.arrangement)
                    && !is_arranged(&actions.reverse_arrangement)
                {
                    actions.track = Some(false);
                }
                actions.custody = custody;
                actions.buffer = pages.map(|pages| pages << 14);
                actions.ack_delay = delay.map(Duration::from_micros);
                actions
            },
        )
}

/// The arrangements that these actions name; only one that they do not name has a service.
pub(crate) fn arrangements() -> Vec<ArrangementSettings> {
    let mut all = ["plain", "shaped", "served"].map(ArrangementSettings::new);
    let [_, shaped, served] = &mut all;
    shaped.rate_limit = "3mbit".parse().ok();
    shaped.ack_interval = Some(Duration::from_millis(20));
    shaped.mss_clamp = Some(1000);
    served.service = Some(ServiceChoice::Snoop);
    all.into()
}

/// Matches of a small world, in which connections often fall under them.
pub(crate) fn matches() -> impl Strategy<Value = Match> {
    let networks = || {
        let some = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/31",
            "10.1.0.1",
            "::/0",
            "2001:db8::/32",
            "2001:db8:0:1::/64",
            "2001:db8::1",
        ];
        let one = select(some.map(|text| prefix(text).unwrap()).to_vec());
        prop_oneof![3 => Just(Vec::new()), 2 => vec(one, 1..4)]
    };
    let ports = || {
        let some = ["80", "81-443", "443", "1-65535", "65535"];
        let one = select(some.map(|text| text.parse().unwrap()).to_vec());
        prop_oneof![3 => Just(Vec::new()), 1 => vec(one, 1..3)]
    };
    let dscp = select(vec![0, 46, 63]).prop_map(|number| Dscp::new(number).unwrap());
    (
        [networks(), networks(), networks(), networks()],
        [ports(), ports(), ports(), ports()],
        option::of(select(Port::BOTH.to_vec())),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(dscp, 1..3)],
    )
        .prop_map(|(networks, ports, from, dscp)| {
            let mut matches = Match::default();
            let [inner, outer, source, destination] = networks;
            (matches.inner, matches.outer) = (inner, outer);
            (matches.source, matches.destination) = (source, destination);
            let [inner, outer, source, destination] = ports;
            (matches.inner_port, matches.outer_port) = (inner, outer);
            (matches.source_port, matches.destination_port) = (source, destination);
            (matches.from, matches.dscp) = (from, dscp);
            matches
        })
}

pub(crate) fn policies() -> impl Strategy<Value = Vec<PolicySettings>> {
    vec((matches(), actions()), 0..6).prop_map(|policies| {
        let named = |(index, (matches, actions))| PolicySettings {
            name: format!("p{index}"),
            matches,
            actions,
        };
        policies.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        policies in policies(),
        default in actions(),
        interfaces in option::of(Just(["in0".to_owned(), "out0".to_owned()])),
        (flows, queues, idle) in (256_u32..1 << 24, 1_u16..=64, 1_000..100_000_000_u64),
    ) {
        let mut settings = Settings {
            policies,
            default: default.completed(&Actions::builtin()),
            arrangements: arrangements(),
            ..Settings::default()
        };
        if let Some([inner, outer]) = interfaces {
            (settings.inner, settings.outer) = (Some(inner), Some(outer));
            settings.metrics = "[::1]:9180".parse().ok();
            settings.control = None;
        } else if queues % 2 == 0 {
            let side = if flows % 2 == 0 { Port::Inner } else { Port::Outer };
            settings.port = Some((side, "vnet0".to_owned()));
        } else if flows % 2 == 0 {
            settings.host = true;
            settings.outer = Some("out0".to_owned());
        }
        (settings.engine.flows, settings.engine.queues) = (flows, queues);
        settings.engine.idle_time = Duration::from_millis(idle);
        let text = settings.to_toml();
        match Settings::parse(&text) {
            Ok(again) => prop_assert_eq!(again, settings, "{}", text),
            Err(problems) => prop_assert!(false, "{}\n{}", problems, text),
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        lines in vec(select(example_in_full().lines().map(str::to_owned).collect::<Vec<_>>()), 0..20),
        cut in any::<proptest::sample::Index>(),
        with in "\\PC{0,3}",
    ) {
        let mut text = lines.join("\n");
        let at = cut.index(text.len() + 1);
        let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.insert_str(at, &with);
        if let Err(problems) = Settings::parse(&text) {
            prop_assert!(!problems.0.is_empty() && !problems.to_string().is_empty());
        }
    }
}
