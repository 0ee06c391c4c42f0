//! The program itself as a child process in a gateway's namespace.

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use localack_tun::clock::Clock;
use localack_tun::netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::Scratch;
use crate::gateway::{Gateway, PATIENCE, Site};

/// Runs the program to its end; its exit code and what it says.
pub(crate) fn program(gateway: &Gateway, arguments: &[&str]) -> (i32, String) {
    program_in(gateway.name(Site::Gateway), arguments)
}

/// The same in a namespace.
pub(crate) fn program_in(namespace: &str, arguments: &[&str]) -> (i32, String) {
    let output = netns::within(namespace, || {
        Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(arguments)
            .output()
            .unwrap()
    })
    .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// A `localack-tun run`, killed at the end at the latest.
pub(crate) struct Running {
    child: Mutex<Child>,
    log: Arc<(Mutex<Log>, Condvar)>,
    state: Scratch,
}

#[derive(Default)]
struct Log {
    text: String,
    ended: bool,
}

impl Running {
    /// Starts it between `in0` and `out0`, and waits until it is ready.
    pub(crate) fn start(gateway: &Gateway, test: &str, config: &Scratch, arguments: &str) -> Self {
        Self::start_between(gateway, ["in0", "out0"], test, config, arguments)
    }

    /// The same between other interfaces, the inner one first.
    pub(crate) fn start_between(
        gateway: &Gateway,
        [inner, outer]: [&str; 2],
        test: &str,
        config: &Scratch,
        arguments: &str,
    ) -> Self {
        let arguments = format!("--inner {inner} --outer {outer} {arguments}");
        Self::start_in(gateway.name(Site::Gateway), test, config, &arguments)
    }

    /// The same in a namespace, with arguments that say where it is to sit.
    pub(crate) fn start_in(namespace: &str, test: &str, config: &Scratch, arguments: &str) -> Self {
        let running = Self::spawn_in(namespace, test, config, arguments);
        running.wait_for(" TCP passes the engine", 1);
        running
    }

    /// The same without waiting for anything.
    pub(crate) fn spawn_in(namespace: &str, test: &str, config: &Scratch, arguments: &str) -> Self {
        let state = Scratch::new(&format!("{test}.state"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_localack-tun"));
        command
            .arg("run")
            .args(["--state".as_ref(), state.0.as_os_str()])
            .args(["--config".as_ref(), config.0.as_os_str()])
            .args(arguments.split_whitespace())
            .stderr(Stdio::piped());
        // The child begins in the namespace of the thread that starts it.
        let mut child = netns::within(namespace, || command.spawn().unwrap()).unwrap();
        let log = Arc::<(Mutex<Log>, Condvar)>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            let (log, changed) = &*written;
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.text.push_str(&line);
                log.text.push('\n');
                changed.notify_all();
            }
            log.lock().unwrap().ended = true;
            changed.notify_all();
        });
        Self {
            child: Mutex::new(child),
            log,
            state,
        }
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state.0
    }

    pub(crate) fn state_name(&self) -> &str {
        self.state.0.to_str().unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().text.clone()
    }

    /// Waits until it has logged `text` so often; what it has logged by then.
    pub(crate) fn wait_for(&self, text: &str, times: usize) -> String {
        let clock = Clock::start();
        let (log, changed) = &*self.log;
        let mut log = log.lock().unwrap();
        while log.text.matches(text).count() < times {
            assert!(
                !log.ended && clock.now() < PATIENCE,
                "no {text:?}:\n{}",
                log.text
            );
            (log, _) = changed
                .wait_timeout(log, Duration::from_millis(50))
                .unwrap();
        }
        log.text.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until the process has ended; how. Another may still write to its log.
    pub(crate) fn died(&self) -> ExitStatus {
        let clock = Clock::start();
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(clock.now() < PATIENCE, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended; how, and what it has logged.
    pub(crate) fn gone(&self) -> (ExitStatus, String) {
        let status = self.died();
        let (log, changed) = &*self.log;
        let mut log = log.lock().unwrap();
        while !log.ended {
            (log, _) = changed
                .wait_timeout(log, Duration::from_millis(50))
                .unwrap();
        }
        (status, log.text.clone())
    }

    /// Waits until it has ended with this code; what it has logged.
    pub(crate) fn ended(&self, code: i32) -> String {
        let (status, log) = self.gone();
        assert_eq!(status.code(), Some(code), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}
