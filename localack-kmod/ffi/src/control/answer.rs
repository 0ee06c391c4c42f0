//! The answers.
#![forbid(unsafe_code)]

use core::net::IpAddr;
use core::time::Duration;

use localack_core::{
    AbsorbReason, Controller, Direction, DirectionInfo, DirectionMode, DropReason, Engine, FlowId,
    FlowInfo, FlowState, Instant, PassReason, Policy, Port, Service, ShapingId, Sink, TransmitKind,
};

use super::reader::Word;
use super::request::{Failure, Named, SetFlow};
use super::writer::Text;
use crate::report;
use crate::rules::{DirectionChange, Name, Ruled, Table};

/// Most flows in an answer.
const MOST_FLOWS: u64 = 256;

/// Octets of the longest name of an end, and some.
const LONGEST_END: usize = 64;

/// What the engine does not know itself.
pub(crate) struct Surroundings<'a> {
    /// The devices of both sides.
    pub(crate) devices: [&'a [u8]; 2],
    /// When it was made.
    pub(crate) since: Instant,
    /// Whether it is handing its flows back.
    pub(crate) draining: bool,
    /// Slots for flows, blocks, and octets of a block.
    pub(crate) slots: u32,
    pub(crate) blocks: u64,
    pub(crate) block: u64,
}

/// What all flows have together.
#[derive(Default)]
struct Totals {
    flows: [u64; 4],
    modes: [u64; 5],
    custody: u64,
    debt: u64,
    rates: [u64; 2],
    owing: u64,
}

impl Totals {
    fn of<P: Policy>(engine: &Engine<'_, P>) -> Self {
        let mut totals = Self::default();
        for flow in engine.flows() {
            totals.add(&flow);
        }
        totals
    }

    fn add(&mut self, flow: &FlowInfo) {
        let state = match flow.state {
            FlowState::SynSeen | FlowState::SynAckSeen => 1,
            FlowState::Resetting | FlowState::Tombstone => 3,
            _ => 2,
        };
        for (place, count) in self.flows.iter_mut().enumerate() {
            *count = count.saturating_add(u64::from(place == 0 || place == state));
        }
        self.owing = self.owing.saturating_add(u64::from(report::owes(flow)));
        for (direction, rate) in Direction::BOTH.into_iter().zip(&mut self.rates) {
            let info = flow.direction(direction);
            if flow.state == FlowState::Open
                && let Some(count) = self.modes.get_mut(usize::from(report::mode(info.mode)))
            {
                *count = count.saturating_add(1);
            }
            self.custody = self.custody.saturating_add(info.custody.into());
            self.debt = self.debt.saturating_add(info.debt.into());
            if info.mode != DirectionMode::Bypass {
                *rate = rate.saturating_add(info.rate.into());
            }
        }
    }

    fn write(&self, text: &mut Text<'_>) {
        let [all, opening, open, reset] = self.flows;
        let [bypass, store, local_ack, draining, snoop] = self.modes;
        text.key("totals");
        text.raw("{");
        text.key("flows");
        text.raw("{");
        text.count("all", all);
        text.count("opening", opening);
        text.count("open", open);
        text.count("reset", reset);
        text.count("local_ack", local_ack);
        text.count("store_and_forward", store);
        text.count("draining", draining);
        text.count("snoop", snoop);
        text.count("bypass", bypass);
        text.raw("}");
        let [outward, inward] = self.rates;
        text.count("custody", self.custody);
        text.count("debt", self.debt);
        text.count("rate_inner_to_outer", outward);
        text.count("rate_outer_to_inner", inward);
        text.count("acknowledged_early", 0);
        text.count("saved_ms", 0);
        text.raw("}");
    }
}

pub(super) fn begin(text: &mut Text<'_>, name: &str) {
    text.key("answer");
    text.raw("{");
    text.key(name);
    text.raw("{");
}

fn pool<P: Policy>(engine: &Engine<'_, P>, around: &Surroundings<'_>, text: &mut Text<'_>) {
    let used = u64::from(engine.blocks_used());
    text.key("pool");
    text.raw("{");
    text.count("octets", around.blocks.saturating_mul(around.block));
    text.count("used", used.saturating_mul(around.block));
    text.raw("}");
}

