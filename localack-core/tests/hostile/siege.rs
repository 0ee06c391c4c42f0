//! An engine at which somebody off the path aims, with a twin that is left in peace.

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::collections::HashSet;

use localack_core::{
    AbsorbReason, Direction, DirectionMode, DropReason, FlowInfo, FlowState, Instant, PassReason,
    Port, SeqNum, TransmitKind, Verdict,
};
use localack_testkit::packet::Packet;
use localack_testkit::sim::{Middle, Random};

use super::forge::{ACK, FIN, Forgery, PSH, RST, SYN};
use super::rig::{Made, Rig, leaving};

/// Far more than any window in these tests.
const AROUND: u32 = 1 << 20;
/// Rule H8.6: the least time between two challenges, and between two unasked acknowledgements, of an
/// engine that counts in milliseconds.
const CHALLENGES: Duration = Duration::from_millis(499);
const DUPLICATES: Duration = Duration::from_millis(99);

/// What is sent, and what its sender has to guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attack {
    /// RST or RST|ACK with any numbers.
    Reset,
    /// .. with a sequence number less than 2^20 away from the right one.
    ResetNear,
    /// SYN or SYN|ACK with any numbers.
    Syn,
    /// Data or a FIN with any numbers.
    Data,
    /// .. with a right sequence number, and any acknowledgement number that is not acceptable.
    DataKnowingSeq,
    /// .. with right numbers, and any timestamp that is too old.
    DataKnowingNumbers,
    /// A pure ACK with any numbers.
    Ack,
    /// .. with a right sequence number, and any acknowledgement number that is not acceptable.
    AckKnowingSeq,
    /// .. that acknowledges all that was sent, with any sequence number that is not acceptable.
    AckKnowingAck,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tried: u64,
    /// Guesses that lay in the receiver's window.
    pub(crate) in_window: u64,
    pub(crate) answered: u64,
}

/// An engine under attack; from either side, whenever a packet of its flow has come.
pub(crate) struct Siege<'e> {
    pub(crate) rig: Rig<'e>,
    /// The same engine without the attack.
    twin: Rig<'e>,
    attack: Attack,
    random: Random,
    /// Forgeries for each packet of the flow, and how many are left.
    each: u64,
    left: u64,
    pub(crate) tally: Tally,
    /// Right edges of all SACK blocks that the engine has told the host on each port.
    sacked: HashSet<(Port, u32)>,
    /// The newest timestamp of each host, the inner one first.
    stamps: [u32; 2],
    last_answer: Option<Instant>,
}

impl<'e> Siege<'e> {
    pub(crate) fn new(
        [rig, twin]: [Rig<'e>; 2],
        attack: Attack,
        random: Random,
        each: u64,
        all: u64,
    ) -> Self {
        Self {
            rig,
            twin,
            attack,
            random,
            each,
            left: all,
            tally: Tally::default(),
            sacked: HashSet::new(),
            stamps: [0; 2],
            last_answer: None,
        }
    }

    /// Forgeries that were not sent yet.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    fn hear(&mut self, port: Port, octets: &[u8]) {
        let packet = Packet::decode(octets).expect("a segment").packet;
        if let Some((value, _)) = packet.options.timestamps {
            self.stamps[usize::from(port == Port::Outer)] = value;
        }
    }

    fn note(&mut self, made: &[Made]) {
        for made in made {
            let packet = Packet::decode(&made.octets).expect("a segment").packet;
            for (_, right) in packet.options.sack {
                self.sacked.insert((made.toward, right));
            }
        }
    }

    /// A timestamp option, a guessed one, or none: the attacker may not know whether there is one.
    fn stamps(&mut self) -> Option<(u32, u32)> {
        let random = &mut self.random;
        random
            .chance(600_000)
            .then(|| (random.below(u32::MAX), random.below(u32::MAX)))
    }

    /// A number that is not within `around` of `low..high`.
    fn far(&mut self, low: SeqNum, high: SeqNum, around: u32) -> u32 {
        let span = high.octets_past(low) + 2 * around;
        let beyond = high.advance(around + 1).raw();
        beyond.wrapping_add(self.random.below(u32::MAX - span - 1))
    }

    fn within(&mut self, low: SeqNum, high: SeqNum) -> u32 {
        low.raw()
            .wrapping_add(self.random.below(high.octets_past(low) + 1))
    }

