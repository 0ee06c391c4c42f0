//! The whole of a small world at one moment, and what may happen next.

use core::fmt;
use core::hash::Hash as _;

use localack_core::Port;

use super::digest::Digest;
use super::endpoint::{End, Life, Output};
use super::machine::{Input, Machine};
use super::scope::{Budget, Scope, index};
use super::segment::Segments;
use crate::packet::Flags;

/// A link in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The end that it joins to the engine.
    pub(super) end: Port,
    /// Whether it leads to the engine.
    pub(super) inbound: bool,
}

impl Link {
    /// All four; the order in which a fair network delivers.
    const ALL: [Self; 4] = [
        Self::between(Port::Inner, true),
        Self::between(Port::Outer, false),
        Self::between(Port::Outer, true),
        Self::between(Port::Inner, false),
    ];

    const fn between(end: Port, inbound: bool) -> Self {
        Self { end, inbound }
    }

    const fn index(self) -> usize {
        2 * index(self.end) + self.inbound as usize
    }
}

/// Who has a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    Engine,
    End(Port),
}

/// One thing that may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The packet at a place of a link arrives.
    Deliver(Link, usize),
    /// It arrives, and a copy of it stays on the way.
    Double(Link, usize),
    /// The first packet of a link is lost.
    Lose(Link),
    Write(Port),
    Close(Port),
    Abort(Port),
    Vanish(Port),
    Read(Port),
    /// Time passes until the earliest timer, which fires.
    Fire(Timer),
    /// An end's retransmission timer fires at once.
    TimeOut(Port),
    /// The engine is told to hand the connection back.
    Drain,
}

/// A state of the search.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    /// The engine's state.
    pub(super) engine: u32,
    /// Microseconds since the beginning.
    pub(super) now: u64,
    pub(super) ends: [End; 2],
    /// Segments on their way, by [`Link::index`].
    links: [Vec<u32>; 4],
    /// What may still go wrong.
    budget: Budget,
    /// Whether a reset was lost, or what was said about one: an end that says nothing more may never
    /// learn of it.
    pub(super) reset_lost: bool,
}

/// What a search works with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) scope: Scope,
    pub(super) machine: Machine,
    pub(super) segments: Segments,
}

/// What a step brought about, besides the next state.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) faults: Vec<String>,
    /// Lines for a report; kept only if one is asked for.
    pub(super) lines: Option<Vec<String>>,
    /// The segment that the engine was given.
    pub(super) given: Option<u32>,
    /// What it sent.
    pub(super) sent: Vec<(Port, u32)>,
}

impl World {
    /// The beginning: the client's SYN is on its way, or the handshake is just over.
    pub(super) fn begin(context: &mut Context) -> Self {
        let mut world = Self::at_syn(context);
        if context.scope.handshake {
            return world;
        }
        while Port::BOTH
            .into_iter()
            .any(|port| world.end(port).life != Life::Open)
        {
            // What leaves the engine goes first, so that no data is delivered yet.
            let link = Link::ALL
                .into_iter()
                .filter(|link| !world.links[link.index()].is_empty())
                .min_by_key(|link| link.inbound)
                .expect("a handshake goes on");
            world.now += LEG_US[index(link.end)];
            let action = Action::Deliver(link, 0);
            world = world.after(action, context, &mut Account::default());
        }
        world
    }

    fn at_syn(context: &mut Context) -> Self {
        let scope = context.scope;
        let mut world = Self {
            engine: 0,
            now: 0,
            ends: Port::BOTH.map(|port| End::new(port, &scope)),
            links: Default::default(),
            budget: scope.budget,
            reset_lost: false,
        };
        let mut out = Output::default();
        world.ends[index(scope.client)].connect(0, &scope, &mut out);
        world.send(scope.client, out, context, &mut Account::default());
        world
    }

    pub(super) fn digest(&self) -> u128 {
        let mut digest = Digest::new();
        self.hash(&mut digest);
        digest.value()
    }

    pub(super) fn end(&self, port: Port) -> &End {
        &self.ends[index(port)]
    }

