mod refused;
pub(crate) mod written;

use core::time::Duration;
use std::collections::BTreeSet;

use super::*;
use localack_core::{
    Admit, BlockSlot, Config, ConfigError, Controller, Custody, Engine, EngineHead, FlowConfig,
    FlowSlot, IndexSlot, PathSlot, Port, Service, Shaping, Storage,
};

const EXAMPLE: &str = include_str!("../../examples/localack-tun.toml");

fn parse(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The example with every setting in force that it only shows.
fn example_in_full() -> String {
    let shown = |line: &str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            setting.to_owned()
        }
        _ => line.to_owned(),
    };
    let lines: Vec<_> = EXAMPLE.lines().map(shown).collect();
    lines.join("\n")
}

/// The example in full but for one of two keys that exclude each other.
fn example_without(key: &str) -> Settings {
    let example = example_in_full();
    let lines = example.lines().filter(|line| !line.starts_with(key));
    parse(&lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_example_states_the_defaults() {
    assert_eq!(parse(EXAMPLE), Settings::default());
    assert_eq!(parse(""), Settings::default());
}

#[test]
fn what_the_example_shows_is_accepted() {
    let bridged = example_without("interface =");
    assert_eq!(bridged.port, Some((Port::Inner, "vnet0".to_owned())));
    let settings = example_without("port =");
    let names: Vec<_> = settings.policies.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["backups", "voice"]);
    assert_eq!(settings.inner.as_deref(), Some("eth0"));
}

#[test]
fn the_example_has_every_key() {
    let document = example_in_full();
    let words: BTreeSet<_> = document
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['=', ']']).next())
        .map(|word| word.trim_matches(['[', ' ']))
        .collect();
    let lists = [
        KEYS,
        INNER_KEYS,
        OUTER_KEYS,
        METRICS_KEYS,
        CONTROL_KEYS,
        LOG_KEYS,
        engine::KEYS,
        arrangement::KEYS,
        &actions::KEYS,
        policy::KEYS,
    ];
    for key in lists.concat() {
        assert!(words.contains(key), "{key} is not in the example");
    }
}

#[test]
fn the_defaults_are_those_of_the_engine() {
    let settings = Settings::default();
    let config = settings.engine.config([1, 2], [1500, 1400]);
    let mut expected = Config::new([1, 2]);
    expected.mtu = [1500, 1400];
    assert_eq!(config, expected);
}

#[test]
fn the_defaults_are_as_documented() {
    let settings = Settings::default();
    let engine = &settings.engine;
    assert_eq!((engine.flows, engine.buffer), (65_536, 256 << 20));
    assert_eq!((engine.block, engine.networks), (1536, 16_384));
    assert_eq!(engine.queues, 1);
    assert_eq!((engine.lock_memory, engine.prefault), (false, true));
    assert_eq!((settings.inner, settings.outer), (None, None));
    assert_eq!(settings.metrics, None);
    assert_eq!(settings.control, Some("/run/localack-tun.sock".into()));
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.log_level, LogLevel::Info);
    let Admit::Adopt(config) = settings.default.admit(1) else {
        panic!("connections are followed");
    };
    assert_eq!(config.inner_to_outer, Service::LocalAck);
    assert_eq!(config.outer_to_inner, Service::Bypass);
    assert_eq!(config.controller, Controller::Bbr);
    assert_eq!(config.inward_controller, Controller::Cubic);
    assert_eq!(config.custody, Custody::AfterProof);
    assert_eq!((config.pacing, config.careful_resume), (true, false));
    assert_eq!(config.buffer_limit, 4 << 20);
    assert_eq!(config.ack_delay, Duration::ZERO);
    assert!(!config.allow_dont_fragment);
}

