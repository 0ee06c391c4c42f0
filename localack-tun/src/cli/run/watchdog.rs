//! A second process that waits for the death of the gateway, for connections that are to outlive it.
//!
//! It is the same program with the same arguments, and asks nothing of the gateway: an end of a pipe is
//! closed when that dies, however it dies. Then it waits as long as the connections may, and if nobody has
//! taken them over it ends them in good order.

use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use std::{env, thread};

use localack_tun::clock::Clock;
use localack_tun::gateway;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The program that runs, even if its file was replaced.
const ITSELF: &str = "/proc/self/exe";
/// What the gateway says when it ends in good order.
const DONE: &[u8] = b"done\n";
/// What it says when another program goes on in its place.
const HANDED_OVER: &[u8] = b"handed over\n";
/// How often the state file is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Who owns the file for so long has begun, and has a watchdog of its own.
const SETTLED: Duration = Duration::from_secs(5);

/// A watchdog that waits.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// Sets one to watch this process.
    pub(super) fn start(flag: &str) -> io::Result<Self> {
        let mut command = Command::new(ITSELF);
        command.args(env::args_os().skip(1)).arg(flag);
        // A terminal's Ctrl-C is not for it.
        command.process_group(0).stdin(Stdio::piped());
        command.spawn().map(Self)
    }

    /// There is nothing left to watch.
    pub(super) fn dismiss(mut self) {
        self.say(DONE);
        let _ = self.0.wait();
    }

    /// Another program goes on, and has a watchdog of its own once it has begun.
    pub(super) fn hand_over(mut self) {
        self.say(HANDED_OVER);
    }

    fn say(&mut self, what: &[u8]) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(what);
        }
    }
}

/// How a gateway has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// In good order.
    Done,
    /// Another program goes on.
    HandedOver,
    /// By death.
    Death,
}

/// Has the process go on whatever whoever stops its gateway tells the whole group.
pub(super) fn ignore_signals() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Waits for the end of the process that has started this one.
pub(super) fn wait_for_end() -> Ending {
    let mut said = Vec::new();
    // A pipe that breaks is closed.
    let _ = io::stdin().lock().read_to_end(&mut said);
    if said.ends_with(DONE) {
        Ending::Done
    } else if said.ends_with(HANDED_OVER) {
        Ending::HandedOver
    } else {
        Ending::Death
    }
}

/// Waits as long as the connections in the state file may. Whether nobody looks after them.
///
/// A successor may die as well, before it has settled: from then on its connections have that time again.
pub(super) fn wait_for_successor(state: &Path, hold: Duration) -> bool {
    let clock = Clock::start();
    let mut owned_since = None;
    let mut orphaned = None;
    loop {
        let now = clock.now();
        if let Some(by) = gateway::orphaned_by(state) {
            owned_since = None;
            let (last, since) = orphaned.unwrap_or((by, now));
            let since = if last == by { since } else { now };
            orphaned = Some((by, since));
            if now.saturating_sub(since) >= hold {
                return true;
            }
        } else {
            orphaned = None;
            let since = *owned_since.get_or_insert(now);
            if !state.exists() || now.saturating_sub(since) >= SETTLED {
                return false;
            }
        }
        thread::sleep(LOOK);
    }
}
