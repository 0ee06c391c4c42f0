//! Runs one variant of a script against an engine.

mod check;
mod rig;

use core::fmt;
use core::time::Duration;

use localack_core::{Checksum, Config, Custody, Engine, FlowConfig, Instant, PacketMeta, Shaping};

use super::matching::{Frame, Left, judge};
use super::model::{
    Action, Number, Outcome, PacketSpec, Place, Proof, Script, Setup, Side, Step, Term,
};
use super::trace::Trace;
use super::variant::Variant;
use crate::memory::Memory;
use crate::packet::{Layout, Packet, packet_too_big};
use rig::Rig;

/// Script time zero.
pub(super) const EPOCH_MS: i64 = 1_000_000;
const BLOCK_SIZE: usize = 2048;

/// What went otherwise than the script says.
#[derive(Clone, Debug)]
pub struct Failure {
    variant: Variant,
    reign: Reign,
    line: usize,
    text: String,
    problem: String,
    left: Vec<String>,
    before: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "script line {}, {}, {:?} reigns:\n    {}",
            self.line, self.variant, self.reign, self.text
        )?;
        writeln!(f, "  {}", self.problem)?;
        writeln!(f, "  what left at this line:")?;
        for line in &self.left {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "  before it:")?;
        self.before
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl core::error::Error for Failure {}

/// Lines of history that a failure shows.
const HISTORY: usize = 40;

/// How long an engine lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reign {
    /// As long as the script.
    Long,
    /// For a line: then another one takes its memory over, and nobody may notice.
    Short,
}

/// Runs `script` as `variant`; answers what the trace has recorded.
pub(super) fn run(
    script: &Script,
    variant: &Variant,
    reign: Reign,
    mut trace: Trace,
) -> Result<Vec<u8>, Box<Failure>> {
    let setup = &script.setup;
    let (config, policy) = (config(setup), policy(setup, variant));
    trace.begins((setup.flows, setup.blocks, BLOCK_SIZE), &config, &policy);
    let mut memory = Memory::new(setup.flows, setup.blocks, BLOCK_SIZE);
    let engine =
        Engine::new(memory.storage(), config, policy).expect("a script's settings are valid");
    let mut rig = Rig::new(engine, trace, setup, variant);
    let mut before: Vec<String> = Vec::new();
    for (side, shaping) in Side::BOTH.into_iter().zip(&setup.shaping) {
        if *shaping != Shaping::NONE {
            rig.set_shaping(side, shaping, &mut Vec::new())
                .expect("there is no flow yet");
        }
    }
    for step in &script.steps {
        if reign == Reign::Short {
            rig = rig.succeeded();
        }
        let mut left = Vec::new();
        let result = perform(&mut rig, setup, variant, step, &mut left);
        let texts: Vec<String> = left.into_iter().map(|left| left.text).collect();
        if let Err(problem) = result {
            let skipped = before.len().saturating_sub(HISTORY);
            return Err(Box::new(Failure {
                variant: *variant,
                reign,
                line: step.line,
                text: step.text.clone(),
                problem,
                left: texts,
                before: before.split_off(skipped),
            }));
        }
        before.push(format!("-- {}", step.text));
        before.extend(texts);
    }
    Ok(rig.finish())
}

fn config(setup: &Setup) -> Config {
    let mut config = Config::new([0x6c6f_6361, 0x6c61_636b]);
    config.debt_floor = setup.debt_floor.unwrap_or(config.debt_floor);
    config.queue_floor = setup.queue_floor.unwrap_or(config.queue_floor);
    config.reserved_blocks = setup.reserved.unwrap_or(config.reserved_blocks);
    if let Some(seconds) = setup.give_up_s {
        config.give_up_after = Duration::from_secs(seconds);
    }
    if let Some(mtu) = setup.mtu {
        config.mtu = [mtu; 2];
    }
    config
}

fn policy(setup: &Setup, variant: &Variant) -> FlowConfig {
    let mut policy = FlowConfig::tracked();
    for side in Side::BOTH {
        let direction = rig::direction_from(side, setup);
        policy = policy
            .with_service(direction, setup.services[side.index()])
            .with_shaping(direction, rig::shaping_of(direction));
    }
    if setup.proof == Proof::Given && variant.client == Side::S {
        policy.custody = Custody::AfterHandshake;
    }
    policy.buffer_limit = setup.buffer.unwrap_or(policy.buffer_limit);
    policy.allow_dont_fragment = setup.allow_df;
    policy.controller = setup.controller;
    policy.inward_controller = setup.controller;
    policy.pacing = setup.pacing;
    if let Some(delay) = setup.ack_delay_ms {
        policy.ack_delay = Duration::from_millis(delay);
    }
    policy
}

