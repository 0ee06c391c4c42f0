//! The gateway's end of the control socket.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::answers::answer;
use super::lines::{Line, Lines};
use super::observer::Observer;
use super::protocol::{
    ErrorCode, ErrorEntry, LONGEST_ANSWER, LONGEST_REQUEST, Outcome, Question, QuestionHead, Reply,
    VERSION,
};
use super::socket::{Listener, SocketError};

/// Clients at a time.
pub const MOST_CLIENTS: usize = 16;
/// How long a client may take to read an answer before it is left.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may say nothing before it is left.
const READ_PATIENCE: Duration = Duration::from_secs(300);
/// How long nobody is accepted after the system refused, for want of descriptors for example.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers clients on a socket as long as it lives, each in a thread of its own, so that only a slow
/// one waits for itself. The socket is removed with it.
#[derive(Debug)]
pub struct Server {
    /// Wakes the thread that accepts; it ends when this is closed.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `path`, for its owner only.
    ///
    /// # Errors
    /// [`SocketError`], for example if another gateway answers there.
    pub fn start(path: &Path, observer: Arc<Observer>) -> Result<Self, SocketError> {
        let failed = |error| SocketError::System {
            path: path.to_owned(),
            error,
        };
        let listener = Listener::new(path)?;
        listener.socket.set_nonblocking(true).map_err(failed)?;
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        let clients = Arc::new(Clients {
            observer,
            streams: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || clients.accept(&listener, &woken))
            .map_err(failed)?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say if it has panicked: the panic was printed.
            let _ = thread.join();
        }
    }
}

/// The clients that are there.
struct Clients {
    observer: Arc<Observer>,
    /// By a number of their own, to be shut down at the end.
    streams: Mutex<HashMap<u64, UnixStream>>,
    ending: AtomicBool,
}

impl Clients {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts clients until the other end of `woken` is closed, and sees them off.
    fn accept(self: Arc<Self>, listener: &Listener, woken: &UnixStream) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        let mut number = 0_u64;
        while wait(listener, woken) {
            match listener.socket.accept() {
                Ok((stream, _)) => {
                    number = number.wrapping_add(1);
                    threads.retain(|thread| !thread.is_finished());
                    // A client that cannot be served is closed, and sees it.
                    threads.extend(self.begin(number, stream).ok().flatten());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
        self.ending.store(true, Ordering::Relaxed);
        for stream in self.streams().values() {
            // It may have closed by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Begins to serve a client, in a thread of its own.
    fn begin(
        self: &Arc<Self>,
        number: u64,
        stream: UnixStream,
    ) -> io::Result<Option<JoinHandle<()>>> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        stream.set_read_timeout(Some(READ_PATIENCE))?;
        let there = {
            let mut streams = self.streams();
            if streams.len() < MOST_CLIENTS {
                streams.insert(number, stream.try_clone()?);
            }
            streams.contains_key(&number)
        };
        if !there {
            // A few octets find room in the buffer of a new socket: this does not wait.
            let message = format!("there are {MOST_CLIENTS} clients already");
            send(
                &stream,
                None,
                Err(ErrorEntry::new(ErrorCode::TooManyClients, message)),
            )?;
            return Ok(None);
        }
        let clients = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("control client".to_owned())
            .spawn(move || {
                let _leaving = Leaving(&clients, number);
                // A client that has gone or is too slow is left.
                let _ = clients.serve(&stream);
            });
        if thread.is_err() {
            self.streams().remove(&number);
        }
        thread.map(Some)
    }

    /// Answers one client until it closes.
    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        let mut lines = Lines::new(stream, LONGEST_REQUEST);
        while !self.ending.load(Ordering::Relaxed) {
            match lines.next()? {
                Line::Whole(line) => {
                    let (id, outcome) = match read(&line) {
                        Ok(Question { id, request, .. }) => (id, answer(&self.observer, &request)),
                        Err((id, error)) => (id, Err(error)),
                    };
                    send(stream, id, outcome)?;
                }
                Line::TooLong => {
                    let message = format!("a request has at most {LONGEST_REQUEST} octets");
                    send(
                        stream,
                        None,
                        Err(ErrorEntry::new(ErrorCode::TooLong, message)),
                    )?;
                    return Ok(());
                }
                Line::End => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Strikes a client off the list, whatever becomes of its thread.
struct Leaving<'a>(&'a Clients, u64);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.streams().remove(&self.1);
    }
}

/// Waits for a client; `false` if this is the end.
fn wait(listener: &Listener, woken: &UnixStream) -> bool {
    let mut fds = [
        PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(woken.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(_) => thread::sleep(PAUSE),
    }
    let [_, woken] = fds;
    !woken.any().unwrap_or(false)
}

/// Reads a question; an error comes with the number of the question if there was one.
fn read(line: &[u8]) -> Result<Question, (Option<u64>, ErrorEntry)> {
    let bad = |error: serde_json::Error| ErrorEntry::new(ErrorCode::BadRequest, error.to_string());
    let head: QuestionHead = serde_json::from_slice(line).map_err(|error| (None, bad(error)))?;
    let wrong = |error| (head.id, error);
    match head.v {
        Some(VERSION) => serde_json::from_slice(line).map_err(|error| wrong(bad(error))),
        Some(other) => {
            let message = format!("version {other} is not spoken here, only {VERSION}");
            Err(wrong(ErrorEntry::new(ErrorCode::Version, message)))
        }
        None => {
            let message = format!("there is no version, such as \"v\":{VERSION}");
            Err(wrong(ErrorEntry::new(ErrorCode::BadRequest, message)))
        }
    }
}

fn send(
    mut stream: &UnixStream,
    id: Option<u64>,
    outcome: Result<super::protocol::Answer, ErrorEntry>,
) -> io::Result<()> {
    let reply = Reply {
        v: VERSION,
        id,
        outcome: match outcome {
            Ok(answer) => Outcome::Answer(Box::new(answer)),
            Err(error) => Outcome::Error(error),
        },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    if line.len() <= LONGEST_ANSWER {
        return stream.write_all(&line);
    }
    let message = format!("the answer is longer than {LONGEST_ANSWER} octets; ask for less");
    let error = ErrorEntry::new(ErrorCode::Refused, message);
    send(stream, id, Err(error))
}