pub(super) fn status(
    engine: &mut Ruled<'_>,
    around: &Surroundings<'_>,
    now: Instant,
    text: &mut Text<'_>,
) {
    let totals = Totals::of(engine);
    let state = match (around.draining, totals.owing) {
        (false, _) => "running",
        (true, 0) => "drained",
        (true, _) => "draining",
    };
    let [inner, outer] = around.devices;
    begin(text, "status");
    text.word("version", env!("CARGO_PKG_VERSION"));
    text.word("state", state);
    let uptime = now.since(around.since).as_millis();
    text.count("uptime_ms", u64::try_from(uptime).unwrap_or(u64::MAX));
    text.key("inner");
    text.string(inner);
    text.key("outer");
    text.string(outer);
    text.key("config");
    text.raw("null");
    text.count("queues", 1);
    let table = engine.policy_mut().table();
    let named = table.arrangements().iter().filter(|one| one.is_named());
    text.count("policies", wide(table.policies().len()));
    text.count("arrangements", wide(named.count()));
    text.count("flow_slots", around.slots.into());
    pool(engine, around, text);
    totals.write(text);
    text.raw("}}");
}

pub(super) fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(super) fn flows(engine: &mut Ruled<'_>, limit: u64, text: &mut Text<'_>) {
    begin(text, "flows");
    text.word("sort", "custody");
    Totals::of(engine).write(text);
    text.key("flows");
    text.raw("[");
    let limit = usize::try_from(limit.min(MOST_FLOWS)).unwrap_or(0);
    let mut listed = 0;
    for slot in 0..engine.slots_used() {
        if listed == limit {
            break;
        }
        let found = engine.flows_in(slot..slot.saturating_add(1)).next();
        let Some(flow) = found else { continue };
        text.raw(if listed == 0 { "" } else { "," });
        listed = listed.saturating_add(1);
        entry(&flow, engine.policy_mut().table(), text);
    }
    text.raw("]}}");
}

fn id(flow: FlowId, text: &mut Text<'_>) {
    text.key("id");
    text.raw("\"0:");
    text.number(flow.slot().into());
    text.raw(".");
    text.number(flow.to_bits() >> 32);
    text.raw("\"");
}

fn entry(flow: &FlowInfo, table: &Table, text: &mut Text<'_>) {
    let key = &flow.key;
    text.raw("{");
    id(flow.id, text);
    text.key("inner");
    text.end(key.inner(), key.inner_port());
    text.key("outer");
    text.end(key.outer(), key.outer_port());
    text.count("link", key.link().into());
    let client = match flow.client {
        Port::Inner => "inner",
        Port::Outer => "outer",
    };
    text.word("client", client);
    let state = match flow.state {
        FlowState::SynSeen => "syn-seen",
        FlowState::SynAckSeen => "syn-ack-seen",
        FlowState::Resetting => "resetting",
        FlowState::Tombstone => "tombstone",
        _ => "open",
    };
    text.word("state", state);
    for (name, way) in [
        ("inner_to_outer", Direction::InnerToOuter),
        ("outer_to_inner", Direction::OuterToInner),
    ] {
        text.key(name);
        direction(flow, flow.direction(way), table, text);
    }
    text.raw("}");
}

pub(super) const fn service(service: Service) -> &'static str {
    match service {
        Service::LocalAck => "local-ack",
        Service::Snoop => "snoop",
        _ => "bypass",
    }
}

const fn mode(mode: DirectionMode) -> (&'static str, &'static str) {
    match mode {
        DirectionMode::StoreAndForward => (
            "store-and-forward",
            "the receiver has not yet shown that it is there",
        ),
        DirectionMode::LocalAck => ("local-ack", "acknowledged at once"),
        DirectionMode::Snoop => ("snoop", "copies answer losses on the receiver's side"),
        DirectionMode::Draining => (
            "draining",
            "handed back: what was acknowledged is still being delivered",
        ),
        _ => ("bypass", "to be served, but handed back for the time being"),
    }
}