/// Does what one line says and compares what leaves.
fn perform(
    rig: &mut Rig<'_>,
    setup: &Setup,
    variant: &Variant,
    step: &Step,
    left: &mut Vec<Left>,
) -> Result<(), String> {
    if let Action::Handshake = step.action {
        return handshake(rig, setup, variant, step.at_ms, left);
    }
    let ticks = matches!(step.action, Action::Tick | Action::Check { .. });
    rig.advance(step.at_ms, ticks, left)?;
    if !ticks && let Some(early) = left.first() {
        return Err(format!("left before this line: {}", early.text));
    }
    let mut verdicts = Vec::new();
    let mut input = None;
    match &step.action {
        Action::Handshake | Action::Tick => {}
        Action::Packet(from, spec) => {
            for spec in segments(rig, spec, setup.mss) {
                let packet = rig.says(*from, &spec, step.at_ms);
                let octets = encode(&packet, &spec);
                verdicts.push(rig.arrives(*from, octets.clone(), meta(&spec), left)?);
                input = Some(octets);
            }
        }
        Action::Raw(from, octets) => {
            verdicts.push(rig.arrives(*from, octets.clone(), PacketMeta::default(), left)?);
            input = Some(octets.clone());
        }
        Action::TooBig {
            from,
            mtu,
            seq,
            len,
        } => {
            let len = len.unwrap_or(setup.mss.into());
            let quoted = quote(rig, from.other(), *seq, len, step.at_ms);
            let octets = packet_too_big(&quoted, *mtu);
            verdicts.push(rig.arrives(*from, octets.clone(), PacketMeta::default(), left)?);
            input = Some(octets);
        }
        Action::Check { reverse, facts } => check::check(rig, *reverse, facts)?,
        Action::SetService { reverse, service } => {
            rig.set_service(if *reverse { Side::R } else { Side::S }, *service, left)?;
        }
        Action::Shape { reverse, shaping } => {
            rig.set_shaping(if *reverse { Side::R } else { Side::S }, shaping, left)?;
        }
        Action::Drain => rig.drain(left)?,
        Action::GiveUp => rig.give_up(left)?,
        Action::Sink { room } => rig.set_sink(*room, left)?,
    }
    match &step.outcome {
        Some(outcome) => compare(rig, outcome, &verdicts, left, input.as_deref()),
        None if matches!(step.action, Action::Check { .. }) => left
            .first()
            .map_or(Ok(()), |left| Err(format!("unexpected: {}", left.text))),
        None => Ok(()),
    }
}

