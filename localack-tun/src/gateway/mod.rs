//! The live gateway: engines between two TUN devices, or two TAP devices.
//!
//! The kernel hands over what is steered to the two devices ([`crate::steer`]): super-segments, as they
//! come, with checksums that are still open. What the engine makes of them it gives back in the same form.
//! TUN devices carry IP packets, TAP devices frames of Ethernet with IP packets or anything else in them
//! ([`Layer`]).
//!
//! # Queues
//! Each device has the same number of queues. To each pair of them belongs a thread with an engine of
//! its own, which shares nothing with the others: a *worker*. A connection is always with the same one,
//! by a hash that both directions have in common; a packet that arrives at another queue is handed over,
//! over channels of bounded length, without being copied. With one queue there is nothing of this.
//!
//! # Asking a gateway
//! Whoever wants to know or change something has a [`Handle`]. Its calls go to the workers as messages,
//! which they look at between packets; what goes over all flows, they do some slots a turn.

mod backend;
mod command;
mod demotions;
mod ethernet;
mod exchange;
mod frame;
mod handle;
mod held_back;
mod hops;
mod journal;
mod keep;
mod mailbox;
mod memory;
mod outlet;
pub mod replica;
mod source;
mod spread;
mod watch;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use localack_core::{AttachError, AttachReport, Config, ConfigError};
use nix::errno::Errno;
use tracing::error;
use tun_rs::SyncDevice;

use crate::clock::Clock;
use crate::config::{EngineSettings, LogLevel, Settings};
use crate::policy::{Numbers, Policies};
use ethernet::Leads;
use exchange::Exchange;
use handle::Ends;
use journal::Journal;
use keep::{Keep, Left, Notes};
use mailbox::Wakers;
use memory::Memory;
use replica::{Greeting, Hello, Inheritance, Standby};
use spread::Spread;
use watch::Held;
use worker::{Parts, Worker};

pub use command::{Abandoned, Counts, Switched};
pub use handle::{Applied, Handle, HandleError, State};
pub use journal::Refused;
pub use keep::{KeepError, Orphans, orphaned_by, served_in, to_be_gone_on_with};
pub use memory::MemoryError;
pub use outlet::DeviceCounters;
pub use source::{Source, SourceError};
pub use watch::Remaining;
pub use worker::WorkerError;

/// The largest payload of a packet that the kernel is to cut, in octets.
const SUPER_SEGMENT: u16 = 60_000;

/// Why a gateway cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The engine does not take its settings.
    #[error("the engine cannot work so: {0}")]
    Config(#[from] ConfigError),
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The devices have not the number of queues that the settings say.
    #[error("{devices} queues of devices for {queues} engines")]
    Queues {
        /// Of the devices.
        devices: usize,
        /// Of the settings.
        queues: u16,
    },
    /// A device is gone, or cannot be waited for.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A worker has ended in a way that it must not.
    #[error("the worker of queue {0} has crashed")]
    Crashed(usize),
    /// The system gives no thread or descriptor.
    #[error("the system refuses a thread or descriptor: {0}")]
    System(#[from] io::Error),
    /// The connections of an earlier gateway cannot be gone on with.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// No standby can be waited for.
    #[error(transparent)]
    Standby(#[from] replica::ServerError),
    /// An engine does not take over what is in its memory.
    #[error("the connections of an earlier gateway cannot be gone on with: {0}")]
    Attach(AttachError),
}

impl From<AttachError> for GatewayError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Config(error) => Self::Config(error),
            error => Self::Attach(error),
        }
    }
}

impl From<Errno> for GatewayError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// What the devices of a gateway carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// IP packets (TUN), which the kernel has routed to here and routes on.
    Ip,
    /// IP packets (TUN) that nobody has routed to here, nor routes on: they keep their hop limits.
    UnroutedIp,
    /// Frames of Ethernet (TAP). Those that are not TCP over IP go from one device to the other as they
    /// are; what the engine makes has the addresses and VLANs of its connection's newest frames.
    Ethernet,
}