fn reason(flow: &FlowInfo, info: &DirectionInfo, text: &mut Text<'_>) {
    let pass = |reason: PassReason, why| ("pass", reason.number(), reason.slug(), why);
    let (name, why) = mode(info.mode);
    let (group, number, name, why) = match (flow.state, info.mode, info.service) {
        (FlowState::SynSeen | FlowState::SynAckSeen, _, _) => {
            pass(PassReason::Handshake, "the handshake is under way")
        }
        (FlowState::Resetting | FlowState::Tombstone, _, _) => {
            pass(PassReason::Reset, "the connection was reset")
        }
        (_, DirectionMode::Bypass, Service::Bypass) => pass(
            PassReason::BypassService,
            "a policy or an operator wants it to pass",
        ),
        _ => ("mode", report::mode(info.mode), name, why),
    };
    text.key("reason");
    text.raw("{");
    text.word("group", group);
    text.count("number", number.into());
    text.word("name", name);
    text.word("text", why);
    text.raw("}");
}

fn direction(flow: &FlowInfo, info: &DirectionInfo, table: &Table, text: &mut Text<'_>) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (name, _) = mode(info.mode);
    text.raw("{");
    text.word("service", service(info.service));
    let arranged = table.arranged(info.shaping);
    if let Some(arranged) = arranged.filter(|one| one.is_named()) {
        text.key("arrangement");
        text.string(arranged.name.octets());
    }
    text.word("mode", name);
    reason(flow, info, text);
    text.count("rate", info.rate.into());
    text.count("custody", info.custody.into());
    text.count("debt", info.debt.into());
    text.count("acknowledged_early", 0);
    text.count("saved_ms", 0);
    text.count("srtt_us", micros(info.srtt));
    text.count("min_rtt_us", micros(info.min_rtt));
    let controller = match info.controller {
        Controller::Reno => "reno",
        Controller::Bbr => "bbr",
        Controller::Provisioned(_) => "provisioned",
        _ => "cubic",
    };
    text.word("controller", controller);
    text.count("cwnd", info.cwnd.into());
    text.count("in_flight", info.pipe.into());
    text.count("lost", info.lost.into());
    text.count("mss", info.mss.into());
    text.raw("}");
}

/// The number that is asked for, and the service to go with it.
fn choose(set: &SetFlow, table: &Table) -> Result<(Option<ShapingId>, Option<Service>), Failure> {
    let Some(word) = &set.arrangement else {
        return Ok((None, set.service));
    };
    if word.octets() == b"none" {
        return Ok((Some(ShapingId::NONE), set.service));
    }
    let name = str::from_utf8(word.octets()).ok().and_then(Name::new);
    let found = name.and_then(|name| table.find_arrangement(&name));
    let (id, arranged) = found.ok_or(Failure::UnknownArrangement)?;
    match (arranged.service(), set.service) {
        (Some(_), Some(_)) => Err(Failure::TwoServices),
        (named, asked) => Ok((Some(id), named.or(asked))),
    }
}

pub(super) fn set_flow(
    engine: &mut Ruled<'_>,
    set: &SetFlow,
    now: Instant,
    text: &mut Text<'_>,
) -> Result<(), Failure> {
    let (shaping, service) = choose(set, engine.policy_mut().table())?;
    let found = match &set.flow {
        Named::Id(flow) => engine.flow(*flow),
        Named::Ends(ends) => engine.flows().find(|flow| has_ends(flow, ends)),
    };
    let flow = found.ok_or(Failure::UnknownFlow)?;
    let change = DirectionChange::arranged(service, shaping);
    let chosen = |way: &Direction| set.direction.is_none_or(|only| only == *way);
    for way in Direction::BOTH.into_iter().filter(chosen) {
        change
            .apply(engine, flow.id, way, now)
            .map_err(|_| Failure::UnknownFlow)?;
    }
    begin(text, "flow");
    id(flow.id, text);
    text.key("flow");
    text.raw("{");
    text.key("ends");
    text.raw("[");
    text.end(flow.key.inner(), flow.key.inner_port());
    text.raw(",");
    text.end(flow.key.outer(), flow.key.outer_port());
    text.raw("]}");
    text.key("directions");
    text.raw(match set.direction {
        None => "[\"inner-to-outer\",\"outer-to-inner\"]",
        Some(Direction::InnerToOuter) => "[\"inner-to-outer\"]",
        Some(Direction::OuterToInner) => "[\"outer-to-inner\"]",
    });
    if let Some(asked) = set.service {
        text.word("service", self::service(asked));
    }
    if let Some(name) = &set.arrangement {
        text.key("arrangement");
        text.string(name.octets());
    }
    text.raw("}}");
    Ok(())
}