fn compare(
    rig: &Rig<'_>,
    outcome: &Outcome,
    verdicts: &[(String, String)],
    left: &[Left],
    input: Option<&[u8]>,
) -> Result<(), String> {
    if let Some((kind, slug)) = &outcome.verdict {
        for (said, why) in verdicts {
            if said != kind || slug.as_ref().is_some_and(|slug| slug != why) {
                return Err(format!("the verdict is {said} {why}"));
            }
        }
    }
    for wanted in &outcome.events {
        let happened = |event: &String| {
            event
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if !rig.step_events().iter().any(happened) {
            return Err(format!("no event {wanted:?}, but {:?}", rig.step_events()));
        }
    }
    let resolve = |term| rig.resolve(term);
    let frame = Frame {
        hosts: rig.hosts(),
        resolve: &resolve,
        shifts: rig.shifts(),
        input,
    };
    judge(outcome, left, &frame)
}

/// A series becomes full-size segments; anything else is one packet.
fn segments(rig: &Rig<'_>, spec: &PacketSpec, mss: u16) -> Vec<PacketSpec> {
    let Some(Place::Series(start, end)) = spec.place else {
        return vec![spec.clone()];
    };
    let (mut at, end) = (rig.resolve(start), rig.resolve(end));
    let mut all = Vec::new();
    while at < end {
        let next = end.min(at + i64::from(mss));
        let plain = |offset| Term {
            symbol: None,
            offset,
        };
        let place = Some(Place::Range(plain(at), plain(next)));
        all.push(PacketSpec {
            place,
            ..spec.clone()
        });
        at = next;
    }
    all
}

fn encode(packet: &Packet, spec: &PacketSpec) -> Vec<u8> {
    let layout = if spec.odd {
        Layout::Odd
    } else {
        Layout::Aligned
    };
    let mut octets = packet.encode(layout);
    if spec.fragment && packet.source.is_ipv6() {
        // A fragment header between IPv6 and TCP: offset zero, more to come.
        let fragment = [6, 0, 0, 1, 0, 0, 0, 9];
        octets.splice(40..40, fragment);
        octets[6] = 44;
        let length = u16::try_from(octets.len() - 40).expect("short");
        octets[4..6].copy_from_slice(&length.to_be_bytes());
    }
    if spec.bad_checksum {
        *octets.last_mut().expect("not empty") ^= 0x40;
    }
    if spec.checksum_partial {
        let at = octets.len() - packet.payload.len() - packet.options.encode(layout).len() - 4;
        let tcp = octets.len() - (at - 16);
        let sum = pseudo_header_sum(packet, tcp);
        octets[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    octets
}

/// The folded sum of the pseudo-header, as an offloading sender leaves it in the field.
fn pseudo_header_sum(packet: &Packet, tcp_len: usize) -> u16 {
    use core::net::IpAddr;
    let mut octets = Vec::new();
    for address in [packet.source.ip(), packet.destination.ip()] {
        match address {
            IpAddr::V4(v4) => octets.extend(v4.octets()),
            IpAddr::V6(v6) => octets.extend(v6.octets()),
        }
    }
    octets.extend([0, 6]);
    octets.extend(u16::try_from(tcp_len).expect("short").to_be_bytes());
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

fn meta(spec: &PacketSpec) -> PacketMeta {
    let checksum = if spec.checksum_partial {
        Checksum::Partial
    } else if spec.checksum_vouched {
        Checksum::Verified
    } else {
        Checksum::Verify
    };
    PacketMeta {
        checksum,
        ..PacketMeta::default()
    }
}

/// A segment of a side's as a router beyond the engine would quote it.
fn quote(rig: &mut Rig<'_>, of: Side, seq: Term, len: i64, at_ms: i64) -> Packet {
    let spec = PacketSpec {
        place: Some(Place::At(Number::Is(seq))),
        len: Some(Number::Is(Term {
            symbol: None,
            offset: len,
        })),
        ..PacketSpec::default()
    };
    rig.imagines(of, &spec, at_ms)
}

/// SYN, SYN-ACK and the third ACK, each of which must pass bit for bit.
fn handshake(
    rig: &mut Rig<'_>,
    setup: &Setup,
    variant: &Variant,
    at_ms: i64,
    left: &mut Vec<Left>,
) -> Result<(), String> {
    let client = variant.client;
    let inner_ms = 1;
    let rtt = i64::try_from(setup.rtt_ms).expect("a short round trip");
    let (to_server, to_client) = match client {
        Side::S => (rtt, inner_ms),
        Side::R => (inner_ms, rtt),
    };
    let times = [at_ms, at_ms + to_server, at_ms + to_server + to_client];
    for (number, at_ms) in (0..).zip(times) {
        let from = if number == 1 { client.other() } else { client };
        rig.advance(at_ms, false, left)?;
        let spec = match number {
            0 | 1 => rig.hosts()[from.index()].syn_spec(number == 1),
            _ => PacketSpec::default(),
        };
        let packet = rig.says(from, &spec, at_ms);
        let octets = packet.encode(Layout::Aligned);
        let count = left.len();
        rig.arrives(from, octets.clone(), PacketMeta::default(), left)?;
        match &left[count..] {
            [only] if only.octets == octets && only.toward == from.other() => {}
            _ => {
                return Err(format!(
                    "packet {} of the handshake did not pass alone",
                    number + 1
                ));
            }
        }
    }
    Ok(())
}

/// The engine's time at a script time.
pub(super) fn instant(at_ms: i64) -> Instant {
    Instant::from_millis(u64::try_from(EPOCH_MS + at_ms).expect("after the epoch"))
}
