//! What is wrong is told, with its place.

use super::super::{Problems, Settings};
use super::parse;

/// The problems of a text, each as `LINE:COLUMN: MESSAGE`.
fn problems(text: &str) -> Vec<String> {
    let Err(Problems(problems)) = Settings::parse(text) else {
        panic!("accepted: {text}");
    };
    problems
        .iter()
        .map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))
        .collect()
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    let cases = [
        (
            "\n[engin]\n",
            "2:2: unknown key `engin` in the file; did you mean `engine`?",
        ),
        (
            "[engine]\n  idle-time = 1",
            "2:3: unknown key `idle-time` in [engine]; did you mean `idle_time`?",
        ),
        (
            "[inner]\nname = 1",
            "2:1: unknown key `name` in [inner]; the keys are interface, port, host",
        ),
        (
            "[metrics]\nlisen = 1",
            "2:1: unknown key `lisen` in [metrics]; did you mean `listen`?",
        ),
        (
            "[control]\npath = 1",
            "2:1: unknown key `path` in [control]; the keys are socket",
        ),
        (
            "[log]\nlevle = 1",
            "2:1: unknown key `levle` in [log]; did you mean `level`?",
        ),
        (
            "[default]\nport = 1",
            "2:1: unknown key `port` in [default]; the keys are track, service, inner_to_outer, outer_to_inner, arrangement, reverse_arrangement, controller, rate, share, floor, ceiling, reverse_controller, reverse_rate, reverse_share, reverse_floor, reverse_ceiling, custody, pacing, careful_resume, buffer, ack_delay, allow_dont_fragment",
        ),
        (
            "[[policy]]\nname = \"a\"\ndcsp = 1",
            "3:1: unknown key `dcsp` in [[policy]]; did you mean `dscp`?",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn what_is_not_toml_is_refused_at_its_place() {
    let told = problems("[engine]\nflows = \nqueues = 2");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("2:"), "{told:?}");
    let twice = problems("[log]\n[engine]\n[log]");
    assert!(twice[0].starts_with("3:"), "{twice:?}");
}

#[test]
fn everything_is_told_at_once_in_the_order_of_lines() {
    let told = problems("[default]\npacing = 1\n[engine]\nflows = 0\nqueues = \"two\"\n");
    assert_eq!(
        told,
        [
            "2:10: `pacing`: expected true or false, found a number",
            "4:9: `flows`: 0 is not between 1 and 16777216",
            "5:10: `queues`: expected a whole number, found a string",
        ]
    );
}

/// Checks problems of texts of one line within a table.
fn refused(table: &str, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let told = problems(&format!("{table}\n{line}"));
        assert_eq!(told, [format!("2:{expected}")], "{line}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    refused(
        "[engine]",
        &[
            (
                "flows = 1.5",
                "9: `flows`: expected a whole number, found a number with a fraction",
            ),
            (
                "prefault = \"yes\"",
                "12: `prefault`: expected true or false, found a string",
            ),
            (
                "debt_time = 3",
                "13: `debt_time`: expected a time such as \"300ms\", found a number",
            ),
            (
                "buffer = true",
                "10: `buffer`: expected a number of octets such as \"64mib\", found true or false",
            ),
            (
                "buffer = \"64mibs\"",
                "10: `buffer`: \"64mibs\" is not a number of octets such as \"64mib\"; the units are kb, mb, gb, tb, kib, mib, gib, tib",
            ),
            (
                "debt_time = \"3\"",
                "13: `debt_time`: \"3\" is not a time such as \"300ms\"; the units are ns, us, ms, s, min, h, d",
            ),
        ],
    );
    refused(
        "[log]",
        &[
            (
                "format = []",
                "10: `format`: expected a string, found a list",
            ),
            (
                "level = 1979-05-27",
                "9: `level`: expected a string, found a date",
            ),
            (
                "level = \"wran\"",
                "9: `level`: \"wran\" is none of error, warn, info, debug, trace; did you mean \"warn\"?",
            ),
        ],
    );
    assert_eq!(
        problems("engine = 1"),
        ["1:10: `engine` is a table: [engine]"]
    );
    let wanted = "`policy` is a list of tables: [[policy]]";
    assert_eq!(problems("policy = 1"), [format!("1:10: {wanted}")]);
    assert_eq!(problems("policy = [1]"), [format!("1:11: {wanted}")]);
    assert_eq!(problems("[policy]\n"), [format!("1:1: {wanted}")]);
}

#[test]
fn limits_of_the_engine_have_ranges() {
    refused(
        "[engine]",
        &[
            (
                "flows = 16777217",
                "9: `flows`: 16777217 is not between 1 and 16777216",
            ),
            ("flows = -1", "9: `flows`: -1 is not between 1 and 16777216"),
            (
                "buffer = \"4095kib\"",
                "10: `buffer`: 4095kib is not between 4mib and 1tib",
            ),
            (
                "buffer = \"1025gib\"",
                "10: `buffer`: 1025gib is not between 4mib and 1tib",
            ),
            (
                "block = 511",
                "9: `block`: 511 is not between 512 and 32kib",
            ),
            (
                "block = \"33kib\"",
                "9: `block`: 33kib is not between 512 and 32kib",
            ),
            (
                "networks = 1048577",
                "12: `networks`: 1048577 is not between 0 and 1048576",
            ),
            ("queues = 0", "10: `queues`: 0 is not between 1 and 256"),
            ("queues = 257", "10: `queues`: 257 is not between 1 and 256"),
            (
                "reserved_blocks = 0",
                "19: `reserved_blocks`: 0 is not between 1 and 1024",
            ),
            (
                "handshake_share = 0",
                "19: `handshake_share`: 0 is not between 1 and 100",
            ),
            (
                "handshake_share = 101",
                "19: `handshake_share`: 101 is not between 1 and 100",
            ),
            (
                "debt_floor = \"1gib\"",
                "14: `debt_floor`: 1gib is not between 0 and 512mib",
            ),
            (
                "queue_floor = \"1gib\"",
                "15: `queue_floor`: 1gib is not between 0 and 512mib",
            ),
            (
                "queue_floor = -1",
                "15: `queue_floor`: -1 is not a number of octets",
            ),
            (
                "debt_time = \"9ms\"",
                "13: `debt_time`: 9ms is not between 10ms and 30min",
            ),
            (
                "reset_patience = \"1h\"",
                "18: `reset_patience`: 1h is not between 0s and 30min",
            ),
            (
                "drain_patience = \"1h\"",
                "18: `drain_patience`: 1h is not between 0s and 30min",
            ),
            ("hold = \"1h\"", "8: `hold`: 1h is not between 0s and 30min"),
            (
                "drain_deadline = \"1h\"",
                "18: `drain_deadline`: 1h is not between 0s and 30min",
            ),
            (
                "tombstone_time = \"1h\"",
                "18: `tombstone_time`: 1h is not between 0s and 30min",
            ),
            (
                "give_up_after = \"99s\"",
                "17: `give_up_after`: 99s is not between 100s and 30min",
            ),
            (
                "give_up_after = \"1h\"",
                "17: `give_up_after`: 1h is not between 100s and 30min",
            ),
            (
                "handshake_time = \"0s\"",
                "18: `handshake_time`: 0s is not between 1s and 30min",
            ),
            (
                "idle_time = \"31d\"",
                "13: `idle_time`: 31d is not between 1s and 30d",
            ),
            (
                "closing_time = \"31d\"",
                "16: `closing_time`: 31d is not between 1s and 30d",
            ),
            (
                "rto_min = \"0s\"",
                "11: `rto_min`: 0s is not between 1ms and 30min",
            ),
            (
                "rto_min = \"61s\"",
                "11: `rto_min` is longer than `rto_max`",
            ),
            (
                "rto_max = \"100ms\"",
                "11: `rto_min` is longer than `rto_max`",
            ),
            (
                "demotion_hold = \"1h\"",
                "17: `demotion_hold`: 1h is not between 0s and 30min",
            ),
        ],
    );
}

#[test]
fn every_queue_needs_its_part() {
    assert_eq!(
        problems("[engine]\nqueues = 8\nflows = 7"),
        ["3:9: `flows`: 8 queues need a flow each at least"]
    );
    assert_eq!(
        problems("[engine]\nqueues = 8\nbuffer = \"31mib\""),
        ["3:10: `buffer`: 8 queues need 32mib at least"]
    );
    assert_eq!(
        problems("[engine]\nbuffer = \"4mib\"\nblock = \"32kib\"\nreserved_blocks = 129"),
        ["4:19: `reserved_blocks`: a queue has no more than 128 blocks"]
    );
    assert_eq!(
        problems("[engine]\nbuffer = \"32mib\"\nqueues = 8\n[default]\nbuffer = \"5mib\""),
        ["5:10: `buffer`: 5mib is more than a queue has: 4mib"]
    );
}

#[test]
fn places_that_others_reach_are_checked() {
    let name = "is not an interface: 1 to 15 characters, no '/', ':', '%' or space";
    refused(
        "[inner]",
        &[
            ("interface = \"\"", &format!("13: `interface`: \"\" {name}")),
            (
                "interface = \"a b\"",
                &format!("13: `interface`: \"a b\" {name}"),
            ),
            (
                "interface = \"0123456789abcdef\"",
                &format!("13: `interface`: \"0123456789abcdef\" {name}"),
            ),
        ],
    );
    assert_eq!(
        problems("[inner]\ninterface = \"a\"\n[outer]\ninterface = \"a\""),
        ["4:13: `interface`: the inner and the outer interface are the same"]
    );
    assert_eq!(
        problems("[inner]\nport = \"a\"\n[outer]\nport = \"b\""),
        ["4:8: `port`: one port is taken from its bridge, on the inner or on the outer side"]
    );
    assert_eq!(
        problems("[inner]\nport = \"a\"\n[outer]\ninterface = \"b\""),
        ["2:8: `port`: it takes the place of the interfaces; leave out `interface`"]
    );
    for other in ["interface", "port"] {
        assert_eq!(
            problems(&format!("[inner]\n{other} = \"a\"\nhost = true")),
            [
                "3:8: `host`: this machine is the inner side then; leave out its `interface`, and `port`"
            ]
        );
    }
    assert_eq!(
        problems("[outer]\nhost = true"),
        ["2:1: unknown key `host` in [outer]; the keys are interface, port"]
    );
    let listen = "is not a port, an address with a port such as \"127.0.0.1:9180\", or \"off\"";
    refused(
        "[metrics]",
        &[
            ("listen = 0", "10: `listen`: 0 is not between 1 and 65535"),
            (
                "listen = \"::1\"",
                &format!("10: `listen`: \"::1\" {listen}"),
            ),
            (
                "listen = false",
                "10: `listen`: expected a port, an address with a port, or \"off\", found true or false",
            ),
        ],
    );
    assert_eq!(
        parse("[metrics]\nlisten = \"[::1]:9180\"").metrics,
        "[::1]:9180".parse().ok()
    );
    let long = format!("/{}", "x".repeat(107));
    refused(
        "[control]",
        &[
            (
                "socket = \"x.sock\"",
                "10: `socket`: \"x.sock\" is not an absolute path, or \"off\"",
            ),
            (
                &format!("socket = \"{long}\""),
                "10: `socket`: a socket's path has at most 107 octets",
            ),
        ],
    );
}

#[test]
fn what_a_policy_matches_is_checked() {
    let cases = [
        (
            "inner = \"10.0.0.1/8\"",
            "9: `inner`: \"10.0.0.1/8\" has bits beyond its prefix; the network is \"10.0.0.0/8\"",
        ),
        (
            "outer = [\"::/0\", \"lan\"]",
            "18: `outer`: \"lan\" is not a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ),
        (
            "source = []",
            "10: `source`: an empty list would match nothing",
        ),
        (
            "destination = 7",
            "15: `destination`: expected a string, found a number",
        ),
        (
            "inner_port = [80, 0]",
            "19: `inner_port`: 0 is not between 1 and 65535",
        ),
        (
            "outer_port = \"80, http\"",
            "14: `outer_port`: \"http\" is not a port or a range such as \"8000-8100\", within 1 to 65535",
        ),
        (
            "source_port = \"9-8\"",
            "15: `source_port`: \"9-8\" is not a port or a range such as \"8000-8100\", within 1 to 65535",
        ),
        (
            "destination_port = true",
            "20: `destination_port`: expected a port or a range of ports, found true or false",
        ),
        (
            "from = \"iner\"",
            "8: `from`: \"iner\" is none of inner, outer; did you mean \"inner\"?",
        ),
        (
            "dscp = [\"ef\", 64]",
            "15: `dscp`: 64 is not between 0 and 63",
        ),
        (
            "dscp = \"expedited\"",
            "8: `dscp`: \"expedited\" is not a code point: 0 to 63, or a name such as \"ef\" or \"af41\"",
        ),
    ];
    for (line, expected) in cases {
        let told = problems(&format!("[[policy]]\nname = \"a\"\n{line}"));
        assert_eq!(told, [format!("3:{expected}")], "{line}");
    }
}

#[test]
fn what_a_policy_does_is_checked() {
    refused(
        "[default]",
        &[
            (
                "service = \"snop\"",
                "11: `service`: \"snop\" is none of local-ack, snoop, bypass; did you mean \"snoop\"?",
            ),
            (
                "outer_to_inner = \"localack\"",
                "18: `outer_to_inner`: \"localack\" is none of local-ack, snoop, bypass; did you mean \"local-ack\"?",
            ),
            (
                "custody = \"now\"",
                "11: `custody`: \"now\" is none of after-proof, after-handshake",
            ),
            (
                "buffer = \"15kib\"",
                "10: `buffer`: 15kib is not between 16kib and 512mib",
            ),
            (
                "ack_delay = \"11ms\"",
                "13: `ack_delay`: 11ms is not between 0s and 10ms",
            ),
            (
                "pacing = \"on\"",
                "10: `pacing`: expected true or false, found a string",
            ),
            (
                "controller = \"provisioned\"",
                "14: `controller`: \"provisioned\" needs a rate that you vouch for, such as rate = \"20mbit\"",
            ),
            (
                "reverse_controller = \"provisioned\"",
                "22: `reverse_controller`: \"provisioned\" needs a rate that you vouch for, such as reverse_rate = \"20mbit\"",
            ),
            (
                "rate = \"20mbit\"",
                "1: `rate` needs controller = \"provisioned\" beside it",
            ),
            (
                "reverse_share = 1",
                "1: `reverse_share` needs reverse_controller = \"provisioned\" beside it",
            ),
        ],
    );
    let vouch =
        |lines: &str| problems(&format!("[default]\ncontroller = \"provisioned\"\n{lines}"));
    assert_eq!(
        vouch("rate = 20"),
        ["3:8: `rate`: expected a rate such as \"20mbit\", found a number"]
    );
    assert_eq!(
        vouch("rate = \"7kbit\""),
        ["3:8: `rate`: 7kbit is not between 8kbit and 32gbit"]
    );
    assert_eq!(
        vouch("rate = \"1mbit\"\nshare = 16"),
        ["4:9: `share`: 16 is not between 0 and 15"]
    );
    assert_eq!(
        vouch("rate = \"1mbit\"\nfloor = \"2mbit\""),
        ["4:9: `floor`: 2mbit is more than 1mbit, the most allowed"]
    );
    assert_eq!(
        vouch("rate = \"9mbit\"\nceiling = \"1mbit\"\nfloor = \"2mbit\""),
        ["5:9: `floor`: 2mbit is more than 1mbit, the most allowed"]
    );
    assert_eq!(
        problems("[default]\ncontroller = \"cubic\"\nceiling = \"1mbit\""),
        ["3:1: `ceiling` needs controller = \"provisioned\" beside it"]
    );
    assert_eq!(
        problems("[default]\nservice = \"bypass\"\ninner_to_outer = \"bypass\""),
        ["3:1: `inner_to_outer` and `service` are the same: give one of them"]
    );
    assert_eq!(
        problems("[default]\nservice = \"local-ack\"\ntrack = false"),
        ["3:1: `track`: what is served must be tracked"]
    );
}

#[test]
fn names_tell_policies_apart() {
    assert_eq!(
        problems("\n[[policy]]\nservice = \"bypass\""),
        ["2:1: this policy has no `name`, such as name = \"backups\""]
    );
    refused(
        "[[policy]]",
        &[
            (
                "name = \"a b\"",
                "8: `name`: \"a b\" is not a name of 1 to 64 letters, digits, '-', '_' and '.'",
            ),
            (
                "name = \"\"",
                "8: `name`: \"\" is not a name of 1 to 64 letters, digits, '-', '_' and '.'",
            ),
            (
                "name = \"default\"",
                "8: `name`: \"default\" is the name of what no policy is for: see the table [default]",
            ),
        ],
    );
    assert_eq!(
        problems("[[policy]]\nname = \"a\"\n[[policy]]\nname = \"a\""),
        ["4:8: `name`: another policy is called \"a\" too"]
    );
}

#[test]
fn what_an_arrangement_does_is_checked() {
    let cases = [
        (
            "service = \"snop\"",
            "11: `service`: \"snop\" is none of local-ack, snoop, bypass; did you mean \"snoop\"?",
        ),
        (
            "rate_limit = \"7kbit\"",
            "14: `rate_limit`: 7kbit is not between 8kbit and 32gbit",
        ),
        (
            "ack_interval = \"501ms\"",
            "16: `ack_interval`: 501ms is not between 10us and 500ms",
        ),
        (
            "ack_interval = 20",
            "16: `ack_interval`: expected a time such as \"300ms\", found a number",
        ),
        (
            "mss_clamp = 63",
            "13: `mss_clamp`: 63 is not between 64 and 65535",
        ),
        (
            "mss_clam = 1400",
            "1: unknown key `mss_clam` in [[arrangement]]; did you mean `mss_clamp`?",
        ),
        (
            "rate = \"1mbit\"",
            "1: unknown key `rate` in [[arrangement]]; the keys are name, service, rate_limit, ack_interval, mss_clamp",
        ),
    ];
    for (line, expected) in cases {
        let told = problems(&format!("[[arrangement]]\nname = \"a\"\n{line}"));
        assert_eq!(told, [format!("3:{expected}")], "{line}");
    }
}

#[test]
fn names_tell_arrangements_apart_and_there_are_not_many() {
    assert_eq!(
        problems("\n[[arrangement]]\nservice = \"snoop\""),
        ["2:1: this arrangement has no `name`, such as name = \"radio\""]
    );
    refused(
        "[[arrangement]]",
        &[
            (
                "name = \"a b\"",
                "8: `name`: \"a b\" is not a name of 1 to 64 letters, digits, '-', '_' and '.'",
            ),
            (
                "name = \"none\"",
                "8: `name`: \"none\" is what a policy says that has no arrangement",
            ),
        ],
    );
    assert_eq!(
        problems("[[arrangement]]\nname = \"a\"\n[[arrangement]]\nname = \"a\""),
        ["4:8: `name`: another arrangement is called \"a\" too"]
    );
    let some = |count: usize| -> String {
        (0..count)
            .map(|number| format!("[[arrangement]]\nname = \"a{number}\"\n"))
            .collect()
    };
    assert_eq!(parse(&some(15)).arrangements.len(), 15);
    assert_eq!(
        problems(&some(16)),
        ["31:1: `arrangement`: there are 15 at most"]
    );
}

#[test]
fn a_policy_names_arrangements_that_there_are() {
    let radio = "[[arrangement]]\nname = \"radio\"\n";
    assert_eq!(
        problems(&format!("{radio}[default]\narrangement = \"raido\"")),
        ["4:15: `arrangement`: no [[arrangement]] is called \"raido\"; did you mean \"radio\"?"]
    );
    assert_eq!(
        problems(&format!(
            "{radio}[[policy]]\nname = \"a\"\nreverse_arrangement = \"cable\""
        )),
        ["5:23: `reverse_arrangement`: no [[arrangement]] is called \"cable\"; there are radio"]
    );
    assert_eq!(
        problems("[default]\narrangement = \"cable\""),
        [
            "2:15: `arrangement`: no [[arrangement]] is called \"cable\"; there are no tables [[arrangement]]"
        ]
    );
    // What is wrong about an arrangement is told once.
    assert_eq!(
        problems(&format!(
            "{radio}mss_clamp = 1\n[default]\narrangement = \"radio\""
        )),
        ["3:13: `mss_clamp`: 1 is not between 64 and 65535"]
    );
}

#[test]
fn a_service_is_named_once() {
    let radio = "[[arrangement]]\nname = \"radio\"\nservice = \"snoop\"\n";
    for (keys, place, key) in [
        ("service = \"bypass\"\narrangement", "6:15", "service"),
        (
            "inner_to_outer = \"snoop\"\narrangement",
            "6:15",
            "inner_to_outer",
        ),
        (
            "outer_to_inner = \"snoop\"\nreverse_arrangement",
            "6:23",
            "outer_to_inner",
        ),
    ] {
        let name = keys.split('\n').nth(1).unwrap();
        assert_eq!(
            problems(&format!("{radio}[default]\n{keys} = \"radio\"")),
            [format!(
                "{place}: `{name}`: \"radio\" names a service, too: leave out `{key}`"
            )]
        );
    }
    assert_eq!(
        problems(&format!(
            "{radio}[default]\ntrack = false\narrangement = \"radio\""
        )),
        ["5:1: `track`: what is served must be tracked"]
    );
    // The other direction's service is another matter.
    parse(&format!(
        "{radio}[default]\nservice = \"bypass\"\nreverse_arrangement = \"radio\""
    ));
}

#[test]
fn a_share_has_one_rate() {
    let policy = |name: &str, share: u8, rate: &str| {
        format!(
            "[[policy]]\nname = \"{name}\"\ncontroller = \"provisioned\"\nshare = {share}\nrate = \
             \"{rate}\"\n"
        )
    };
    let a = policy("a", 3, "1mbit");
    parse(
        &[
            a.clone(),
            policy("b", 3, "1000kbit"),
            policy("c", 4, "2mbit"),
        ]
        .concat(),
    );
    assert_eq!(
        problems(&[a, policy("b", 3, "2mbit")].concat()),
        [
            "10:8: share 3 is 1mbit in policy \"a\" and 2mbit in policy \"b\"; give one of them \
             another share"
        ]
    );
}

#[test]
fn a_share_has_one_rate_for_both_directions_and_for_the_default() {
    let both = "[default]\ncontroller = \"provisioned\"\nrate = \"2mbit\"\n\
                reverse_controller = \"provisioned\"\nreverse_rate = \"1mbit\"";
    assert_eq!(
        problems(both),
        [
            "5:16: share 0 is 2mbit in policy \"default\" and 1mbit in policy \"default\"; give one \
             of them another share"
        ]
    );
    parse(&both.replace("reverse_rate", "reverse_share = 1\nreverse_rate"));
    let policy = "\n[[policy]]\nname = \"a\"\ncontroller = \"provisioned\"\nrate = \"3mbit\"";
    let default = "[default]\ncontroller = \"provisioned\"\nrate = \"2mbit\"";
    assert_eq!(
        problems(&format!("{default}{policy}")),
        [
            "3:8: share 0 is 3mbit in policy \"a\" and 2mbit in policy \"default\"; give one of them \
             another share"
        ]
    );
}
