//! A running gateway as others in the process see it: asking its workers and telling them what to do.

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use localack_core::{DemoteCause, Direction, FlowId, FlowInfo, Service, ShapingId};

use super::command::{Abandoned, Command, Counts, Switched, Viewer};
use super::demotions::Demotions;
use super::journal::Refused;
use super::keep::Notes;
use super::mailbox::Wakers;
use super::replica::Greeting;
use super::source::{Source, SourceError, changeable};
use super::watch::{Held, Remaining};
use crate::clock::Clock;
use crate::config::{LogLevel, Settings};
use crate::policy::{Arrangements, DirectionChange, Policies, UnknownArrangement};

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where it goes over all of its flows.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// Where a gateway is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// It is being set up.
    Starting = 0,
    /// It serves.
    Running = 1,
    /// It hands all connections back to their ends, and takes no new ones.
    Draining = 2,
    /// It has handed them back.
    Drained = 3,
}

/// Why something that a gateway was asked is not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// A worker has not answered in time; it may yet do what it was told.
    #[error("the gateway is too busy to answer")]
    Busy,
    /// A worker has ended.
    #[error("the gateway has ended")]
    Ended,
    /// No such connection.
    #[error("no flow has this id any more")]
    UnknownFlow,
    /// No such arrangement.
    #[error(transparent)]
    UnknownArrangement(#[from] UnknownArrangement),
    /// There are no such settings; nothing has changed.
    #[error(transparent)]
    Settings(#[from] SourceError),
    /// They were refused for a reason given; nothing has changed.
    #[error("{0}")]
    Refused(String),
}

/// What has become of other settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Applied {
    /// The policies that hold now, without the default.
    pub policies: usize,
    /// Live flows of all queues.
    pub flows: Switched,
    /// What differs and cannot be changed while the gateway runs.
    pub ignored: Vec<String>,
}

/// The settings and policies that hold.
struct Present {
    settings: Settings,
    policies: Policies,
}

/// What all handles share.
struct Shared {
    workers: Vec<Sender<Command>>,
    wakers: Wakers,
    held: Vec<Arc<Held>>,
    present: RwLock<Present>,
    /// Held while settings change, so that one change follows the other.
    changing: Mutex<()>,
    source: Source,
    state: AtomicU8,
    clock: Clock,
    refused: Arc<Mutex<VecDeque<Refused>>>,
    demotions: Demotions,
    set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    hand_over: Option<HandOver>,
    notes: Option<Weak<Mutex<Notes>>>,
    greeting: Option<Greeting>,
}

/// Makes way for a program.
pub(super) type HandOver = Box<dyn Fn(PathBuf) + Send + Sync>;

/// What a handle is made of.
pub(super) struct Ends {
    pub(super) workers: Vec<Sender<Command>>,
    pub(super) wakers: Wakers,
    pub(super) held: Vec<Arc<Held>>,
    pub(super) settings: Settings,
    pub(super) policies: Policies,
    pub(super) source: Source,
    pub(super) clock: Clock,
    pub(super) refused: Arc<Mutex<VecDeque<Refused>>>,
    pub(super) demotions: Demotions,
    pub(super) set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    pub(super) hand_over: Option<HandOver>,
    /// Where a successor finds the numbers of arrangements, as long as the gateway is there.
    pub(super) notes: Option<Weak<Mutex<Notes>>>,
    /// What a standby is told of settings.
    pub(super) greeting: Option<Greeting>,
}

