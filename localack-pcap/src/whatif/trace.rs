//! What a capture holds of each connection, in a form that can be gone through several times.

use crate::clock::Clock;
use crate::conversation::{Conversations, End, Endpoint};
use crate::dissect::{Dissector, Flags, Options, Segment};
use crate::link;
use crate::source::{Frame, Source};

/// Segments of all connections together that are kept, some 64 octets each.
const MOST_RECORDS: usize = 4_000_000;
/// Segments of one connection that are kept.
const MOST_OF_ONE: usize = 2_000_000;

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who sent the SYN.
    Client,
    /// Who answered it.
    Server,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// `client` or `server`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// One captured segment.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was captured, in microseconds of the capture's virtual time.
    pub at: i64,
    /// Who sent it.
    pub from: Side,
    /// The offset of its first payload octet in its sender's stream.
    pub start: i64,
    /// Its payload octets.
    pub len: u32,
    /// Up to which offset of the other stream it acknowledges.
    pub ack: Option<i64>,
    /// The window that it offers, in octets.
    pub window: u32,
    /// Flags.
    pub flags: Flags,
    /// TSval and TSecr.
    pub stamps: Option<(u32, u32)>,
    /// SACK blocks, as offsets in the other stream.
    pub sack: Vec<(i64, i64)>,
}

impl Record {
    /// The offset after its last payload octet.
    #[must_use]
    pub const fn end(&self) -> i64 {
        self.start + self.len as i64
    }
}

/// What is known of one connection.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Addresses and ports of client and server.
    pub ends: [Endpoint; 2],
    /// Its segments in the order of their capture; empty unless it can be simulated.
    pub records: Vec<Record>,
    /// The options of the client's SYN and the server's, if they were captured.
    pub syn: [Option<Options>; 2],
    /// Distinct payload octets of client and server.
    pub octets: [u64; 2],
    /// Whether SYN, SYN-ACK and the acknowledgement of it were captured.
    pub complete_handshake: bool,
    /// Whether some of its segments were too many to be kept.
    pub cut: bool,
}

impl Trace {
    /// The end that sent more.
    #[must_use]
    pub const fn sender(&self) -> Side {
        if self.octets[0] > self.octets[1] {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// The largest payload of a segment on the wire, by the options of both SYNs.
    #[must_use]
    pub fn segment_size(&self) -> u32 {
        let offered = self.syn.iter().flatten().filter_map(|syn| syn.mss);
        let mss = u32::from(offered.min().unwrap_or(536)).max(64);
        mss - if self.has_timestamps() { 12 } else { 0 }
    }

    /// Octets of headers around the payload of a segment.
    #[must_use]
    pub fn header_size(&self) -> u32 {
        let ip = if self.ends[0].0.is_ipv4() { 20 } else { 40 };
        ip + 20 + if self.has_timestamps() { 12 } else { 0 }
    }

    /// Whether both SYNs have timestamps.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        self.syn
            .iter()
            .all(|syn| syn.is_some_and(|syn| syn.timestamps.is_some()))
    }

    /// Whether both SYNs permit selective acknowledgements.
    #[must_use]
    pub fn has_sack(&self) -> bool {
        self.syn
            .iter()
            .all(|syn| syn.is_some_and(|syn| syn.sack_permitted))
    }
}

/// A capture, read.
#[derive(Debug, Default)]
pub struct Traces {
    /// Its connections in the order of their first packets.
    pub all: Vec<Trace>,
    /// Frames in it.
    pub packets: u64,
    /// TCP segments in it.
    pub segments: u64,
}

/// A connection while the capture is being read.
#[derive(Debug, Default)]
struct Draft {
    records: Vec<Raw>,
    cut: bool,
}

/// A segment whose connection is not known in full.
#[derive(Debug)]
struct Raw {
    at: i64,
    from: End,
    start: i64,
    len: u32,
    ack: Option<i64>,
    window: u16,
    flags: Flags,
    stamps: Option<(u32, u32)>,
    sack: Vec<(i64, i64)>,
    syn: Option<Box<Options>>,
}

/// Reads the connections of a capture; `progress` is told now and then how many octets were read.
///
/// Bounded: where there are more segments than can be kept, those of the smallest connections are
/// forgotten first.
pub fn read(source: &mut Source, progress: &mut dyn FnMut(u64)) -> Traces {
    /// Packets between two calls of `progress`.
    const INTERVAL: u64 = 4096;
    let mut reader = Reader::default();
    while let Some(frame) = source.next_frame() {
        reader.frame(&frame);
        if reader.packets.is_multiple_of(INTERVAL) {
            progress(source.offset());
        }
    }
    reader.finish()
}

#[derive(Debug, Default)]
struct Reader {
    clock: Clock,
    dissector: Dissector,
    conversations: Conversations,
    drafts: Vec<Draft>,
    kept: usize,
    packets: u64,
}

impl Reader {
    fn frame(&mut self, frame: &Frame<'_>) {
        self.packets += 1;
        let now = self.clock.tick(frame.clock, frame.time);
        let Ok(packet) = link::decode(frame) else {
            return;
        };
        let Some(segment) = self.dissector.dissect(&packet).segment else {
            return;
        };
        let at = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        self.segment(at, &segment);
    }

