//! `localack-tun run`.

use core::time::Duration;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{env, io, thread};

use localack_tun::config::{LoadError, Settings};
use localack_tun::gateway::replica::{self, Address, FollowError, Inheritance, Standby};
use localack_tun::gateway::{Handle, HandleError, SourceError, TakenOver, to_be_gone_on_with};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

pub(super) use self::args::Run;
use self::ending::{drain, finish, give_up};
use self::place::Place;
use self::starting::{Listeners, Start, say_ready};
use self::watchdog::{Ending, Watchdog};
use super::log::SetLevel;
use super::{Failure, log};

mod args;
mod ending;
mod place;
mod starting;
mod watchdog;

/// Where it is noted what is to be put back.
pub(super) const STATE_FILE: &str = "/run/localack-tun.state";
/// Said to the second process that outlives the first.
const WATCH: &str = "--watch";
/// How long packets may still be under way in the devices once no more are steered to them.
const LAST_PACKETS: Duration = Duration::from_millis(20);

/// What the main thread is told.
enum Notice {
    Signal(i32),
    WorkerEnded,
    HandOver(PathBuf),
}

impl Run {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let settings = self.source().read().map_err(Failure::usage)?;
        let place = Place::of(&settings, &self.steering)?;
        let set_level = Arc::new(log::start(settings.log_format, settings.log_level));
        if self.watch {
            watchdog::ignore_signals().map_err(Failure::runtime)?;
            return match settings.engine.state.clone() {
                Some(state) => self.watch(&place, settings, &state),
                None => Ok(()),
            };
        }
        let (notify, notices) = channel();
        watch_signals(&notify).map_err(|error| Failure::runtime(format!("signals: {error}")))?;
        if settings.engine.state.is_none() {
            let left = place.cleanup(&self.steering.state)?;
            if !left.is_empty() {
                warn!("an earlier run was killed; what it left is undone: {left}");
            }
        }
        // Who has taken another's place already goes on with the connections it has, whatever it was started as.
        let has_its_own = settings
            .engine
            .state
            .as_deref()
            .and_then(to_be_gone_on_with)
            .is_some();
        let mut inheritance = match &self.follow {
            Some(address) if !has_its_own => match follow_until_gone(address, &settings, &notices)?
            {
                Some(inheritance) => Some(inheritance),
                None => return Ok(()),
            },
            _ => None,
        };
        loop {
            let set_level = Arc::clone(&set_level);
            let inheritance = inheritance.take();
            let Next::Become(program) = self.serve(
                &place,
                settings.clone(),
                inheritance,
                set_level,
                &notify,
                &notices,
            )?
            else {
                return Ok(());
            };
            info!(program = %program.display(), "making way: another program goes on");
            let error = become_program(&program);
            // Whoever is still here goes on.
            error!(
                "{} does not run, and this program goes on: {error}",
                program.display()
            );
        }
    }

    /// Carries packets until there is a reason to end.
    fn serve(
        &self,
        place: &Place,
        settings: Settings,
        inheritance: Option<Inheritance>,
        set_level: Arc<SetLevel>,
        notify: &Sender<Notice>,
        notices: &Receiver<Notice>,
    ) -> Result<Next, Failure> {
        let keeps = settings.engine.state.is_some();
        let start = Start {
            place,
            source: self.source(),
            standby: self.standby.clone().map(|address| Standby {
                address,
                confirms: !self.unconfirmed,
            }),
            inheritance,
        };
        let gateway = start.with(settings, set_level, Some(notify))?;
        let handle = gateway.handle();
        let listeners = Listeners::start(&handle)?;
        // Before anything is steered that only it would undo, and before connections may need it.
        let watchdog = keeps.then(|| Watchdog::start(WATCH)).transpose();
        let watchdog = watchdog.map_err(|error| Failure::runtime(format!("watchdog: {error}")))?;
        let taken = match place.take(&self.steering.state) {
            Ok(taken) => taken,
            Err(failure) => {
                if let Some(watchdog) = watchdog
                    && gateway.taken_over() == TakenOver::default()
                {
                    watchdog.dismiss();
                }
                return Err(failure);
            }
        };
        handle.set_running();
        for [name, before, now] in taken.settings() {
            info!(
                name,
                before, now, "a setting of the kernel is changed until the end"
            );
        }
        say_ready(place, &handle);
        let outcome = serve(&handle, notices);
        if let Ok(Next::Become(program)) = outcome {
            // Let the answer go out.
            thread::sleep(LAST_PACKETS);
            drop(listeners);
            if let Some(watchdog) = watchdog {
                watchdog.hand_over();
            }
            taken.leave();
            gateway.leave().map_err(Failure::runtime)?;
            return Ok(Next::Become(program));
        }
        let outcome = finish(place, gateway, taken, outcome.map(drop));
        if let Some(watchdog) = watchdog {
            watchdog.dismiss();
        }
        outcome.map(|()| Next::End)
    }

    /// Waits for the gateway to die, and ends its connections if nobody goes on with them.
    fn watch(&self, place: &Place, settings: Settings, state: &Path) -> Result<(), Failure> {
        let hold = settings.engine.hold;
        match watchdog::wait_for_end() {
            Ending::Done => return Ok(()),
            Ending::HandedOver => {}
            Ending::Death => {
                warn!(
                    hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
                    "the gateway has died: its connections wait for another one"
                );
                match place.hold(state) {
                    Ok(connections) => info!(
                        connections,
                        "others pass without an engine; these wait, for octets of theirs may be in custody"
                    ),
                    Err(failure) => warn!("all connections wait: {}", failure.message),
                }
            }
        }
        if !watchdog::wait_for_successor(state, hold) {
            return Ok(());
        }
        error!("no other gateway has come: the connections end");
        let set_level: Arc<SetLevel> = Arc::new(Box::new(|_| {}));
        let start = Start {
            place,
            source: self.source(),
            standby: None,
            inheritance: None,
        };
        let gateway = start.with(settings, set_level, None)?;
        let handle = gateway.handle();
        let taken = place.take(&self.steering.state)?;
        let outcome = give_up(&handle);
        finish(place, gateway, taken, outcome)
    }
}

