//! `localack-tun run`.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::{io, thread};

use clap::Args;
use localack_core::{Custody, TransmitKind};
use localack_tun::clock::Clock;
use localack_tun::config::{
    ControllerName, Flags, LoadError, LogLevel, Rate, ServiceChoice, Settings, custody,
};
use localack_tun::control::{self, Observer};
use localack_tun::gateway::{
    Counts, Gateway, Handle, HandleError, Remaining, Setup, Source, SourceError, TakenOver,
};
use localack_tun::metrics;
use localack_tun::steer::InterfaceName;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use self::place::{Place, Taken};
use self::watchdog::Watchdog;
use super::{Failure, log};

mod place;
mod watchdog;

/// Where it is noted what is to be put back.
pub(super) const STATE_FILE: &str = "/run/localack-tun.state";
/// Said to the second process that outlives the first.
const WATCH: &str = "--watch";
/// How often a draining gateway is looked at.
const LOOK: Duration = Duration::from_millis(20);
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

    /// Wait for the death of the process that has started this one, and then for another gateway.
    #[arg(long = "watch", hide = true)]
    watch: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections that no policy is for")]
struct Serving {
    /// What is done with data from the inner side: local-ack or bypass [default: local-ack].
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceChoice>,

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
        flags.controller = self.serving.controller;
        flags.rate = self.serving.rate;
        flags.custody = self.serving.custody;
        Source::new(self.config.clone(), flags)
    }

    pub(super) fn run(&self) -> Result<(), Failure> {
        let source = self.source();
        let settings = source.read().map_err(Failure::usage)?;
        let place = Place::of(&settings, &self.steering)?;
        let set_level = log::start(settings.log_format, settings.log_level);
        let state = settings.engine.state.clone();
        if self.watch {
            watchdog::ignore_signals().map_err(Failure::runtime)?;
            return match state {
                Some(state) => self.watch(&place, settings, source, &state),
                None => Ok(()),
            };
        }
        let (notify, notices) = channel();
        watch_signals(&notify).map_err(|error| Failure::runtime(format!("signals: {error}")))?;

        if state.is_none() {
            let left = place.cleanup(&self.steering.state)?;
            if !left.is_empty() {
                warn!("an earlier run was killed; what it left is undone: {left}");
            }
        }
        let gateway = start(&place, settings, source, set_level, move || {
            // Nobody listens any more once the end was asked for.
            let _ = notify.send(Notice::WorkerEnded);
        })?;
        let handle = gateway.handle();
        let _listeners = Listeners::start(&handle)?;
        let taken = place.take(&self.steering.state)?;
        let watchdog = state.map(|_| Watchdog::start(WATCH)).transpose();
        let watchdog = watchdog.map_err(|error| Failure::runtime(format!("watchdog: {error}")))?;
        handle.set_running();
        for [name, before, now] in taken.settings() {
            info!(
                name,
                before, now, "a setting of the kernel is changed until the end"
            );
        }
        say_ready(&place, &handle);
        let outcome = serve(&handle, &notices);
        let outcome = finish(&place, gateway, taken, outcome);
        if let Some(watchdog) = watchdog {
            watchdog.dismiss();
        }
        outcome
    }

    /// Waits for the gateway to die, and ends its connections if nobody goes on with them.
    fn watch(
        &self,
        place: &Place,
        settings: Settings,
        source: Source,
        state: &Path,
    ) -> Result<(), Failure> {
        if !watchdog::wait_for_death() {
            return Ok(());
        }
        let hold = settings.engine.hold;
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
        if !watchdog::wait_for_successor(state, hold) {
            return Ok(());
        }
        error!("no other gateway has come: the connections end");
        let gateway = start(place, settings, source, Box::new(|_| {}), || {})?;
        let handle = gateway.handle();
        let taken = place.take(&self.steering.state)?;
        let outcome = give_up(&handle);
        finish(place, gateway, taken, outcome)
    }
}

