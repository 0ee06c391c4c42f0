//! Handshakes: which connections may be served, and how a flow begins (sections 1.7 and 1.11 of the
//! protocol's rules). Handshake packets always pass as they are.

use crate::flow::host::{PendingSyn, announced_mss, unservable};
use crate::flow::phase::Phase;
use crate::flow::stream::StreamFlags;
use crate::flow::{FlowFlags, FlowSlot};
use crate::policy::{Custody, Direction, FlowConfig, Handshake, Port, Service, SynInfo};
use crate::seq::{SeqNum, SeqRange, WindowScale};
use crate::time::{Instant, micros};
use crate::verdict::PassReason;
use crate::wire::{Flags, IpVersion, Segment};

/// The longest delay of an acknowledgement (rule H5.6), in microseconds.
const MAX_ACK_DELAY_US: u16 = 10_000;
/// The most octets that one direction may hold (rule H9.9).
const MAX_BUFFER: u32 = 1 << 29;

/// What a SYN tells a policy.
pub(crate) fn syn_info(seg: &Segment) -> SynInfo {
    SynInfo {
        isn: seg.seq,
        mss: seg.options.mss,
        window_scale: seg.options.window_scale.map(WindowScale::new),
        sack_permitted: seg.options.sack_permitted,
        timestamps: seg.options.timestamps.is_some(),
        traffic_class: seg.ip.traffic_class,
    }
}

/// Why a connection cannot be served, as its SYN and SYN-ACK together say.
pub(crate) fn unservable_together(pending: &PendingSyn, syn_ack: &Segment) -> Option<PassReason> {
    let cwr = syn_ack.flags.contains(Flags::CWR);
    if let Some(reason) = unservable(syn_ack) {
        Some(reason)
    } else if pending.shares_unusual_option(syn_ack) {
        Some(PassReason::NegotiatedOption)
    } else if pending.offers_accurate_ecn() && (syn_ack.accurate_ecn || cwr) {
        // RFC 9768 section 3.1.1: any such answer speaks of accurate ECN.
        Some(PassReason::AccurateEcn)
    } else {
        None
    }
}

/// Whether the two agree on classic ECN. A SYN-ACK with both flags is a reflection of the SYN, and
/// no agreement (RFC 3168 section 6.1.1).
fn agree_on_ecn(pending: &PendingSyn, syn_ack: &Segment) -> bool {
    pending.offers_ecn()
        && syn_ack.flags.contains(Flags::ECE)
        && !syn_ack.flags.contains(Flags::CWR)
}

impl FlowSlot {
    /// A SYN begins the flow's life, or begins it anew.
    pub(crate) fn begin(&mut self, from: Port, seg: &Segment, config: &FlowConfig, now: Instant) {
        self.set_phase(Phase::SynSeen);
        self.set_client(from);
        self.pending = PendingSyn::of(from, seg, now);
        self.configure(config);
    }

    /// Takes over what the policy chose.
    pub(crate) fn configure(&mut self, config: &FlowConfig) {
        self.buffer_limit = config.buffer_limit.min(MAX_BUFFER);
        self.ack_delay = u16::try_from(micros(config.ack_delay))
            .unwrap_or(u16::MAX)
            .min(MAX_ACK_DELAY_US);
        self.flags
            .put(FlowFlags::ALLOW_DF, config.allow_dont_fragment);
        self.flags.put(FlowFlags::UNPACED, !config.pacing);
        self.flags
            .put(FlowFlags::CAREFUL_RESUME, config.careful_resume);
        self.flags.put(
            FlowFlags::CUSTODY_AFTER_HANDSHAKE,
            config.custody == Custody::AfterHandshake,
        );
        for direction in Direction::BOTH {
            let stream = self.stream_mut(direction);
            stream.set_service(config.service(direction));
            stream.set_shaping(config.shaping(direction));
            stream
                .send
                .congestion
                .nominate(config.controller(direction));
        }
    }

    /// What was chosen at the SYN, for the policy to look at again.
    pub(crate) fn chosen(&self) -> FlowConfig {
        let custody = if self.flags.has(FlowFlags::CUSTODY_AFTER_HANDSHAKE) {
            Custody::AfterHandshake
        } else {
            Custody::AfterProof
        };
        let controller = |direction| self.stream(direction).send.congestion.controller();
        FlowConfig {
            controller: controller(Direction::InnerToOuter),
            inward_controller: controller(Direction::OuterToInner),
            inner_to_outer: self.stream(Direction::InnerToOuter).service(),
            outer_to_inner: self.stream(Direction::OuterToInner).service(),
            inner_shaping: self.stream(Direction::InnerToOuter).shaping(),
            outer_shaping: self.stream(Direction::OuterToInner).shaping(),
            custody,
            pacing: !self.flags.has(FlowFlags::UNPACED),
            careful_resume: self.flags.has(FlowFlags::CAREFUL_RESUME),
            buffer_limit: self.buffer_limit,
            ack_delay: core::time::Duration::from_micros(self.ack_delay.into()),
            allow_dont_fragment: self.flags.has(FlowFlags::ALLOW_DF),
        }
    }

