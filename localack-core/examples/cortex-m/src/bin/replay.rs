//! Repeats on the target what the core's packet scripts did to an engine on the host, and compares every
//! octet that it sends, every answer, event and deadline, and its flows and counters in the end.
//!
//! The record (`localack_testkit::script::record`) is read from the host's file `trace`. While the scripts
//! go by, the stack that the engine takes is measured.
#![no_std]
#![no_main]

#[path = "../machine.rs"]
mod machine;

use core::fmt::{Debug, Write};
use core::time::Duration;

use cortex_m_rt::entry;
use cortex_m_semihosting::{heprintln, hprintln};
use localack_core::{
    BlockSlot, Checksum, Config, Controller, Custody, Direction, Engine, EngineHead, Event,
    FlowConfig, FlowSlot, IndexSlot, Instant, PacketMeta, PathSlot, Poll, Port, Service, Shaping,
    ShapingId, Sink, SinkFull, Storage, Transmit, Verdict,
};
use static_cell::ConstStaticCell;

use machine::{Input, deepest, exit};

const END: u8 = 0;
const NEW: u8 = 1;
const INGEST: u8 = 2;
const POLL: u8 = 3;
const SET_SERVICE: u8 = 4;
const DRAIN: u8 = 5;
const GIVE_UP: u8 = 6;
const SINK: u8 = 7;
const SHAPE: u8 = 8;
/// The sink takes any number of packets.
const ANY: u8 = u8::MAX;

/// The most of each that a script asks for.
const FLOWS: usize = 64;
const BLOCKS: usize = 1024;
const ARENA: usize = BLOCKS * 2048;
/// The longest packet, and the most that is made in one call.
const PACKET: usize = 70_000;
const MADE: usize = 300_000;

static HEAD: ConstStaticCell<EngineHead> = ConstStaticCell::new(EngineHead::EMPTY);
static FLOW_SLOTS: ConstStaticCell<[FlowSlot; FLOWS]> =
    ConstStaticCell::new([FlowSlot::EMPTY; FLOWS]);
static INDEX: ConstStaticCell<[IndexSlot; 2 * FLOWS]> =
    ConstStaticCell::new([IndexSlot::EMPTY; 2 * FLOWS]);
static BLOCK_SLOTS: ConstStaticCell<[BlockSlot; BLOCKS]> =
    ConstStaticCell::new([BlockSlot::EMPTY; BLOCKS]);
static ARENA_OCTETS: ConstStaticCell<[u8; ARENA]> = ConstStaticCell::new([0; ARENA]);
static PATHS: ConstStaticCell<[PathSlot; FLOWS]> = ConstStaticCell::new([PathSlot::EMPTY; FLOWS]);
static PACKET_OCTETS: ConstStaticCell<[u8; PACKET]> = ConstStaticCell::new([0; PACKET]);
static EXPECTED: ConstStaticCell<[u8; PACKET]> = ConstStaticCell::new([0; PACKET]);
static MADE_OCTETS: ConstStaticCell<[u8; MADE]> = ConstStaticCell::new([0; MADE]);
static READ_AHEAD: ConstStaticCell<[u8; 16 * 1024]> = ConstStaticCell::new([0; 16 * 1024]);

#[entry]
fn main() -> ! {
    let Some(input) = Input::open(c"trace") else {
        heprintln!("there is no file named trace");
        exit(false)
    };
    let mut reader = Reader {
        input,
        ahead: READ_AHEAD.take(),
        at: 0,
        end: 0,
        total: 0,
    };
    let mut replay = Replay {
        packet: PACKET_OCTETS.take(),
        expected: EXPECTED.take(),
        tape: Tape {
            octets: MADE_OCTETS.take(),
            filled: 0,
            count: 0,
            room: ANY,
            events: Digest::new(),
        },
        calls: 0,
        ingest_stack: 0,
        poll_stack: 0,
    };
    let mut memory = Storage {
        head: HEAD.take(),
        flows: FLOW_SLOTS.take(),
        index: INDEX.take(),
        blocks: BLOCK_SLOTS.take(),
        arena: ARENA_OCTETS.take(),
        paths: PATHS.take(),
        before: &mut [],
    };
    let mut runs = 0_u32;
    while reader.more() {
        if let Err(what) = replay.run(&mut reader, &mut memory) {
            heprintln!("run {}, before octet {}: {}", runs, reader.total, what);
            exit(false)
        }
        runs += 1;
    }
    hprintln!(
        "replayed {} runs with {} calls, {} octets of record",
        runs,
        replay.calls,
        reader.total
    );
    hprintln!("stack of ingest {}", replay.ingest_stack);
    hprintln!("stack of poll {}", replay.poll_stack);
    exit(runs > 0)
}