/// A running gateway. Calls may wait for the workers, a few seconds at most; workers wait for nobody.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handle")
            .field("queues", &self.queues())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(ends: Ends) -> Self {
        Self(Arc::new(Shared {
            workers: ends.workers,
            wakers: ends.wakers,
            held: ends.held,
            present: RwLock::new(Present {
                settings: ends.settings,
                policies: ends.policies,
            }),
            changing: Mutex::new(()),
            source: ends.source,
            state: AtomicU8::new(State::Starting as u8),
            clock: ends.clock,
            refused: ends.refused,
            demotions: ends.demotions,
            set_level: ends.set_level,
            hand_over: ends.hand_over,
            notes: ends.notes,
            greeting: ends.greeting,
        }))
    }

    /// Queues, each with an engine of its own.
    #[must_use]
    pub fn queues(&self) -> usize {
        self.0.workers.len()
    }

    /// How long it has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.0.clock.now()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.state.load(Ordering::Relaxed) {
            0 => State::Starting,
            1 => State::Running,
            _ => match self.remaining() {
                Some(Remaining { flows: 0, .. }) => State::Drained,
                _ => State::Draining,
            },
        }
    }

    /// Takes note that packets are steered to it.
    pub fn set_running(&self) {
        let (starting, running) = (State::Starting as u8, State::Running as u8);
        let state = &self.0.state;
        let order = Ordering::Relaxed;
        // It may be draining already.
        let _ = state.compare_exchange(starting, running, order, order);
    }

    /// Where its settings come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// The settings that hold.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.present().settings.clone()
    }

    /// The policies that hold; clones share their counts.
    #[must_use]
    pub fn policies(&self) -> Policies {
        self.present().policies.clone()
    }

    fn present(&self) -> std::sync::RwLockReadGuard<'_, Present> {
        let present = self.0.present.read();
        present.unwrap_or_else(PoisonError::into_inner)
    }

    /// What each queue has counted.
    ///
    /// # Errors
    /// [`HandleError::Busy`] or [`HandleError::Ended`].
    pub fn counts(&self) -> Result<Vec<Counts>, HandleError> {
        self.ask_all(PATIENCE, |_, reply| Command::Count(reply))
    }

    /// Shows all flows of every queue to a copy of `viewer` for that queue, some each turn, and gives the
    /// copies back in the order of the queues.
    ///
    /// # Errors
    /// [`HandleError::Busy`] or [`HandleError::Ended`].
    pub fn show<V>(
        &self,
        viewer: &V,
        see: impl Fn(&mut V, u16, &FlowInfo) + Clone + Send + 'static,
    ) -> Result<Vec<V>, HandleError>
    where
        V: Clone + Send + 'static,
    {
        self.ask_all(LONG_PATIENCE, |queue, reply| {
            Command::Show(Box::new(Spectator {
                queue,
                viewer: viewer.clone(),
                see: see.clone(),
                reply,
            }))
        })
    }

    /// Asks for another service of one direction of a flow.
    ///
    /// # Errors
    /// [`HandleError::UnknownFlow`] if there is none of that id in that queue, and as of
    /// [`Handle::counts`].
    pub fn set_service(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        service: Service,
    ) -> Result<(), HandleError> {
        let change = DirectionChange::arranged(Some(service), None);
        self.serve(queue, flow, direction, change)
    }

    /// Gives one direction of a flow another arrangement that `choose` finds among those there are, and another
    /// service, which stays as it is without one.
    ///
    /// # Errors
    /// [`HandleError::UnknownArrangement`] if that is what `choose` says, and as of [`Handle::set_service`].
    pub fn arrange(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        choose: impl FnOnce(&Arrangements) -> Result<(ShapingId, Option<Service>), UnknownArrangement>,
    ) -> Result<(), HandleError> {
        // A number means the same until the worker has it.
        let _guard = self.changing();
        let (shaping, service) = choose(self.policies().arrangements())?;
        let change = DirectionChange::arranged(service, Some(shaping));
        self.serve(queue, flow, direction, change)
    }

    fn serve(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        change: DirectionChange,
    ) -> Result<(), HandleError> {
        let (reply, answer) = channel();
        let command = Command::Serve(flow, direction, change, reply);
        self.tell(queue.into(), command)?;
        receive(&answer, PATIENCE)?.map_err(|_| HandleError::UnknownFlow)
    }

    /// Reads the settings again and lets them hold: see [`Handle::change`].
    ///
    /// # Errors
    /// [`HandleError::Settings`] if there is something wrong with them, which changes nothing, and as of
    /// [`Handle::counts`].
    pub fn reload(&self) -> Result<Applied, HandleError> {
        let _guard = self.changing();
        let settings = self.0.source.read()?;
        self.apply(&settings)
    }

    /// Lets other settings hold that `edit` makes of the present ones. New connections of a queue fall
    /// under the new policies from one packet to the next, and those there are are led over one by one.
    ///
    /// # Errors
    /// What `edit` says, which changes nothing, and as of [`Handle::counts`].
    pub fn change(
        &self,
        edit: &mut dyn FnMut(&Settings) -> Result<Settings, String>,
    ) -> Result<Applied, HandleError> {
        let _guard = self.changing();
        let settings = edit(&self.settings()).map_err(HandleError::Refused)?;
        self.apply(&settings)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        let guard = self.0.changing.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, wanted: &Settings) -> Result<Applied, HandleError> {
        let (settings, ignored) = changeable(&self.settings(), wanted);
        let policies = self.policies().reload(&settings);
        let numbers = policies.arrangements().numbers();
        if let Some(notes) = self.0.notes.as_ref().and_then(Weak::upgrade) {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            let written = notes.write(&numbers);
            written.map_err(|error| HandleError::Refused(error.to_string()))?;
        }
        let applied = Applied {
            policies: settings.policies.len(),
            flows: Switched::default(),
            ignored,
        };
        (self.0.set_level)(settings.log_level);
        {
            let present = self.0.present.write();
            let mut present = present.unwrap_or_else(PoisonError::into_inner);
            present.settings = settings;
            present.policies = policies.clone();
        }
        if let Some(greeting) = &self.0.greeting {
            greeting.renew(&self.settings(), numbers);
        }
        let switched = self.ask_all(LONG_PATIENCE, |_, reply| {
            Command::Switch(policies.clone(), reply)
        })?;
        let flows = switched
            .iter()
            .fold(Switched::default(), |sum, one| Switched {
                changed: sum.changed + one.changed,
                partial: sum.partial + one.partial,
            });
        Ok(Applied { flows, ..applied })
    }

    /// Begins to hand all flows back to their ends, and takes no new ones; [`Handle::remaining`] tells
    /// how far that is. There is no way back.
    ///
    /// # Errors
    /// [`HandleError::Ended`].
    pub fn drain(&self) -> Result<(), HandleError> {
        let draining = State::Draining as u8;
        self.0.state.store(draining, Ordering::Relaxed);
        (0..self.queues()).try_for_each(|queue| self.tell(queue, Command::Drain))
    }

    /// Has whoever owns the gateway make way for another program, which lays connections out in memory like
    /// that ([`localack_core::LAYOUT`]); it goes on with all of them.
    ///
    /// # Errors
    /// [`HandleError::Refused`] if connections would be lost by it, or the program cannot be one.
    pub fn upgrade(&self, program: &Path, layout: u32) -> Result<(), HandleError> {
        let refused = |reason: String| Err(HandleError::Refused(reason));
        let Some(hand_over) = &self.0.hand_over else {
            return refused("this gateway cannot go on as another program".to_owned());
        };
        if self.settings().engine.state.is_none() {
            return refused(
                "connections go on only where they are kept: `state` in [engine] says where"
                    .to_owned(),
            );
        }
        if layout != localack_core::LAYOUT {
            return refused(format!(
                "that build lays connections out otherwise (layout {layout:08x}, this one has {:08x}): drain \
                 this gateway and start the other one",
                localack_core::LAYOUT
            ));
        }
        let runs = |about: &std::fs::Metadata| about.is_file() && about.mode() & 0o111 != 0;
        if !program.is_absolute() || !program.metadata().is_ok_and(|about| runs(&about)) {
            return refused(format!("{}: is no program", program.display()));
        }
        hand_over(program.to_owned());
        Ok(())
    }

    /// What all queues together have not handed back; `None` unless they drain, and have looked since.
    #[must_use]
    pub fn remaining(&self) -> Option<Remaining> {
        let held = &self.0.held;
        held.iter()
            .map(|held| held.remaining())
            .try_fold(Remaining::default(), |sum, one| {
                let one = one?;
                Some(Remaining {
                    flows: sum.flows + one.flows,
                    octets: sum.octets + one.octets,
                })
            })
    }

    /// Gives up what is not delivered.
    ///
    /// # Errors
    /// [`HandleError::Busy`] or [`HandleError::Ended`].
    pub fn abandon(&self) -> Result<Abandoned, HandleError> {
        let queues = self.ask_all(LONG_PATIENCE, |_, reply| Command::Abandon(reply))?;
        Ok(queues
            .iter()
            .fold(Abandoned::default(), |sum, one| Abandoned {
                flows: sum.flows + one.flows,
                octets: sum.octets + one.octets,
            }))
    }

    /// Connections that were left alone last, the newest at the end.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        let refused = self.0.refused.lock();
        let refused = refused.unwrap_or_else(PoisonError::into_inner);
        refused.iter().copied().collect()
    }

    /// Why early acknowledgement of a flow ended last, inner to outer first; nothing if it did not, or
    /// began again.
    #[must_use]
    pub fn demoted(&self, queue: u16, flow: FlowId) -> [Option<DemoteCause>; 2] {
        self.0.demotions.of(queue, flow)
    }

    /// Ends all workers.
    pub(super) fn stop(&self) {
        for queue in 0..self.queues() {
            let _ = self.tell(queue, Command::Stop);
        }
    }

    fn tell(&self, queue: usize, command: Command) -> Result<(), HandleError> {
        let worker = self.0.workers.get(queue).ok_or(HandleError::UnknownFlow)?;
        worker.send(command).map_err(|_| HandleError::Ended)?;
        self.0.wakers.wake(queue);
        Ok(())
    }

    /// Tells every worker, and waits for all answers.
    fn ask_all<T>(
        &self,
        patience: Duration,
        command: impl Fn(u16, Sender<T>) -> Command,
    ) -> Result<Vec<T>, HandleError> {
        let deadline = self.0.clock.now() + patience;
        let mut answers = Vec::with_capacity(self.queues());
        for (queue, number) in (0..self.queues()).zip(0..) {
            let (reply, answer) = channel();
            self.tell(queue, command(number, reply))?;
            answers.push(answer);
        }
        answers
            .iter()
            .map(|answer| receive(answer, deadline.saturating_sub(self.0.clock.now())))
            .collect()
    }
}

fn receive<T>(answer: &Receiver<T>, patience: Duration) -> Result<T, HandleError> {
    answer.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => HandleError::Busy,
        RecvTimeoutError::Disconnected => HandleError::Ended,
    })
}

/// A viewer that is sent back when it has seen all.
struct Spectator<V, S> {
    queue: u16,
    viewer: V,
    see: S,
    reply: Sender<V>,
}

impl<V: Send, S: Fn(&mut V, u16, &FlowInfo) + Send> Viewer for Spectator<V, S> {
    fn see(&mut self, flow: &FlowInfo) {
        (self.see)(&mut self.viewer, self.queue, flow);
    }

    fn end(self: Box<Self>) {
        let Self { viewer, reply, .. } = *self;
        // Whoever asked may have lost patience.
        let _ = reply.send(viewer);
    }
}
