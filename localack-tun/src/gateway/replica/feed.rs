//! The side that is followed.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use localack_core::{Engine, Instant, PacketMeta, Policy, Port};
use tracing::{info, warn};

use super::address::{Address, Listener, Stream};
use super::record::{Hello, Outcome, Record, WORD, is_timeout, read_word};
use super::{BEAT, MOST_BEHIND, SILENCE};
use crate::clock::Clock;
use crate::config::Settings;
use crate::gateway::command::Command;
use crate::gateway::mailbox::Wakers;
use crate::policy::Numbers;

/// Octets of memory in one record.
const PIECE: usize = 1 << 16;

/// Octets from which on records are not gathered any further.
const BATCH: usize = 1 << 18;

/// A standby that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// Where.
    pub address: Address,
    /// Whether packets wait until it has what they tell of.
    pub confirms: bool,
}

/// Why no standby can be waited for.
#[derive(Debug, thiserror::Error)]
#[error("cannot wait for a standby at {address}: {error}")]
pub struct ServerError {
    pub(in crate::gateway) address: Address,
    pub(in crate::gateway) error: io::Error,
}

/// What all feeds of one standby share.
#[derive(Debug, Default)]
struct Way {
    /// Octets under way, without those of copies.
    behind: AtomicUsize,
    /// Records of each queue that the standby has.
    confirmed: Vec<AtomicU64>,
    /// The standby is let go.
    is_lost: AtomicBool,
}

/// A record on its way, and how much it counts.
type Parcel = (Vec<u8>, usize);

/// What one worker tells a standby.
#[derive(Debug)]
pub(in crate::gateway) struct Feed {
    queue: u16,
    to: Sender<Parcel>,
    way: Arc<Way>,
    /// Whether the standby has what this engine has.
    is_level: bool,
    /// Records so far.
    said: u64,
    /// Whether packets wait for the standby's word.
    confirms: bool,
}

impl Feed {
    /// Whether anybody listens.
    pub(in crate::gateway) fn is_lost(&self) -> bool {
        self.way.is_lost.load(Ordering::Relaxed)
    }

    /// Whether the standby needs a copy of the memory.
    pub(in crate::gateway) const fn wants_copy(&self) -> bool {
        !self.is_level
    }

    /// Whether packets wait for the standby's word.
    pub(in crate::gateway) const fn confirms(&self) -> bool {
        self.confirms
    }

    /// Records so far.
    pub(in crate::gateway) const fn said(&self) -> u64 {
        self.said
    }

    /// Records that the standby has.
    pub(in crate::gateway) fn confirmed(&self) -> u64 {
        let confirmed = self.way.confirmed.get(usize::from(self.queue));
        confirmed.map_or(u64::MAX, |confirmed| confirmed.load(Ordering::Acquire))
    }

    /// Something has happened to the engine that is not told.
    pub(in crate::gateway) const fn lose_track(&mut self) {
        self.is_level = false;
    }

    /// The standby serves by other settings, or did not keep up.
    pub(in crate::gateway) fn let_go(&self) {
        self.way.is_lost.store(true, Ordering::Relaxed);
    }

    fn say(&mut self, record: &Record<'_>, counts: bool) {
        self.said = self.said.wrapping_add(1);
        let framed = record.framed();
        let weight = if counts { framed.len() } else { 0 };
        if self.way.behind.fetch_add(weight, Ordering::Relaxed) > MOST_BEHIND
            || self.to.send((framed, weight)).is_err()
        {
            self.let_go();
        }
    }

