//! Shared set-up of the benchmarks: a connection whose packets are ready before the clock starts; and
//! [`goodput`] in virtual time.

pub mod goodput;

use core::time::Duration;

use localack_core::wire::{ChecksumKind, Parsed, Rewrite, parse};
use localack_core::{
    Config, Custody, Engine, FlowConfig, Instant, PacketMeta, Poll, Port, SeqNum, Sink, SinkFull,
    Storage, Transmit, Verdict,
};
use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};

/// Payload of a full segment: 1,500 octets of IP packet, with timestamps.
pub const PAYLOAD: usize = 1448;

/// Where the sender's data begins.
const INNER_ISN: u32 = 1_000;
/// Where the receiver's data would begin.
const OUTER_ISN: u32 = 2_000_000;

/// The packets of one connection, from a sender on the inner side to a receiver on the outer.
#[derive(Debug)]
pub struct Conversation {
    data: Vec<u8>,
    remote_ack: Vec<u8>,
    /// The sender's next sequence number.
    snd_nxt: SeqNum,
}

impl Conversation {
    /// A connection between two Linux-like hosts over IPv4.
    #[must_use]
    pub fn new() -> Self {
        let first = INNER_ISN + 1;
        Self {
            data: segment(Port::Inner, Flags::ACK, first, OUTER_ISN + 1, PAYLOAD),
            remote_ack: segment(Port::Outer, Flags::ACK, OUTER_ISN + 1, first, 0),
            snd_nxt: SeqNum::new(first),
        }
    }

    /// SYN, SYN-ACK and ACK, with the ports they arrive on.
    #[must_use]
    pub fn handshake(&self) -> [(Port, Vec<u8>); 3] {
        let syn_ack = Flags::SYN | Flags::ACK;
        [
            (
                Port::Inner,
                segment(Port::Inner, Flags::SYN, INNER_ISN, 0, 0),
            ),
            (
                Port::Outer,
                segment(Port::Outer, syn_ack, OUTER_ISN, INNER_ISN + 1, 0),
            ),
            (
                Port::Inner,
                segment(Port::Inner, Flags::ACK, INNER_ISN + 1, OUTER_ISN + 1, 0),
            ),
        ]
    }

    /// The sender's next full segment.
    pub fn data(&mut self) -> Vec<u8> {
        let packet = edited(&self.data, |rewrite| rewrite.set_seq(self.snd_nxt));
        self.snd_nxt = self
            .snd_nxt
            .advance(u32::try_from(PAYLOAD).expect("a short payload"));
        packet
    }

    /// The receiver's acknowledgement of all of it.
    #[must_use]
    pub fn remote_ack(&self) -> Vec<u8> {
        edited(&self.remote_ack, |rewrite| rewrite.set_ack(self.snd_nxt))
    }

    /// The sender's acknowledgement of nothing new.
    #[must_use]
    pub fn pure_ack(&self) -> Vec<u8> {
        let first = segment(Port::Inner, Flags::ACK, INNER_ISN + 1, OUTER_ISN + 1, 0);
        edited(&first, |rewrite| rewrite.set_seq(self.snd_nxt))
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

/// A segment from the host on `port`.
fn segment(port: Port, flags: Flags, seq: u32, ack: u32, payload: usize) -> Vec<u8> {
    let [near, far] =
        ["192.0.2.1:40000", "203.0.113.1:443"].map(|address| address.parse().expect("a literal"));
    let (source, destination) = if port == Port::Inner {
        (near, far)
    } else {
        (far, near)
    };
    let syn = flags.has(Flags::SYN);
    let packet = Packet {
        source,
        destination,
        ip: IpFields::default(),
        flags,
        seq,
        ack,
        window: 0xffff,
        urgent: 0,
        options: Options {
            mss: syn.then_some(1460),
            window_scale: syn.then_some(7),
            sack_permitted: syn,
            timestamps: Some((1_000, if flags.has(Flags::ACK) { 1_000 } else { 0 })),
            ..Options::default()
        },
        payload: (0..=u8::MAX).cycle().take(payload).collect(),
    };
    packet.encode(Layout::Aligned)
}

/// A copy of `packet` after `edit`.
fn edited(packet: &[u8], edit: impl FnOnce(&mut Rewrite<'_>)) -> Vec<u8> {
    let mut copy = packet.to_vec();
    let Parsed::Tcp(seg) = parse(packet) else {
        panic!("not a segment")
    };
    edit(&mut Rewrite::new(&mut copy, &seg, ChecksumKind::Full));
    copy
}

/// An engine, its clock, and a sink that looks at what it gets and forgets it.
#[derive(Debug)]
pub struct Gateway<'a> {
    engine: Engine<'a, FlowConfig>,
    now: Instant,
    /// Time from packet to packet.
    pub tick: Duration,
    /// What the sink has seen.
    pub sent: Sent,
}

/// Packets and octets that an engine has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Octets, headers included.
    pub octets: u64,
}

impl Sink for Sent {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        self.packets += 1;
        for slice in packet.slices() {
            self.octets += u64::try_from(core::hint::black_box(slice).len()).expect("64 bits");
        }
        Ok(())
    }
}

