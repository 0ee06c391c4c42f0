//! Whether a flow found in memory that somebody else has left can be gone on with.
//!
//! Sound is a stream of which everything is stored that its sender was told is there. What else may be
//! wrong in it costs time, not octets: wherever that is cheaper than to check it, it is forgotten.

use core::time::Duration;

use super::phase::Phase;
use super::stream::{Stream, StreamFlags};
use super::{FlowFlags, FlowSlot};
use crate::pool::{Chain, Owner, Pool, Unsound};
use crate::recovery::lost::Lost;
use crate::time::{Due, Instant, Stamp};
use crate::timer::{ReadyLink, TimerLink};

/// How long an answer is waited for whose timer is lost (RFC 6298 section 2.1).
const FIRST_WAIT: Duration = Duration::from_secs(1);

impl FlowSlot {
    /// Takes the flow out of every list, whose heads are forgotten.
    pub(crate) const fn unlink(&mut self) {
        self.timer = TimerLink::EMPTY;
        self.ready = ReadyLink::EMPTY;
    }

    /// Claims what both streams of the flow in `slot` hold, if all of it is sound.
    ///
    /// # Errors
    /// [`Unsound`] if not; then nothing is claimed, and both streams keep what they say of themselves.
    pub(crate) fn claim(&mut self, slot: u32, pool: &mut Pool<'_>) -> Result<(), Unsound> {
        let [inner, outer] = &mut self.streams;
        inner.claim(pool, owner(slot, 0))?;
        outer
            .claim(pool, owner(slot, 1))
            .inspect_err(|_| pool.disclaim(&mut inner.chain.clone(), owner(slot, 0)))
    }

    /// Makes the streams' blocks ready for use, once all flows have claimed theirs.
    pub(crate) fn relink(&mut self, pool: &mut Pool<'_>) {
        for stream in &mut self.streams {
            if stream.chain.has_quota() {
                pool.relink(&mut stream.chain);
            }
        }
    }

    /// Whether either direction is served.
    pub(crate) fn is_served(&self) -> bool {
        self.streams.iter().any(Stream::is_active)
    }

    /// Octets of payload that are stored in order.
    pub(crate) fn octets_held(&self) -> u32 {
        let held = |stream: &Stream| stream.chain.held().octets();
        let served = self.streams.iter().filter(|stream| stream.is_active());
        served.map(held).fold(0, u32::saturating_add)
    }

    /// Sees that somebody waits for the answer to what was sent, whatever the memory says.
    pub(crate) fn await_answers(&mut self, now: Instant) {
        for stream in &mut self.streams {
            stream.await_answer(now);
        }
    }

    /// Whether the flow's hosts have yet to be told that what it held is given up.
    pub(crate) fn is_ruined(&self) -> bool {
        self.phase() == Phase::Tombstone && self.flags.has(FlowFlags::RESET_DUE)
    }

    /// Gives up what the flow in `slot` holds, because nobody can rely on it. What its hosts were told stays
    /// known, so that they can be told how much of it is lost: no less than that, and if the flow is `suspect`,
    /// because it was written to when its engine stopped, all that can have been acknowledged in that moment.
    pub(crate) fn condemn(&mut self, slot: u32, suspect: bool, pool: &mut Pool<'_>) {
        let most = self.buffer_limit.saturating_mul(2).max(1 << 16);
        for (number, stream) in (0..).zip(&mut self.streams) {
            if suspect && stream.acks_early() {
                // An acknowledgement leaves before it is written down.
                stream.recv.ack_sent = stream.recv.ack_sent.latest(stream.rcv_nxt());
            }
            pool.disclaim(&mut stream.chain, owner(slot, number));
            stream.condemn(most);
        }
        self.set_phase(Phase::Tombstone);
        self.phase_due = Due::NEVER;
        self.flags.clear(FlowFlags::INNER_STALLED);
        self.flags.clear(FlowFlags::OUTER_STALLED);
        self.flags.set(FlowFlags::RESET_DUE);
    }
}