    /// Tells all of the engine's memory.
    pub(in crate::gateway) fn copy<P: Policy>(&mut self, engine: &Engine<'_, P>) {
        let queue = self.queue;
        self.say(&Record::Clear { queue }, false);
        for (part, octets) in (0..).zip(engine.memory()) {
            let mut offset = 0;
            for piece in octets.chunks(PIECE) {
                if piece.iter().any(|&octet| octet != 0) {
                    let octets = piece;
                    self.say(
                        &Record::Part {
                            queue,
                            part,
                            offset,
                            octets,
                        },
                        false,
                    );
                }
                offset += u64::try_from(piece.len()).unwrap_or(0);
            }
        }
        self.say(&Record::Begin { queue }, false);
        self.is_level = true;
    }

    /// Tells of a packet, as it came in.
    pub(in crate::gateway) fn ingest(
        &mut self,
        port: Port,
        now: Instant,
        packet: &[u8],
        meta: PacketMeta,
        outcome: Outcome,
    ) {
        let record = Record::Ingest {
            queue: self.queue,
            now_us: now.as_micros(),
            outer: port == Port::Outer,
            meta: meta.into(),
            outcome,
            packet,
        };
        self.say(&record, true);
    }

    /// Tells that the engine was asked what is due.
    pub(in crate::gateway) fn poll(&mut self, now: Instant, outcome: Outcome) {
        let record = Record::Poll {
            queue: self.queue,
            now_us: now.as_micros(),
            outcome,
        };
        self.say(&record, true);
    }
}

/// What a standby is greeted with: what holds at the moment.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Greeting(Arc<Mutex<Hello>>);

impl Greeting {
    pub(in crate::gateway) fn new(hello: Hello) -> Self {
        Self(Arc::new(Mutex::new(hello)))
    }

    fn hello(&self) -> MutexGuard<'_, Hello> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on other settings hold.
    pub(in crate::gateway) fn renew(&self, settings: &Settings, numbers: Numbers) {
        let mut hello = self.hello();
        *hello = hello.with(settings, numbers);
    }
}

/// Waits for a standby and tells it everything, one at a time.
#[derive(Debug)]
pub(in crate::gateway) struct Server {
    ended: Arc<AtomicBool>,
    /// Whether the standby is told not to take this gateway's place.
    stays: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it works with.
struct Desk {
    confirms: bool,
    listener: Listener,
    greeting: Greeting,
    workers: Vec<Sender<Command>>,
    wakers: Wakers,
    clock: Clock,
    ended: Arc<AtomicBool>,
    stays: Arc<AtomicBool>,
}

impl Server {
    pub(in crate::gateway) fn start(
        standby: &Standby,
        greeting: Greeting,
        workers: Vec<Sender<Command>>,
        wakers: Wakers,
        clock: Clock,
    ) -> Result<Self, ServerError> {
        let failed = |error| ServerError {
            address: standby.address.clone(),
            error,
        };
        let (ended, stays) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let desk = Desk {
            confirms: standby.confirms,
            listener: Listener::bind(&standby.address).map_err(failed)?,
            greeting,
            workers,
            wakers,
            clock,
            ended: Arc::clone(&ended),
            stays: Arc::clone(&stays),
        };
        let thread = thread::Builder::new().name("standby".to_owned());
        let thread = thread.spawn(move || desk.work()).map_err(failed)?;
        Ok(Self {
            ended,
            stays,
            thread: Some(thread),
        })
    }