#[test]
fn every_key_reaches_its_setting() {
    let settings = parse(
        r#"
        [engine]
        flows = 1000
        buffer = "16mib"
        block = "2kib"
        networks = 10
        queues = 4
        lock_memory = true
        prefault = false
        state = "/run/localack/engine"
        hold = "8s"
        reserved_blocks = 3
        handshake_share = 20
        debt_time = "1s"
        debt_floor = 1000
        queue_floor = "2kb"
        reset_patience = "2s"
        drain_patience = "3s"
        drain_deadline = "7s"
        tombstone_time = "4s"
        give_up_after = "200s"
        handshake_time = "5s"
        idle_time = "1d"
        closing_time = "1h"
        rto_min = "100ms"
        rto_max = "10s"
        demotion_hold = "6s"
        [metrics]
        listen = 9180
        [control]
        socket = "off"
        [log]
        format = "json"
        level = "debug"
        "#,
    );
    let mut config = Config::new([0; 2]);
    let seconds = Duration::from_secs;
    config.reserved_blocks = 3;
    config.handshake_share = 20;
    config.debt_time = seconds(1);
    config.debt_floor = 1000;
    config.queue_floor = 2000;
    config.reset_patience = seconds(2);
    config.drain_patience = seconds(3);
    config.tombstone_time = seconds(4);
    config.give_up_after = seconds(200);
    config.handshake_time = seconds(5);
    config.idle_time = seconds(86_400);
    config.closing_time = seconds(3600);
    config.rto_min = Duration::from_millis(100);
    config.rto_max = seconds(10);
    config.demotion_hold = seconds(6);
    assert_eq!(settings.engine.config([0; 2], [u16::MAX; 2]), config);
    assert!(settings.engine.lock_memory && !settings.engine.prefault);
    assert_eq!(settings.engine.drain_deadline, seconds(7));
    let state = settings.engine.state.as_deref();
    assert_eq!(state, Some(Path::new("/run/localack/engine")));
    assert_eq!(settings.engine.hold, seconds(8));
    let expected = Geometry {
        flows: 250,
        index: 512,
        blocks: 2048,
        arena: 4 << 20,
        paths: 3,
    };
    assert_eq!(settings.engine.per_queue(), expected);
    assert_eq!(settings.metrics, "127.0.0.1:9180".parse().ok());
    assert_eq!(settings.control, None);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.log_level, LogLevel::Debug);
}

#[test]
fn a_policy_says_which_connections_and_how() {
    let settings = example_without("port =");
    let backups = settings.policies.first().unwrap();
    let matches = &backups.matches;
    let lengths = [
        matches.inner.len(),
        matches.outer.len(),
        matches.source.len(),
        matches.destination.len(),
    ];
    assert_eq!(lengths, [2, 1, 2, 2]);
    let bounds: Vec<_> = matches.outer_port.iter().map(|p| p.bounds()).collect();
    assert_eq!(bounds, [(873, 873), (8000, 8100)]);
    assert_eq!(matches.outer_port, matches.destination_port);
    assert_eq!(matches.inner_port, matches.source_port);
    assert_eq!(matches.from, Some(Port::Inner));
    let dscp: Vec<_> = matches.dscp.iter().map(|dscp| dscp.number()).collect();
    assert_eq!(dscp, [10, 8, 0]);
    let Admit::Adopt(config) = backups.actions.admit(1) else {
        panic!("connections are followed");
    };
    let (Controller::Provisioned(there), Controller::Provisioned(back)) =
        (config.controller, config.inward_controller)
    else {
        panic!("both are vouched for");
    };
    let numbers = [there.rate, there.floor, there.ceiling];
    assert_eq!(numbers, [2_500_000, 125_000, 1_250_000]);
    let numbers = [back.rate, back.floor, back.ceiling];
    assert_eq!(numbers, [12_500_000, 125_000, 6_250_000]);
    assert_eq!((there.share, back.share), (1, 2));
    assert_eq!(settings.policies[1].actions.admit(1), Admit::Pass);
}

#[test]
fn queues_have_equal_parts_of_a_vouched_rate() {
    let settings = parse("[default]\ncontroller = \"provisioned\"\nrate = \"80mbit\"");
    let Admit::Adopt(config) = settings.default.admit(4) else {
        panic!("connections are followed");
    };
    assert_eq!(config.controller, Controller::provisioned(2_500_000));
}

#[test]
fn what_a_policy_leaves_out_is_as_the_default() {
    let settings = parse(
        r#"
        [default]
        inner_to_outer = "bypass"
        controller = "reno"
        custody = "after-handshake"
        track = false
        buffer = "2mib"
        [[policy]]
        name = "a"
        outer_to_inner = "local-ack"
        [[policy]]
        name = "b"
        service = "bypass"
        "#,
    );
    let rules: Vec<_> = settings
        .policies()
        .chain([settings.last_policy()])
        .collect();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["a", "b", DEFAULT]);
    let Admit::Adopt(config) = rules[0].actions.admit(1) else {
        panic!("what is served is followed");
    };
    assert_eq!(config.inner_to_outer, Service::Bypass);
    assert_eq!(config.outer_to_inner, Service::LocalAck);
    assert_eq!(config.controller, Controller::Reno);
    assert_eq!(config.custody, Custody::AfterHandshake);
    assert_eq!(config.buffer_limit, 2 << 20);
    assert_eq!(rules[1].actions.admit(1), Admit::Pass);
    assert_eq!(rules[2].actions.admit(1), Admit::Pass);
}