/// What a gateway begins with.
pub struct Setup {
    /// The devices of each queue, the inner side's first.
    pub devices: Vec<[SyncDevice; 2]>,
    /// What they carry.
    pub layer: Layer,
    /// What holds from the start.
    pub settings: Settings,
    /// Where settings come from when they are to be read again.
    pub source: Source,
    /// The largest IP packets that go out on either side, inner first, in octets.
    pub mtu: [u16; 2],
    /// Is told the level of the log when it changes.
    pub set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    /// Makes way for another program at that path, which goes on with the connections; nothing if it cannot.
    pub hand_over: Option<Box<dyn Fn(PathBuf) + Send + Sync>>,
    /// Where a second gateway may follow this one, if anywhere, and whether packets wait for its word.
    pub standby: Option<Standby>,
    /// The connections of a gateway that is gone, to go on with.
    pub inheritance: Option<Inheritance>,
    /// Is called, in its thread, when a worker ends, whyever.
    pub on_end: Arc<dyn Fn() + Send + Sync>,
}

impl core::fmt::Debug for Setup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Setup")
            .field("layer", &self.layer)
            .field("settings", &self.settings)
            .field("source", &self.source)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

/// Workers that carry packets until they are stopped or dropped.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
    workers: Vec<JoinHandle<Ended>>,
    keep: Option<Keep>,
    /// What the handle may write into the state file, as long as this is there.
    notes: Option<Arc<Mutex<Notes>>>,
    taken_over: TakenOver,
    /// Speaks to a standby.
    server: Option<replica::Server>,
}

/// What a gateway has found of an earlier one whose connections it goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TakenOver {
    /// Connections that go on.
    pub flows: u64,
    /// Unfinished handshakes that are followed further.
    pub handshakes: u64,
    /// Connections that are reset, because what they had in custody cannot be relied on.
    pub ruined: u64,
    /// Octets in custody that are held on.
    pub octets_held: u64,
    /// Octets that were given up because the machine was started anew in between.
    pub octets_given_up: u64,
}

impl TakenOver {
    fn add(&mut self, report: &AttachReport) {
        self.flows += u64::from(report.flows);
        self.handshakes += u64::from(report.handshakes);
        self.ruined += u64::from(report.ruined);
        self.octets_held += report.octets_held;
    }
}

/// How a worker has ended.
type Ended = (Option<Counts>, Result<(), GatewayError>);

