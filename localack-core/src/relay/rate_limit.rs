//! Holding a direction's data to a rate without dropping any of it. What the engine sends itself it paces;
//! where the hosts send, the sender is offered its receiver's window little by little.

use super::Work;
use crate::pacing::Pace;
use crate::policy::Direction;
use crate::seq::SeqNum;
use crate::shaping::ShapingId;
use crate::sink::Sink;
use crate::time::{Instant, Stamp};
use crate::wire::{Rewrite, Segment};

/// A sender may have been offered so many octets that it has not used, at least. What crosses the path
/// between it and the engine must fit.
const LEAST_BURST: u32 = 64 * 1024;
/// Rounding may offer what would be due so much later.
const FAR_AHEAD: core::time::Duration = core::time::Duration::from_millis(50);

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Octets of IP packets per second that data of `direction` may take; zero is no limit.
    pub(super) fn rate_limit(&self, direction: Direction) -> u32 {
        match self.flow.stream(direction).shaping() {
            ShapingId::NONE => 0,
            id => self.shapings.get(id).rate_limit,
        }
    }

    /// Whether the window that the receiver of `echo`'s data offers is passed on little by little.
    pub(super) fn doles_out(&self, echo: Direction) -> bool {
        let stream = self.flow.stream(echo);
        !stream.is_active() && !stream.overruns() && self.rate_limit(echo) != 0
    }

    /// The window field to be said to the sender of `echo`'s data beside the acknowledgement `ack`, of the
    /// `field` that its receiver would say.
    pub(super) fn doled_window(&self, echo: Direction, ack: SeqNum, field: u16) -> u16 {
        if !self.doles_out(echo) {
            return field;
        }
        let scale = self.flow.host(echo.source().other()).scale();
        let told = self.flow.stream(echo).recv.edge;
        let octets = told.octets_past(ack);
        // Rounded up, what was offered stays offered (RFC 7323 section 2.4). Each acknowledgement offers a
        // little more so, and a sender of small segments could outrun the rate with nothing else.
        let rounded = if self.is_far_ahead(echo) {
            scale.field_floor(octets)
        } else {
            scale.field_ceil(octets)
        };
        rounded.min(field)
    }

    /// Lets a receiver's segment on its way to the sender offer no more than the rate allows.
    pub(super) fn dole_out(&mut self, echo: Direction, seg: &Segment, rewrite: &mut Rewrite<'_>) {
        if !self.doles_out(echo) {
            return;
        }
        self.raise_edge(echo);
        let newest = &self.flow.stream(echo).send;
        let is_freshened =
            self.flow.stream(echo.reverse()).is_active() && seg.ack.before(newest.snd_una);
        // What stands in it now: a window goes with its acknowledgement.
        let (ack, window) = if is_freshened {
            (newest.snd_una, newest.window)
        } else {
            (seg.ack, seg.window)
        };
        let field = self.doled_window(echo, ack, window);
        rewrite.set_window(field);
        let scale = self.flow.host(echo.source().other()).scale();
        let edge = ack.advance(scale.octets(field));
        self.note_doled(echo, edge);
    }

    /// A field that is rounded up: what it says beyond what was due is offered, too, and taken of the rate.
    pub(super) fn note_doled(&mut self, echo: Direction, edge: SeqNum) {
        let extra = edge.octets_past(self.flow.stream(echo).recv.edge);
        if extra == 0 {
            return;
        }
        let packets = self.octets_of_packets(echo, extra);
        let (now, pace) = (self.now, self.limit_pace(echo));
        let stream = self.flow.stream_mut(echo);
        stream.recv.edge = edge;
        stream.send.pacer.on_sent(now, packets, pace);
    }

    /// Whether so much was offered already that nothing more is due for long.
    fn is_far_ahead(&self, echo: Direction) -> bool {
        let pacer = &self.flow.stream(echo).send.pacer;
        let patience = self.now.after(FAR_AHEAD);
        let ready = pacer.ready_at(self.now, 1, self.limit_pace(echo));
        ready.is_some_and(|at| at > patience)
    }

    /// Sees that a sender that is short of its window gets more of it in time.
    pub(super) fn tend_window(&mut self, direction: Direction) {
        let now = self.now;
        let due = self.flow.stream(direction).send.pace_due;
        if !self.doles_out(direction) {
            if due.is_set() && !self.flow.stream(direction).is_active() {
                self.offer_all(direction);
            }
            return;
        }
        if due.is_due(now) {
            if self.raise_edge(direction) && !self.send_relay(direction.reverse(), &[]) {
                // It stays due.
                return;
            }
        } else if due.is_set() {
            return;
        }
        let at = self.next_raise(direction);
        self.flow.stream_mut(direction).send.pace_due = at.map_or(Stamp::NEVER, Stamp::at);
    }

    /// There is no limit any more, and the sender may be waiting.
    fn offer_all(&mut self, direction: Direction) {
        let stream = self.flow.stream_mut(direction);
        let (told, edge) = (stream.recv.edge, stream.send.wnd_edge);
        stream.recv.edge = told.latest(edge);
        if edge.after(told) && !self.send_relay(direction.reverse(), &[]) {
            self.flow.stream_mut(direction).recv.edge = told;
            return;
        }
        self.flow.stream_mut(direction).send.pace_due = Stamp::NEVER;
    }

    /// When a sender that has used up most of what it was offered may be offered more.
    fn next_raise(&self, direction: Direction) -> Option<Instant> {
        let (limit, step) = (self.rate_limit(direction), self.dole(direction));
        let recv = &self.flow.stream(direction).recv;
        let unused = recv.edge.octets_past(recv.seq_max);
        if self.could_offer(direction) < step || unused > burst(limit) / 2 {
            return None;
        }
        let pacer = &self.flow.stream(direction).send.pacer;
        let packets = self.octets_of_packets(direction, step);
        let pace = self.limit_pace(direction);
        // Never at once: what could not be done now cannot be done before time has passed.
        let soon = self.now.after(core::time::Duration::from_micros(1));
        let at = pacer.wake_at(self.now, packets, pace);
        Some(at.map_or(soon, |at| at.max(soon)))
    }

    /// Raises the offered edge as far as the rate allows; whether it did.
    fn raise_edge(&mut self, direction: Direction) -> bool {
        let (now, step, pace) = (self.now, self.dole(direction), self.limit_pace(direction));
        let segment = u32::from(self.segment_size(direction));
        let packet = segment.saturating_add(self.header_octets().into());
        let allowance = self.flow.stream(direction).send.pacer.allowance(now, pace);
        let could = self.could_offer(direction);
        let least = self.octets_of_packets(direction, step).min(pace.quantum());
        if could < step || allowance < least {
            return false;
        }
        let segments = allowance.checked_div(packet).unwrap_or(0);
        let octets = segments.saturating_mul(segment).max(step).min(could);
        let packets = self.octets_of_packets(direction, octets);
        let stream = self.flow.stream_mut(direction);
        stream.recv.edge = stream.recv.edge.advance(octets);
        stream.send.pacer.on_sent(now, packets, pace);
        true
    }

    /// Octets by which the offered edge could rise if time were no matter: to the receiver's own, and not
    /// too far ahead of what is used.
    fn could_offer(&self, direction: Direction) -> u32 {
        let stream = self.flow.stream(direction);
        let ahead = stream
            .recv
            .seq_max
            .advance(burst(self.rate_limit(direction)));
        stream
            .send
            .wnd_edge
            .earliest(ahead)
            .octets_past(stream.recv.edge)
    }

    /// The least octets by which an edge rises: two segments (rule H2.5), or what the window field can say.
    fn dole(&self, direction: Direction) -> u32 {
        let scale = self.flow.host(direction.source().other()).scale();
        let segments = u32::from(self.segment_size(direction)).saturating_mul(2);
        let most = self.flow.stream(direction).send.wnd_max / 2;
        segments.min(most).max(scale.unit())
    }

    /// Octets of the IP packets that carry `octets` of a sender's payload.
    fn octets_of_packets(&self, direction: Direction, octets: u32) -> u32 {
        let segment = u32::from(self.segment_size(direction)).max(1);
        let headers = u32::from(self.header_octets());
        octets.saturating_add(octets.div_ceil(segment).saturating_mul(headers))
    }

    fn limit_pace(&self, direction: Direction) -> Pace {
        let packet = self
            .segment_size(direction)
            .saturating_add(self.header_octets());
        Pace::new(
            self.rate_limit(direction),
            packet,
            self.quantum_octets(direction),
        )
    }

    /// What the least rise takes of the rate.
    fn quantum_octets(&self, direction: Direction) -> u16 {
        let step = self.dole(direction);
        u16::try_from(self.octets_of_packets(direction, step)).unwrap_or(u16::MAX)
    }
}

/// Octets that a sender may have been offered and not used, half a second's.
fn burst(limit: u32) -> u32 {
    (limit / 2).max(LEAST_BURST)
}
