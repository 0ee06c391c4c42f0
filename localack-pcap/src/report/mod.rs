//! What a replay reports: the figures, as JSON and as text.

mod text;
pub(crate) mod units;

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::link::Undecoded;
use crate::source::{Cut, Frame, LinkType};
use crate::waits::Waits;

pub(crate) use text::saved;
pub use text::{Layout, Sort, write_text};

/// The name and version of the JSON form.
pub const SCHEMA: &str = "localack-replay/1";

/// The result of a replay; serializes to the JSON form.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The capture.
    pub input: Input,
    /// The TCP in it.
    pub tcp: Tcp,
    /// Every conversation, in the order of their first packets.
    pub flows: Vec<Flow>,
    /// The engine's counters: group, then name.
    pub counters: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// What was checked beside the engine.
    pub invariants: Invariants,
}

/// Figures of the capture file.
#[derive(Debug, Serialize)]
pub struct Input {
    /// Frames.
    pub packets: u64,
    /// Frames of which the file holds only the beginning.
    pub truncated: u64,
    /// Frames in which no IP packet was found.
    pub undecoded: u64,
    /// The same by reason.
    pub undecoded_reasons: BTreeMap<&'static str, u64>,
    /// `pcap`, `pcap-ns` or `pcapng`.
    pub format: &'static str,
    /// Link types of the frames, by their tcpdump names.
    pub link_types: Vec<String>,
    /// From the earliest to the latest time stamp, in microseconds.
    pub duration_us: u64,
    /// How often a clock was found to have been set.
    pub clock_jumps: u64,
    /// Offset of the first octet that could not be used, if the file is damaged.
    pub cut_at_offset: Option<u64>,
    /// What is wrong there.
    #[serde(skip)]
    pub cut: Option<Cut>,
}

/// Figures of the TCP in a capture.
#[derive(Debug, Serialize)]
pub struct Tcp {
    /// TCP packets, also inside tunnels and put together from fragments.
    pub packets: u64,
    /// Conversations.
    pub conversations: u64,
    /// Conversations with SYN, SYN-ACK and the client's acknowledgement of it.
    pub complete_handshakes: u64,
    /// Packets with a wrong checksum, offloaded ones included.
    pub bad_checksums: u64,
    /// Packets that are IP fragments, of any protocol.
    pub fragments: u64,
}

/// One conversation.
#[derive(Debug, Serialize)]
pub struct Flow {
    /// Address and port of the client.
    pub client: String,
    /// Address and port of the server.
    pub server: String,
    /// Whether the engine followed it.
    pub adopted: bool,
    /// Why not.
    pub reason: Option<&'static str>,
    /// Whether its handshake is complete.
    pub complete_handshake: bool,
    /// The end that was taken for the inner one: `client` or `server`.
    pub inner: Option<&'static str>,
    /// What each end sent.
    pub directions: Directions,
}

/// Both directions of data.
#[derive(Debug, Serialize)]
pub struct Directions {
    /// What the client sent.
    pub client_to_server: DirectionFigures,
    /// What the server sent.
    pub server_to_client: DirectionFigures,
}

/// One direction of data, and what the engine did for it.
#[derive(Debug, Serialize)]
pub struct DirectionFigures {
    /// The sender's packets.
    pub packets: u64,
    /// Their payload, repetitions included.
    pub payload_bytes: u64,
    /// Distinct payload octets.
    pub unique_payload_bytes: u64,
    /// The sender's packets that only acknowledge.
    pub pure_acks: u64,
    /// The sender's packets whose content was captured before.
    pub retransmitted_packets: u64,
    /// Acknowledgements that the engine made for the sender.
    pub local_acks: u64,
    /// The receiver's acknowledgements that were not passed on.
    pub absorbed_acks: u64,
    /// The sender's packets that were edited.
    pub rewritten: u64,
    /// Data sent again from custody.
    pub engine_retransmissions: u64,
    /// Data sent from custody for the first time.
    pub custody_segments: u64,
    /// Most octets acknowledged to the sender and not yet by the receiver.
    pub peak_custody_bytes: u64,
    /// Data packets that could not be taken, because octets are missing in the capture.
    pub cut_packets: u64,
    /// Whether `unique_payload_bytes` may be too small: too many gaps were open at once.
    pub approximate: bool,
    /// How long data waited for its acknowledgement, in microseconds.
    pub ack_wait_us: AckWait,
}

/// Waits in the capture and with the engine.
#[derive(Debug, Serialize)]
pub struct AckWait {
    /// Until the receiver's acknowledgement was captured.
    pub captured: WaitFigures,
    /// Until an acknowledgement left the engine for the sender.
    pub engine: WaitFigures,
}

/// A distribution of waits, in microseconds.
#[derive(Debug, Serialize)]
pub struct WaitFigures {
    /// Packets whose wait ended.
    pub count: u64,
    /// The median.
    pub p50: Option<u64>,
    /// What 99 of 100 do not exceed.
    pub p99: Option<u64>,
    /// All waits together.
    pub total: u64,
}

/// What was checked beside the engine.
#[derive(Debug, Serialize)]
pub struct Invariants {
    /// Checks made.
    pub checked: u64,
    /// Checks that failed.
    pub violations: u64,
    /// The first of them in words.
    pub described: Vec<String>,
}

impl From<&Waits> for WaitFigures {
    fn from(waits: &Waits) -> Self {
        let [p50, p99] = waits
            .percentiles([50, 99])
            .map_or([None; 2], |found| found.map(Some));
        Self {
            count: waits.count(),
            p50,
            p99,
            total: waits.total(),
        }
    }
}

impl Report {
    /// Whether the capture has frames and not one of them was decoded.
    #[must_use]
    pub const fn nothing_decoded(&self) -> bool {
        self.input.packets > 0 && self.input.undecoded == self.input.packets
    }
}

impl Report {
    /// The numbers of all conversations in an order.
    pub fn order(&self, sort: Sort) -> impl Iterator<Item = usize> {
        let mut order: Vec<_> = (0..self.flows.len()).collect();
        order.sort_by_key(|&index| core::cmp::Reverse(text::rank(&self.flows[index], sort)));
        order.into_iter()
    }
}

impl Flow {
    /// Both directions, the client's first.
    #[must_use]
    pub const fn both(&self) -> [&DirectionFigures; 2] {
        [
            &self.directions.client_to_server,
            &self.directions.server_to_client,
        ]
    }
}

/// Figures of the capture file that are gathered on the way.
#[derive(Debug, Default)]
pub(crate) struct InputFigures {
    pub(crate) packets: u64,
    pub(crate) truncated: u64,
    pub(crate) fragments: u64,
    pub(crate) undecoded: BTreeMap<Undecoded, u64>,
    /// Link types with the number of their frames.
    pub(crate) links: BTreeMap<LinkType, u64>,
}

impl InputFigures {
    pub(crate) fn count(&mut self, frame: &Frame<'_>) {
        self.packets += 1;
        self.truncated += u64::from(frame.data.len() < frame.wire_len);
        *self.links.entry(frame.link).or_default() += 1;
    }

    pub(crate) fn undecoded(&mut self, reason: Undecoded) {
        *self.undecoded.entry(reason).or_default() += 1;
    }
}

/// An endpoint as `ip:port` or `[v6]:port`.
pub(crate) fn endpoint((address, port): (IpAddr, u16)) -> String {
    core::net::SocketAddr::new(address, port).to_string()
}