    /// What the host on `port` has announced in its SYN with this number reaches its peer as `mss` at most.
    pub(crate) fn clamp_mss(&mut self, port: Port, isn: SeqNum, mss: u16) {
        if self.pending.from() == port && self.pending.isn() == isn {
            self.pending.clamp_mss(mss);
        }
        let host = self.host_mut(port);
        host.mss = host.mss.min(mss);
    }

    /// The client's SYN again: the round trip cannot be told from it (rule H7.9).
    pub(crate) fn note_syn_again(&mut self, now: Instant) {
        self.pending.note_syn(now);
        self.flags.set(FlowFlags::SYN_LOST);
    }

    /// The SYN-ACK that answers the pending SYN: both ends are known now.
    pub(crate) fn on_syn_ack(&mut self, syn_ack: &Segment, now: Instant) {
        let (client, pending) = (self.client(), self.pending);
        let server = client.other();
        let scales = pending
            .window_scale()
            .zip(syn_ack.options.window_scale.map(WindowScale::new));
        let (client_scale, server_scale) = scales.unwrap_or_default();
        self.flags.put(
            FlowFlags::SACK,
            pending.sack_permitted() && syn_ack.options.sack_permitted,
        );
        self.flags.put(
            FlowFlags::TIMESTAMPS,
            pending.timestamps() && syn_ack.options.timestamps.is_some(),
        );
        self.flags
            .put(FlowFlags::ECN, agree_on_ecn(&pending, syn_ack));
        self.host_mut(client).mss = pending.mss();
        self.host_mut(client).set_scale(client_scale);
        self.host_mut(server).mss = announced_mss(syn_ack);
        self.host_mut(server).set_scale(server_scale);
        self.pending.note_syn_ack(now);

        // Data on a SYN may have been refused: its stream begins where the SYN-ACK says (H7.5).
        let up = self.stream_mut(Direction::arriving_on(client));
        up.start_at(syn_ack.ack);
        up.recv.seq_max = syn_ack.ack;
        up.send
            .start_window(syn_ack.seq, syn_ack.ack, syn_ack.window);
        up.recv.edge = up.send.wnd_edge;
        let down = self.stream_mut(Direction::arriving_on(server));
        down.start_at(syn_ack.seq.advance(1));
        down.watch(
            SeqRange::new(syn_ack.seq.advance(1), syn_ack.seq_end()),
            None,
        );
        down.recv.seq_max = syn_ack.seq_end();
        down.send
            .start_window(pending.isn(), syn_ack.seq.advance(1), 0);
        let window = pending.window();
        down.send.wnd_edge = syn_ack.seq.advance(1).advance(window);
        down.send.wnd_max = window;
        down.recv.edge = down.send.wnd_edge;
        if let Some(timestamps) = syn_ack.options.timestamps {
            down.recv.ts_recent = timestamps.val;
            down.recv.ts_max = timestamps.val;
            let up = self.stream_mut(Direction::arriving_on(client));
            up.send.tsecr = timestamps.ecr;
            up.recv.ts_recent = timestamps.ecr;
            up.recv.ts_max = timestamps.ecr;
        }
        self.set_phase(Phase::SynAckSeen);
    }

    /// Whether this segment of the client completes the handshake.
    pub(crate) fn is_third_ack(&self, from: Port, seg: &Segment) -> bool {
        let down = self.stream(Direction::arriving_on(from.other()));
        let up = self.stream(Direction::arriving_on(from));
        from == self.client()
            && seg.flags.contains(Flags::ACK)
            && !seg.flags.intersects(Flags::SYN.union(Flags::RST))
            && SeqRange::new(down.send.snd_una, down.recv.seq_max.advance(1)).contains(seg.ack)
            && seg
                .seq
                .octets_since(up.send.snd_una)
                .is_some_and(|ahead| ahead <= up.send.wnd_max)
    }

