//! The control protocol of localack-tun (`localack-tun/docs/control.md`), as far as an engine alone can speak
//! it: one line of JSON asks, one answers. No memory but the caller's.
//!
//! `status`, `flows`, `flow`, `stats` and `drain` are answered; so are `rules` and `set-rules`, which whoever can read
//! policies makes of them (`localack-tun ctl --kernel` does), and `reset`, which resets the flows that owe
//! something. The others are refused.
#![forbid(unsafe_code)]

mod answer;
mod reader;
mod request;
mod ruled;
mod ruling;
#[cfg(test)]
mod tests;
mod writer;

use localack_core::{Instant, Sink};

use crate::rules::Ruled;
pub(crate) use answer::Surroundings;
use request::{Failure, Question, Request};
use writer::Text;

/// Answers a line. Returns the octets of the answer, which ends with its line; 0 if it does not fit.
pub(crate) fn answer<S: Sink>(
    engine: &mut Ruled<'_>,
    around: &mut Surroundings<'_>,
    line: &[u8],
    room: &mut [u8],
    now: Instant,
    sink: &mut S,
) -> usize {
    // Nothing is written yet: what texts with escapes say finds room where the answer will stand.
    let question = Question::read(line, room, engine.policy_mut().spare_mut());
    let mut text = Text::new(room);
    text.raw("{\"v\":1");
    if let Some(id) = question.id {
        text.raw(",\"id\":");
        text.number(id);
    }
    let begun = text.length();
    let done = question
        .request
        .and_then(|request| request.carry_out(engine, around, now, sink, &mut text));
    if let Err(failure) = done {
        text.cut(begun);
        failure.write(&mut text);
    }
    text.raw("}\n");
    if text.is_full() { 0 } else { text.length() }
}

impl Request {
    fn carry_out<S: Sink>(
        &self,
        engine: &mut Ruled<'_>,
        around: &mut Surroundings<'_>,
        now: Instant,
        sink: &mut S,
        text: &mut Text<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Status => answer::status(engine, around, now, text),
            Self::Flows(limit) => answer::flows(engine, *limit, text),
            Self::Flow(set) => return answer::set_flow(engine, set, now, text),
            Self::Stats => answer::stats(engine, around, text),
            Self::Drain => {
                engine.drain(now);
                around.draining = true;
                text.raw(",\"answer\":\"drain\"");
            }
            Self::Rules => ruled::rules(engine, text),
            Self::SetRules(revision) => return ruled::set(engine, *revision, now, text),
            Self::Reset => answer::reset(engine, now, sink, text),
            Self::Elsewhere => {
                return Err(Failure::Refused("that is not answered in the kernel"));
            }
        }
        Ok(())
    }
}