    fn segment(&mut self, at: i64, segment: &Segment) {
        let seen = self.conversations.observe(segment);
        if seen.is_new {
            self.drafts.push(Draft::default());
        }
        let conversation = &self.conversations.all()[seen.conversation];
        let draft = &mut self.drafts[seen.conversation];
        if draft.cut || draft.records.len() >= MOST_OF_ONE {
            draft.cut = true;
            return;
        }
        let position = |seq| conversation.position(seen.sender.other(), seq);
        let blocks = segment.options.sack().iter();
        let blocks = blocks.filter_map(|&(left, right)| position(left).zip(position(right)));
        draft.records.push(Raw {
            at,
            from: seen.sender,
            start: seen.start,
            len: segment.payload,
            ack: seen.acknowledged,
            window: segment.window,
            flags: segment.flags,
            stamps: segment.options.timestamps,
            sack: blocks.filter(|(left, right)| left < right).collect(),
            syn: segment
                .flags
                .has(Flags::SYN)
                .then(|| Box::new(segment.options)),
        });
        self.kept += 1;
        if self.kept > MOST_RECORDS {
            self.forget();
        }
    }

    /// Forgets the smallest connections until a quarter of the room is free.
    fn forget(&mut self) {
        let mut sizes: Vec<(usize, usize)> = self
            .drafts
            .iter()
            .enumerate()
            .map(|(number, draft)| (draft.records.len(), number))
            .collect();
        sizes.sort_unstable();
        for (size, number) in sizes {
            if self.kept <= MOST_RECORDS / 4 * 3 {
                return;
            }
            self.drafts[number] = Draft {
                records: Vec::new(),
                cut: true,
            };
            self.kept -= size;
        }
    }

    fn finish(self) -> Traces {
        let all = self.conversations.all().iter().zip(self.drafts);
        Traces {
            all: all
                .map(|(conversation, draft)| {
                    let client = conversation.client();
                    let ends = [client, client.other()];
                    Trace {
                        ends: ends.map(|end| conversation.endpoint(end)),
                        octets: ends.map(|end| conversation.sent(end).unique_payload_bytes),
                        complete_handshake: conversation.complete_handshake(),
                        cut: draft.cut,
                        ..convert(draft.records, client)
                    }
                })
                .collect(),
            packets: self.packets,
            segments: self.conversations.packets(),
        }
    }
}

/// Turns positions into offsets and fields into octets; no records without both SYNs.
fn convert(raws: Vec<Raw>, client: End) -> Trace {
    let side = |end: End| {
        if end == client {
            Side::Client
        } else {
            Side::Server
        }
    };
    let mut syn = [None; 2];
    let mut base = [None; 2];
    for raw in &raws {
        let at = side(raw.from) as usize;
        if let Some(options) = &raw.syn {
            // Of several, the last one was answered.
            syn[at] = Some(**options);
            base[at] = Some(raw.start);
        }
    }
    let scales = syn.map(|syn| syn.and_then(|syn| syn.window_scale));
    let scaled = scales.iter().all(Option::is_some);
    let shift = scales.map(|scale| scale.filter(|_| scaled).unwrap_or(0).min(14));
    let records = match base {
        [Some(client_base), Some(server_base)] => raws
            .into_iter()
            .map(|raw| {
                let from = side(raw.from);
                let (own, other) = match from {
                    Side::Client => (client_base, server_base),
                    Side::Server => (server_base, client_base),
                };
                let is_syn = raw.flags.has(Flags::SYN);
                Record {
                    at: raw.at,
                    from,
                    start: raw.start - own,
                    len: raw.len,
                    ack: raw.ack.map(|ack| ack - other),
                    window: u32::from(raw.window) << if is_syn { 0 } else { shift[from as usize] },
                    flags: raw.flags,
                    stamps: raw.stamps,
                    sack: raw
                        .sack
                        .iter()
                        .map(|&(left, right)| (left - other, right - other))
                        .collect(),
                }
            })
            .collect(),
        _ => Vec::new(),
    };
    Trace {
        ends: [(core::net::Ipv4Addr::UNSPECIFIED.into(), 0); 2],
        records,
        syn,
        octets: [0; 2],
        complete_handshake: false,
        cut: false,
    }
}