    /// Whether a reset during the handshake is one that its receiver would obey (RFC 9293 section
    /// 3.10.7.3): it answers the SYN, or lies in the window.
    pub(crate) fn is_ended_by(&self, from: Port, seg: &Segment) -> bool {
        if self.phase() == Phase::SynSeen {
            let answers = seg.flags.contains(Flags::ACK) && self.pending.is_answered_by(seg.ack);
            let own = seg.seq == self.pending.isn().advance(1);
            return if from == self.client() { own } else { answers };
        }
        let send = &self.stream(Direction::arriving_on(from)).send;
        seg.seq.at_or_after(send.snd_una) && seg.seq.at_or_before(send.widest_edge())
    }

    /// What the handshake has shown.
    pub(crate) fn handshake(&self, now: Instant) -> Handshake {
        Handshake {
            client: self.client(),
            syn_at: self.pending.syn_at(now),
            syn_ack_at: self.pending.syn_ack_at(now),
            ack_at: now,
            retransmitted: self.flags.has(FlowFlags::SYN_LOST),
        }
    }

    /// The third ACK has come: both ends are established as far as the client knows.
    pub(crate) fn on_third_ack(&mut self, seg: &Segment, handshake: &Handshake) {
        let client = self.client();
        self.set_phase(Phase::Open);
        self.pending.establish();
        let scale = self.host(client).scale();
        let down = self.stream_mut(Direction::arriving_on(client.other()));
        down.watch_ack(seg.ack);
        down.recv.ack_sent = seg.ack;
        down.send
            .note_window(seg.seq, seg.ack, seg.window, scale, true);
        down.recv.edge = down.recv.edge.latest(down.send.wnd_edge);
        if let Some(timestamps) = seg.options.timestamps {
            down.send.tsecr = timestamps.ecr;
        }
        if let Some(timestamps) = seg
            .options
            .timestamps
            .filter(|_| self.flags.has(FlowFlags::TIMESTAMPS))
        {
            let up = self.stream_mut(Direction::arriving_on(client));
            up.watch(SeqRange::new(seg.seq, seg.seq), Some(timestamps.val));
        }
        let down = self.stream_mut(Direction::arriving_on(client.other()));
        // The client has shown that it is there: it sent the third ACK (rule H7.1).
        down.flags.set(StreamFlags::PROVEN);
        for direction in Direction::BOTH {
            let round_trip = micros(handshake.round_trip(direction.source().other()));
            let send = &mut self.stream_mut(direction).send;
            if !handshake.retransmitted {
                send.on_round_trip(
                    u32::try_from(round_trip).unwrap_or(u32::MAX),
                    handshake.ack_at,
                );
            }
        }
    }

    /// Directions that cannot be served because their sender allows fragmentation (rule H10.3).
    pub(crate) fn drop_fragmentable(&mut self, version: IpVersion) -> bool {
        let mut dropped = false;
        for direction in Direction::BOTH {
            let allowed = self.flags.has(FlowFlags::ALLOW_DF)
                || self.host(direction.source()).dont_fragment(version);
            if !allowed && self.stream(direction).service() != Service::Bypass {
                self.stream_mut(direction).set_service(Service::Bypass);
                dropped = true;
            }
        }
        dropped
            && Direction::BOTH
                .iter()
                .all(|&d| self.stream(d).service() == Service::Bypass)
    }

    /// Notes how a handshake packet of the host on `from` looks.
    pub(crate) fn observe(&mut self, from: Port, seg: &Segment) {
        let host = self.host_mut(from);
        host.observe(seg);
        host.freeze_flow_label(seg.ip.flow_label);
    }

    /// Follows data that passes before the handshake is complete (rule H7.5).
    pub(crate) fn watch_early(&mut self, from: Port, seg: &Segment) {
        let stream = self.stream_mut(Direction::arriving_on(from));
        let end: SeqNum = seg.seq_end();
        let fits = end
            .octets_since(stream.send.snd_una)
            .is_some_and(|ahead| ahead <= 1 << 30);
        if fits {
            stream.recv.seq_max = stream.recv.seq_max.latest(end);
            stream.watch(
                SeqRange::new(seg.seq, end),
                seg.options.timestamps.map(|t| t.val),
            );
            if seg.flags.contains(Flags::FIN) {
                stream.recv.fin = end.retreat(1);
                stream.flags.set(StreamFlags::FIN_SEEN);
            }
        }
        // What its window is now, scaled, its peer knows too (rule H2.2).
        let scale = self.host(from).scale();
        let echo = self.stream_mut(Direction::arriving_on(from).reverse());
        if fits && seg.flags.contains(Flags::ACK) && seg.ack == echo.send.snd_una {
            echo.send
                .note_window(seg.seq, seg.ack, seg.window, scale, false);
            echo.recv.edge = echo.recv.edge.latest(echo.send.wnd_edge);
        }
    }
}

#[cfg(test)]
mod tests;