/// The number under which a stream claims its blocks.
const fn owner(slot: u32, stream: u32) -> Owner {
    Owner::new((slot << 1) | stream)
}

/// The slot of the flow that claims blocks under this number.
pub(crate) const fn slot_of(owner: Owner) -> u32 {
    owner.number() >> 1
}

impl Stream {
    fn claim(&mut self, pool: &mut Pool<'_>, owner: Owner) -> Result<(), Unsound> {
        if !self.has_mode() {
            return Err(Unsound::Damaged);
        }
        if self.snoops() && self.chain.has_quota() {
            // Nobody relies on copies; what is said of them must fit them.
            if self.chain.start().after(self.chain.end()) {
                return Err(Unsound::Damaged);
            }
            pool.claim(&mut self.chain, owner)?;
            let next = self.send.snd_nxt.latest(self.chain.start());
            if !self.send.lost.lies_within(self.chain.start(), next) {
                self.send.lost = Lost::nothing_from(self.chain.start());
            }
            self.send.catch_up();
            return Ok(());
        }
        if !self.is_active() {
            // Nothing is stored of what is only watched, and it waits for nothing but its promotion and what
            // its shaping holds back.
            self.chain.abandon();
            self.flags.clear(StreamFlags::HELD);
            self.recv.window_due = Stamp::NEVER;
            self.send.timer = Stamp::NEVER;
            return Ok(());
        }
        if !self.is_covered() {
            return Err(Unsound::Damaged);
        }
        pool.claim(&mut self.chain, owner)?;
        self.mend();
        Ok(())
    }

    /// Whether the octets are stored that were acknowledged to their sender and that the receiver has not
    /// acknowledged, and those that were sent.
    fn is_covered(&self) -> bool {
        let (una, end) = (self.send.snd_una, self.chain.end());
        let after_fin = match self.fin() {
            Some(fin) if fin == end => end.advance(1),
            _ => end,
        };
        let last_sent = after_fin.latest(una);
        self.chain.has_quota()
            && self.chain.start().at_or_before(una)
            && una.at_or_before(after_fin)
            && una.at_or_before(self.send.snd_nxt)
            && self.send.snd_nxt.at_or_before(last_sent)
            && self.recv.ack_sent.at_or_before(end.latest(una))
    }

    /// Forgets what is known of losses if that does not fit to what is outstanding.
    fn mend(&mut self) {
        let (una, next) = (self.send.snd_una, self.send.snd_nxt);
        if !self.send.lost.lies_within(una, next) {
            self.send.lost = Lost::nothing_from(una);
        }
        self.send.catch_up();
    }

    /// A direction with something on its way, or behind a closed window, has a timer (RFC 6298 section 5,
    /// RFC 9293 section 3.8.6.1), unless its path does that for it.
    fn await_answer(&mut self, now: Instant) {
        let send = &self.send;
        let end = self.chain.end();
        let is_shut = end.after(send.snd_nxt) && send.wnd_edge.at_or_before(send.snd_nxt);
        let runs = self.is_active() || self.snoops();
        let waits = runs && (send.snd_nxt.after(send.snd_una) || is_shut);
        let has_timer = send.timer.is_set() || send.pace_due.is_set();
        if waits && !has_timer && !self.flags.has(StreamFlags::HELD) {
            self.send.timer = Stamp::at(now.after(FIRST_WAIT));
        }
    }

    fn condemn(&mut self, most: u32) {
        let debt = self.debt().min(most);
        self.recv.ack_sent = self.send.snd_una.advance(debt);
        self.chain = Chain::EMPTY;
        self.chain.follow(self.recv.ack_sent);
        self.flags = StreamFlags::NONE;
        self.silence();
        self.send.stand_still();
    }

    /// Nothing of the stream waits for time.
    const fn silence(&mut self) {
        self.patience = Stamp::NEVER;
        self.recv.ack_due = Stamp::NEVER;
        self.recv.window_due = Stamp::NEVER;
    }
}

#[cfg(test)]
mod tests;
