//! The side that follows.

use core::time::Duration;
use std::io::{self, Write};
use std::thread;

use localack_core::{AttachError, Engine, Event, Instant, Port, Sink, SinkFull, Transmit};
use tracing::{info, warn};

use super::address::{Address, Stream};
use super::record::{Hello, Inbox, Outcome, Record, is_timeout, write_word};
use super::{BEAT, SILENCE};
use crate::clock::Clock;
use crate::config::Settings;
use crate::gateway::memory::{Memory, MemoryError};
use crate::gateway::worker::BUDGET;
use crate::gateway::{Ground, engine_config};
use crate::policy::Policies;

/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a gateway cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// There is no memory for its connections.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It was to end before the other gateway did.
    #[error("told to stop while it followed another gateway")]
    Stopped,
}

/// Why this does not go on, for now.
#[derive(Debug, thiserror::Error)]
enum Break {
    #[error("{0}")]
    Stream(#[from] io::Error),
    #[error("{0}")]
    Unlike(&'static str),
    #[error("its engines have done something else than ours, or did not say so")]
    Astray,
    #[error("its memory is not as ours: {0}")]
    Memory(#[from] AttachError),
    #[error("it goes on as another program")]
    Stays,
    #[error("told to stop")]
    Stopped,
}

/// The connections of a gateway that is gone.
pub struct Inheritance(pub(in crate::gateway) Ground);

impl core::fmt::Debug for Inheritance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inheritance").finish_non_exhaustive()
    }
}

/// Follows the gateway at `address` until it is gone, or `is_over` says so, which is asked ten times a second.
/// Before it has been there at least once it is waited for.
///
/// # Errors
/// [`FollowError`].
pub fn follow(
    address: &Address,
    settings: &Settings,
    is_over: impl Fn() -> bool,
) -> Result<Inheritance, FollowError> {
    let mut follower = Follower {
        memories: Memory::for_queues(&settings.engine)?,
        policies: Policies::new(settings),
        settings,
        hello: None,
        level: vec![false; settings.engine.queues.into()],
        clock: Clock::start(),
        last: [Duration::ZERO; 2],
    };
    let mut told = String::new();
    loop {
        if is_over() {
            return Err(FollowError::Stopped);
        }
        let ended = match Stream::connect(address, SILENCE) {
            Ok(stream) => follower.listen(stream, &is_over),
            Err(error) => Err(error.into()),
        };
        let Err(error) = ended;
        if matches!(error, Break::Stopped) {
            return Err(FollowError::Stopped);
        }
        let is_cut = matches!(error, Break::Stream(_));
        // A connection that is cut may be the network's fault, or the other's who has let us go.
        if is_cut && follower.is_level() && !says_hello(address) {
            warn!("the gateway at {address} is gone: {error}");
            return Ok(follower.inherit());
        }
        // From here on it does things that are not told here.
        follower.level.fill(false);
        let reason = error.to_string();
        if reason != told {
            warn!("not level with the gateway at {address}: {reason}");
            told = reason;
        }
        thread::sleep(PAUSE);
    }
}

/// Whether there is still somebody who speaks. That a connection can be made does not say so: a process that dies
/// closes one file after the other.
fn says_hello(address: &Address) -> bool {
    let clock = Clock::start();
    while clock.now() < SILENCE {
        let Ok(mut stream) = Stream::connect(address, SILENCE) else {
            return false;
        };
        let (mut inbox, mut record) = (Inbox::default(), Vec::new());
        let heard = stream
            .be_patient(SILENCE, SILENCE)
            .and_then(|()| inbox.next(&mut stream, &mut record));
        if heard.is_ok() {
            return true;
        }
    }
    false
}

struct Follower<'s> {
    memories: Vec<Memory>,
    policies: Policies,
    settings: &'s Settings,
    hello: Option<Hello>,
    /// The queues whose engines are as those of the other.
    level: Vec<bool>,
    clock: Clock,
    /// The other's time at the last record, and when that was here.
    last: [Duration; 2],
}

