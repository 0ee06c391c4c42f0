//! The program `localack-tun run`, as a child process in the gateway's namespace.

use core::time::Duration;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use super::error::DemoError;
use super::home::Home;
use super::net::Namespace;
use super::stop::Stop;
use super::world::{GATEWAY_FAR, GATEWAY_NEAR};
use crate::clock::Clock;

/// How long the program may take until it is ready.
const STARTING: Duration = Duration::from_secs(30);
/// How long it may take to hand over connections that have ended.
const ENDING: Duration = Duration::from_secs(10);
/// How long it may take to end once it is told not to wait.
const ENDING_AT_ONCE: Duration = Duration::from_secs(5);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its first argument: a command that does what `run` does, and ends as if by SIGTERM when its
    /// standard input ends, which it does when we are killed.
    pub command: OsString,
    /// More arguments, as `run` takes them.
    pub arguments: Vec<OsString>,
    /// Octets that one direction of a connection may have in custody.
    pub buffer: u64,
}

impl Program {
    /// A program with the command's defaults.
    pub fn new(path: PathBuf, command: impl Into<OsString>) -> Self {
        Self {
            path,
            command: command.into(),
            arguments: Vec::new(),
            buffer: 4 << 20,
        }
    }

    /// A gateway for one connection, that nobody outside asks.
    fn config(&self) -> String {
        let Self { buffer, .. } = self;
        // A block is not always full.
        let pool = buffer.saturating_mul(2).max(16 << 20);
        format!(
            "[engine]\nflows = 64\nnetworks = 16\nbuffer = {pool}\n\
             [default]\nbuffer = {buffer}\n\
             [control]\nsocket = \"off\"\n[log]\nformat = \"json\"\n"
        )
    }
}

/// What the engine has done, from the program's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) struct Counts {
    pub(super) connections: u64,
    pub(super) local_acks: u64,
    pub(super) retransmissions: u64,
}

/// A line of its log.
#[derive(Deserialize)]
struct Line {
    message: String,
    #[serde(flatten)]
    counts: Option<Counts>,
}

/// A running gateway, killed at the end at the latest.
pub(super) struct Gateway {
    child: Child,
    // The child ends when this does.
    _life: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Gateway {
    /// Starts it and waits until packets pass it.
    pub(super) fn start(
        program: &Program,
        namespace: &Namespace,
        home: &Home,
        stop: Stop<'_>,
    ) -> Result<Self, DemoError> {
        let making = DemoError::making("the gateway's program");
        let config = home.path("gateway.toml");
        fs::write(&config, program.config()).map_err(&making)?;
        let mut command = Command::new(&program.path);
        command
            .arg(&program.command)
            .args([
                "--inner",
                GATEWAY_NEAR,
                "--outer",
                GATEWAY_FAR,
                "--ipv4-only",
            ])
            .args(["--config".as_ref(), config.as_os_str()])
            .args(["--state".as_ref(), home.path("gateway.state").as_os_str()])
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What a terminal sends is for us.
            .process_group(0);
        let spawned = namespace.within(|| command.spawn()).and_then(|child| child);
        let mut child = spawned.map_err(&making)?;
        let (life, stderr) = (child.stdin.take(), child.stderr.take());
        let (heard, lines) = channel();
        let mut gateway = Self {
            child,
            _life: life,
            lines,
            said: Vec::new(),
        };
        let listen = move || {
            let lines = stderr
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        };
        let listener = thread::Builder::new().name("gateway".to_owned());
        listener.spawn(listen).map_err(&making)?;
        gateway.wait_until_ready(stop)?;
        Ok(gateway)
    }

    fn wait_until_ready(&mut self, stop: Stop<'_>) -> Result<(), DemoError> {
        let clock = Clock::start();
        while clock.now() < STARTING {
            stop.check()?;
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => {
                    let ready = message(&line).is_some_and(|said| said.starts_with("ready"));
                    self.said.push(line);
                    if ready {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended_early()),
            }
        }
        Err(DemoError::Gateway("it does not become ready".to_owned()))
    }

    /// Whether it runs no more.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn ended_early(&mut self) -> DemoError {
        self.said.extend(self.lines.iter());
        let last = self.said.last().map(|line| {
            let text = message(line);
            text.unwrap_or_else(|| line.clone())
        });
        DemoError::Gateway(format!(
            "it has ended: {}",
            last.as_deref().unwrap_or("it said nothing")
        ))
    }

    /// Ends it as a user would, and has its counters.
    pub(super) fn end(mut self) -> Result<Counts, DemoError> {
        self.signal();
        if !self.is_gone_within(ENDING) {
            self.signal();
            if !self.is_gone_within(ENDING_AT_ONCE) {
                return Err(DemoError::Gateway("it does not end".to_owned()));
            }
        }
        self.said.extend(self.lines.iter());
        let parsed = self
            .said
            .iter()
            .rev()
            .filter_map(|line| serde_json::from_str(line).ok());
        let stopped = parsed
            .into_iter()
            .find(|line: &Line| line.message == "stopped")
            .and_then(|line| line.counts);
        stopped.ok_or_else(|| self.ended_early())
    }

    fn signal(&self) {
        if let Ok(process) = i32::try_from(self.child.id()) {
            // It has not been waited for, so the number is still its own.
            let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        }
    }

    fn is_gone_within(&mut self, patience: Duration) -> bool {
        let clock = Clock::start();
        while !self.has_ended() {
            if clock.now() > patience {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _: io::Result<()> = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(line: &str) -> Option<String> {
    serde_json::from_str::<Line>(line)
        .ok()
        .map(|line| line.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_gateway_is_given_a_file_that_it_reads() {
        let mut program = Program::new("localack-tun".into(), "run");
        for buffer in [program.buffer, 512 << 20] {
            program.buffer = buffer;
            let config = program.config();
            assert!(Settings::parse(&config).is_ok(), "{config}");
        }
    }

    #[test]
    fn counters_are_read_from_its_last_line() {
        let line = r#"{"timestamp":"now","level":"INFO","message":"stopped","connections":1,
            "left_alone":0,"local_acks":7,"data_packets":9,"retransmissions":2}"#;
        let line: Line = serde_json::from_str(line).unwrap();
        let counts = Counts {
            connections: 1,
            local_acks: 7,
            retransmissions: 2,
        };
        assert_eq!(line.counts, Some(counts));
        assert_eq!(
            message(r#"{"message":"ready: all"}"#).unwrap(),
            "ready: all"
        );
        assert_eq!(message("thread panicked"), None);
    }
}
