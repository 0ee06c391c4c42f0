//! How large the segments toward a receiver may be: what routers say of it (rule H10.1), and what
//! their silence says (RFC 4821, RFC 8899).
//!
//! The sender of octets in custody never hears of the path behind the engine, so the engine alone
//! must find a size that gets through. A larger size is tried with real data, and its loss is no sign of
//! congestion.

use super::{MAX_PAGES, Work};
use crate::flow::FlowFlags;
use crate::flow::stream::StreamFlags;
use crate::half::send::SendFlags;
use crate::policy::Direction;
use crate::recovery::path_mtu::Phase;
use crate::recovery::undo::Undo;
use crate::seq::{SeqNum, SeqRange};
use crate::sink::{Sink, TransmitKind};
use crate::time::Stamp;
use crate::wire::{IpVersion, Quoted};

/// Least path MTU that is believed (rule H10.1).
const FLOOR_V4: u16 = 552;
const FLOOR_V6: u16 = 1280;
/// Sizes of packets that are tried where larger ones vanish: what every IPv6 path carries, and nearly
/// every IPv4 path.
const SAFE_V6: [u16; 1] = [1280];
const SAFE_V4: [u16; 2] = [1280, 576];
/// Path MTUs that are common, for routers that do not say which it is (RFC 1191 section 7.1).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, FLOOR_V4];

/// Whether a larger size is to be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SizeProbe {
    /// Not at present.
    None,
    /// As soon as the congestion window has room for it: what is smaller waits until then.
    Soon,
    /// With these octets, in a segment of this size.
    Now(SeqRange, u16),
}