/// What went otherwise.
type Problem = &'static str;

struct Replay {
    packet: &'static mut [u8],
    expected: &'static mut [u8],
    tape: Tape,
    calls: u32,
    ingest_stack: usize,
    poll_stack: usize,
}

impl Replay {
    /// One run of a script, from its settings to its end.
    fn run(&mut self, from: &mut Reader, memory: &mut Storage<'_>) -> Result<(), Problem> {
        if from.octet()? != NEW {
            return Err("the record does not begin with settings");
        }
        let (flows, blocks) = (from.size()?, from.size()?);
        let arena = blocks * from.size()?;
        let index = (2 * flows).next_power_of_two();
        let storage = Storage {
            head: &mut *memory.head,
            flows: memory.flows.get_mut(..flows).ok_or("too many flows")?,
            index: memory.index.get_mut(..index).ok_or("too many flows")?,
            blocks: memory.blocks.get_mut(..blocks).ok_or("too many blocks")?,
            arena: memory.arena.get_mut(..arena).ok_or("too large blocks")?,
            paths: memory.paths.get_mut(..flows).ok_or("too many flows")?,
            before: &mut [],
        };
        let (config, policy) = settings(from)?;
        let mut engine = Engine::new(storage, config, policy).map_err(|_| "the settings")?;
        self.tape.room = ANY;
        loop {
            self.calls += 1;
            self.tape.filled = 0;
            self.tape.count = 0;
            self.tape.events = Digest::new();
            match from.octet()? {
                INGEST => self.ingest(from, &mut engine)?,
                POLL => self.poll(from, &mut engine)?,
                SET_SERVICE => {
                    let (now, direction) = (from.time()?, from.octet()?);
                    let direction = match direction {
                        0 => Direction::InnerToOuter,
                        _ => Direction::OuterToInner,
                    };
                    let service = service(from.octet()?);
                    let flow = engine.flows().last().ok_or("there is no flow")?.id;
                    engine
                        .set_service(flow, direction, service, now)
                        .map_err(|_| "the flow is unknown")?;
                }
                SHAPE => {
                    let (now, direction) = (from.time()?, from.octet()?);
                    let (rate, interval) = (from.number()?, from.number()?);
                    let shaping = Shaping::NONE
                        .with_rate_limit(rate)
                        .with_ack_interval(Duration::from_micros(interval.into()))
                        .with_mss_clamp(from.number()? as u16);
                    let id = ShapingId::new(1 + direction).ok_or("another direction")?;
                    engine.set_shaping(id, &shaping, now);
                }
                DRAIN => engine.drain(from.time()?),
                GIVE_UP => {
                    let (now, done) = (from.time()?, from.octet()? != 0);
                    let flow = engine.flows().next().ok_or("there is no flow")?.id;
                    let given = engine.give_up(flow, now, &mut self.tape);
                    if given != Ok(done) {
                        return Err("another answer to giving up");
                    }
                }
                SINK => {
                    self.tape.room = from.octet()?;
                    continue;
                }
                END => break,
                _ => return Err("a record of an unknown kind"),
            }
            self.compare(from, engine.next_deadline())?;
        }
        let mut digest = Digest::new();
        engine.flows().for_each(|flow| digest.add(&flow));
        engine
            .counters()
            .iter()
            .for_each(|count| digest.add(&count));
        if digest.0 == from.number()? {
            Ok(())
        } else {
            Err("other flows or counters in the end")
        }
    }