impl Follower<'_> {
    fn is_level(&self) -> bool {
        self.level.iter().all(|&level| level)
    }

    /// Follows as long as the stream lasts.
    fn listen(
        &mut self,
        mut stream: Stream,
        is_over: &impl Fn() -> bool,
    ) -> Result<core::convert::Infallible, Break> {
        stream.be_patient(BEAT, SILENCE)?;
        let (mut inbox, mut octets) = (Inbox::default(), Vec::new());
        let heard = Clock::start();
        let mut heard_at = Duration::ZERO;
        let mut was_level = false;
        let mut counts = vec![0_u64; self.level.len()];
        let mut told: Vec<Option<u64>> = vec![None; self.level.len()];
        loop {
            match inbox.next(&mut stream, &mut octets) {
                Ok(()) => heard_at = heard.now(),
                Err(error) if is_timeout(&error) => {
                    if is_over() {
                        return Err(Break::Stopped);
                    }
                    if heard.now().saturating_sub(heard_at) > SILENCE {
                        return Err(error.into());
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let record = Record::parse(&octets)?;
            self.take(&record)?;
            if let Some(queue) = record.queue()
                && let Some(count) = counts.get_mut(usize::from(queue))
            {
                *count += 1;
            }
            if !inbox.has_more() {
                // In one go for all that has come at once.
                for ((queue, count), told) in (0..).zip(&counts).zip(&mut told) {
                    if *told != Some(*count) {
                        stream.write_all(&write_word(queue, *count))?;
                        *told = Some(*count);
                    }
                }
                if record.queue().is_none() {
                    // It is to know that somebody is there.
                    let count = counts.first().copied().unwrap_or_default();
                    stream.write_all(&write_word(0, count))?;
                }
            }
            if !was_level && self.is_level() {
                info!("level with the gateway: ready to go on with its connections");
            }
            was_level = self.is_level();
        }
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), Break> {
        match record {
            Record::Hello(hello) => {
                if let Some(difference) = hello.difference(self.settings) {
                    return Err(Break::Unlike(difference));
                }
                self.policies = Policies::numbered(self.settings, &hello.numbers);
                self.hello = Some(hello.clone());
            }
            Record::Clear { queue } => {
                self.set_level(*queue, false);
                let mut storage = self
                    .memory(*queue)?
                    .storage()
                    .map_err(|_| AttachError::Sizes)?;
                for part in storage.parts_mut() {
                    part.fill(0);
                }
            }
            Record::Part {
                queue,
                part,
                offset,
                octets,
            } => {
                let mut storage = self
                    .memory(*queue)?
                    .storage()
                    .map_err(|_| AttachError::Sizes)?;
                let mut parts = storage.parts_mut();
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                parts
                    .get_mut(usize::from(*part))
                    .and_then(|part| part.get_mut(start..start.saturating_add(octets.len())))
                    .ok_or(Break::Astray)?
                    .copy_from_slice(octets);
            }
            Record::Begin { queue } => {
                self.engine(*queue, |_| ())?;
                self.set_level(*queue, true);
            }
            Record::Ingest {
                queue,
                now_us,
                outer,
                meta,
                outcome,
                packet,
            } => {
                let port = if *outer { Port::Outer } else { Port::Inner };
                let mut packet = packet.to_vec();
                let mut echo = Echo::of(outcome);
                let now = self.note(*now_us);
                self.engine(*queue, |engine| {
                    // The other one does what it says.
                    let _ = engine.ingest(port, now, &mut packet, (*meta).into(), &mut echo);
                })?;
                echo.check()?;
            }
            Record::Poll {
                queue,
                now_us,
                outcome,
            } => {
                let mut echo = Echo::of(outcome);
                let now = self.note(*now_us);
                self.engine(*queue, |engine| {
                    let _ = engine.poll(now, BUDGET, &mut echo);
                })?;
                echo.check()?;
            }
            Record::Stay => return Err(Break::Stays),
            Record::Beat { now_us } => {
                self.note(*now_us);
            }
        }
        Ok(())
    }

    fn memory(&mut self, queue: u16) -> Result<&mut Memory, Break> {
        self.memories
            .get_mut(usize::from(queue))
            .ok_or(Break::Astray)
    }

    fn set_level(&mut self, queue: u16, is_level: bool) {
        if let Some(level) = self.level.get_mut(usize::from(queue)) {
            *level = is_level;
        }
    }

    /// Remembers the other's time.
    fn note(&mut self, now_us: u64) -> Instant {
        let [theirs, _] = self.last;
        self.last = [theirs.max(Duration::from_micros(now_us)), self.clock.now()];
        Instant::from_micros(now_us)
    }

    /// Works with the engine of a queue.
    fn engine(
        &mut self,
        queue: u16,
        work: impl FnOnce(&mut Engine<'_, Policies>),
    ) -> Result<(), Break> {
        let hello = self.hello.as_ref().ok_or(Break::Astray)?;
        let [key, _] = hello.keys;
        let config = engine_config(&self.settings.engine, key, hello.mtu);
        let policies = self.policies.clone();
        let memory = self.memory(queue)?;
        let storage = memory.storage().map_err(|_| AttachError::Sizes)?;
        let mut engine = Engine::mirror(storage, config, policies)?;
        work(&mut engine);
        Ok(())
    }

    /// What a gateway needs to go on.
    fn inherit(self) -> Inheritance {
        let [theirs, ours] = self.last;
        let since = self.clock.now().saturating_sub(ours);
        let (keys, numbers) = self
            .hello
            .map_or_else(Default::default, |hello| (hello.keys, hello.numbers));
        Inheritance(Ground {
            clock: Clock::started_before(theirs.saturating_add(since)),
            memories: self.memories,
            keep: None,
            keys,
            numbers,
            goes_on: true,
        })
    }
}

/// Sends nothing, and has as much success with it as the other engine had.
struct Echo<'o> {
    theirs: &'o Outcome,
    ours: Outcome,
}

impl<'o> Echo<'o> {
    fn of(theirs: &'o Outcome) -> Self {
        Self {
            theirs,
            ours: Outcome::default(),
        }
    }

    fn check(&self) -> Result<(), Break> {
        if self.ours == *self.theirs {
            Ok(())
        } else {
            Err(Break::Astray)
        }
    }
}

impl Sink for Echo<'_> {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        let has_failed = self.theirs.failed.contains(&self.ours.tries);
        self.ours.note(has_failed);
        if has_failed { Err(SinkFull) } else { Ok(()) }
    }

    fn event(&mut self, _: Instant, _: Event) {}
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, Ordering};

    use super::super::address::Listener;
    use super::*;
    use crate::policy::Numbers;

    /// How a gateway that is followed ends.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Ends {
        /// At once.
        Dies,
        /// The connection is cut first, and it goes on for a while.
        IsCutOff,
        /// It says that it goes on as another program.
        Stays,
    }

    fn accept(listener: &Listener) -> Stream {
        let stream = loop {
            if let Some(stream) = listener.accept().unwrap() {
                break stream;
            }
            thread::sleep(Duration::from_millis(1));
        };
        stream.be_patient(SILENCE, SILENCE).unwrap();
        stream
    }

    /// Whether somebody who follows such a gateway takes its place.
    fn is_followed_by(name: &str, ends: Ends) -> bool {
        let path = std::env::temp_dir().join(format!("la-test-{name}-{}", std::process::id()));
        let address = Address::Unix(path);
        let mut settings = Settings::default();
        settings.engine.flows = 4;
        settings.engine.networks = 1;
        settings.engine.buffer = 4 << 20;
        let listener = Listener::bind(&address).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let follower =
                scope.spawn(|| follow(&address, &settings, || is_over.load(Ordering::Relaxed)));
            let mut stream = accept(&listener);
            let mut say = |record: &Record<'_>| stream.write_all(&record.framed()).unwrap();
            let hello = Hello::new(&settings, Numbers::default(), [[1, 2], [3, 4]], [1500; 2]);
            let config = engine_config(&settings.engine, [1, 2], [1500; 2]);
            let mut memory = Memory::new(&settings.engine.per_queue(), false).unwrap();
            let policies = Policies::new(&settings);
            let engine = Engine::new(memory.storage().unwrap(), config, policies).unwrap();
            say(&Record::Hello(hello));
            say(&Record::Clear { queue: 0 });
            // All else of an engine that has seen nothing is zeroes.
            let [octets, ..] = engine.memory();
            let (queue, part, offset) = (0, 0, 0);
            say(&Record::Part {
                queue,
                part,
                offset,
                octets,
            });
            say(&Record::Begin { queue });
            // It has heard all of that when it says so.
            let mut words = [0; 4096];
            while io::Read::read(&mut stream, &mut words).unwrap() == 0 {}
            thread::sleep(Duration::from_millis(50));
            match ends {
                Ends::Dies => {
                    stream.close();
                    // As long as it dies connections are made, and nobody says anything.
                    drop(accept(&listener));
                    drop(listener);
                }
                Ends::IsCutOff => {
                    stream.close();
                    // Back again, to be told that it is there; then it dies.
                    let mut again = accept(&listener);
                    again
                        .write_all(&Record::Beat { now_us: 0 }.framed())
                        .unwrap();
                    drop(accept(&listener));
                    drop(listener);
                }
                Ends::Stays => {
                    stream.write_all(&Record::Stay.framed()).unwrap();
                    drop(listener);
                }
            }
            drop(stream);
            thread::sleep(Duration::from_millis(600));
            is_over.store(true, Ordering::Relaxed);
            follower.join().unwrap().is_ok()
        })
    }

    #[test]
    fn the_place_of_a_gateway_that_is_gone_is_taken() {
        assert!(is_followed_by("gone", Ends::Dies));
    }

    #[test]
    fn what_is_not_level_any_more_takes_nobodys_place() {
        assert!(!is_followed_by("cut", Ends::IsCutOff));
    }

    #[test]
    fn a_gateway_that_goes_on_as_another_program_keeps_its_place() {
        assert!(!is_followed_by("stays", Ends::Stays));
    }
}
