//! `localack-tun run`.

use core::time::Duration;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{env, io, thread};

use clap::Args;
use localack_core::Custody;
use localack_tun::config::{
    ControllerName, Flags, LoadError, Rate, ServiceChoice, Settings, custody,
};
use localack_tun::control::{self, Observer};
use localack_tun::gateway::replica::{self, Address, FollowError, Inheritance, Standby};
use localack_tun::gateway::{
    Gateway, Handle, HandleError, Setup, Source, SourceError, TakenOver, to_be_gone_on_with,
};
use localack_tun::metrics;
use localack_tun::steer::InterfaceName;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use self::ending::{drain, finish, give_up};
use self::place::Place;
use self::watchdog::{Ending, Watchdog};
use super::log::SetLevel;
use super::{Failure, log};

mod ending;
mod place;
mod watchdog;

/// Where it is noted what is to be put back.
pub(super) const STATE_FILE: &str = "/run/localack-tun.state";
/// Said to the second process that outlives the first.
const WATCH: &str = "--watch";
/// How long packets may still be under way in the devices once no more are steered to them.
const LAST_PACKETS: Duration = Duration::from_millis(20);

/// Acknowledge TCP that passes this machine for the far end, until SIGTERM or SIGINT.
///
/// Creates two TUN devices and steers the TCP, and the ICMP, that this machine forwards between the
/// two interfaces through an engine: IPv4 and IPv6, and nothing else. Without more being said it
/// acknowledges data from the inner side, with the controller bbr, once the receiver has shown that it
/// is there; data from the outer side passes as it is.
///
/// With `--inner-port` or `--outer-port` it does that at layer 2 instead: it takes a port from its bridge,
/// such as the one of a virtual machine, and sits between the two. Nothing in the guest or in the routing
/// changes, and all frames but those of TCP pass as they are.
///
/// With `--host` the hosts that wait are this machine itself: its own TCP that goes by the outer interface
/// passes the engine, whether it forwards or not, and nothing of the routing changes.
///
/// SIGHUP reads the configuration file again; what it says of connections then holds for those under
/// way too. SIGTERM and SIGINT hand every connection back to its ends, for which they wait until what
/// was acknowledged is delivered (`drain_deadline` in the file, 30 s by default), and then undo
/// everything; the connections go on without the engine. A second one does not wait. After a crash the
/// next `run`, or `localack-tun cleanup`, undoes what is left.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The interface on the side of the hosts that wait: the local network.
    #[arg(long, value_name = "IF")]
    inner: Option<String>,

    /// The interface on the side of the long path.
    #[arg(long, value_name = "IF")]
    outer: Option<String>,

    /// Instead of the two: a port of a bridge with the hosts that wait behind it, such as the tap device of
    /// a virtual machine.
    #[arg(long, value_name = "IF", conflicts_with_all = ["inner", "outer", "outer_port"])]
    inner_port: Option<String>,

    /// Instead of the two: a port of a bridge that leads to the long path, such as a network card. All that
    /// are on the bridge are the inner side, this machine too.
    #[arg(long, value_name = "IF", conflicts_with_all = ["inner", "outer"])]
    outer_port: Option<String>,

    /// Instead of an inner interface: accelerate this machine's own connections that go by the outer
    /// interface.
    #[arg(long, conflicts_with_all = ["inner", "inner_port", "outer_port"])]
    host: bool,

    /// The configuration file (TOML); what is said here wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    serving: Serving,

    #[command(flatten)]
    steering: SteeringArgs,

    /// Let a second gateway follow this one here, which goes on with all connections when this one is gone: an
    /// address and port on a network that only the two use, for everything goes over it in the clear, or the
    /// path of a Unix socket.
    #[arg(long, value_name = "ADDRESS", help_heading = "Standby")]
    standby: Option<Address>,

    /// Do not wait for the standby's word before packets leave: it costs no time then, and what the standby does not
    /// know yet when this one dies is lost.
    #[arg(long, requires = "standby", help_heading = "Standby")]
    unconfirmed: bool,

    /// Follow the gateway that waits for a standby there, and take its place when it is gone: it does not answer
    /// for a second. Nothing is steered before. The settings of connections must be alike; whatever leads
    /// packets to this machine instead is yours to change.
    #[arg(long, value_name = "ADDRESS", help_heading = "Standby")]
    follow: Option<Address>,

    /// Wait for the death of the process that has started this one, and then for another gateway.
    #[arg(long = "watch", hide = true)]
    watch: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections that no policy is for")]