    /// Ends, and tells the standby that somebody else goes on here.
    pub(in crate::gateway) fn leave(self) {
        self.stays.store(true, Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn work(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            match self.listener.accept() {
                Ok(Some(stream)) => {
                    info!("a standby has come");
                    let lost = self.tell(stream);
                    if !self.ended.load(Ordering::Relaxed) {
                        warn!("the standby is gone: {lost}");
                    }
                }
                Ok(None) => thread::sleep(BEAT),
                Err(error) => {
                    warn!("no standby can come: {error}");
                    thread::sleep(SILENCE);
                }
            }
        }
    }

    /// Tells a standby everything until it is gone, or the gateway; why it is.
    fn tell(&self, mut stream: Stream) -> io::Error {
        let way = Arc::new(Way {
            confirmed: self.workers.iter().map(|_| AtomicU64::new(0)).collect(),
            ..Way::default()
        });
        let told = thread::scope(|scope| {
            let ear = stream.try_clone();
            let ear = ear.map(|ear| scope.spawn(|| self.hear(ear, &way)));
            let told = self.tell_by(&mut stream, &way);
            // Its feeds have nobody to talk to any more.
            way.is_lost.store(true, Ordering::Relaxed);
            stream.close();
            for worker in 0..self.workers.len() {
                self.wakers.wake(worker);
            }
            told.and(ear.map(drop))
        });
        told.err().unwrap_or_else(|| io::ErrorKind::Other.into())
    }

    /// Takes note of what the standby has, until it is gone.
    fn hear(&self, mut ear: Stream, way: &Way) {
        let (clock, mut heard_at) = (Clock::start(), Duration::ZERO);
        let (mut inbox, mut word) = (Vec::new(), [0; 4096]);
        while !way.is_lost.load(Ordering::Relaxed) {
            match ear.read(&mut word) {
                Ok(0) => break,
                Ok(more) => inbox.extend_from_slice(word.get(..more).unwrap_or_default()),
                Err(error) if is_timeout(&error) => {
                    if clock.now().saturating_sub(heard_at) > SILENCE {
                        break;
                    }
                    continue;
                }
                Err(_) => break,
            }
            heard_at = clock.now();
            let whole = inbox.len() - inbox.len() % WORD;
            for word in inbox.drain(..whole).collect::<Vec<_>>().chunks_exact(WORD) {
                let Some((queue, count)) = read_word(word) else {
                    continue;
                };
                if let Some(confirmed) = way.confirmed.get(usize::from(queue)) {
                    confirmed.store(count, Ordering::Release);
                    self.wakers.wake(queue.into());
                }
            }
        }
        way.is_lost.store(true, Ordering::Relaxed);
    }

    fn tell_by(&self, stream: &mut Stream, way: &Arc<Way>) -> io::Result<()> {
        stream.be_patient(BEAT, SILENCE)?;
        let hello = self.greeting.hello().clone();
        stream.write_all(&Record::Hello(hello.clone()).framed())?;
        let (to, parcels): (Sender<Parcel>, Receiver<Parcel>) = channel();
        for (queue, worker) in (0..).zip(&self.workers) {
            let feed = Feed {
                queue,
                to: to.clone(),
                way: Arc::clone(way),
                is_level: false,
                said: 0,
                confirms: self.confirms,
            };
            // A worker that has ended has nothing to tell.
            let _ = worker.send(Command::Follow(Box::new(feed)));
            self.wakers.wake(queue.into());
        }
        drop(to);
        // Workers that are told of others from here on let the standby go.
        if *self.greeting.hello() != hello {
            return Err(io::Error::other("the settings have changed"));
        }
        while !self.ended.load(Ordering::Relaxed) {
            let parcel = match parcels.recv_timeout(BEAT) {
                Ok(parcel) => parcel,
                Err(RecvTimeoutError::Timeout) => {
                    let now_us = u64::try_from(self.clock.now().as_micros()).unwrap_or(u64::MAX);
                    (Record::Beat { now_us }.framed(), 0)
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if way.is_lost.load(Ordering::Relaxed) {
                return Err(io::Error::other(
                    "it did not keep up, or the settings have changed",
                ));
            }
            // What has come meanwhile goes with it.
            let (mut batch, mut weight) = parcel;
            while batch.len() < BATCH
                && let Ok((record, more)) = parcels.try_recv()
            {
                batch.extend_from_slice(&record);
                weight += more;
            }
            stream.write_all(&batch)?;
            way.behind.fetch_sub(weight, Ordering::Relaxed);
        }
        if self.stays.load(Ordering::Relaxed) {
            stream.write_all(&Record::Stay.framed())?;
        }
        Ok(())
    }
}