impl<S: Sink + ?Sized> Work<'_, S> {
    /// A router says that a segment in flight was too big; whether that is believed.
    pub(super) fn on_packet_too_big(
        &mut self,
        direction: Direction,
        mtu: u32,
        quoted: &Quoted,
    ) -> bool {
        let send = &self.flow.stream(direction).send;
        let (mss, probe) = (send.mss(), self.size_probe(direction));
        let is_probe = probe.is_some_and(|probe| probe.start() == quoted.seq);
        let sent = probe
            .filter(|_| is_probe)
            .and_then(|probe| u16::try_from(probe.octets()).ok())
            .unwrap_or(mss);
        let Some(mtu) = self.believed_mtu(mtu, sent, quoted) else {
            return false;
        };
        let size = self.segment_size_at(mtu);
        let una = self.flow.stream(direction).send.snd_una;
        if size >= mss && probe.is_some_and(|probe| is_probe && !probe.contains(una)) {
            // What was sent before it is on its way and fits. That the probe is lost, its successors will
            // tell, and it is no sign of congestion then either.
            return size < sent;
        }
        let now = self.now;
        if size < mss || (is_probe && size < sent) {
            let send = &mut self.flow.stream_mut(direction).send;
            send.congestion.on_mss_change(size);
            send.path_mtu.wait(now);
            send.reset_backoff();
            self.send_again(direction, probe.filter(|_| is_probe && size >= mss));
            true
        } else {
            // Every segment of a flight is complained about.
            size == mss && !is_probe
        }
    }

    /// The path MTU that a router's message stands for, for a packet with `sent` octets of payload;
    /// `None` if it cannot be true.
    fn believed_mtu(&self, mtu: u32, sent: u16, quoted: &Quoted) -> Option<u16> {
        let floor = match self.version() {
            IpVersion::V4 => FLOOR_V4,
            IpVersion::V6 => FLOOR_V6,
        };
        if mtu == 0 && self.version() == IpVersion::V4 {
            let headers = u16::MAX.saturating_sub(self.segment_size_at(u16::MAX));
            let own = sent.saturating_add(headers);
            let was = u16::try_from(quoted.total_len)
                .ok()
                .filter(|&len| len > floor && len < own)
                .unwrap_or(own);
            return PLATEAUS.into_iter().find(|&plateau| plateau < was);
        }
        u16::try_from(mtu).ok().filter(|&mtu| mtu >= floor)
    }

    /// What is in flight, or only `part` of it, which comes first, is sent again at the size that now
    /// holds. It was not lost to congestion (RFC 1191 section 6.4): neither window nor time-out
    /// suffers.
    fn send_again(&mut self, direction: Direction, part: Option<SeqRange>) {
        let has_sack = self.has(FlowFlags::SACK);
        let stream = self.flow.stream_mut(direction);
        let sacked = stream.chain.octets_sacked();
        let send = &mut stream.send;
        match part {
            Some(part) => send.lost.lose_head(send.snd_una, part.end()),
            None => {
                send.lost.lose_all(send.outstanding());
                send.lost.forgive(sacked);
            }
        }
        stream.flags.set(StreamFlags::FIRST_REPAIR);
        send.duplicate_acks = 0;
        send.flags.clear(
            SendFlags::TAIL_PROBE_OUT
                | SendFlags::TAIL_PROBE_REPEATS
                | SendFlags::TAIL_PROBE_OWED
                | SendFlags::FORWARD
                | SendFlags::FORWARD_NEW,
        );
        if !stream.flags.has(StreamFlags::RECOVERY) {
            send.attempt.with_undo(Undo::end);
            if !has_sack {
                // What arrives twice brings duplicates that mean no loss.
                send.recover = send.snd_nxt;
            }
        }
        send.timer = Stamp::NEVER;
        self.rearm(direction, true, None);
        self.pump(direction);
    }

    /// The retransmission timer has expired once more without a word from the receiver: perhaps only
    /// large segments vanish. The next ones are smaller; if the path was down, the first acknowledgement
    /// is followed by a probe of the old size.
    pub(super) fn suspect_black_hole(&mut self, direction: Direction) {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        if send.time_outs() == 0 || !stream.is_active() || !stream.head_fits() {
            return;
        }
        let head = send.in_flight().min(send.mss().into());
        let safe: &[u16] = match self.version() {
            IpVersion::V4 => &SAFE_V4,
            IpVersion::V6 => &SAFE_V6,
        };
        let sizes = safe.iter().map(|&mtu| self.segment_size_at(mtu));
        let smaller = sizes.into_iter().find(|&size| u32::from(size) < head);
        let send = &mut self.flow.stream_mut(direction).send;
        if let Some(smaller) = smaller
            && send.path_mtu.on_silence()
        {
            send.congestion.on_mss_change(smaller);
        }
    }

    /// The octets of a probe that is on its way.
    fn size_probe(&self, direction: Direction) -> Option<SeqRange> {
        let send = &self.flow.stream(direction).send;
        if !send.path_mtu.is_probing() {
            return None;
        }
        let size = send
            .path_mtu
            .candidate(send.mss(), self.segment_size(direction))?;
        let start = send.probe_end.retreat(size.into());
        Some(SeqRange::new(start, send.probe_end))
    }

    /// Whether the next new octets are to go as one segment of a larger size: if it is time to try one,
    /// and nothing else is being found out.
    pub(super) fn plan_size_probe(&self, direction: Direction) -> SizeProbe {
        let stream = self.flow.stream(direction);
        let send = &stream.send;
        if send.path_mtu.phase() != Phase::Searching {
            return SizeProbe::None;
        }
        let largest = self.segment_size(direction);
        let Some(size) = send.path_mtu.candidate(send.mss(), largest) else {
            return SizeProbe::None;
        };
        let busy = SendFlags::TAIL_PROBE_OWED
            | SendFlags::TAIL_PROBE_OUT
            | SendFlags::FORWARD
            | SendFlags::ECN_REDUCED;
        let held = StreamFlags::RECOVERY.or(StreamFlags::HELD);
        let unrepaired = !send.lost.is_empty() || !send.lost.repaired_from(send.snd_una).is_empty();
        let calm = !stream.flags.any(held) && !unrepaired && !send.flags.has(busy);
        let needed = u32::from(size);
        let limit = stream.rcv_nxt().earliest(send.usable_edge());
        if !calm || limit.octets_past(send.snd_nxt) < needed {
            return SizeProbe::None;
        }
        let pipe = self.pipe(direction);
        if pipe > 0 && send.congestion.cwnd().saturating_sub(pipe) < needed {
            return SizeProbe::Soon;
        }
        let end = send.snd_nxt.advance(needed);
        SizeProbe::Now(SeqRange::new(send.snd_nxt, end), size)
    }

    /// Sends the next new octets as a segment of a larger size, if it is time; whether it did.
    pub(super) fn send_size_probe(&mut self, direction: Direction) -> bool {
        let (now, largest) = (self.now, self.segment_size(direction));
        let send = &mut self.flow.stream_mut(direction).send;
        if send.path_mtu.is_settled() {
            return false;
        }
        send.path_mtu.end_wait(now);
        if send.path_mtu.phase() == Phase::Searching
            && send.path_mtu.candidate(send.mss(), largest).is_none()
        {
            send.path_mtu.wait(now);
        }
        let SizeProbe::Now(range, size) = self.plan_size_probe(direction) else {
            return false;
        };
        if self.waits_for_pace(direction, range.octets())
            || !self.send_segments(direction, range, false, TransmitKind::Data, size)
        {
            return false;
        }
        let stream = self.flow.stream_mut(direction);
        stream.flags.clear(StreamFlags::RELAY_OWED);
        stream.send.path_mtu.on_sent();
        stream.send.probe_end = range.end();
        self.note_sent(direction, range);
        true
    }

    /// An acknowledgement may tell that the larger size gets through.
    pub(super) fn hear_of_size_probe(&mut self, direction: Direction, acked: u32) {
        let now = self.now;
        let largest = self.segment_size(direction);
        let send = &mut self.flow.stream_mut(direction).send;
        if acked == 0 || send.path_mtu.is_settled() {
            return;
        }
        send.path_mtu.on_progress();
        if send.path_mtu.is_probing() && send.snd_una.at_or_after(send.probe_end) {
            if let Some(size) = send.path_mtu.candidate(send.mss(), largest) {
                send.congestion.on_mss_change(size);
            }
            send.path_mtu.on_arrived(now);
        }
    }

    /// `octets` of `range` were found lost: whether they are the probe and nothing else, and so no
    /// sign of congestion (RFC 4821 section 7.7, RFC 8899 section 3).
    pub(super) fn loses_only_size_probe(
        &mut self,
        direction: Direction,
        range: SeqRange,
        octets: u32,
    ) -> bool {
        let part = match self.size_probe(direction) {
            Some(probe) => range.intersection(probe),
            None => return false,
        };
        if part.is_empty() {
            return false;
        }
        let stream = self.flow.stream_mut(direction);
        stream.send.path_mtu.on_lost();
        self.pool
            .unsacked_octets(&stream.chain, part, MAX_PAGES)
            .octets
            == octets
    }

    /// Where the first segment in flight ends, if it is the probe.
    pub(super) fn size_probe_at_head(&self, direction: Direction) -> Option<SeqNum> {
        let una = self.flow.stream(direction).send.snd_una;
        let probe = self.size_probe(direction)?;
        probe.contains(una).then(|| probe.end())
    }

    /// A timer has expired without a word of the receiver: whether all that is known is that the probe
    /// was lost. It
    /// is sent again in smaller segments.
    pub(super) fn size_probe_timed_out(&mut self, direction: Direction) -> bool {
        let Some(probe) = self.size_probe(direction) else {
            return false;
        };
        let send = &mut self.flow.stream_mut(direction).send;
        if !probe.contains(send.snd_una) {
            send.path_mtu.forget();
            return false;
        }
        send.path_mtu.on_lost();
        self.send_again(direction, Some(probe));
        true
    }
}