struct Serving {
    /// What is done with data from the inner side: local-ack, snoop or bypass [default: local-ack].
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceChoice>,

    /// What else is done with it: an [[arrangement]] of the file, or none.
    #[arg(long, value_name = "NAME", requires = "config")]
    arrangement: Option<String>,

    /// Who decides how much of it may be in flight: reno, cubic, bbr or provisioned [default: bbr].
    #[arg(long, value_name = "CONTROLLER")]
    controller: Option<ControllerName>,

    /// The rate that you vouch for, all connections together, for provisioned: 20mbit.
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,

    /// When the engine may acknowledge: after-proof or after-handshake [default: after-proof].
    #[arg(long, value_name = "WHEN", value_parser = custody)]
    custody: Option<Custody>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Steering")]
struct SteeringArgs {
    /// Switch forwarding on where it is off, and off again at the end.
    #[arg(long)]
    set_forwarding: bool,

    /// Steer IPv4 alone.
    #[arg(long, conflicts_with = "ipv6_only")]
    ipv4_only: bool,

    /// Steer IPv6 alone.
    #[arg(long)]
    ipv6_only: bool,

    /// The TUN device that gets what arrives on the inner interface; with a port the TAP device on that
    /// side, with `--host` the device that gets what this machine sends.
    #[arg(long, value_name = "NAME", default_value = "lak-in")]
    inner_device: InterfaceName,

    /// The same for the outer interface or side.
    #[arg(long, value_name = "NAME", default_value = "lak-out")]
    outer_device: InterfaceName,

    /// The bridge that is made to join a port and a TAP device.
    #[arg(long, value_name = "NAME", default_value = "lak-br")]
    bridge_device: InterfaceName,

    /// The device by which this machine gets packets of the engine's, with `--host`.
    #[arg(long, value_name = "NAME", default_value = "lak-back")]
    return_device: InterfaceName,

    /// Priority of the routing rules.
    #[arg(long, value_name = "N", default_value_t = 10_800)]
    rule_priority: u32,

    /// Routing table for what arrives on the inner interface.
    #[arg(long, value_name = "N", default_value_t = 10_801)]
    inner_table: u32,

    /// Routing table for what arrives on the outer interface.
    #[arg(long, value_name = "N", default_value_t = 10_802)]
    outer_table: u32,

