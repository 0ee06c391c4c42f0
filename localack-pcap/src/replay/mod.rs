//! The replay: captured packets in, what the engine makes of them out.

mod check;
mod options;
mod shadow;
mod step;
mod summary;
mod tally;
mod twins;
mod watch;

use std::collections::HashMap;

use localack_core::{Checksum, ConfigError, FlowId, Instant, Port};

pub use check::{Checker, Violation};
pub use options::{Checksums, Inner, Options};
pub use watch::{Endings, Load, Scene, Standing, Watch};

use crate::annotate::Annotator;
use crate::clock::Clock;
use crate::conversation::{Conversations, Observed};
use crate::dissect::{Dissection, Dissector, Segment};
use crate::link::{self, IpPacket};
use crate::report::{InputFigures, Report};
use crate::source::{Frame, Source};
use check::Moment;
use tally::Tally;
use twins::{Memory, Twins};

/// Timers that may fire between two packets; an engine that asks for more is left waiting.
const TIMERS_PER_GAP: usize = 20_000;

/// Why a replay could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The engine cannot be built from what was asked for.
    #[error("{0}")]
    Engine(#[from] ConfigError),
    /// The annotated capture could not be written.
    #[error("cannot write the annotated capture: {0}")]
    Write(#[from] std::io::Error),
}

/// Replays `source` and reports.
///
/// `annotator` gets every packet that goes in or out; `progress` is told now and then how many
/// octets of the capture have been read.
///
/// # Errors
/// See [`ReplayError`]. A damaged capture is not an error: [`Report`] says where it was cut.
pub fn replay(
    source: &mut Source,
    options: &Options,
    annotator: Option<Annotator>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    replay_watched(source, options, annotator, &mut (), progress)
}

/// As [`replay`](fn@replay), and tells `watch` of everything.
///
/// # Errors
/// The same.
pub fn replay_watched(
    source: &mut Source,
    options: &Options,
    annotator: Option<Annotator>,
    watch: &mut dyn Watch,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    /// Packets between two calls of `progress`.
    const INTERVAL: u64 = 4096;
    let mut memory = [Memory::new(options), Memory::new(options)];
    let mut replay = Replay::new(&mut memory, options, annotator, watch)?;
    let mut ended = false;
    while !ended {
        for _ in 0..INTERVAL {
            let Some(frame) = source.next_frame() else {
                ended = true;
                break;
            };
            replay.frame(&frame)?;
        }
        progress(source.offset());
    }
    replay.finish(source)
}

/// A replay under way.
struct Replay<'a> {
    options: &'a Options,
    input: InputFigures,
    clock: Clock,
    dissector: Dissector,
    /// Reads the packets that leave.
    reader: Dissector,
    conversations: Conversations,
    tallies: Vec<Tally>,
    flows: HashMap<FlowId, usize>,
    twins: Twins<'a>,
    checker: Checker,
    annotator: Option<Annotator>,
    watch: &'a mut dyn Watch,
    lent: u64,
    /// Octets of the blocks that all flows hold.
    custody: u64,
    /// Flows that are gone, but whose last packets are still to be counted.
    closed: Vec<FlowId>,
    /// The packet that is being processed, as the engine edits it.
    packet: Vec<u8>,
    timers_given_up: u64,
}

/// A captured IP packet and what is known of it.
#[derive(Clone, Copy)]
struct Arrival<'p> {
    /// The IP packet, padding of the link removed.
    octets: &'p [u8],
    /// Octets it had on the wire.
    wire_len: usize,
    port: Port,
    segment: Option<(Segment, Observed)>,
    /// What the engine is told of the checksum.
    checksum: Checksum,
    /// Whether the segment is the packet's own, neither in a tunnel nor put together.
    direct: bool,
}