    fn ingest(
        &mut self,
        from: &mut Reader,
        engine: &mut Engine<'_, FlowConfig>,
    ) -> Result<(), Problem> {
        let port = port(from.octet()?);
        let meta = PacketMeta {
            checksum: match from.octet()? {
                0 => Checksum::Verify,
                1 => Checksum::Verified,
                _ => Checksum::Partial,
            },
            ..PacketMeta::default()
        };
        let now = from.time()?;
        let length = from.octets(self.packet)?;
        let (packet, tape) = (&mut self.packet[..length], &mut self.tape);
        let verdict = deepest(&mut self.ingest_stack, || {
            ingest(engine, port, now, packet, meta, tape)
        });
        let verdict = match verdict {
            Verdict::Pass(reason) => [0, reason as u8],
            Verdict::Forward => [1, 0],
            Verdict::Absorb(reason) => [2, reason as u8],
            Verdict::Drop(reason) => [3, reason as u8],
        };
        if [from.octet()?, from.octet()?] != verdict {
            return Err("another verdict");
        }
        let after = from.octets(self.expected)?;
        if self.expected[..after] == self.packet[..length] {
            Ok(())
        } else {
            Err("the packet was left otherwise")
        }
    }

    fn poll(
        &mut self,
        from: &mut Reader,
        engine: &mut Engine<'_, FlowConfig>,
    ) -> Result<(), Problem> {
        let (now, budget) = (from.time()?, from.size()?);
        let tape = &mut self.tape;
        let answer = deepest(&mut self.poll_stack, || poll(engine, now, budget, tape));
        let answer = match answer {
            Poll::More => 0,
            Poll::Blocked => 1,
            Poll::Idle => 2,
        };
        if from.octet()? == answer {
            Ok(())
        } else {
            Err("another answer to a poll")
        }
    }

    /// Compares what the last call made and told with the record.
    fn compare(&mut self, from: &mut Reader, deadline: Option<Instant>) -> Result<(), Problem> {
        if from.number()? != self.tape.count {
            return Err("more or fewer packets");
        }
        let mut made = &self.tape.octets[..self.tape.filled];
        for _ in 0..self.tape.count {
            let (head, rest) = made.split_first_chunk::<6>().ok_or("a short tape")?;
            let [port, kind, length @ ..] = *head;
            if [from.octet()?, from.octet()?] != [port, kind] {
                return Err("another port or kind");
            }
            let (packet, rest) = rest
                .split_at_checked(u32::from_le_bytes(length) as usize)
                .ok_or("a short tape")?;
            let length = from.octets(self.expected)?;
            if self.expected[..length] != *packet {
                return Err("another packet");
            }
            made = rest;
        }
        if from.number()? != self.tape.events.0 {
            return Err("other events");
        }
        if from.time()? == deadline.unwrap_or(Instant::from_micros(u64::MAX)) {
            Ok(())
        } else {
            Err("another deadline")
        }
    }
}

/// In a function of its own, so that all its stack is below the one that measures.
#[inline(never)]
fn ingest(
    engine: &mut Engine<'_, FlowConfig>,
    port: Port,
    now: Instant,
    packet: &mut [u8],
    meta: PacketMeta,
    tape: &mut Tape,
) -> Verdict {
    engine.ingest(port, now, packet, meta, tape)
}

/// See [`ingest`].
#[inline(never)]
fn poll(engine: &mut Engine<'_, FlowConfig>, now: Instant, budget: usize, tape: &mut Tape) -> Poll {
    engine.poll(now, budget, tape)
}

fn settings(from: &mut Reader) -> Result<(Config, FlowConfig), Problem> {
    let mut config = Config::new([0x6c6f_6361, 0x6c61_636b]);
    let mut policy = FlowConfig::tracked();
    config.debt_floor = from.number()?;
    config.queue_floor = from.number()?;
    config.reserved_blocks = from.number()?;
    config.give_up_after = Duration::from_secs(from.number()?.into());
    config.mtu = [u16::try_from(from.number()?).map_err(|_| "the MTU")?; 2];
    policy.buffer_limit = from.number()?;
    policy.ack_delay = Duration::from_micros(from.number()?.into());
    policy.inner_to_outer = service(from.octet()?);
    policy.outer_to_inner = service(from.octet()?);
    for (direction, number) in Direction::BOTH.into_iter().zip(1..) {
        let id = ShapingId::new(number).ok_or("too many directions")?;
        policy = policy.with_shaping(direction, id);
    }
    policy.custody = match from.octet()? {
        0 => Custody::AfterProof,
        _ => Custody::AfterHandshake,
    };
    policy.allow_dont_fragment = from.octet()? != 0;
    policy.pacing = from.octet()? != 0;
    let (algorithm, rate) = (from.octet()?, from.number()?);
    policy.controller = match algorithm {
        0 => Controller::Reno,
        1 => Controller::Cubic,
        2 => Controller::Bbr,
        _ => Controller::provisioned(rate),
    };
    policy.inward_controller = policy.controller;
    Ok((config, policy))
}

