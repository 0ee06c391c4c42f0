//! The end of a run: the network is fair, time passes, and everything must end.

use localack_core::{Direction, Port};

use super::{Checked, EPOCH_MS, World, index};
use crate::model::host::State;
use crate::model::operation::Hop;

/// Microseconds until a host sends again what was not acknowledged, at first and at most.
const FIRST_TIMEOUT: i64 = 1_000_000;
const LONGEST_TIMEOUT: i64 = 60_000_000;
/// By then everything has ended: the engine's patience, and all that it remembers, in microseconds.
const END_OF_PATIENCE: i64 = 400_000_000;
/// Turns after which it must have.
const MOST_TURNS: usize = 20_000;

/// Round trips at one time after which nothing may be on its way.
const MOST_ROUNDS: usize = 2_000;

/// When a host sends again.
#[derive(Clone, Copy, Debug)]
struct Timer {
    at: i64,
    wait: i64,
    una: i64,
}

impl World<'_> {
    /// Lets everything end, and judges the end.
    pub(in crate::model) fn calm(&mut self) -> Checked {
        self.begin_calm()?;
        self.lives_out()?;
        if self.may_begin_again() {
            self.begins_again()?;
            self.lives_out()?;
        }
        Ok(())
    }

    /// Time passes until everything has ended; judges that.
    fn lives_out(&mut self) -> Checked {
        let end = self.now_us + END_OF_PATIENCE;
        let mut timers = Port::BOTH.map(|_| Timer {
            at: self.now_us + FIRST_TIMEOUT,
            wait: FIRST_TIMEOUT,
            una: -1,
        });
        for _ in 0..MOST_TURNS {
            self.settle()?;
            if self.is_over() {
                return self.judge_end();
            }
            if self.now_us > end {
                return self.judge_end();
            }
            let timer =
                |port: Port| Some(timers[index(port)].at).filter(|_| self.has_business(port));
            let deadlines = [self.deadline_us(), timer(Port::Inner), timer(Port::Outer)];
            let next = deadlines.into_iter().flatten().min().unwrap_or(end + 1000);
            self.advance_to_ms((next - EPOCH_MS * 1000).div_euclid(1000) + 1)?;
            self.hosts_time_out(&mut timers);
        }
        Err(format!("not at rest after {MOST_TURNS} turns of calm"))
    }

    fn begin_calm(&mut self) -> Checked {
        self.note("calm");
        if self.still_us.is_some() {
            self.apply(&super::super::operation::Operation::ClockStill(false))?;
        }
        if self.tape.full || self.tape.room.is_some() {
            self.apply(&super::super::operation::Operation::Sink { full: false })?;
        }
        for (port, mut octets) in self.crowd.leaves(&self.setup) {
            let now = self.instant();
            let _ = self
                .engine
                .ingest(port, now, &mut octets, Self::meta(), &mut self.tape);
            self.poll()?;
        }
        let at_ms = self.at_ms();
        for port in Port::BOTH {
            let host = &mut self.hosts[index(port)];
            host.window.stalled = false;
            host.window.shrinks = false;
            host.window.read(host.octets_in_order(), 1);
            host.closed = true;
            if host.state == State::Alive {
                let update = host.acknowledge(at_ms);
                self.posts(port, [update]);
            }
        }
        Ok(())
    }

    /// All packets arrive, and hosts send what they may.
    fn settle(&mut self) -> Checked {
        for _ in 0..MOST_ROUNDS {
            for port in Port::BOTH {
                self.sends_new(port, 8);
            }
            for hop in Hop::ALL {
                for _ in 0..self.hops[hop.index()].len() {
                    self.delivers(hop, 0)?;
                }
            }
            if self.hops.iter().all(|hop| hop.is_empty()) {
                let at_ms = self.at_ms();
                let late = Port::BOTH.map(|port| {
                    let host = &mut self.hosts[index(port)];
                    host.goes_on(at_ms)
                        .or_else(|| host.late_acknowledgement(at_ms))
                });
                if late.iter().all(Option::is_none) {
                    return Ok(());
                }
                for (port, packet) in Port::BOTH.into_iter().zip(late) {
                    self.posts(port, packet);
                }
            }
        }
        Err("packets without end (invariant 16)".into())
    }

    /// Whether a host still waits for an acknowledgement, or for a window.
    fn has_business(&self, port: Port) -> bool {
        let host = &self.hosts[index(port)];
        let calls =
            host.state == State::Rebooted && self.hosts[index(port.other())].state == State::Alive;
        calls || (host.state == State::Alive && host.una <= host.written)
    }

    fn hosts_time_out(&mut self, timers: &mut [Timer; 2]) {
        let at_ms = self.at_ms();
        for port in Port::BOTH {
            let timer = &mut timers[index(port)];
            let host = &mut self.hosts[index(port)];
            if host.una > timer.una {
                timer.una = host.una;
                timer.wait = FIRST_TIMEOUT;
                timer.at = self.now_us + timer.wait;
            } else if timer.at <= self.now_us && self.has_business(port) {
                timer.wait = (2 * timer.wait).min(LONGEST_TIMEOUT);
                timer.at = self.now_us + timer.wait;
                if self.hosts[index(port)].state == State::Rebooted {
                    self.calls(port);
                    continue;
                }
                let host = &mut self.hosts[index(port)];
                let packet = host
                    .time_out(at_ms)
                    .unwrap_or_else(|| host.keepalive(at_ms));
                self.posts(port, [packet]);
            }
        }
    }

    fn is_over(&self) -> bool {
        let over = |port: Port| {
            let host = &self.hosts[index(port)];
            host.is_done() || host.state != State::Alive
        };
        let debts = self
            .ledgers
            .iter()
            .any(|ledger| ledger.debt() > ledger.lost);
        Port::BOTH.into_iter().all(over) && !debts
    }

    fn judge_end(&mut self) -> Checked {
        for direction in Direction::BOTH {
            let source = direction.source();
            let (sender, receiver) = (
                &self.hosts[index(source)],
                &self.hosts[index(source.other())],
            );
            let ledger = &self.ledgers[index(source)];
            let has = receiver.octets_in_order();
            self.summary.delivered += u64::try_from(has).unwrap_or(0);
            let missing = ledger.told_octets() - has.max(ledger.lost_up_to);
            if missing > 0 {
                return Err(format!(
                    "{direction:?}: {missing} octets lost in silence (promise 1)"
                ));
            }
            if ledger.lost > 0 && sender.state == State::Alive {
                return Err(format!(
                    "{direction:?}: {} octets lost, and the sender was not told (promise 1)",
                    ledger.lost
                ));
            }
            let peers = [sender.state, receiver.state];
            let waits = self.has_business(source.other());
            if peers == [State::Aborted, State::Alive] && waits {
                return Err(format!(
                    "{direction:?}: the receiver never heard of the reset (invariant 21)"
                ));
            }
            if peers == [State::Rebooted, State::Alive] {
                return Err(format!(
                    "{direction:?}: the receiver never heard that its peer has started anew (rule H7.6)"
                ));
            }
            if peers == [State::Alive; 2]
                && receiver.is_done()
                && receiver.heard_urgent < sender.urgent
            {
                return Err(format!(
                    "{direction:?}: the urgent octets went unnoticed (rule H5.8)"
                ));
            }
            if !self.doomed && (peers != [State::Alive; 2] || ledger.lost > 0) {
                return Err(format!(
                    "{direction:?}: {peers:?} without a reason (invariant 22)"
                ));
            }
            if peers == [State::Alive; 2] && !(has == sender.written && sender.is_done()) {
                return Err(format!(
                    "{direction:?}: {has} of {} octets arrived in {} s of calm, SND.UNA {}, FIN {:?}",
                    sender.written,
                    END_OF_PATIENCE / 1_000_000,
                    sender.una,
                    receiver.fin
                ));
            }
        }
        Ok(())
    }
}