impl<'a> Replay<'a> {
    fn new(
        memory: &'a mut [Memory; 2],
        options: &'a Options,
        annotator: Option<Annotator>,
        watch: &'a mut dyn Watch,
    ) -> Result<Self, ReplayError> {
        let lent = memory[0].arena() as u64;
        Ok(Self {
            options,
            input: InputFigures::default(),
            clock: Clock::new(),
            dissector: Dissector::new(),
            reader: Dissector::new(),
            conversations: Conversations::new(),
            tallies: Vec::new(),
            flows: HashMap::new(),
            twins: Twins::new(memory, options)?,
            checker: Checker::default(),
            annotator,
            watch,
            lent,
            custody: 0,
            closed: Vec::new(),
            packet: Vec::new(),
            timers_given_up: 0,
        })
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), ReplayError> {
        self.input.count(frame);
        let before = self.clock.now();
        let now = self.clock.tick(frame.clock, frame.time);
        self.timers(before, now)?;
        match link::decode(frame) {
            Ok(packet) => self.ip(&packet)?,
            Err(reason) => self.input.undecoded(reason),
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        Moment {
            packet: self.input.packets,
            time: self.clock.now(),
        }
    }

    /// Lets the engines do what is due before `now`.
    fn timers(&mut self, before: Instant, now: Instant) -> Result<(), ReplayError> {
        let mut at = before;
        for _ in 0..TIMERS_PER_GAP {
            match self.twins.next_deadline() {
                Some(deadline) if deadline < now => at = at.max(deadline),
                _ => return Ok(()),
            }
            self.poll(at)?;
        }
        self.timers_given_up += 1;
        Ok(())
    }

    fn poll(&mut self, at: Instant) -> Result<(), ReplayError> {
        let rests = self.twins.poll(at);
        let moment = Moment {
            time: at,
            ..self.moment()
        };
        self.checker
            .expect(moment, rests, || "an engine never rests".to_owned());
        self.take_output(moment)
    }

    fn ip(&mut self, packet: &IpPacket<'_>) -> Result<(), ReplayError> {
        let found = self.dissector.dissect(packet);
        self.input.fragments += u64::from(found.fragments > 0);
        let whole = packet.rest;
        let wire_len = if found.ip_len == 0 {
            whole.wire_len
        } else {
            found.ip_len
        };
        let segment = found
            .segment
            .map(|segment| (segment, self.observe(&segment, &found)));
        let arrival = Arrival {
            octets: whole.limit(wire_len).data,
            wire_len,
            port: self.port(&found, segment.as_ref().map(|(_, observed)| observed)),
            segment,
            checksum: self.checksum(segment.as_ref().map(|(_, observed)| observed)),
            direct: !found.tunnel && found.fragments == 0,
        };
        self.ingest(&arrival, packet.link_id)
    }

    fn observe(&mut self, segment: &Segment, found: &Dissection) -> Observed {
        let observed = self.conversations.observe(segment);
        if observed.is_new {
            self.tallies.push(Tally::default());
        }
        let now = self.clock.now();
        let tally = &mut self.tallies[observed.conversation];
        tally.tunnelled += u64::from(found.tunnel);
        tally.reassembled += u64::from(!found.tunnel && found.fragments > 0);
        if let Some(end) = observed.new_data {
            let direction = tally.direction_mut(observed.sender);
            direction.captured.outstanding.push(end, now);
            direction.engine.outstanding.push(end, now);
        }
        if let Some(position) = observed.acknowledged {
            let wait = &mut tally.direction_mut(observed.sender.other()).captured;
            wait.outstanding.acknowledge(position, now, &mut wait.waits);
        }
        let scene = scene(
            &self.conversations,
            &self.tallies,
            observed.conversation,
            now,
        );
        self.watch.captured(&scene, segment, &observed);
        observed
    }

    /// The port by which a packet arrives: that of its sender, or, of an ICMP error, that of the
    /// end which the packet it is about did not reach.
    fn port(&self, found: &Dissection, observed: Option<&Observed>) -> Port {
        let end = match (observed, found.quoted) {
            (Some(observed), _) => Some((observed.conversation, observed.sender)),
            (None, Some(quoted)) => self.conversations.lookup(quoted.target, quoted.source),
            (None, None) => None,
        };
        end.map_or(Port::Inner, |(conversation, end)| {
            tally::port(end, self.conversations.all()[conversation].client())
        })
    }

    /// What the engine is told of a segment's checksum.
    fn checksum(&self, observed: Option<&Observed>) -> Checksum {
        let offloaded = observed.is_some_and(|observed| observed.offloaded);
        match self.options.checksums {
            Checksums::Auto | Checksums::Trust if offloaded => Checksum::Partial,
            Checksums::Auto | Checksums::Verify => Checksum::Verify,
            Checksums::Trust => Checksum::Verified,
        }
    }
}

/// What a watcher is told of a conversation.
fn scene<'c>(
    conversations: &'c Conversations,
    tallies: &[Tally],
    index: usize,
    now: Instant,
) -> Scene<'c> {
    Scene {
        now,
        index,
        conversation: &conversations.all()[index],
        standing: tallies[index].standing(),
    }
}