fn has_ends(flow: &FlowInfo, [one, other]: &[Word; 2]) -> bool {
    let (one, other) = (one.octets(), other.octets());
    let key = &flow.key;
    let is = |address, port, text| is_written(address, port, text);
    let (inner, outer) = (key.inner(), key.outer());
    (is(inner, key.inner_port(), one) && is(outer, key.outer_port(), other))
        || (is(inner, key.inner_port(), other) && is(outer, key.outer_port(), one))
}

/// Whether a text is what an end is called.
fn is_written(address: IpAddr, port: u16, expected: &[u8]) -> bool {
    let mut room = [0; LONGEST_END];
    let mut text = Text::new(&mut room);
    text.end(address, port);
    text.is(&[b"\"", expected, b"\""])
}

/// The number of a reason, by the names that the engine's counters have.
fn number(group: &str, name: &str) -> Option<u8> {
    fn find<T: Copy>(
        all: &[T],
        name: &str,
        slug: fn(T) -> &'static str,
        number: fn(T) -> u8,
    ) -> Option<u8> {
        let one = all.iter().find(|one| slug(**one) == name)?;
        Some(number(*one))
    }
    match group {
        "pass" => find(PassReason::ALL, name, PassReason::slug, PassReason::number),
        "absorb" => find(
            AbsorbReason::ALL,
            name,
            AbsorbReason::slug,
            AbsorbReason::number,
        ),
        "drop" => find(DropReason::ALL, name, DropReason::slug, DropReason::number),
        "transmit" => find(
            TransmitKind::ALL,
            name,
            TransmitKind::slug,
            TransmitKind::number,
        ),
        _ => None,
    }
}

fn counters<P: Policy>(engine: &Engine<'_, P>, zeroes: bool, text: &mut Text<'_>) {
    text.key("counters");
    text.raw("[");
    let mut first = true;
    for (group, name, count) in engine.counters().iter() {
        if count == 0 && !zeroes {
            continue;
        }
        text.raw(if first { "{" } else { ",{" });
        first = false;
        text.word("group", group);
        text.word("name", name);
        if let Some(number) = number(group, name) {
            text.count("number", number.into());
        }
        text.count("count", count);
        text.raw("}");
    }
    text.raw("]");
}

pub(super) fn stats<P: Policy>(
    engine: &Engine<'_, P>,
    around: &Surroundings<'_>,
    text: &mut Text<'_>,
) {
    begin(text, "stats");
    counters(engine, true, text);
    text.key("queues");
    text.raw("[{");
    text.count("queue", 0);
    pool(engine, around, text);
    counters(engine, false, text);
    text.raw("}]}}");
}

/// Resets what owes something. What the sink has no room for stays, and is told as still owing.
pub(super) fn reset<P: Policy, S: Sink>(
    engine: &mut Engine<'_, P>,
    now: Instant,
    sink: &mut S,
    text: &mut Text<'_>,
) {
    let (mut flows, mut octets) = (0_u64, 0_u64);
    for slot in 0..engine.slots_used() {
        let found = engine.flows_in(slot..slot.saturating_add(1)).next();
        let Some(flow) = found.filter(report::owes) else {
            continue;
        };
        if engine.give_up(flow.id, now, sink) == Ok(true) {
            flows = flows.saturating_add(1);
            octets = octets.saturating_add(report::debt(&flow));
        }
    }
    begin(text, "reset");
    text.count("flows", flows);
    text.count("octets", octets);
    text.count("owing", Totals::of(engine).owing);
    text.raw("}}");
}
