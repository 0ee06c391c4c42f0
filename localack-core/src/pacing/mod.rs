//! When octets may leave toward a receiver: flows that are paced, and vouched rates that several
//! flows share.
//!
//! All octets are those of IP packets, headers included. Nothing here knows packets or clocks; all
//! state is plain old data, all zeroes before its first use, and harmless whatever it says.
//!
//! # A paced flow
//! Each direction keeps a [`Pacer`]. A [`Pace`] is made where it is needed, from the rate that the
//! controller allows and the largest packets: [`Pace::new`], or [`Pace::UNPACED`] where nothing is
//! known of the path yet. Before a packet [`Pacer::may_send`] is asked, or [`Pacer::allowance`] where
//! its size can be chosen; [`Pacer::on_sent`] follows each packet, also those that leave unasked, such
//! as a repair that a timer wants. Who may not send waits until [`Pacer::wake_at`], which goes into
//! what the flow's timer is armed with. In any interval no more leaves than the rate carries in it and
//! one [`quantum`], which is at most ten segments or a super-segment (rule H12.1).
//!
//! # A shared rate
//! [`Shares`] lies in the engine's head. A flow whose direction is provisioned keeps a [`Member`] and
//! the share's number in that direction, and answers for them as a [`ShareNode`].
//!
//! - It begins with [`Shares::open`], and ends with [`Shares::leave`] and [`Shares::close`]: when the
//!   flow ends, when the direction falls back to bypass, when its controller or its bounds change. A
//!   floor must not change while the flow waits in the ring.
//! - Its window follows [`Shares::fair_rate`], asked at each acknowledgement and each turn.
//! - Its ceiling is kept by its own [`Pacer`] at [`Shares::ceiling_pace`]; without one the pacer has
//!   nothing to do. While the pacer forbids sending, the flow does not wait in the ring, but for its
//!   timer.
//! - A packet that arrives in order and could be sent on at once is, if [`Shares::pass`] says so, which
//!   counts it. Otherwise it is kept, and the flow gets in line.
//! - A flow that could send, but for its turn, waits in the share's ring: [`Shares::join`], which is
//!   harmless to repeat. Once it could not, it must [`Shares::leave`]; that too is harmless to repeat,
//!   so both may be said after any work on the flow, as it is done for the ready list. It waits in one
//!   list at a time: what it has to do besides (an acknowledgement that found no room) needs it in the
//!   ready list, so it leaves the ring first, and joins again behind the others.
//! - Polling, after timers and ready flows: while there is room, [`Shares::visit`] names a flow and
//!   what it may send. [`Shares::served`] must follow, at the same time, with the octets that left (none
//!   counted by `pass` or `charge`) and the reason for stopping; also if the flow has ended meanwhile. A
//!   packet that can be cut is cut to what is left of the allowance, in whole segments.
//! - Octets that leave out of turn are told to [`Shares::charge`].
//! - [`Shares::next_at`] takes part in the engine's next deadline.
//!
//! What holds then, for each share: no interval sees more than the rate carries in it and one quantum,
//! beside what leaves out of turn. While any flow waits, nothing of the rate is lost, even if each poll
//! is half a quantum late. Backlogged flows are never apart by more than a quantum and a packet if
//! nothing but the share bounds them; with floors and ceilings each gets the level, or its floor or
//! ceiling, where the level is what uses up the rate. Floors fit if their sum leaves a part in 32 of the
//! rate, which floors never get. A visit is constant work, and all but one or two of a turn send
//! something.

mod pacer;
mod share;
mod shares;

pub(crate) use pacer::{Pace, Pacer};
pub(crate) use share::Member;
pub(crate) use shares::{Rest, ShareNode, Shares};

use pacer::quantum;
