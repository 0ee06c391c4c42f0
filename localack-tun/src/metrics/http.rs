//! A server for one page.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::scrape::Scrape;
use crate::clock::Clock;
use crate::control::Observer;

/// Threads, each with one connection at a time. Others wait in the kernel's queue.
const THREADS: usize = 2;
/// How long a request may take to come in, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets of a request's head at most.
const LONGEST_HEAD: usize = 8192;
/// Headers of a request at most.
const MOST_HEADERS: usize = 64;
/// How long nobody is accepted after the system refused, for want of descriptors for example.
const PAUSE: Duration = Duration::from_millis(100);

/// What the text is.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Why no metrics can be served.
#[derive(Debug, thiserror::Error)]
#[error("metrics on {address}: {error}")]
pub struct MetricsError {
    address: SocketAddr,
    error: io::Error,
}

/// Serves metrics as long as it lives.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Wakes the threads; they end when this is closed.
    wake: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves what `observer` knows at `address`.
    ///
    /// # Errors
    /// [`MetricsError`], for example if the address is in use.
    pub fn start(address: SocketAddr, observer: Arc<Observer>) -> Result<Self, MetricsError> {
        Self::start_with(address, &observer).map_err(|error| MetricsError { address, error })
    }

    fn start_with(address: SocketAddr, observer: &Arc<Observer>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        let mut server = Self {
            address: listener.local_addr()?,
            wake: Some(wake),
            threads: Vec::new(),
        };
        for _ in 0..THREADS {
            let (listener, woken) = (listener.try_clone()?, woken.try_clone()?);
            let observer = Arc::clone(observer);
            let thread = thread::Builder::new()
                .name("metrics".to_owned())
                .spawn(move || accept(&listener, &woken, &observer))?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.wake = None;
        for thread in self.threads.drain(..) {
            // It has nothing to say if it has panicked: the panic was printed.
            let _ = thread.join();
        }
    }
}

/// Serves one connection after the other until the other end of `woken` is closed.
fn accept(listener: &TcpListener, woken: &UnixStream, observer: &Observer) {
    loop {
        let mut fds = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => thread::sleep(PAUSE),
        }
        let [_, woken] = fds;
        if woken.any().unwrap_or(false) {
            return;
        }
        match listener.accept() {
            // A customer who goes away loses only its own answer.
            Ok((stream, _)) => drop(serve(&stream, observer)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Answers the one request of a connection.
fn serve(mut stream: &TcpStream, observer: &Observer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = match read_head(stream) {
        Ok(head) => respond(&head, || {
            let scrape = Scrape::take(observer).map_err(|error| error.to_string())?;
            scrape.into_text().map_err(|error| error.to_string())
        }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Answer::plain("431 Request Header Fields Too Large", "too long\n")
        }
        Err(error) => return Err(error),
    };
    stream.write_all(&answer.octets())?;
    stream.shutdown(Shutdown::Write)
}

/// Reads up to the empty line, within [`PATIENCE`] however slowly it comes.
fn read_head(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let clock = Clock::start();
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let left = PATIENCE.saturating_sub(clock.now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let octets = stream.read(&mut piece)?;
        if octets == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(piece.get(..octets).unwrap_or_default());
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(head);
        }
        if head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// What is sent back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
    /// Whether only the length of the body is wanted.
    is_head: bool,
}

impl Answer {
    fn plain(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: PLAIN,
            body: body.into(),
            is_head: false,
        }
    }

    fn octets(&self) -> Vec<u8> {
        let Self {
            status,
            kind,
            body,
            is_head,
        } = self;
        let allow = if status.starts_with("405") {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let mut octets = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}\
             Connection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if !is_head {
            octets.extend_from_slice(body.as_bytes());
        }
        octets
    }
}

/// Answers a request with this head; `scrape` is asked only if metrics are wanted.
fn respond(head: &[u8], scrape: impl FnOnce() -> Result<String, String>) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return Answer::plain("400 Bad Request", "this is no request\n");
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let is_head = request.method == Some("HEAD");
    let answer = match (request.method, path) {
        (Some("GET" | "HEAD"), "/metrics") => match scrape() {
            Ok(body) => Answer {
                status: "200 OK",
                kind: OPENMETRICS,
                body,
                is_head,
            },
            Err(error) => Answer::plain("503 Service Unavailable", error + "\n"),
        },
        (Some("GET" | "HEAD"), "/") => Answer::plain("200 OK", "See /metrics.\n"),
        (Some("GET" | "HEAD"), _) => Answer::plain("404 Not Found", "See /metrics.\n"),
        _ => Answer::plain("405 Method Not Allowed", "only GET and HEAD\n"),
    };
    Answer { is_head, ..answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> &'static str {
        respond(head.as_bytes(), || Err("busy".to_owned())).status
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(status("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK");
        assert_eq!(status("GET /favicon.ico HTTP/1.0\r\n\r\n"), "404 Not Found");
        assert_eq!(
            status("POST /metrics HTTP/1.1\r\n\r\n"),
            "405 Method Not Allowed"
        );
        assert_eq!(status("nonsense\r\n\r\n"), "400 Bad Request");
        assert_eq!(
            status("GET /metrics HTTP/1.1\r\n\r\n"),
            "503 Service Unavailable"
        );
        let many = "A: b\r\n".repeat(MOST_HEADERS + 1);
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\n{many}\r\n")),
            "400 Bad Request"
        );
    }

    #[test]
    fn a_head_is_answered_without_the_body() {
        let head = b"HEAD /metrics?x=y HTTP/1.1\r\n\r\n";
        let answer = respond(head, || Ok("12345".to_owned()));
        let octets = String::from_utf8(answer.octets()).unwrap();
        assert!(octets.contains("Content-Length: 5\r\n"), "{octets}");
        assert!(octets.ends_with("\r\n\r\n"), "{octets}");
    }
}