    /// Whether no packet is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.links.iter().all(Vec::is_empty)
    }

    /// What a network without faults and applications that do their part do next; `None` if nothing
    /// is left to do or to wait for.
    pub(super) fn fair(&self, context: &Context) -> Option<Action> {
        let first = Link::ALL
            .into_iter()
            .find(|link| !self.links[link.index()].is_empty());
        if let Some(link) = first {
            return Some(Action::Deliver(link, 0));
        }
        self.app_action(&context.scope).or_else(|| {
            self.earliest(context)
                .first()
                .map(|&timer| Action::Fire(timer))
        })
    }

    /// What an application will do sooner or later.
    fn app_action(&self, scope: &Scope) -> Option<Action> {
        Port::BOTH.into_iter().find_map(|port| {
            let (end, app) = (self.end(port), scope.app(port));
            if end.can_read() {
                Some(Action::Read(port))
            } else if end.can_write(app) {
                Some(Action::Write(port))
            } else {
                end.can_close(app).then_some(Action::Close(port))
            }
        })
    }

    fn deadline(&self, timer: Timer, context: &Context) -> Option<u64> {
        match timer {
            Timer::Engine => context.machine.state(self.engine).due,
            Timer::End(port) => self.end(port).timer(),
        }
    }

    /// The timers that fire first.
    fn earliest(&self, context: &Context) -> Vec<Timer> {
        let all = [
            Timer::Engine,
            Timer::End(Port::Inner),
            Timer::End(Port::Outer),
        ];
        let at = |timer: Timer| self.deadline(timer, context).map(|at| at.max(self.now));
        let Some(first) = all.into_iter().filter_map(at).min() else {
            return Vec::new();
        };
        all.into_iter()
            .filter(|&timer| at(timer) == Some(first))
            .collect()
    }

    /// Everything that may happen.
    pub(super) fn actions(&self, context: &Context) -> Vec<Action> {
        let scope = &context.scope;
        let mut all = Vec::new();
        for link in Link::ALL {
            self.link_actions(link, scope, &mut all);
        }
        for port in Port::BOTH {
            let (end, app) = (self.end(port), scope.app(port));
            for (may, action) in [
                (end.can_read(), Action::Read(port)),
                (end.can_write(app), Action::Write(port)),
                (end.can_close(app), Action::Close(port)),
                (end.can_abort(app), Action::Abort(port)),
                (end.can_vanish(app), Action::Vanish(port)),
            ] {
                if may {
                    all.push(action);
                }
            }
            if self.budget.timeouts > 0 && end.can_time_out() {
                all.push(Action::TimeOut(port));
            }
        }
        let idle = self.is_quiet() && self.app_action(scope).is_none();
        if self.budget.drains > 0 {
            all.push(Action::Drain);
        }
        if idle || self.budget.early > 0 {
            all.extend(self.earliest(context).into_iter().map(Action::Fire));
        }
        all
    }

    fn link_actions(&self, link: Link, scope: &Scope, all: &mut Vec<Action>) {
        let queue = &self.links[link.index()];
        let faulty = scope.faulty[index(link.end)];
        let reach = if faulty && self.budget.overtakings > 0 {
            queue.len()
        } else {
            queue.len().min(1)
        };
        for at in 0..reach {
            if queue[..at].contains(&queue[at]) {
                continue;
            }
            all.push(Action::Deliver(link, at));
            if faulty && self.budget.duplicates > 0 {
                all.push(Action::Double(link, at));
            }
        }
        if faulty && self.budget.losses > 0 && reach > 0 {
            all.push(Action::Lose(link));
        }
    }

    /// The state after an action.
    pub(super) fn after(
        &self,
        action: Action,
        context: &mut Context,
        account: &mut Account,
    ) -> Self {
        let mut next = self.clone();
        let scope = context.scope;
        let mut out = Output::default();
        match action {
            Action::Deliver(link, at) => next.deliver(link, at, false, context, account),
            Action::Double(link, at) => {
                next.budget.duplicates -= 1;
                next.deliver(link, at, true, context, account);
            }
            Action::Lose(link) => {
                next.budget.losses -= 1;
                let id = next.links[link.index()].remove(0);
                let segment = context.segments.get(id);
                let gone = |end: &End| matches!(end.life, Life::Aborted | Life::Reset);
                next.reset_lost |= segment.has(Flags::RST) || self.ends.iter().any(gone);
                account.say(|| format!("lost: {segment}"));
            }
            Action::Write(port) => next.ends[index(port)].write(self.now, &scope, &mut out),
            Action::Close(port) => next.ends[index(port)].close(self.now, &scope, &mut out),
            Action::Read(port) => next.ends[index(port)].read(self.now, &scope, &mut out),
            Action::Abort(port) => next.ends[index(port)].abort(&scope, self.now, &mut out),
            Action::Vanish(port) => next.ends[index(port)].vanish(),
            Action::TimeOut(port) => {
                next.budget.timeouts -= 1;
                next.ends[index(port)].on_timer(self.now, &scope, &mut out);
            }
            Action::Drain => {
                next.budget.drains -= 1;
                next.give(Input::Drain, context, account);
            }
            Action::Fire(timer) => {
                if !(self.is_quiet() && self.app_action(&scope).is_none()) {
                    next.budget.early -= 1;
                }
                next.fire(timer, context, account, &mut out);
            }
        }
        match action {
            Action::Write(port)
            | Action::Close(port)
            | Action::Read(port)
            | Action::Abort(port)
            | Action::TimeOut(port)
            | Action::Fire(Timer::End(port)) => next.send(port, out, context, account),
            _ => {}
        }
        next
    }

    fn fire(
        &mut self,
        timer: Timer,
        context: &mut Context,
        account: &mut Account,
        out: &mut Output,
    ) {
        let at = self.deadline(timer, context).unwrap_or(self.now);
        self.now = self.now.max(at);
        match timer {
            Timer::End(port) => {
                self.ends[index(port)].on_timer(self.now, &context.scope, out);
            }
            Timer::Engine => {
                // The engine may only sort its timers; that is no event.
                let limit = Port::BOTH
                    .into_iter()
                    .filter_map(|port| self.end(port).timer())
                    .min();
                for _ in 0..MOST_SORTINGS {
                    let before = account.sent.len();
                    self.give(Input::Poll, context, account);
                    let Some(due) = context.machine.state(self.engine).due else {
                        break;
                    };
                    if account.sent.len() > before || limit.is_some_and(|limit| due > limit) {
                        break;
                    }
                    self.now = self.now.max(due);
                }
            }
        }
    }

    fn deliver(
        &mut self,
        link: Link,
        at: usize,
        keep: bool,
        context: &mut Context,
        account: &mut Account,
    ) {
        let scope = context.scope;
        let queue = &mut self.links[link.index()];
        let id = if keep { queue[at] } else { queue.remove(at) };
        if at > 0 && self.budget.overtakings != u8::MAX {
            self.budget.overtakings -= 1;
        }
        let delay = scope.delay[index(link.end)];
        self.now += u64::try_from(delay.as_micros()).expect("a short delay");
        if link.inbound {
            account.given = Some(id);
            self.give(Input::Segment(id), context, account);
            return;
        }
        let mut out = Output::default();
        let segment = context.segments.get(id);
        account.say(|| format!("{} takes {segment}", name(link.end)));
        self.ends[index(link.end)].on_segment(self.now, &scope, segment, &mut out);
        self.send(link.end, out, context, account);
    }

    /// Gives the engine an input, and puts what it sends on its way.
    fn give(&mut self, input: Input, context: &mut Context, account: &mut Account) {
        let outcome = context
            .machine
            .step(self.engine, self.now, input, &mut context.segments);
        let outcome = context.machine.outcome(outcome);
        self.engine = outcome.next;
        account.faults.extend(outcome.faults.iter().cloned());
        if let Input::Segment(id) = input {
            let segment = context.segments.get(id);
            account.say(|| format!("engine takes {segment} of {}", name(segment.from)));
        }
        for event in &outcome.events {
            account.say(|| format!("  event {event:?}"));
        }
        for &(port, id) in &outcome.out {
            account.say(|| {
                format!(
                    "  engine sends {} to {}",
                    context.segments.get(id),
                    name(port)
                )
            });
            account.sent.push((port, id));
            self.links[Link::between(port, false).index()].push(id);
        }
        self.arrange(&context.scope);
    }

    /// Puts what an end sends on its way.
    fn send(&mut self, port: Port, out: Output, context: &mut Context, account: &mut Account) {
        account.faults.extend(
            out.faults
                .into_iter()
                .map(|fault| format!("{}: {fault}", name(port))),
        );
        let link = Link::between(port, true).index();
        for segment in out.segments {
            account.say(|| format!("  {} sends {segment}", name(port)));
            let id = context.segments.id(&segment, &context.scope);
            self.links[link].push(id);
        }
        self.arrange(&context.scope);
    }

    /// Where any order is free, packets on their way have none.
    fn arrange(&mut self, scope: &Scope) {
        if scope.budget.overtakings != u8::MAX {
            return;
        }
        for link in Link::ALL {
            if scope.faulty[index(link.end)] {
                self.links[link.index()].sort_unstable();
            }
        }
    }

    /// Whether the connection is over for both ends, or idle for good if nobody closes it, and the
    /// engine knows that it owes nothing any more.
    pub(super) fn is_over(&self, context: &Context) -> bool {
        let streams = context.machine.state(self.engine).streams;
        streams.is_none_or(|both| both.iter().all(|stream| stream.debt == 0))
            && self.is_quiet()
            && self.app_action(&context.scope).is_none()
            && Port::BOTH
                .into_iter()
                .all(|port| self.is_over_for(port, context))
    }

    fn is_over_for(&self, port: Port, context: &Context) -> bool {
        let scope = &context.scope;
        let (end, app, peer) = (self.end(port), scope.app(port), scope.app(port.other()));
        let told = self.reset_lost || context.machine.state(self.engine).lost[index(port)] == 0;
        match end.life {
            Life::Closed | Life::Aborted | Life::Reset | Life::Vanished => true,
            Life::Open if end.has_said_all(app) && end.has_heard_all(peer) => told,
            // Nobody tells an end that says nothing, and is owed nothing, of a peer that is gone.
            Life::Open => match self.end(port.other()).life {
                Life::Aborted | Life::Reset => self.reset_lost && !end.has_more_to_say(),
                Life::Vanished => told && !end.has_more_to_say(),
                _ => false,
            },
            Life::Listen | Life::SynSent | Life::SynReceived => false,
        }
    }
}

