//! Services are arranged while connections are under way, at moments that nobody has chosen: they go on.

use core::time::Duration;
use std::thread;

use localack_core::LAYOUT;
use localack_tun::control::protocol::{
    Answer, ArrangementRemove, ArrangementSet, DirectionChoice, FlowEntry, FlowName, PolicySet,
    Request, ServiceWord, SetService, Upgrade,
};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::common::privileged;
use crate::operated::{LINK, meanwhile};
use crate::world::{BOTH_WAYS, World, carry_both_ways, until};

/// Every service, alone and with a rate that is kept, and acknowledgements that are thinned out with each.
const ARRANGEMENTS: &str = r#"
[[arrangement]]
name = "nothing"
service = "bypass"
[[arrangement]]
name = "copies"
service = "snoop"
[[arrangement]]
name = "early"
service = "local-ack"
[[arrangement]]
name = "slow-nothing"
service = "bypass"
rate_limit = "12mbit"
[[arrangement]]
name = "slow-copies"
service = "snoop"
rate_limit = "15mbit"
[[arrangement]]
name = "slow-early"
service = "local-ack"
rate_limit = "10mbit"
[[arrangement]]
name = "thin-copies"
service = "snoop"
ack_interval = "5ms"
mss_clamp = 1200
[[arrangement]]
name = "thin-early"
service = "local-ack"
ack_interval = "10ms"
rate_limit = "20mbit"
[[arrangement]]
name = "thin"
ack_interval = "20ms"
"#;

const NAMES: [&str; 10] = [
    "nothing",
    "copies",
    "early",
    "slow-nothing",
    "slow-copies",
    "slow-early",
    "thin-copies",
    "thin-early",
    "thin",
    "none",
];

/// What is decided by chance, and the same again with the same seed.
struct Chance(Pcg64Mcg);

impl Chance {
    /// With the seed in `LOCALACK_SEED`, or another one each time.
    fn new() -> Self {
        let given = std::env::var("LOCALACK_SEED").ok();
        let seed = given.map_or_else(
            || getrandom::u64().unwrap(),
            |seed| seed.parse().expect("LOCALACK_SEED is a number"),
        );
        println!("LOCALACK_SEED={seed}");
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let index = self.below(all.len() as u64);
        all[usize::try_from(index).unwrap()]
    }

    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(50 + self.below(51)));
    }
}

/// The policies name other arrangements.
fn by_policy(world: &World, chance: &mut Chance) {
    let (there, back) = (chance.one_of(&NAMES), chance.one_of(&NAMES));
    let toml = format!(
        "[[policy]]\nname = \"all\"\narrangement = {there:?}\nreverse_arrangement = {back:?}\n"
    );
    let answer = world.ask(Request::PolicySet(PolicySet { toml, before: None }));
    assert!(matches!(answer, Answer::PolicySet(_)), "{answer:?}");
}

/// One arrangement comes to mean something else.
fn by_meaning(world: &World, chance: &mut Chance) {
    let rate = 5 + chance.below(30);
    let interval = 1 + chance.below(40);
    let toml = format!(
        "[[arrangement]]\nname = \"thin\"\nack_interval = \"{interval}ms\"\nrate_limit = \"{rate}mbit\"\n"
    );
    let answer = world.ask(Request::ArrangementSet(ArrangementSet { toml }));
    assert!(matches!(answer, Answer::ArrangementSet(_)), "{answer:?}");
}

/// One connection is given another arrangement, or a service alone.
fn by_flow(world: &World, chance: &mut Chance) {
    let flows = world.flows();
    let flow = &flows[usize::try_from(chance.below(flows.len() as u64)).unwrap()];
    let services = [
        ServiceWord::Bypass,
        ServiceWord::Snoop,
        ServiceWord::LocalAck,
    ];
    let directions = [
        None,
        Some(DirectionChoice::InnerToOuter),
        Some(DirectionChoice::OuterToInner),
    ];
    let (service, arrangement) = match chance.below(3) {
        0 => (Some(chance.one_of(&services)), None),
        1 => (
            Some(chance.one_of(&services)),
            Some(chance.one_of(&["thin", "none"])),
        ),
        _ => (None, Some(chance.one_of(&NAMES))),
    };
    let answer = world.ask(Request::Flow(SetService {
        flow: FlowName::Id(flow.id.clone()),
        direction: chance.one_of(&directions),
        service,
        arrangement: arrangement.map(str::to_owned),
    }));
    assert!(matches!(answer, Answer::Flow(_)), "{answer:?}");
}

