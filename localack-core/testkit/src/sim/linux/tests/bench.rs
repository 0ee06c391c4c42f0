//! One host, and a peer that is played by hand.

use std::collections::VecDeque;

use localack_core::Instant;

use super::*;
use crate::packet::{Flags, IpFields, Layout, Options, Packet};
use crate::sim::Endpoint;

/// The peer's initial sequence number; its numbers in tests count from it.
const PEER_ISN: u32 = 0xffff_ff00;

/// A host under test. Sequence numbers are relative: 1 is each side's first octet.
pub(super) struct Bench {
    pub(super) host: LinuxHost,
    pub(super) now: Instant,
    sent: VecDeque<(Instant, Packet)>,
    /// What the peer puts into its segments.
    pub(super) window: u16,
    pub(super) stamp: u32,
    pub(super) echo: u32,
}

/// A segment as the host sent it, in relative numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) at_ms: u64,
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) length: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) sack: Vec<(u32, u32)>,
    pub(super) stamps: Option<(u32, u32)>,
}

impl Bench {
    /// A host that has not begun.
    pub(super) fn new(host: LinuxHost) -> Self {
        Self {
            host,
            now: Instant::ZERO,
            sent: VecDeque::new(),
            window: 500,
            stamp: 1000,
            echo: 0,
        }
    }

    /// A host that has connected to a peer with window scale 7 and a round trip of 100 ms.
    pub(super) fn open(host: LinuxHost) -> Self {
        let mut bench = Self::new(host);
        assert!(bench.next().is_some_and(|seen| seen.flags == Flags::SYN));
        bench.at(100);
        bench.syn_ack();
        bench.until(100);
        bench
    }

    pub(super) fn syn_ack(&mut self) {
        let options = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: self.host.config.sack,
            timestamps: self.stamps(),
            ..Options::default()
        };
        let window = 64_000;
        self.packet(Flags::SYN | Flags::ACK, 0, 1, window, options, Vec::new());
    }

    fn stamps(&self) -> Option<(u32, u32)> {
        self.host
            .config
            .timestamps
            .then_some((self.stamp, self.echo))
    }

    /// Lets the host do what it has to do by `ms`.
    pub(super) fn until(&mut self, ms: u64) {
        let end = Instant::from_millis(ms);
        loop {
            let due = self.host.next_at(self.now).filter(|&at| at <= end);
            self.now = due.unwrap_or(end).latest(self.now);
            for octets in self.host.poll(self.now) {
                let packet = Packet::decode(&octets).expect("a segment").packet;
                if let Some((value, _)) = packet.options.timestamps {
                    self.echo = value;
                }
                self.sent.push_back((self.now, packet));
            }
            if due.is_none() {
                return;
            }
        }
    }

    /// Moves on to `ms`, and looks at nothing that the host sends until then.
    pub(super) fn at(&mut self, ms: u64) {
        self.until(ms);
        self.sent.clear();
    }

    /// What the host sent next.
    pub(super) fn next(&mut self) -> Option<Seen> {
        if self.sent.is_empty() {
            self.until(self.now.as_micros() / 1000);
        }
        let (at, packet) = self.sent.pop_front()?;
        let own = self.host.config.isn;
        Some(Seen {
            at_ms: at.as_micros() / 1000,
            flags: packet.flags,
            seq: packet.seq.wrapping_sub(own),
            length: packet.payload_len(),
            ack: packet.ack.wrapping_sub(PEER_ISN),
            window: packet.window,
            sack: (packet.options.sack.iter())
                .map(|&(l, r)| (l.wrapping_sub(PEER_ISN), r.wrapping_sub(PEER_ISN)))
                .collect(),
            stamps: packet.options.timestamps,
        })
    }

    /// All that the host sent.
    pub(super) fn all(&mut self) -> Vec<Seen> {
        core::iter::from_fn(|| self.next()).collect()
    }

    /// Starts and lengths of the segments that the host sent.
    pub(super) fn data(&mut self) -> Vec<(u32, u32)> {
        let all = self.all().into_iter();
        all.map(|seen| (seen.seq, seen.length)).collect()
    }

    /// The peer sends a segment.
    pub(super) fn packet(
        &mut self,
        flags: Flags,
        seq: u32,
        ack: u32,
        window: u16,
        options: Options,
        payload: Vec<u8>,
    ) {
        let config = &self.host.config;
        let packet = Packet {
            source: config.peer,
            destination: config.own,
            ip: IpFields::default(),
            flags,
            seq: PEER_ISN.wrapping_add(seq),
            ack: config.isn.wrapping_add(ack),
            window,
            urgent: 0,
            options,
            payload,
        };
        self.host.receive(self.now, packet.encode(Layout::Aligned));
    }

    fn options(&self, sack: &[(u32, u32)]) -> Options {
        let isn = self.host.config.isn;
        Options {
            timestamps: self.stamps(),
            sack: (sack.iter())
                .map(|&(l, r)| (isn.wrapping_add(l), isn.wrapping_add(r)))
                .collect(),
            ..Options::default()
        }
    }

    /// The peer acknowledges.
    pub(super) fn ack(&mut self, ack: u32, sack: &[(u32, u32)]) {
        let (window, options) = (self.window, self.options(sack));
        self.packet(Flags::ACK, 1, ack, window, options, Vec::new());
    }

    /// The peer sends octets of its stream.
    pub(super) fn octets(&mut self, seq: u32, length: u32, flags: Flags) {
        let payload = Content::Pattern(2).octets(u64::from(seq) - 1, length);
        let (window, options) = (self.window, self.options(&[]));
        let una = u32::try_from(self.host.acknowledged()).unwrap() + 1;
        self.packet(Flags::ACK | flags, seq, una, window, options, payload);
    }

    /// The kinds of the faults so far.
    pub(super) fn faults(&self) -> Vec<FaultKind> {
        self.host.faults().iter().map(|fault| fault.kind).collect()
    }
}