    /// Something with the addresses of the host on `port`; `None` if it would be what the host itself
    /// might send.
    fn forge(&mut self, port: Port, flow: &FlowInfo) -> Option<Forgery> {
        let direction = Direction::arriving_on(port);
        let stream = flow.direction(direction);
        let echo = flow.direction(direction.reverse());
        let any = |random: &mut Random| random.below(u32::MAX);
        let (mut seq, mut ack) = (any(&mut self.random), any(&mut self.random));
        let mut stamps = self.stamps();
        let coin = self.random.chance(500_000);
        let data = match self.random.below(10) {
            0 => (ACK | FIN, 0),
            1 => (ACK | FIN | PSH, 50),
            2..6 => (ACK | PSH, 1),
            _ => (ACK, 1000),
        };
        let (flags, length) = match self.attack {
            Attack::Reset => (if coin { RST } else { RST | ACK }, 0),
            Attack::ResetNear => {
                let distance = self.random.below(2 * AROUND);
                seq = stream.ack_sent.retreat(AROUND).raw().wrapping_add(distance);
                (if coin { RST } else { RST | ACK }, 0)
            }
            Attack::Syn => (if coin { SYN } else { SYN | ACK }, 0),
            Attack::Data => data,
            Attack::DataKnowingSeq => {
                seq = self.within(stream.ack_sent, stream.offered_edge);
                ack = self.far(echo.snd_una, echo.offered_edge, AROUND);
                data
            }
            Attack::DataKnowingNumbers => {
                seq = stream.ack_sent.raw();
                ack = echo.snd_una.raw();
                let newest = self.stamps[usize::from(port == Port::Outer)];
                // The clocks of these hosts have run for less than a minute.
                let age = 60_000 + self.random.below(1 << 30);
                stamps = Some((newest.wrapping_sub(age), any(&mut self.random)));
                data
            }
            Attack::Ack => (ACK, 0),
            Attack::AckKnowingSeq => {
                seq = self.within(stream.ack_sent, stream.offered_edge);
                ack = self.far(echo.snd_una, echo.offered_edge, AROUND);
                (ACK, 0)
            }
            Attack::AckKnowingAck => {
                seq = self.far(stream.ack_sent, stream.offered_edge, AROUND);
                ack = echo.snd_nxt.raw();
                (ACK, 0)
            }
        };
        let number = SeqNum::new(seq);
        // A receiver that knows the sender's FIN expects the number after it.
        let exact = number.at_or_after(stream.ack_sent)
            && number.at_or_before(stream.rcv_nxt.advance(1))
            || self.sacked.contains(&(port, seq));
        if flags & RST != 0 && exact {
            return None;
        }
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => v4,
            SocketAddr::V6(_) => panic!("these hosts speak IPv4"),
        };
        let (inner, outer): (SocketAddrV4, SocketAddrV4) = (
            v4(SocketAddr::new(flow.key.inner(), flow.key.inner_port())),
            v4(SocketAddr::new(flow.key.outer(), flow.key.outer_port())),
        );
        let (source, destination) = match port {
            Port::Inner => (inner, outer),
            Port::Outer => (outer, inner),
        };
        Some(Forgery {
            source,
            destination,
            flags,
            seq,
            ack,
            window: any(&mut self.random) as u16,
            stamps,
            length,
        })
    }
}

/// Whether `seq` lies in the window of the engine as the receiver of what the host on `port` sends.
fn is_in_window(port: Port, flow: &FlowInfo, seq: u32) -> bool {
    let stream = flow.direction(Direction::arriving_on(port));
    let seq = SeqNum::new(seq);
    seq.at_or_after(stream.ack_sent) && seq.at_or_before(stream.offered_edge)
}

/// Whether every segment of the flow is the engine's to judge.
fn is_served(flow: &FlowInfo) -> bool {
    let modes = Direction::BOTH.map(|direction| flow.direction(direction).mode);
    flow.state == FlowState::Open && modes == [DirectionMode::LocalAck; 2]
}

