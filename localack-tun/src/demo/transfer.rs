//! One file over one connection.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread::{self, ScopedJoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SetSockOpt, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, socket,
    sockopt,
};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use sha2::{Digest, Sha256};

use super::net::Namespace;
use super::world::{FAR, NEAR, World};
use crate::clock::Clock;

const PORT: u16 = 5001;
/// What asks for the file where the receiver opens the connection.
const REQUEST: &[u8] = b"file\n";
/// Octets that are written or read at a time.
const CHUNK: usize = 64 << 10;
/// How long a host waits before it looks whether it should go on, in milliseconds.
const GLANCE: u8 = 50;
/// How often the transfer is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Arrivals nearer to each other are noted as one.
const SPACING: Duration = Duration::from_millis(5);

/// What is moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) octets: u64,
    /// Whether the receiver opens the connection and asks, rather than the sender.
    pub(super) download: bool,
    /// The congestion control of the sender's kernel, by its name there.
    pub(super) congestion_control: &'a str,
}

/// How that went.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// From the opening of the connection to the arrival of the last octet.
    pub(super) took: Duration,
    pub(super) octets: u64,
    pub(super) sent: String,
    pub(super) received: String,
    /// The longest time between two arrivals.
    pub(super) longest_wait: Duration,
    /// Octets that had arrived, by the time since the opening.
    pub(super) progress: Vec<(Duration, u64)>,
}

/// Why it did not.
#[derive(Debug)]
pub(super) enum Trouble {
    Host(&'static str, io::Error),
    /// The caller wanted no more, when so many octets had arrived.
    Broken(u64),
}

/// What both hosts and whoever waits for them look at.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    arrived: AtomicU64,
}