impl<'a> Gateway<'a> {
    /// An engine over `storage` that serves data from the inner side.
    ///
    /// # Panics
    /// If the storage does not fit together.
    #[must_use]
    pub fn new(storage: Storage<'a>) -> Self {
        let mut policy = FlowConfig::inner_local_ack();
        policy.custody = Custody::AfterHandshake;
        let engine = Engine::new(storage, Config::new([7, 11]), policy).expect("it fits together");
        Self {
            engine,
            now: Instant::from_millis(1),
            tick: Duration::from_micros(100),
            sent: Sent::default(),
        }
    }

    /// Carries one packet, a tick after the last one.
    #[inline]
    pub fn carry(&mut self, port: Port, packet: &mut [u8]) -> Verdict {
        self.now = self.now.after(self.tick);
        let meta = PacketMeta::default();
        let verdict = self
            .engine
            .ingest(port, self.now, packet, meta, &mut self.sent);
        while self.engine.poll(self.now, 64, &mut self.sent) == Poll::More {}
        verdict
    }

    /// Opens `conversation`.
    pub fn open(&mut self, conversation: &Conversation) {
        for (port, mut packet) in conversation.handshake() {
            assert!(matches!(self.carry(port, &mut packet), Verdict::Pass(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use localack_core::{AbsorbReason, PassReason};
    use localack_testkit::memory::Memory;

    use super::*;

    /// What the benchmark measures is what it says it measures.
    #[test]
    fn a_cycle_is_one_segment_one_local_ack_and_one_remote_ack() {
        let mut memory = Memory::new(4, 64, 1536);
        let mut gateway = Gateway::new(memory.storage());
        let mut conversation = Conversation::new();
        gateway.open(&conversation);
        for cycle in 1..100 {
            let before = gateway.sent;
            let verdict = gateway.carry(Port::Inner, &mut conversation.data());
            assert!(
                matches!(verdict, Verdict::Pass(PassReason::Untouched)),
                "{cycle}: {verdict:?}"
            );
            assert_eq!(gateway.sent.packets, before.packets + 1, "{cycle}");
            let verdict = gateway.carry(Port::Outer, &mut conversation.remote_ack());
            assert_eq!(
                verdict,
                Verdict::Absorb(AbsorbReason::Acknowledgement),
                "{cycle}"
            );
        }
    }

    #[test]
    fn a_pure_ack_is_edited_while_data_waits() {
        let mut memory = Memory::new(4, 64, 1536);
        let mut gateway = Gateway::new(memory.storage());
        let mut conversation = Conversation::new();
        gateway.open(&conversation);
        // More than the congestion window lets out, so that the sender is ahead of the receiver.
        for _ in 0..20 {
            let _ = gateway.carry(Port::Inner, &mut conversation.data());
        }
        for _ in 0..3 {
            let verdict = gateway.carry(Port::Inner, &mut conversation.pure_ack());
            assert_eq!(verdict, Verdict::Forward);
        }
    }
}

/// The README of the workspace, whose example must compile and hold. It is tested here because this
/// package is never published and may look outside its folder.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