#[test]
fn an_arrangement_says_what_is_done_with_a_direction() {
    let settings = parse(
        r#"
        [[arrangement]]
        name = "radio"
        service = "snoop"
        [[arrangement]]
        name = "narrow"
        rate_limit = "8mbit"
        ack_interval = "20ms"
        mss_clamp = 1200
        [default]
        arrangement = "radio"
        reverse_arrangement = "narrow"
        [[policy]]
        name = "a"
        service = "bypass"
        [[policy]]
        name = "b"
        arrangement = "narrow"
        outer_to_inner = "local-ack"
        [[policy]]
        name = "c"
        arrangement = "none"
        reverse_arrangement = "none"
        "#,
    );
    let [radio, narrow] = settings.arrangements.as_slice() else {
        panic!("{settings:?}");
    };
    assert_eq!(radio.service(), Some(Service::Snoop));
    assert_eq!(radio.shaping(), Shaping::NONE);
    let expected = Shaping::NONE
        .with_rate_limit(1_000_000)
        .with_ack_interval(Duration::from_millis(20))
        .with_mss_clamp(1200);
    assert_eq!((narrow.service(), narrow.shaping()), (None, expected));
    let services = |policy: &PolicySettings| match policy.actions.admit(1) {
        Admit::Adopt(config) => (config.inner_to_outer, config.outer_to_inner),
        Admit::Pass => panic!("connections are followed"),
    };
    let served: Vec<_> = settings
        .policies()
        .chain([settings.last_policy()])
        .map(|policy| services(&policy))
        .collect();
    assert_eq!(
        served,
        [
            (Service::Bypass, Service::Bypass),
            (Service::Snoop, Service::LocalAck),
            (Service::Snoop, Service::Bypass),
            (Service::Snoop, Service::Bypass),
        ]
    );
}

#[test]
fn what_the_readme_shows_is_accepted() {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() > 1);
    let arranged = blocks.iter().map(|block| parse(block).arrangements.len());
    assert_eq!(arranged.max(), Some(3));
}

/// Whether an engine takes its settings with the memory that they ask for.
fn is_taken(engine: &EngineSettings) -> Result<(), ConfigError> {
    let geometry = engine.per_queue();
    let storage = Storage {
        head: &mut Box::new(EngineHead::EMPTY),
        flows: &mut vec![FlowSlot::EMPTY; geometry.flows],
        index: &mut vec![IndexSlot::EMPTY; geometry.index],
        blocks: &mut vec![BlockSlot::EMPTY; geometry.blocks],
        arena: &mut vec![0; geometry.arena],
        paths: &mut vec![PathSlot::EMPTY; geometry.paths],
        before: &mut [],
    };
    let config = engine.config([1, 2], [1500; 2]);
    Engine::new(storage, config, FlowConfig::tracked()).map(|_| ())
}

#[test]
fn the_engine_takes_whatever_is_accepted() {
    for text in [
        "flows = 1\nbuffer = \"4mib\"\nnetworks = 0",
        "flows = 3\nbuffer = \"4097kib\"\nblock = 512\nreserved_blocks = 1024",
        "flows = 257\nqueues = 256\nbuffer = \"1gib\"\nblock = \"32kib\"\nreserved_blocks = 128",
        "flows = 1000\nbuffer = \"5mib\"\nblock = 1499\nhandshake_share = 1",
        "flows = 9\nbuffer = \"4mib\"\ndebt_time = \"30min\"\nreset_patience = \"30min\"\n\
         drain_patience = \"30min\"\ntombstone_time = \"30min\"\ngive_up_after = \"30min\"\n\
         handshake_time = \"30min\"\nidle_time = \"30d\"\nclosing_time = \"30d\"\n\
         rto_min = \"30min\"\nrto_max = \"30min\"\ndemotion_hold = \"30min\"",
        "flows = 9\nbuffer = \"4mib\"\ndebt_time = \"10ms\"\nreset_patience = \"0s\"\n\
         drain_patience = \"0s\"\ntombstone_time = \"0s\"\ngive_up_after = \"100s\"\n\
         handshake_time = \"1s\"\nidle_time = \"1s\"\nclosing_time = \"1s\"\n\
         rto_min = \"1ms\"\nrto_max = \"1ms\"\ndemotion_hold = \"0s\"\nhandshake_share = 100",
    ] {
        let settings = parse(&format!("[engine]\n{text}"));
        assert_eq!(is_taken(&settings.engine), Ok(()), "{text}");
    }
}

#[test]
fn a_file_is_read_or_named() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = Settings::load(&manifest.join("examples/localack-tun.toml"));
    assert_eq!(example.ok(), Some(Settings::default()));
    let missing = Settings::load(Path::new("/nonexistent/x.toml")).unwrap_err();
    let told = missing.to_string();
    assert!(told.starts_with("/nonexistent/x.toml: "), "{told}");
    let wrong = Settings::load(&manifest.join("Cargo.toml")).unwrap_err();
    let told = wrong.to_string();
    assert!(
        told.contains("Cargo.toml:1:2: unknown key `package` in the file; "),
        "{told}"
    );
}
