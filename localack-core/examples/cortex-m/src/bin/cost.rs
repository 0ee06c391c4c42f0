//! Instructions per packet in the steady state: segments of 512 octets, in order, on one connection, whose
//! receiver acknowledges every second one.
//!
//! QEMU runs it with one instruction per nanosecond (`-icount shift=0`), and SysTick counts them by 40: each
//! figure is of many packets. Beside it stands what it takes to copy a payload and to add it up, which is
//! the least that custody can cost.
#![no_std]
#![no_main]

#[path = "../machine.rs"]
mod machine;

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{heprintln, hprintln};
use localack_core::wire::{self, Flags, HeaderSpec, MAX_HEADER_LEN, Sum};
use localack_core::{
    Config, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, SeqNum, Sink, SinkFull,
    StaticStorage, Transmit, Verdict,
};
use static_cell::ConstStaticCell;

use machine::exit;

type Memory = StaticStorage<8, 16, 64, { 64 * 512 }>;

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

/// Octets of a segment.
const MSS: u32 = 512;
const PAYLOAD: [u8; MSS as usize] = [0x5a; MSS as usize];
/// Rounds of two segments and an acknowledgement. The first ones open the window.
const ROUNDS: u32 = 256;
const FIRST: u32 = 64;
/// Instructions per tick: SysTick has 25 MHz, and an instruction takes a nanosecond.
const TICK: u32 = 40;

/// Takes packets and forgets them.
struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        black_box(packet.header());
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    let Some(mut peripherals) = cortex_m::Peripherals::take() else {
        exit(false)
    };
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    peripherals.SYST.set_reload(0x00ff_ffff);
    peripherals.SYST.clear_current();
    peripherals.SYST.enable_counter();
    let figures = run();
    if let Some([data, ack, floor]) = figures {
        let packets = ROUNDS - FIRST;
        hprintln!("instructions per segment {}", data * TICK / (2 * packets));
        hprintln!("instructions per acknowledgement {}", ack * TICK / packets);
        hprintln!("instructions of the floor {}", floor * TICK / packets);
    } else {
        heprintln!("the engine did not do what it was measured for");
    }
    exit(figures.is_some())
}

/// Ticks of all segments with their local acknowledgements, of all remote acknowledgements, and of copying
/// and adding up as many payloads as there were acknowledgements.
fn run() -> Option<[u32; 3]> {
    let config = Config::new([0x5eed, 0xcafe]);
    let mut policy = FlowConfig::inner_local_ack();
    policy.buffer_limit = 8 * 1024;
    // What may go at once, goes at once.
    policy.pacing = false;
    let mut engine = Engine::new(MEMORY.take().as_storage(), config, policy).ok()?;
    let mut buffer = [0; MAX_HEADER_LEN + MSS as usize];
    let (mut now_us, mut ticks) = (1_000_u64, [0; 3]);
    let syn_ack = Flags::SYN.union(Flags::ACK);
    let mut call = |engine: &mut Engine<'_, _>, port, seq, ack, flags, payload: &[u8]| {
        let packet = segment(&mut buffer, port, seq, ack, flags, payload)?;
        now_us += 1_000;
        let now = Instant::from_micros(now_us);
        let before = SYST::get_current();
        let verdict = engine.ingest(port, now, packet, PacketMeta::default(), &mut Nowhere);
        while engine.poll(now, 16, &mut Nowhere) == Poll::More {}
        black_box(engine.next_deadline());
        let took = before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        Some((verdict, took))
    };
    for (port, seq, ack, flags, payload) in [
        (Port::Inner, 1000, 0, Flags::SYN, &[][..]),
        (Port::Outer, 5000, 1001, syn_ack, &[]),
        (Port::Inner, 1001, 5001, Flags::ACK, &[]),
        (Port::Inner, 1001, 5001, Flags::ACK, &PAYLOAD),
        (Port::Outer, 5001, 1001 + MSS, Flags::ACK, &[]),
    ] {
        let _ = call(&mut engine, port, seq, ack, flags, payload)?;
    }
    let (mut seq, mut forwarded, mut absorbed) = (1001 + MSS, 0, 0);
    for round in 0..ROUNDS {
        let counts = u32::from(round >= FIRST);
        for _ in 0..2 {
            let (verdict, took) = call(&mut engine, Port::Inner, seq, 5001, Flags::ACK, &PAYLOAD)?;
            seq = seq.wrapping_add(MSS);
            forwarded += u32::from(matches!(verdict, Verdict::Pass(_) | Verdict::Forward));
            ticks[0] += counts * took;
        }
        let (verdict, took) = call(&mut engine, Port::Outer, 5001, seq, Flags::ACK, &[])?;
        absorbed += u32::from(matches!(verdict, Verdict::Absorb(_)));
        ticks[1] += counts * took;
        if counts != 0 {
            ticks[2] += floor();
        }
    }
    // It has served: all was acknowledged early, went on as it came, and has arrived.
    let mut counters = engine.counters().iter();
    let (_, _, local_acks) = counters.find(|&(_, name, _)| name == "local-ack")?;
    let debt = engine.flows().next()?.inner_to_outer.debt;
    hprintln!(
        "{} local ACKs, {} segments forwarded, {} ACKs absorbed",
        local_acks,
        forwarded,
        absorbed
    );
    let served = local_acks >= (2 * ROUNDS - 8).into() && forwarded >= 2 * ROUNDS - 8;
    (served && absorbed >= ROUNDS - 8 && debt == 0).then_some(ticks)
}

/// Ticks that it takes to copy a payload and to add it up.
fn floor() -> u32 {
    let mut copy = [0; PAYLOAD.len()];
    let before = SYST::get_current();
    let mut sum = Sum::new();
    sum.add_bytes(black_box(&PAYLOAD));
    black_box(sum);
    copy.copy_from_slice(black_box(&PAYLOAD));
    black_box(&copy);
    before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff
}

/// Lays a segment out in `buffer`.
fn segment<'b>(
    buffer: &'b mut [u8],
    port: Port,
    seq: u32,
    ack: u32,
    flags: Flags,
    payload: &[u8],
) -> Option<&'b mut [u8]> {
    let near = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);
    let far = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 443);
    let ((src, src_port), (dst, dst_port)) = match port {
        Port::Inner => (near, far),
        Port::Outer => (far, near),
    };
    let spec = HeaderSpec {
        src,
        dst,
        src_port,
        dst_port,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(ack),
        flags,
        window: 16_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    };
    let mut sum = Sum::new();
    sum.add_bytes(payload);
    let header = wire::emit(&spec, u32::try_from(payload.len()).ok()?, sum)?;
    let header = header.as_slice();
    let packet = buffer.get_mut(..header.len().checked_add(payload.len())?)?;
    let (head, tail) = packet.split_at_mut_checked(header.len())?;
    head.copy_from_slice(header);
    tail.copy_from_slice(payload);
    Some(packet)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    heprintln!("{}", info);
    exit(false)
}