impl Shared {
    /// Has the other host stop as well if this one has failed.
    fn over_on_error<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Moves a file from the near host to the far one, for as long as `goes_on` says of the time and of the
/// octets that have arrived.
pub(super) fn transfer(
    world: &World,
    task: Task<'_>,
    mut goes_on: impl FnMut(Duration, u64) -> bool,
) -> Result<Arrival, Trouble> {
    let shared = Shared::default();
    let (opener, answerer, address) = if task.download {
        (&world.far, &world.near, NEAR)
    } else {
        (&world.near, &world.far, FAR)
    };
    let listener = answerer
        .within(|| TcpListener::bind((address, PORT)))
        .and_then(|listener| listener)
        .map_err(|error| Trouble::Host("listener", error))?;
    let connection = |opens: bool| {
        if opens {
            open(opener, address, &shared)
        } else {
            accept(&listener, &shared)
        }
    };
    let clock = Clock::start();
    let send = || connection(!task.download).and_then(|stream| send(&stream, task, &shared));
    let receive =
        || connection(task.download).and_then(|stream| receive(&stream, task, &clock, &shared));
    let (mut broken, sent, received) = thread::scope(|scope| {
        let sender = scope.spawn(|| shared.over_on_error(send()));
        let receiver = scope.spawn(|| shared.over_on_error(receive()));
        let mut broken = false;
        while !(sender.is_finished() && receiver.is_finished()) {
            thread::sleep(LOOK);
            if !broken && !goes_on(clock.now(), shared.arrived.load(Ordering::Relaxed)) {
                broken = true;
                shared.over.store(true, Ordering::Relaxed);
            }
        }
        (broken, joined(sender), joined(receiver))
    });
    broken &= received.is_err();
    match (sent, received) {
        _ if broken => Err(Trouble::Broken(shared.arrived.load(Ordering::Relaxed))),
        (Ok(sent), Ok(arrival)) => Ok(Arrival { sent, ..arrival }),
        // Whoever was interrupted was so because the other one had failed.
        (Ok(_), Err(error)) => Err(Trouble::Host("receiver", error)),
        (Err(interrupted), Err(error)) if interrupted.kind() == io::ErrorKind::Interrupted => {
            Err(Trouble::Host("receiver", error))
        }
        (Err(error), _) => Err(Trouble::Host("sender", error)),
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    let ended = thread.join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sends the file, once it is asked for; its digest.
fn send(stream: &TcpStream, task: Task<'_>, shared: &Shared) -> io::Result<String> {
    // On the socket, as namespaces may only have a default that the whole machine may use.
    sockopt::TcpCongestion
        .set(stream, &OsString::from(task.congestion_control))
        .map_err(|error| {
            let name = task.congestion_control;
            io::Error::new(io::Error::from(error).kind(), format!("no {name}: {error}"))
        })?;
    if task.download {
        let mut request = [0; REQUEST.len()];
        let mut asked = 0;
        while asked < request.len() {
            let rest = request.get_mut(asked..).unwrap_or_default();
            asked += match read(stream, rest, shared)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                octets => octets,
            };
        }
    }
    let mut content = Content::new(task.octets);
    let mut digest = Sha256::new();
    while let Some(part) = content.next() {
        digest.update(part);
        write(stream, part, shared)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // The receiver closes once it has everything; until then the connection stays.
    read(stream, &mut [0], shared)?;
    Ok(hex(&digest.finalize()))
}

/// Receives the file, after asking for it.
fn receive(
    stream: &TcpStream,
    task: Task<'_>,
    clock: &Clock,
    shared: &Shared,
) -> io::Result<Arrival> {
    if task.download {
        write(stream, REQUEST, shared)?;
    }
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut log = Log::default();
    loop {
        match read(stream, &mut chunk, shared)? {
            0 => break,
            octets => {
                log.arrived(clock.now(), octets as u64);
                shared.arrived.store(log.octets, Ordering::Relaxed);
                digest.update(chunk.get(..octets).unwrap_or_default());
            }
        }
    }
    Ok(Arrival {
        took: log.latest,
        octets: log.octets,
        sent: String::new(),
        received: hex(&digest.finalize()),
        longest_wait: log.longest_wait,
        progress: log.progress(),
    })
}

/// Octets that look random, the same for each file of that length.
struct Content {
    random: Pcg64Mcg,
    left: u64,
    chunk: Vec<u8>,
}

impl Content {
    fn new(octets: u64) -> Self {
        Self {
            random: Pcg64Mcg::new(octets.into()),
            left: octets,
            chunk: vec![0; CHUNK],
        }
    }

    fn next(&mut self) -> Option<&[u8]> {
        let octets = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        let part = self
            .chunk
            .get_mut(..octets)
            .filter(|part| !part.is_empty())?;
        self.left = self.left.saturating_sub(octets as u64);
        self.random.fill_bytes(part);
        Some(part)
    }
}

/// When octets arrived.
#[derive(Default)]
struct Log {
    octets: u64,
    latest: Duration,
    longest_wait: Duration,
    noted: Vec<(Duration, u64)>,
}

impl Log {
    fn arrived(&mut self, now: Duration, octets: u64) {
        if self.octets > 0 {
            let wait = now.saturating_sub(self.latest);
            self.longest_wait = self.longest_wait.max(wait);
        }
        self.octets = self.octets.saturating_add(octets);
        self.latest = now;
        match self.noted.last_mut() {
            Some((at, noted)) if now.saturating_sub(*at) < SPACING => *noted = self.octets,
            _ => self.noted.push((now, self.octets)),
        }
    }

    fn progress(mut self) -> Vec<(Duration, u64)> {
        // What came less than the spacing after the last note is noted with its time.
        if let Some((at, _)) = self.noted.last_mut() {
            *at = self.latest;
        }
        self.noted
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Opens a connection from `namespace`.
fn open(namespace: &Namespace, to: Ipv4Addr, shared: &Shared) -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let made = namespace.within(|| {
        socket(
            AddressFamily::Inet,
            SockType::Stream,
            flags,
            SockProtocol::Tcp,
        )
    })?;
    let stream = TcpStream::from(made?);
    let address = SockaddrStorage::from(SocketAddr::from((to, PORT)));
    match connect(stream.as_raw_fd(), &address) {
        Ok(()) => return Ok(stream),
        Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    while !wait(&stream, PollFlags::POLLOUT)? {
        if shared.over.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

fn accept(listener: &TcpListener, shared: &Shared) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let (stream, _) = patiently(listener, PollFlags::POLLIN, shared, || listener.accept())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn read(mut stream: &TcpStream, buffer: &mut [u8], shared: &Shared) -> io::Result<usize> {
    patiently(stream, PollFlags::POLLIN, shared, || stream.read(buffer))
}

fn write(mut stream: &TcpStream, mut octets: &[u8], shared: &Shared) -> io::Result<()> {
    while !octets.is_empty() {
        let written = patiently(stream, PollFlags::POLLOUT, shared, || stream.write(octets))?;
        octets = octets.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Does what does not block once it can be done, unless everything is over before.
fn patiently<T>(
    socket: &impl AsFd,
    flags: PollFlags,
    shared: &Shared,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
        wait(socket, flags)?;
        if shared.over.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

/// Waits a moment; whether it can be done.
fn wait(socket: &impl AsFd, flags: PollFlags) -> io::Result<bool> {
    match poll(
        &mut [PollFd::new(socket.as_fd(), flags)],
        PollTimeout::from(GLANCE),
    ) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_count_from_the_first_arrival_and_near_arrivals_are_one() {
        let milliseconds = Duration::from_millis;
        let mut log = Log::default();
        for (at, octets) in [(900, 10), (902, 10), (1500, 1), (1510, 1), (1511, 5)] {
            log.arrived(milliseconds(at), octets);
        }
        assert_eq!(log.longest_wait, milliseconds(598));
        assert_eq!(log.latest, milliseconds(1511));
        let expected = [(900, 20), (1500, 21), (1511, 27)];
        let expected = expected.map(|(at, octets)| (milliseconds(at), octets));
        assert_eq!(log.progress(), expected);
    }

    #[test]
    fn the_file_is_as_long_as_it_should_be_and_always_the_same() {
        let file = |octets: u64| {
            let mut content = Content::new(octets);
            let mut whole = Vec::new();
            while let Some(part) = content.next() {
                whole.extend_from_slice(part);
            }
            whole
        };
        let long = file(150_001);
        assert_eq!(long.len(), 150_001);
        assert_eq!(long, file(150_001));
        assert_ne!(long.get(..1000), long.get(65_536..66_536));
    }
}