/// One that no policy names is there for a moment.
fn by_coming_and_going(world: &World, chance: &mut Chance) {
    let toml = "[[arrangement]]\nname = \"passing\"\nservice = \"snoop\"\n".to_owned();
    world.ask(Request::ArrangementSet(ArrangementSet { toml }));
    let flow = world.flows().swap_remove(0);
    world.ask(Request::Flow(SetService {
        flow: FlowName::Id(flow.id),
        direction: None,
        service: None,
        arrangement: Some("passing".to_owned()),
    }));
    chance.pause();
    let name = "passing".to_owned();
    let answer = world.ask(Request::ArrangementRemove(ArrangementRemove { name }));
    assert!(matches!(answer, Answer::ArrangementRemove(_)), "{answer:?}");
}

#[test]
fn arrangements_change_at_random_moments() {
    if !privileged() {
        return;
    }
    let mut chance = Chance::new();
    let mut world = World::over("arrange", LINK, ARRANGEMENTS);
    let connections: Vec<_> = (0..6)
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    let times = if crate::is_long() { 600 } else { 50 };
    meanwhile(&connections, 200_000, || {
        for _ in 0..times {
            match chance.below(8) {
                0 => by_meaning(&world, &mut chance),
                1 => by_coming_and_going(&world, &mut chance),
                2..=4 => by_flow(&world, &mut chance),
                _ => by_policy(&world, &mut chance),
            }
            chance.pause();
        }
    });
    assert_eq!(world.counter("engine", "flows-adopted"), 6);
    // Each of them has had its turn.
    for (group, name) in [
        ("absorb", "spared"),
        ("absorb", "thinned"),
        ("transmit", "local-ack"),
    ] {
        assert!(world.counter(group, name) > 0, "no {group} {name}");
    }
    let log = world.stop();
    // An end that is reset, and a connection that is given up, would be in the log.
    for word in ["reset by an end", "given up"] {
        assert!(!log.contains(word), "{log}");
    }
}

/// Where the program goes on as another one.
enum Succession {
    Killed,
    Upgraded,
}

/// The names of the arrangements of each connection, inner to outer first, by the client's port.
fn names(world: &World) -> Vec<[Option<String>; 2]> {
    let mut flows = world.flows();
    flows.sort_by_key(|flow| flow.inner.port());
    let names = |flow: FlowEntry| flow.directions().map(|one| one.arrangement.clone());
    flows.into_iter().map(names).collect()
}

/// Connections keep their arrangements by name, whatever the numbers of others become; what is gone is as the
/// policies say.
fn go_on(test: &str, succession: Succession) {
    let arrangement =
        |name: &str, what: &str| format!("[[arrangement]]\nname = \"{name}\"\n{what}\n");
    let first = arrangement("first", "mss_clamp = 1300");
    let second = arrangement("second", "ack_interval = \"5ms\"");
    let settings = format!("{first}{second}{BOTH_WAYS}arrangement = \"second\"\n");
    let mut world = World::bare_over(test, LINK, &settings)
        .that_keeps("20s")
        .started();
    let connections = [0, 1, 2].map(|n| world.connect(world.servers[n % 2]));
    for [near, _] in &connections {
        let client = near.local_addr().unwrap();
        until("it is followed", || {
            world.flows().iter().any(|flow| flow.inner == client)
        });
    }
    let mut flows = world.flows();
    flows.sort_by_key(|flow| flow.inner.port());
    let toml = arrangement("third", "rate_limit = \"30mbit\"");
    world.ask(Request::ArrangementSet(ArrangementSet { toml }));
    for (flow, name) in flows.iter().zip(["first", "third"]) {
        world.ask(Request::Flow(SetService {
            flow: FlowName::Id(flow.id.clone()),
            direction: Some(DirectionChoice::InnerToOuter),
            service: None,
            arrangement: Some(name.to_owned()),
        }));
    }
    let outward = |names: [&str; 3]| names.map(|name| [Some(name.to_owned()), None]);
    assert_eq!(names(&world), outward(["first", "third", "second"]));
    // Another one is in the place of the first, and the third is not in the file.
    let new = arrangement("new", "mss_clamp = 900");
    world.rewrite_settings(
        &format!("{first}{second}"),
        &format!("{new}{second}{first}"),
    );
    match succession {
        Succession::Killed => {
            world.kill();
            world.start();
        }
        Succession::Upgraded => {
            let program = env!("CARGO_BIN_EXE_localack-tun").into();
            world.ask(Request::Upgrade(Upgrade {
                program,
                layout: LAYOUT,
            }));
            world.wait_for(" TCP passes the engine", 2);
        }
    }
    assert_eq!(names(&world), outward(["first", "second", "second"]));
    thread::scope(|scope| {
        for connection in &connections {
            scope.spawn(|| carry_both_ways(connection, 500_000));
        }
    });
    world.stop();
}

#[test]
fn arrangements_outlive_a_gateway_that_is_killed() {
    if privileged() {
        go_on("arrkill", Succession::Killed);
    }
}

#[test]
fn arrangements_outlive_an_upgrade() {
    if privileged() {
        go_on("arrup", Succession::Upgraded);
    }
}