/// Starts a gateway, which goes on with the connections of an earlier one if it keeps a state and there are
/// any.
fn start(
    place: &Place,
    settings: Settings,
    source: Source,
    set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    on_end: impl Fn() + Send + Sync + 'static,
) -> Result<Gateway, Failure> {
    let gateway = Gateway::start(Setup {
        mtu: place.mtu()?,
        devices: place.open_devices(settings.engine.queues)?,
        layer: place.layer(),
        settings,
        source,
        set_level,
        on_end: Arc::new(on_end),
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
            "an earlier gateway was killed: its connections go on"
        );
    }
    Ok(gateway)
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
    let default = policies.rules().last().map(|rule| rule.settings().actions);
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
fn serve(handle: &Handle, notices: &Receiver<Notice>) -> Result<(), Failure> {
    loop {
        match notices.recv() {
            Ok(Notice::Signal(SIGHUP)) => reload(handle),
            Ok(Notice::Signal(_)) => return drain(handle, notices),
            Ok(Notice::WorkerEnded) | Err(_) => return Ok(()),
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

/// Hands all connections back.
fn drain(handle: &Handle, notices: &Receiver<Notice>) -> Result<(), Failure> {
    let patience = handle.settings().engine.drain_deadline;
    let clock = Clock::start();
    handle.drain().map_err(Failure::runtime)?;
    info!(
        deadline_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        "stopping: connections are handed back to their ends"
    );
    loop {
        if let Some(Remaining { flows: 0, .. }) = handle.remaining() {
            info!("every connection is handed back");
            return Ok(());
        }
        let left = patience.saturating_sub(clock.now());
        if left.is_zero() {
            return give_up(handle);
        }
        match notices.recv_timeout(left.min(LOOK)) {
            Ok(Notice::Signal(SIGHUP)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Notice::Signal(_)) => {
                warn!("told to stop once more: not waiting any longer");
                return give_up(handle);
            }
            Ok(Notice::WorkerEnded) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Gives up what could not be delivered in time.
fn give_up(handle: &Handle) -> Result<(), Failure> {
    let lost = handle.abandon().map_err(Failure::runtime)?;
    if lost.octets == 0 {
        return Ok(());
    }
    let told = format!(
        "{} octets of {} connections were acknowledged and could not be delivered in time: they are lost, and these connections reset",
        lost.octets, lost.flows
    );
    error!(
        octets_lost = lost.octets,
        connections = lost.flows,
        "{told}"
    );
    Err(Failure::runtime(told))
}

/// Undoes everything.
fn finish(
    place: &Place,
    gateway: Gateway,
    taken: Taken,
    outcome: Result<(), Failure>,
) -> Result<(), Failure> {
    let without = taken.without();
    let (undone, rest) = match taken.remove() {
        Ok(rest) => (Ok(()), Some(rest)),
        Err(failure) => (Err(failure), None),
    };
    thread::sleep(LAST_PACKETS);
    let counted = gateway.stop().map_err(Failure::runtime);
    drop(rest);
    let undone = undone.and(place.remove_devices());
    match &undone {
        Ok(()) => info!("steering is undone: connections go on {without}"),
        Err(failure) => error!("steering is not undone: {}", failure.message),
    }
    let counted = counted?;
    say_counts(&counted);
    outcome.and(undone)
}

fn say_counts(counted: &[Counts]) {
    let sum = |count: fn(&Counts) -> u64| counted.iter().map(count).sum::<u64>();
    info!(
        connections = sum(|c| c.engine.flows_adopted),
        left_alone = sum(|c| c.engine.flows_refused),
        local_acks = sum(|c| c.engine.transmitted(TransmitKind::LocalAck)),
        data_packets = sum(|c| c.engine.transmitted(TransmitKind::Data)),
        retransmissions = sum(|c| c.engine.transmitted(TransmitKind::Retransmission)),
        octets_lost = sum(|c| c.engine.octets_lost),
        device_full = sum(|c| c.devices.full),
        device_refused = sum(|c| c.devices.refused),
        handed_over = sum(|c| c.devices.handed_over),
        "stopped"
    );
}
