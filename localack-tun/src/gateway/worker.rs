//! An engine between two devices, and the loop that keeps it going.

use core::time::Duration;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use localack_core::{
    AttachError, AttachReport, Config, Engine, FlowId, FlowInfo, FlowState, Instant, PacketMeta,
    PassReason, Poll, Port, Verdict,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tun_rs::SyncDevice;

use super::command::{Abandoned, Command, Counts, Tasks};
use super::ethernet::{self, Leads};
use super::exchange::{Exchange, Parcel};
use super::frame;
use super::held_back::HeldBack;
use super::hops;
use super::journal::Reporter;
use super::mailbox::Wakers;
use super::memory::Memory;
use super::outlet::{Outlet, Sent};
use super::replica::{Feed, Outcome};
use super::watch::{Held, Watch, debt};
use crate::clock::Clock;
use crate::policy::Policies;

/// Packets taken from one device before the other has its turn.
const BURST: usize = 64;
/// Packets that one call of the engine's `poll` may send.
pub(super) const BUDGET: usize = 64;
/// Calls of `poll` before the devices have their turn again.
const MOST_POLLS: usize = 16;
/// How long connections are reset at the end if a device takes nothing.
const MOST_RESETTING: Duration = Duration::from_secs(1);
/// How soon a sink that was full is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A device is gone.
    #[error("the device of the {0} side is gone")]
    Gone(&'static str),
    /// The kernel says something else.
    #[error("cannot wait for packets: {0}")]
    Wait(#[source] Errno),
}

/// What a worker has besides its engine.
pub(super) struct Parts {
    pub(super) queue: u16,
    pub(super) devices: [SyncDevice; 2],
    pub(super) clock: Clock,
    pub(super) commands: Receiver<Command>,
    pub(super) wakers: Wakers,
    /// With other queues.
    pub(super) exchange: Option<Exchange>,
    pub(super) held: Arc<Held>,
    pub(super) reporter: Option<Reporter>,
    /// Where the devices carry frames of Ethernet.
    pub(super) leads: Option<Leads>,
    /// Whether there may be connections in the memory to go on with.
    pub(super) goes_on: bool,
    /// Whether the memory may outlive this process.
    pub(super) keeps: bool,
    /// Whether the kernel has taken a hop from each packet, and takes another.
    pub(super) routed: bool,
}

/// An engine and its two devices.
pub(super) struct Worker<'m> {
    queue: usize,
    engine: Engine<'m, Policies>,
    outlet: Outlet,
    clock: Clock,
    /// The packet in hand.
    parcel: Parcel,
    commands: Receiver<Command>,
    wakers: Wakers,
    exchange: Option<Exchange>,
    /// More was handed over than one turn took.
    has_mail: bool,
    tasks: Tasks,
    /// While it drains.
    watch: Option<Watch>,
    held: Arc<Held>,
    /// While a standby follows.
    feed: Option<Box<Feed>>,
    /// The packet in hand as it came in, where a standby is told of it.
    as_it_came: Vec<u8>,
    /// The kernel had no room for a packet that may leave.
    cannot_release: bool,
    /// The engine's packets leave when it is done, so that it is not in the middle of something if this
    /// process is killed while they do.
    keeps: bool,
}

impl<'m> Worker<'m> {
    pub(super) fn new(
        memory: &'m mut Memory,
        config: Config,
        policies: Policies,
        parts: Parts,
    ) -> Result<(Self, AttachReport), AttachError> {
        let queue = usize::from(parts.queue);
        let storage = memory.storage().map_err(|_| AttachError::Sizes)?;
        // What was never used holds no connections.
        let used = parts.goes_on && storage.head.is_used();
        let (engine, report) = if used {
            Engine::attach(storage, config, policies)?
        } else {
            (
                Engine::new(storage, config, policies)?,
                AttachReport::default(),
            )
        };
        let mut worker = Self {
            queue,
            engine,
            outlet: Outlet::new(parts.devices, parts.reporter, parts.leads, parts.routed),
            clock: parts.clock,
            parcel: Parcel::new(queue),
            commands: parts.commands,
            wakers: parts.wakers,
            exchange: parts.exchange,
            has_mail: false,
            tasks: Tasks::new(),
            watch: None,
            held: parts.held,
            feed: None,
            as_it_came: Vec::new(),
            cannot_release: false,
            keeps: parts.keeps,
        };
        worker.outlet.held_back = parts.keeps.then(HeldBack::default);
        worker.arrange();
        Ok((worker, report))
    }

    /// Tells the engine what arrangements there are. Those that its flows have may be no more.
    fn arrange(&mut self) {
        let now = self.now();
        let policies = self.engine.policy_mut().clone();
        policies.arrangements().tell(&mut self.engine, now);
        let strays = self.engine.flows().filter(|flow| policies.is_stray(flow));
        let changes: Vec<_> = strays
            .map(|flow| (flow.id, policies.change_of_flow(&policies, &flow)))
            .collect();
        for (flow, change) in changes {
            // It was there just now.
            let _ = change.apply(&mut self.engine, flow, now);
        }
    }

    fn now(&self) -> Instant {
        let micros = self.clock.now().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(super) fn counts(&self) -> Counts {
        let mut devices = self.outlet.counters;
        if let Some(exchange) = &self.exchange {
            devices.handed_over = exchange.handed.over;
            devices.not_handed_over = exchange.handed.dropped;
        }
        Counts {
            engine: *self.engine.counters(),
            devices,
            blocks_used: self.engine.blocks_used().into(),
        }
    }

    /// Carries packets until it is told to stop.
    pub(super) fn run(&mut self) -> Result<(), WorkerError> {
        loop {
            let wait = self.settle();
            let wait = self.until_next(wait);
            let ready = self.wait(wait)?;
            if ready.woken {
                self.wakers.clear(self.queue);
                if self.obey() == Next::Stop {
                    return Ok(());
                }
                self.has_mail = true;
            }
            self.take_over();
            for (port, ready) in [(Port::Inner, ready.inner), (Port::Outer, ready.outer)] {
                if ready {
                    self.take_in(port)?;
                }
            }
            if let Some(exchange) = &mut self.exchange {
                exchange.wake();
            }
            self.go_on();
        }
    }

    /// Does what is due. How long nothing will be; `None`: until a packet comes.
    fn settle(&mut self) -> Option<Duration> {
        self.look_after_standby();
        for _ in 0..MOST_POLLS {
            let now = self.now();
            match self.poll(now) {
                Poll::More => {}
                Poll::Blocked => return Some(RETRY),
                Poll::Idle => {
                    let due = self.engine.next_deadline()?;
                    return Some(due.since(now));
                }
            }
        }
        Some(Duration::ZERO)
    }

    /// Lets a standby go that is lost, and sees that one that is there has what this engine has.
    fn look_after_standby(&mut self) {
        if let Some(feed) = &mut self.feed {
            if feed.is_lost() {
                self.feed = None;
            } else if feed.wants_copy() {
                feed.copy(&self.engine);
            }
        }
        self.release();
        let has_left = self
            .outlet
            .held_back
            .as_ref()
            .is_none_or(HeldBack::is_empty);
        if has_left && self.feed.as_ref().is_none_or(|feed| !feed.confirms()) {
            match &mut self.outlet.held_back {
                Some(held_back) if self.keeps => held_back.needs = 0,
                held_back => *held_back = None,
            }
        }
    }

    /// Sends what waits for nothing any more.
    fn release(&mut self) {
        // What has waited for the word of a standby that is gone need not wait any longer.
        let confirmed = self.feed.as_ref().map_or(u64::MAX, |feed| feed.confirmed());
        self.cannot_release = self.outlet.release(confirmed);
    }

    /// Whether a standby is told of what comes now. Packets that it makes wait for the standby's word.
    fn begin_to_tell(&mut self) -> bool {
        let Some(feed) = self.feed.as_ref() else {
            return false;
        };
        let is_told = !feed.wants_copy();
        if feed.confirms() {
            let held_back = self.outlet.held_back.get_or_insert_default();
            held_back.needs = feed.said() + u64::from(is_told);
        }
        self.outlet.outcome = is_told.then(Outcome::default);
        is_told
    }

    fn poll(&mut self, now: Instant) -> Poll {
        self.begin_to_tell();
        let polled = self.engine.poll(now, BUDGET, &mut self.outlet);
        if let (Some(feed), Some(outcome)) = (&mut self.feed, self.outlet.outcome.take()) {
            feed.poll(now, outcome);
        }
        if self.keeps {
            self.release();
        }
        polled
    }

    /// Lets the engine decide about the packet in hand.
    fn ingest(&mut self, now: Instant, meta: PacketMeta) -> Verdict {
        let port = self.parcel.port;
        let is_told = self.begin_to_tell();
        let packet = self.parcel.packet();
        if is_told {
            self.as_it_came.clear();
            self.as_it_came.extend_from_slice(packet);
        }
        let verdict = self
            .engine
            .ingest(port, now, packet, meta, &mut self.outlet);
        if let (Some(feed), Some(outcome)) = (&mut self.feed, self.outlet.outcome.take()) {
            feed.ingest(port, now, &self.as_it_came, meta, outcome);
        }
        if self.keeps {
            self.release();
        }
        verdict
    }

    /// The engine is told something that a standby is not.
    fn lose_track(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.lose_track();
        }
    }

    /// How long to wait for packets, if the engine need not be asked for `wait`.
    fn until_next(&self, wait: Option<Duration>) -> Option<Duration> {
        if self.has_mail || !self.tasks.is_empty() {
            return Some(Duration::ZERO);
        }
        let watch = self.watch.as_ref();
        let look = watch.map(|watch| watch.due().since(self.now()));
        let again = self.cannot_release.then_some(RETRY);
        [wait, look, again].into_iter().flatten().min()
    }

    fn wait(&self, wait: Option<Duration>) -> Result<Ready, WorkerError> {
        let Some(wake) = self.wakers.fd(self.queue) else {
            return Err(WorkerError::Wait(Errno::EBADF));
        };
        let mut fds = [
            PollFd::new(self.outlet.fd(Port::Inner), PollFlags::POLLIN),
            PollFd::new(self.outlet.fd(Port::Outer), PollFlags::POLLIN),
            PollFd::new(wake.as_fd(), PollFlags::POLLIN),
        ];
        let wait = wait.map(TimeSpec::from_duration);
        match ppoll(&mut fds, wait, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(WorkerError::Wait(error)),
        }
        let [inner, outer, woken] = fds.map(|fd| fd.any().unwrap_or(false));
        Ok(Ready {
            inner,
            outer,
            woken,
        })
    }

    /// Does as it is told.
    fn obey(&mut self) -> Next {
        // Whoever asked may have lost patience, so answers need not arrive.
        while let Ok(command) = self.commands.try_recv() {
            let now = self.now();
            match command {
                Command::Count(reply) => {
                    let _ = reply.send(self.counts());
                }
                Command::Show(viewer) => self.tasks.show(viewer),
                Command::Follow(feed) => self.feed = Some(feed),
                Command::Serve(flow, direction, change, reply) => {
                    self.lose_track();
                    let answer = change.apply(&mut self.engine, flow, direction, now);
                    let _ = reply.send(answer);
                }
                Command::Switch(policies, reply) => {
                    if let Some(feed) = &self.feed {
                        feed.let_go();
                    }
                    self.tasks.switch(policies, reply);
                }
                Command::Drain => {
                    self.lose_track();
                    if self.watch.is_none() {
                        self.engine.drain(now);
                        self.watch = Some(Watch::new(now));
                    }
                }
                Command::Abandon(reply) => {
                    let _ = reply.send(self.abandon());
                }
                Command::Stop => return Next::Stop,
            }
        }
        Next::GoOn
    }

    /// Work that is done beside packets, a step.
    fn go_on(&mut self) {
        if self.tasks.is_empty() && self.watch.is_none() {
            return;
        }
        let now = self.now();
        self.tasks.step(&mut self.engine, now);
        if let Some(watch) = &mut self.watch {
            watch.step(&self.engine, now, &self.held);
        }
    }

    /// Resets the connections that still owe something, at both ends, and says what is lost.
    pub(super) fn abandon(&mut self) -> Abandoned {
        self.lose_track();
        let owes = |flow: &FlowInfo| debt(flow) > 0 || flow.state == FlowState::Resetting;
        let owing = self.engine.flows().filter(owes);
        let owing: Vec<(FlowId, u64)> = owing.map(|flow| (flow.id, debt(&flow))).collect();
        let patience = self.now().after(MOST_RESETTING);
        let mut lost = Abandoned::default();
        for (flow, octets) in owing {
            while self.engine.give_up(flow, self.now(), &mut self.outlet) == Ok(false)
                && self.now() < patience
            {
                thread::sleep(RETRY);
            }
            if octets > 0 {
                lost.flows += 1;
                lost.octets += octets;
            }
            if self.keeps {
                self.release();
            }
        }
        lost
    }

    /// Takes in what waits at a device, up to a burst.
    fn take_in(&mut self, port: Port) -> Result<(), WorkerError> {
        for _ in 0..BURST {
            let Parcel {
                header,
                room,
                port: arrival,
                ..
            } = &mut self.parcel;
            let length = match self.outlet.receive(port, header, room) {
                Ok(length) => length,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(_) => {
                    let side = match port {
                        Port::Inner => "inner",
                        Port::Outer => "outer",
                    };
                    return Err(WorkerError::Gone(side));
                }
            };
            *arrival = port;
            self.parcel.length = length;
            if self.outlet.leads.is_some() {
                self.parcel.find_packet();
            }
            let exchange = self.exchange.as_mut();
            if exchange.is_some_and(|exchange| exchange.hand_over(&mut self.parcel)) {
                continue;
            }
            self.carry_in_hand();
        }
        Ok(())
    }

    /// Takes in what other queues have handed over, up to a burst.
    fn take_over(&mut self) {
        for _ in 0..BURST {
            let Some(parcel) = self.exchange.as_ref().and_then(Exchange::next) else {
                self.has_mail = false;
                return;
            };
            let own = core::mem::replace(&mut self.parcel, parcel);
            self.carry_in_hand();
            let parcel = core::mem::replace(&mut self.parcel, own);
            if let Some(exchange) = &self.exchange {
                exchange.give_back(parcel);
            }
        }
    }

    /// Lets the engine decide about the packet in hand, and does what it says.
    fn carry_in_hand(&mut self) {
        if self.outlet.leads.is_some() {
            return self.carry_frame_in_hand();
        }
        let now = self.now();
        let port = self.parcel.port;
        let header = self.parcel.header;
        let goes_on = match frame::meta(&header) {
            Some(meta) => goes_on(self.ingest(now, meta)),
            None => {
                self.outlet.counters.odd = self.outlet.counters.odd.saturating_add(1);
                true
            }
        };
        if goes_on {
            let packet = self.parcel.packet();
            if self.outlet.routed {
                hops::give_back(packet);
            }
            let _: Sent = self.outlet.pass(port.other(), &header, packet);
        }
    }

    /// The same for a frame of Ethernet. What is not IP, or UDP that is yet to be cut, goes on as it is.
    fn carry_frame_in_hand(&mut self) {
        let now = self.now();
        let (port, header, link) = (self.parcel.port, self.parcel.header, self.parcel.link);
        let packet = self.parcel.packet();
        let goes_on = match frame::meta(&header) {
            Some(meta) if !packet.is_empty() => {
                let key = ethernet::key(port, packet, link);
                let meta = PacketMeta { link, ..meta };
                let verdict = self.ingest(now, meta);
                let is_broken = verdict == Verdict::Pass(PassReason::BadChecksum);
                if let (Some(key), false, Some(leads)) = (key, is_broken, &mut self.outlet.leads)
                    && let Some(flow) = self.engine.find_flow(&key)
                {
                    let lead = self.parcel.frame().get(..self.parcel.lead);
                    leads.learn(flow, port, lead.unwrap_or_default());
                }
                goes_on(verdict)
            }
            _ => true,
        };
        if goes_on {
            let _: Sent = self.outlet.pass(port.other(), &header, self.parcel.frame());
        }
    }
}

/// Whether the packet goes on.
const fn goes_on(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Pass(_) | Verdict::Forward => true,
        Verdict::Absorb(_) | Verdict::Drop(_) => false,
    }
}

/// Whether a worker goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// What a wait has brought.
struct Ready {
    inner: bool,
    outer: bool,
    woken: bool,
}