    /// The file in which is noted what is to be put back. Each network namespace needs its own.
    #[arg(long, value_name = "FILE", default_value = STATE_FILE)]
    state: PathBuf,
}

/// What the main thread is told.
enum Notice {
    Signal(i32),
    WorkerEnded,
    HandOver(PathBuf),
}

impl Run {
    fn source(&self) -> Source {
        let mut flags = Flags::default();
        flags.inner.clone_from(&self.inner);
        flags.outer.clone_from(&self.outer);
        flags.inner_port.clone_from(&self.inner_port);
        flags.outer_port.clone_from(&self.outer_port);
        flags.host = self.host;
        flags.service = self.serving.service;
        flags.arrangement.clone_from(&self.serving.arrangement);
        flags.controller = self.serving.controller;
        flags.rate = self.serving.rate;
        flags.custody = self.serving.custody;
        Source::new(self.config.clone(), flags)
    }

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

/// What a gateway is started with besides its settings.
struct Start<'p> {
    place: &'p Place,
    source: Source,
    standby: Option<Standby>,
    inheritance: Option<Inheritance>,
}

impl Start<'_> {
    /// Starts a gateway, which goes on with the connections of an earlier one if there are any.
    fn with(
        self,
        settings: Settings,
        set_level: Arc<SetLevel>,
        notify: Option<&Sender<Notice>>,
    ) -> Result<Gateway, Failure> {
        let tell = |notice: fn(PathBuf) -> Notice| {
            let notify = notify.cloned();
            move |program| {
                // Nobody listens any more once the end was asked for.
                if let Some(notify) = &notify {
                    let _ = notify.send(notice(program));
                }
            }
        };
        let on_end = tell(|_| Notice::WorkerEnded);
        let hand_over = tell(Notice::HandOver);
        let gateway = Gateway::start(Setup {
            mtu: self.place.mtu()?,
            devices: self.place.open_devices(settings.engine.queues)?,
            layer: self.place.layer(),
            settings,
            source: self.source,
            set_level: Box::new(move |level| set_level(level)),
            hand_over: Some(Box::new(hand_over)),
            standby: self.standby,
            inheritance: self.inheritance,
            on_end: Arc::new(move || on_end(PathBuf::new())),
        })
        .map_err(Failure::runtime)?;
        let found = gateway.taken_over();
        if found != TakenOver::default() {
            warn!(
                connections = found.flows,
                handshakes = found.handshakes,
                octets_held = found.octets_held,
                connections_reset = found.ruined,
                octets_given_up = found.octets_given_up,
                "the connections of an earlier gateway go on"
            );
        }
        Ok(gateway)
    }
}

/// What operators and monitors speak to, until it is dropped.
struct Listeners {
    _control: Option<control::Server>,
    _metrics: Option<metrics::Server>,
}

impl Listeners {
    /// Listens where the settings say.
    fn start(handle: &Handle) -> Result<Self, Failure> {
        let settings = handle.settings();
        let mut listeners = Self {
            _control: None,
            _metrics: None,
        };
        if settings.control.is_none() && settings.metrics.is_none() {
            return Ok(listeners);
        }
        let observer = Observer::start(Arc::new(handle.clone())).map_err(Failure::runtime)?;
        if let Some(path) = &settings.control {
            let server = control::Server::start(path, Arc::clone(&observer));
            listeners._control = Some(server.map_err(Failure::runtime)?);
        }
        if let Some(address) = settings.metrics {
            let server = metrics::Server::start(address, observer);
            listeners._metrics = Some(server.map_err(Failure::runtime)?);
        }
        Ok(listeners)
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

fn say_ready(place: &Place, handle: &Handle) {
    let settings = handle.settings();
    let policies = handle.policies();
    let default = policies.rules().last().map(|rule| &rule.settings().actions);
    let (service, controller) = default
        .map(|actions| (actions.inner_to_outer, actions.controller))
        .unwrap_or_default();
    let word = |word: Option<String>| word.unwrap_or_default();
    let [inner, outer] = place.sides();
    let plan = place.plan();
    let tables = plan.map(|plan| format!("{} {}", plan.inner_table, plan.outer_table));
    info!(
        inner,
        outer,
        devices = place.devices().join(" "),
        rules = plan.map(|plan| plan.priority),
        tables,
        ipv4 = plan.map(|plan| plan.ipv4),
        ipv6 = plan.map(|plan| plan.ipv6),
        queues = settings.engine.queues,
        flows = settings.engine.flows,
        buffer = settings.engine.buffer,
        locked = settings.engine.lock_memory,
        policies = settings.policies.len(),
        service = word(service.map(|service| service.to_string())),
        controller = word(controller.map(|controller| controller.name().to_string())),
        control = settings
            .control
            .as_ref()
            .map(|path| tracing::field::display(path.display())),
        metrics = settings.metrics.map(tracing::field::display),
        config = handle
            .source()
            .file
            .as_ref()
            .map(|file| tracing::field::display(file.display())),
        "ready: {} TCP passes the engine",
        place.what(),
    );
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
