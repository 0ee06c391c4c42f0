//! Drives an engine with no operating system, no allocator and no standard library under it.
//!
//! A connection is opened, its receiver acknowledges a first segment, and the second segment must
//! be acknowledged by the engine itself.
#![no_std]
#![no_main]

#[cfg(feature = "needs-alloc")]
extern crate alloc;
#[cfg(feature = "needs-std")]
extern crate std;

mod runtime;

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use localack_core::wire::{self, Flags, HeaderSpec, MAX_HEADER_LEN, Sum};
use localack_core::{
    Config, Controller, Direction, Engine, FlowConfig, FlowId, Instant, PacketMeta, Poll, Port,
    SeqNum, Service, Sink, SinkFull, StaticStorage, Transmit, TransmitKind, Verdict,
};

/// Payload of a segment.
const PAYLOAD: [u8; 300] = [b'x'; 300];

/// Eight connections and 40 KiB of octets in custody.
type Memory = StaticStorage<8, 16, 160, { 160 * 256 }>;

/// Memory that is lent once.
static MEMORY: Once<Memory> = Once(core::cell::UnsafeCell::new(Memory::new()));

struct Once<T>(core::cell::UnsafeCell<T>);

// SAFETY: the program has one thread, and `main` takes the content once.
unsafe impl<T> Sync for Once<T> {}

/// Counts what the engine sends to whom.
#[derive(Default)]
struct Tally {
    local_acks: u32,
    others: u32,
}

impl Sink for Tally {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let mut buffer = [0; MAX_HEADER_LEN + PAYLOAD.len()];
        if packet.copy_to(&mut buffer) != Some(packet.wire_len()) {
            return Err(SinkFull);
        }
        if packet.port() == Port::Inner && packet.kind() == TransmitKind::LocalAck {
            self.local_acks += 1;
        } else {
            self.others += 1;
        }
        Ok(())
    }
}

extern "C" fn main() -> ! {
    #[cfg(feature = "needs-alloc")]
    runtime::print(&alloc::string::String::from("an allocator was linked\n"));
    let ok = run().is_some();
    runtime::print(if ok {
        "freestanding ok\n"
    } else {
        "freestanding: the engine misbehaved\n"
    });
    runtime::exit(u8::from(!ok))
}

/// The scene; `None` if anything is not as it should be.
fn run() -> Option<()> {
    // SAFETY: this is the only reference that is ever made; see `Once`.
    let memory = unsafe { &mut *MEMORY.0.get() };
    let config = Config::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
    let mut engine =
        Engine::new(memory.as_storage(), config, FlowConfig::inner_local_ack()).ok()?;
    let mut tally = Tally::default();
    let syn_ack = Flags::SYN.union(Flags::ACK);
    let scene = [
        (Port::Inner, 1000, 0, Flags::SYN, &[][..]),
        (Port::Outer, 5000, 1001, syn_ack, &[]),
        (Port::Inner, 1001, 5001, Flags::ACK, &[]),
        (Port::Inner, 1001, 5001, Flags::ACK, &PAYLOAD),
        (Port::Outer, 5001, 1301, Flags::ACK, &[]),
        (Port::Inner, 1301, 5001, Flags::ACK, &PAYLOAD),
    ];
    for (now, (port, seq, ack, flags, payload)) in (1..).zip(scene) {
        tally = Tally::default();
        let mut buffer = [0; MAX_HEADER_LEN + PAYLOAD.len()];
        let packet = segment(&mut buffer, port, seq, ack, flags, payload)?;
        let now = Instant::from_millis(now);
        match engine.ingest(port, now, packet, PacketMeta::default(), &mut tally) {
            Verdict::Pass(_) | Verdict::Forward | Verdict::Absorb(_) => {}
            Verdict::Drop(_) => return None,
        }
        while engine.poll(now, 16, &mut tally) == Poll::More {}
    }
    // The last segment was acknowledged at once, and nobody but the engine can have done it.
    let flow = engine.flows().next()?;
    #[cfg(feature = "can-panic")]
    assert!(tally.others == 0, "the engine sends nothing else");
    let served = tally.local_acks == 1 && tally.others == 0 && flow.inner_to_outer.debt == 300;
    change_controllers(&mut engine, flow.id)?;
    hand_back(&mut engine, flow.id, &mut tally)?;
    served.then_some(())
}

/// Lets each controller take over in turn, so that the code of all of them is linked.
fn change_controllers(engine: &mut Engine<'_, FlowConfig>, flow: FlowId) -> Option<()> {
    let (direction, now) = (Direction::InnerToOuter, Instant::from_millis(50));
    for controller in [
        Controller::Reno,
        Controller::Bbr,
        Controller::provisioned(1_000_000),
        Controller::Cubic,
    ] {
        engine
            .set_controller(flow, direction, controller, now)
            .ok()?;
        let found = engine.flow(flow)?.inner_to_outer.controller;
        if core::mem::discriminant(&found) != core::mem::discriminant(&controller) {
            return None;
        }
    }
    Some(())
}

/// Ends the service of a flow, lets time pass, and sees that what it owes is sent again.
fn hand_back(engine: &mut Engine<'_, FlowConfig>, flow: FlowId, tally: &mut Tally) -> Option<()> {
    let now = Instant::from_millis(100);
    engine
        .set_service(flow, Direction::InnerToOuter, Service::Bypass, now)
        .ok()?;
    engine.drain(now);
    while engine.poll(now, 16, tally) == Poll::More {}
    let late = engine.next_deadline()?.after(Duration::from_secs(2));
    while engine.poll(late, 16, tally) == Poll::More {}
    let counted: u64 = engine.counters().iter().map(|(_, _, count)| count).sum();
    let info = engine.flow(flow)?;
    (tally.others > 0 && counted > 0 && info.inner_to_outer.debt == 300).then_some(())
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
        window: 8_000,
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