impl Siege<'_> {
    /// One forgery from each side, and what becomes of it as the rules say.
    fn assail(&mut self, now: Instant, port: Port) -> Vec<(Port, Vec<u8>)> {
        let Some(flow) = self.rig.flow().filter(is_served) else {
            return Vec::new();
        };
        let Some(forgery) = self.forge(port, &flow) else {
            return Vec::new();
        };
        self.left -= 1;
        self.tally.tried += 1;
        let original = forgery.octets();
        let mut octets = original.clone();
        let (verdict, made) = self.rig.take(now, port, &mut octets);
        let in_window = is_in_window(port, &flow, forgery.seq);
        self.tally.in_window += u64::from(in_window);
        let story = || format!("{forgery:?} from {port:?} at {now:?} to {flow:?}: {verdict:?}");
        let repeats = verdict == Verdict::Absorb(AbsorbReason::Duplicate);
        let untaken =
            forgery.flags & FIN != 0 && verdict == Verdict::Absorb(AbsorbReason::NoMemory);
        let (expected, answer) = match self.attack {
            // Rule H8.4, RFC 5961 section 3.2.
            Attack::Reset | Attack::ResetNear if in_window => (
                verdict == Verdict::Absorb(AbsorbReason::Challenged),
                Some(TransmitKind::Challenge),
            ),
            Attack::Reset | Attack::ResetNear => {
                (verdict == Verdict::Drop(DropReason::BlindReset), None)
            }
            // Rule H7.7: the host that it is for will challenge it (RFC 5961 section 4.2).
            Attack::Syn => (verdict == Verdict::Pass(PassReason::Handshake), None),
            // Rule H5.3, RFC 5961 section 5.2: dropped, and an acknowledgement may be sent. Where the
            // acknowledgement number is acceptable by chance (one guess in 2^15), octets that look old
            // are acknowledged again (rule H5.1), and a FIN is not taken.
            Attack::Data | Attack::DataKnowingSeq => (
                matches!(verdict, Verdict::Drop(_)) || (!in_window && (repeats || untaken)),
                Some(TransmitKind::DuplicateAck),
            ),
            Attack::DataKnowingNumbers => (
                verdict == Verdict::Drop(DropReason::OldTimestamp),
                Some(TransmitKind::DuplicateAck),
            ),
            // Rule H8.6: never answered.
            Attack::Ack | Attack::AckKnowingSeq | Attack::AckKnowingAck => {
                (matches!(verdict, Verdict::Drop(_)), None)
            }
        };
        assert!(expected, "{}", story());
        if matches!(verdict, Verdict::Pass(_)) {
            assert_eq!(octets, original, "{}", story());
        }
        let kinds: Vec<TransmitKind> = made.iter().map(|made| made.kind).collect();
        assert!(
            kinds.is_empty() || answer.is_some_and(|kind| kinds == [kind]),
            "{}, answered by {kinds:?}",
            story()
        );
        if let (Some(kind), false) = (answer, kinds.is_empty() || repeats) {
            let pause = if kind == TransmitKind::Challenge {
                CHALLENGES
            } else {
                DUPLICATES
            };
            let since = self.last_answer.map(|last| now.since(last));
            assert!(
                since.is_none_or(|since| since >= pause),
                "{}: {since:?}",
                story()
            );
            self.last_answer = Some(now);
            self.tally.answered += 1;
        }
        leaving(port, verdict, octets, made)
    }

    fn besiege(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let mut out = Vec::new();
        for turn in 0..self.each.min(self.left) {
            let port = if turn % 2 == 0 {
                Port::Outer
            } else {
                Port::Inner
            };
            out.extend(self.assail(now, port));
        }
        out
    }

    /// What the engine did for the flow itself: nothing else than its twin.
    fn compare(
        &mut self,
        now: Instant,
        mine: &(Option<Verdict>, Vec<Made>),
        other: &(Option<Verdict>, Vec<Made>),
    ) {
        // A SYN that may be real lets acknowledgements pass until its host is heard (rule H7.6).
        if self.attack != Attack::Syn {
            assert_eq!(
                mine, other,
                "{:?}: the attack shows at {now:?}",
                self.attack
            );
        }
        self.note(&mine.1);
    }
}

impl Middle for Siege<'_> {
    fn ingest(&mut self, now: Instant, port: Port, mut packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        self.hear(port, &packet);
        let mut copy = packet.clone();
        let (verdict, made) = self.rig.take(now, port, &mut packet);
        let (twins, twins_made) = self.twin.take(now, port, &mut copy);
        let mine = (Some(verdict), made);
        self.compare(now, &mine, &(Some(twins), twins_made));
        let mut out = leaving(port, verdict, packet, mine.1);
        out.extend(self.besiege(now));
        out
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        let mine = (None, self.rig.rest(now));
        let other = (None, self.twin.rest(now));
        self.compare(now, &mine, &other);
        mine.1
            .into_iter()
            .map(|made| (made.toward, made.octets))
            .collect()
    }

    fn next_at(&self) -> Option<Instant> {
        self.rig.next_at()
    }
}