impl Gateway {
    /// Starts a gateway.
    ///
    /// # Errors
    /// See [`GatewayError`]; then nothing was started.
    pub fn start(setup: Setup) -> Result<Self, GatewayError> {
        let Setup {
            devices,
            layer,
            settings,
            source,
            mtu,
            set_level,
            hand_over,
            standby,
            inheritance,
            on_end,
        } = setup;
        let queues = settings.engine.queues;
        if devices.len() != usize::from(queues) {
            let devices = devices.len();
            return Err(GatewayError::Queues { devices, queues });
        }
        let Ground {
            memories,
            keep,
            clock,
            keys,
            numbers,
            goes_on,
        } = match inheritance {
            Some(inheritance) => inheritance.0.kept(&settings.engine)?,
            None => Ground::prepare(&settings.engine)?,
        };
        let [engine_key, spread_key] = keys;
        let left = keep.as_ref().map_or(Left::Nothing, |keep| keep.left);
        let policies = Policies::numbered(&settings, &numbers);
        let numbers = policies.arrangements().numbers();
        let mut notes = keep.as_ref().map(Keep::notes).transpose()?;
        if let Some(notes) = &mut notes {
            notes.write(&numbers)?;
        }
        let notes = notes.map(|notes| Arc::new(Mutex::new(notes)));
        let wakers = Wakers::new(devices.len())?;
        let spread = Spread::new(queues, spread_key);
        let mut exchanges = Exchange::among(&wakers, spread).into_iter();
        let mut config = engine_config(&settings.engine, engine_key, mtu);
        config.sink_waits = keep.is_some();
        let greeting = standby
            .is_some()
            .then(|| Greeting::new(Hello::new(&settings, numbers, keys, mtu)));
        let flows = settings.engine.per_queue().flows;
        let leads = || (layer == Layer::Ethernet).then(|| Leads::new(flows));
        let mut leads: Vec<_> = (0..queues).map(|_| leads()).collect();
        if settings.engine.lock_memory {
            memory::lock(&settings.engine)?;
        }
        let journal = Journal::start(clock.clone())?;
        let (refused, demotions) = (journal.memory(), journal.demotions());
        let journal = Arc::new(journal);

        let (mut commands, mut held, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
        for ((devices, memory), queue) in devices.into_iter().zip(memories).zip(0..) {
            let (command, waiting) = channel();
            let own = Arc::<Held>::default();
            commands.push(command);
            held.push(Arc::clone(&own));
            let parts = Parts {
                queue,
                devices,
                clock: clock.clone(),
                commands: waiting,
                wakers: wakers.clone(),
                exchange: exchanges.next(),
                held: own,
                reporter: journal.reporter(queue),
                leads: leads.pop().flatten(),
                routed: layer == Layer::Ip,
                goes_on,
                keeps: keep.is_some(),
            };
            let on_end = Arc::clone(&on_end);
            let journal = Arc::clone(&journal);
            seeds.push(Seed {
                memory,
                config,
                policies: policies.clone(),
                parts,
                end: End {
                    on_end,
                    _journal: journal,
                },
            });
        }
        drop(journal);
        let server = standby
            .zip(greeting.clone())
            .map(|(standby, greeting)| {
                let (workers, wakers) = (commands.clone(), wakers.clone());
                replica::Server::start(&standby, greeting, workers, wakers, clock.clone())
            })
            .transpose()?;
        let handle = Handle::new(Ends {
            workers: commands,
            wakers,
            held,
            settings,
            policies,
            source,
            clock: Clock::start(),
            refused,
            demotions,
            set_level,
            hand_over,
            notes: notes.as_ref().map(Arc::downgrade),
            greeting,
        });
        // From here on what fails ends the workers that were started.
        let mut gateway = Self {
            handle,
            workers: Vec::new(),
            keep,
            notes,
            taken_over: TakenOver::default(),
            server,
        };
        let (ready, started) = channel();
        for seed in seeds {
            let ready = ready.clone();
            let name = format!("queue-{}", seed.parts.queue);
            let worker = thread::Builder::new().name(name);
            let worker = worker.spawn(move || seed.grow(ready))?;
            gateway.workers.push(worker);
        }
        drop(ready);
        for outcome in started {
            gateway.taken_over.add(&outcome?);
        }
        if left == Left::BeforeReboot {
            // What the file held may not be what the memory held.
            let lost = gateway.handle.abandon();
            gateway.taken_over.octets_given_up = lost.map_or(0, |lost| lost.octets);
        }
        Ok(gateway)
    }

    /// For asking it and telling it what to do.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What it has taken over from an earlier one; nothing if it keeps no state.
    #[must_use]
    pub const fn taken_over(&self) -> TakenOver {
        self.taken_over
    }

    /// Ends it, and tells what each queue has counted. A state file is removed: whatever connections are still
    /// in it go on without an engine.
    ///
    /// # Errors
    /// [`GatewayError`] if a worker has ended before, and why.
    pub fn stop(mut self) -> Result<Vec<Counts>, GatewayError> {
        let counted = self.join();
        if let Some(keep) = self.keep.take() {
            keep.remove()?;
        }
        counted
    }

    /// Ends it in the middle of everything, for another gateway to go on with its state file.
    ///
    /// # Errors
    /// [`GatewayError`] if a worker has ended before, and why.
    pub fn leave(mut self) -> Result<Vec<Counts>, GatewayError> {
        if let Some(server) = self.server.take() {
            server.leave();
        }
        self.join()
    }

    fn join(&mut self) -> Result<Vec<Counts>, GatewayError> {
        self.server = None;
        self.notes = None;
        self.handle.stop();
        let mut counted = Vec::new();
        let mut outcome = Ok(());
        for (queue, worker) in self.workers.drain(..).enumerate() {
            let (counts, ended) = worker
                .join()
                .unwrap_or((None, Err(GatewayError::Crashed(queue))));
            counted.extend(counts);
            if outcome.is_ok() {
                outcome = ended;
            }
        }
        outcome.map(|()| counted)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.handle.stop();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// What a worker grows from in its thread.
struct Seed {
    memory: Memory,
    config: Config,
    policies: Policies,
    parts: Parts,
    end: End,
}

impl Seed {
    /// Works until it is told to stop; says by `ready` whether it could begin.
    fn grow(self, ready: Sender<Result<AttachReport, AttachError>>) -> Ended {
        let Self {
            mut memory,
            config,
            policies,
            parts,
            end: _end,
        } = self;
        let mut worker = match Worker::new(&mut memory, config, policies, parts) {
            Ok((worker, report)) => {
                let _ = ready.send(Ok(report));
                worker
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return (None, Err(error.into()));
            }
        };
        // Whoever waits for others to begin waits for the end of this.
        drop(ready);
        let outcome = worker.run();
        if let Err(error) = &outcome {
            let lost = worker.abandon();
            error!(
                octets_lost = lost.octets,
                connections = lost.flows,
                "a queue has ended: {error}"
            );
        }
        (Some(worker.counts()), outcome.map_err(Into::into))
    }
}

/// Tells that a worker has ended, even in a panic.
struct End {
    on_end: Arc<dyn Fn() + Send + Sync>,
    /// The last worker closes it.
    _journal: Arc<Journal>,
}

impl Drop for End {
    fn drop(&mut self) {
        (self.on_end)();
    }
}

/// What engines live on.
struct Ground {
    memories: Vec<Memory>,
    keep: Option<Keep>,
    clock: Clock,
    /// The secrets of the engines' tables and of the choice among queues.
    keys: [[u64; 2]; 2],
    /// The numbers of arrangements in the connections.
    numbers: Numbers,
    /// Whether there may be connections in the memory to go on with.
    goes_on: bool,
}

impl Ground {
    /// The same in a state file, if there is to be one.
    fn kept(self, settings: &EngineSettings) -> Result<Self, GatewayError> {
        let Some(path) = &settings.state else {
            return Ok(self);
        };
        let since = self.clock.now();
        let keep = Keep::begin_anew(path, settings, self.keys, since)?;
        let mut memories = keep.memories(settings.prefault)?;
        for (own, theirs) in memories.iter_mut().zip(self.memories) {
            own.copy_from(&theirs);
        }
        Ok(Self {
            memories,
            keep: Some(keep),
            ..self
        })
    }

    fn prepare(settings: &EngineSettings) -> Result<Self, GatewayError> {
        let Some(path) = &settings.state else {
            return Ok(Self {
                memories: Memory::for_queues(settings)?,
                keep: None,
                clock: Clock::start(),
                keys: random_keys()?,
                numbers: Numbers::default(),
                goes_on: false,
            });
        };
        let keep = Keep::open(path, settings, random_keys)?;
        Ok(Self {
            memories: keep.memories(settings.prefault)?,
            clock: keep.clock(),
            keys: keep.keys(),
            numbers: keep.numbers().clone(),
            goes_on: keep.left != Left::Nothing,
            keep: Some(keep),
        })
    }
}

/// The configuration of one queue's engine.
fn engine_config(settings: &EngineSettings, key: [u64; 2], mtu: [u16; 2]) -> Config {
    let mut config = settings.config(key, mtu);
    config.super_segment = SUPER_SEGMENT;
    config
}

fn random_keys() -> io::Result<[[u64; 2]; 2]> {
    let word = || {
        getrandom::u64()
            .map_err(|error| io::Error::other(format!("the system gives no random key: {error}")))
    };
    Ok([[word()?, word()?], [word()?, word()?]])
}