const fn port(octet: u8) -> Port {
    match octet {
        0 => Port::Inner,
        _ => Port::Outer,
    }
}

const fn service(octet: u8) -> Service {
    match octet {
        0 => Service::Bypass,
        1 => Service::LocalAck,
        _ => Service::Snoop,
    }
}

/// Keeps what the engine sends: port, kind, length and octets, one packet behind the other.
struct Tape {
    octets: &'static mut [u8],
    filled: usize,
    count: u32,
    /// Packets that it still takes, or [`ANY`] number.
    room: u8,
    events: Digest,
}

impl Sink for Tape {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        if self.room != ANY {
            self.room = self.room.checked_sub(1).ok_or(SinkFull)?;
        }
        let free = self.octets.get_mut(self.filled..).ok_or(SinkFull)?;
        let (head, rest) = free.split_first_chunk_mut::<6>().ok_or(SinkFull)?;
        let length = packet.copy_to(rest).ok_or(SinkFull)?;
        let [a, b, c, d] = (length as u32).to_le_bytes();
        *head = [packet.port() as u8, packet.kind() as u8, a, b, c, d];
        self.filled += 6 + length;
        self.count += 1;
        Ok(())
    }

    fn event(&mut self, _: Instant, event: Event) {
        self.events.add(&event);
    }
}

/// The FNV-1a hash of how things are printed.
struct Digest(u32);

impl Digest {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn add(&mut self, thing: &dyn Debug) {
        // Nothing can fail.
        let _ = write!(self, "{thing:?}");
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for octet in text.bytes() {
            self.0 = (self.0 ^ u32::from(octet)).wrapping_mul(0x0100_0193);
        }
        Ok(())
    }
}

/// Reads the record.
struct Reader {
    input: Input,
    ahead: &'static mut [u8],
    at: usize,
    end: usize,
    total: u64,
}

impl Reader {
    /// Whether there is another octet.
    fn more(&mut self) -> bool {
        if self.at == self.end {
            self.end = self.input.read(self.ahead);
            self.at = 0;
        }
        self.at < self.end
    }

    fn fill(&mut self, mut target: &mut [u8]) -> Result<(), Problem> {
        self.total += target.len() as u64;
        while !target.is_empty() {
            if !self.more() {
                return Err("the record ends early");
            }
            let length = target.len().min(self.end - self.at);
            let (now, later) = target.split_at_mut(length);
            now.copy_from_slice(&self.ahead[self.at..self.at + length]);
            self.at += length;
            target = later;
        }
        Ok(())
    }

    fn octet(&mut self) -> Result<u8, Problem> {
        let mut octet = [0];
        self.fill(&mut octet)?;
        Ok(octet[0])
    }

    fn number(&mut self) -> Result<u32, Problem> {
        let mut octets = [0; 4];
        self.fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn size(&mut self) -> Result<usize, Problem> {
        Ok(self.number()? as usize)
    }

    fn time(&mut self) -> Result<Instant, Problem> {
        let mut octets = [0; 8];
        self.fill(&mut octets)?;
        Ok(Instant::from_micros(u64::from_le_bytes(octets)))
    }

    /// Octets with their number before them; answers how many there were.
    fn octets(&mut self, target: &mut [u8]) -> Result<usize, Problem> {
        let length = self.size()?;
        self.fill(target.get_mut(..length).ok_or("a packet is too long")?)?;
        Ok(length)
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    heprintln!("{}", info);
    exit(false)
}