/// Has another program take the place of this one, with the same arguments; returns only if it does not run.
fn become_program(program: &Path) -> io::Error {
    let text = |text: OsString| CString::new(text.into_vec());
    let arguments: Result<Vec<_>, _> = env::args_os().map(text).collect();
    match (text(program.into()), arguments) {
        // Unlike `execvp` this makes no shell script of what is no program.
        (Ok(program), Ok(arguments)) => match nix::unistd::execv(&program, &arguments) {
            Ok(never) => match never {},
            Err(error) => error.into(),
        },
        (Err(error), _) | (_, Err(error)) => error.into(),
    }
}

/// What is done when a gateway carries no more packets.
enum Next {
    End,
    /// Goes on as another program.
    Become(PathBuf),
}

/// Follows another gateway until it is gone; nothing if this one was told to stop before.
fn follow_until_gone(
    address: &Address,
    settings: &Settings,
    notices: &Receiver<Notice>,
) -> Result<Option<Inheritance>, Failure> {
    info!(%address, "standing by");
    let is_over = || matches!(notices.try_recv(), Ok(Notice::Signal(SIGINT | SIGTERM)));
    match replica::follow(address, settings, is_over) {
        Ok(inheritance) => Ok(Some(inheritance)),
        Err(FollowError::Stopped) => Ok(None),
        Err(error) => Err(Failure::runtime(error)),
    }
}

/// Sends each signal that is for us as a notice.
fn watch_signals(notify: &Sender<Notice>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let notify = notify.clone();
    let forward = move || {
        for signal in signals.forever() {
            if notify.send(Notice::Signal(signal)).is_err() {
                break;
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(forward).map(drop)
}

/// Serves until there is a reason to end.
fn serve(handle: &Handle, notices: &Receiver<Notice>) -> Result<Next, Failure> {
    loop {
        match notices.recv() {
            Ok(Notice::Signal(SIGHUP)) => reload(handle),
            Ok(Notice::Signal(_)) => return drain(handle, notices).map(|()| Next::End),
            Ok(Notice::HandOver(program)) => return Ok(Next::Become(program)),
            Ok(Notice::WorkerEnded) | Err(_) => return Ok(Next::End),
        }
    }
}

/// Reads the settings again, and says what has come of it.
fn reload(handle: &Handle) {
    if handle.source().file.is_none() {
        warn!("SIGHUP, but no --config: there is nothing to read again");
        return;
    }
    match handle.reload() {
        Ok(applied) => {
            for name in &applied.ignored {
                warn!("{name} differs, which only a restart can change");
            }
            if applied.flows.partial > 0 {
                info!(
                    flows = applied.flows.partial,
                    "these keep some of how they were served: custody, pacing and buffers are settled \
                     when a connection begins"
                );
            }
            info!(
                policies = applied.policies,
                flows_changed = applied.flows.changed,
                "the configuration was read again and holds"
            );
        }
        Err(HandleError::Settings(SourceError::File(LoadError::Content { path, problems }))) => {
            for problem in &problems.0 {
                error!(
                    file = %path.display(),
                    line = problem.line,
                    column = problem.column,
                    "{}",
                    problem.message
                );
            }
            error!("the configuration stays as it was");
        }
        Err(HandleError::Settings(error)) => {
            error!("the configuration stays as it was: {error}");
        }
        Err(error) => error!("not every queue has taken the configuration over: {error}"),
    }
}