/// How long a packet of a handshake that is over took between the engine and the inner and the outer
/// end, in microseconds.
const LEG_US: [u64; 2] = [500, 50_000];
/// Polls in a row in which an engine may only put its timers in order.
const MOST_SORTINGS: usize = 24;

impl Account {
    fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }
}

/// What an end is called in reports.
pub(super) const fn name(port: Port) -> &'static str {
    match port {
        Port::Inner => "inner",
        Port::Outer => "outer",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |link: &Link| {
            if link.inbound {
                format!("{} to engine", name(link.end))
            } else {
                format!("engine to {}", name(link.end))
            }
        };
        match self {
            Self::Deliver(link, 0) => write!(f, "arrives, {}", way(link)),
            Self::Deliver(link, at) => write!(f, "arrives {at} early, {}", way(link)),
            Self::Double(link, _) => write!(f, "arrives and is doubled, {}", way(link)),
            Self::Lose(link) => write!(f, "is lost, {}", way(link)),
            Self::Write(port) => write!(f, "{} writes", name(*port)),
            Self::Close(port) => write!(f, "{} closes", name(*port)),
            Self::Abort(port) => write!(f, "{} resets", name(*port)),
            Self::Vanish(port) => write!(f, "{} falls silent for ever", name(*port)),
            Self::Read(port) => write!(f, "{} reads", name(*port)),
            Self::Fire(Timer::Engine) => write!(f, "the engine's timer fires"),
            Self::Fire(Timer::End(port)) => write!(f, "{}'s timer fires", name(*port)),
            Self::Drain => write!(f, "the engine is to hand everything back"),
            Self::TimeOut(port) => write!(f, "{} times out early", name(*port)),
        }
    }
}
