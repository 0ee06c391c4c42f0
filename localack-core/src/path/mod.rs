//! What is known of the way to a place, whichever flow found it out: what earlier flows learned of
//! it, and whether it can be reached at all.
//!
//! A place is a receiver's prefix behind a port and a link ([`PathKey`]). Its slot lies in lent
//! memory ([`PathSlot`]); flows keep no reference to it and find it by name when they need it, which
//! is seldom. With no slots, or none to spare, everything works as if nothing were known.
//!
//! # Contract
//! A view is made where it is needed: `PathTable::new(&mut head.paths, paths, config.hash_key)`, with
//! [`PathHead::EMPTY`] and [`PathSlot::EMPTY`] to begin with. A direction's key is made of the address
//! of its data's receiver, the port that leads there, and the link. `nodes` is the slice of flow
//! slots, and a flow is its index there.
//!
//! ## Hints and Careful Resume
//! - *A direction begins to be served*: [`PathTable::hint`] gives RTT estimator and threshold
//!   something to begin with, never the window (rule H12.5). Where the policy allows more,
//!   [`Resume::begin`].
//! - *An acknowledgement* (and, while [`Resume::is_resuming`], a transmission): if
//!   [`Resume::is_confirmed`], then [`Resume::jump`] with [`PathTable::saved`]; otherwise
//!   [`Resume::on_progress`]. While [`Resume::holds_window`], the window that the controller had
//!   before it saw the acknowledgement is put back after it, proportional rate reduction or not, and
//!   [`Resume::pacing_rate`] goes before the controller's. *A loss or a mark*:
//!   [`Resume::on_congestion`] after the controller's own reduction, with the window of before. *A
//!   time-out*: [`Resume::on_timeout`] likewise.
//! - *An [`Answer`]* says what the window becomes. With [`Answer::Jump`] goes
//!   [`PathTable::claim_saved`]; with [`Answer::Retreat`] and [`Answer::Abandon`]
//!   [`PathTable::forget_saved`]. Losses found in what the jump sent do not raise the window again
//!   when recovery ends: after [`Answer::Retreat`] the threshold is the new window, and
//!   [`Answer::Threshold`], which comes with the last acknowledgement of recovery, is applied after
//!   the controller's own end of recovery.
//! - *A direction ends, or has been idle for a time-out*: [`PathTable::learn`], unless it is still
//!   resuming. The window of the [`Lesson`] is one that the flow has filled.
//!
//! ## Outages
//! - *A packet arrives from anywhere*: if [`PathHead::may_concern`] its source's key (a load and a
//!   comparison while no path is in doubt), [`PathTable::on_heard`]. Any packet will do, of any flow
//!   or none, so it comes before everything else.
//! - *A retransmission timer expires* with something in flight that the receiver's window admits
//!   (the probes of a closed window are none of this): after the check for giving up,
//!   [`PathTable::on_timeout`], with the flow taken out of the ready list and of a share's ring.
//!   [`Verdict::BackOff`]: everything as without paths. [`Verdict::Probe`]: the first segment is sent
//!   once more, but neither back-off nor controller hear of it. [`Verdict::Wait`]: nothing is sent.
//!   With either of the two the direction is *held*: it sends nothing by itself, and its timer is
//!   armed again with the time-out as it is, as a safety net and for giving up in time.
//!   [`Timeout::consecutive`] is the back-off with this time-out counted, and
//!   [`Timeout::waited_us`] the time-out before it is doubled. A flow that has timed out once asks
//!   again when half of the doubled time-out is over ([`Timeout::early`]), and waits for the rest if
//!   the answer is [`Verdict::BackOff`].
//! - *A held direction makes progress, its flow ends, or its flow must go into the ready list or a
//!   share's ring* (for its other direction, say): [`PathTable::withdraw`] first, because a flow is
//!   in one list only.
//!   When it has done its other work and is still held: [`PathTable::hold`], where
//!   [`Verdict::BackOff`] means that the path lives.
//! - *In a poll*, before the ready list and besides the timers: [`PathTable::next_task`] until `None`.
//!   [`TaskKind::Probe`] is done like [`Verdict::Probe`]. [`TaskKind::Wake`] ends the hold: the
//!   direction does what it does after its own first time-out (everything lost, the loss window,
//!   timer armed, back-off of one), and from then on runs alone. A task for a direction that is not
//!   held is ignored.
//! - *The next deadline* is the sooner of the timers' and [`PathHead::next_deadline`], also for the
//!   clock that caps jumps (rule H9.8).
//!
//! A flow waits for one path. If both of its directions face dead ones, the second backs off alone.
//!
//! ## What it costs
//! 96 octets a path, 80 octets of the head, nothing a flow: it waits through the link of the ready
//! list. A look-up reads at most seven neighbouring slots; every other step is constant.

mod hint;
mod key;
mod outage;
mod resume;
mod slot;
mod table;

pub use slot::PathSlot;

pub(crate) use hint::{Lesson, SAVED_LIFETIME_US};
pub(crate) use key::PathKey;
pub(crate) use outage::{TaskKind, Timeout, Verdict};
pub(crate) use resume::{Answer, Resume, Standing};
pub(crate) use table::{PathHead, PathTable};
