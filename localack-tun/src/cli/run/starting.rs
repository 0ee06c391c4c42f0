//! Starting a gateway, and what operators and monitors speak to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use localack_tun::config::Settings;
use localack_tun::control::{self, Observer};
use localack_tun::gateway::replica::{Inheritance, Standby};
use localack_tun::gateway::{Gateway, Handle, Setup, Source, TakenOver};
use localack_tun::metrics;
use tracing::{info, warn};

use super::Notice;
use super::place::Place;
use crate::cli::Failure;
use crate::cli::log::SetLevel;

/// What a gateway is started with besides its settings.
pub(super) struct Start<'p> {
    pub(super) place: &'p Place,
    pub(super) source: Source,
    pub(super) standby: Option<Standby>,
    pub(super) inheritance: Option<Inheritance>,
}

impl Start<'_> {
    /// Starts a gateway, which goes on with the connections of an earlier one if there are any.
    pub(super) fn with(
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
pub(super) struct Listeners {
    _control: Option<control::Server>,
    _metrics: Option<metrics::Server>,
}

impl Listeners {
    /// Listens where the settings say.
    pub(super) fn start(handle: &Handle) -> Result<Self, Failure> {
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

/// Says what the gateway is and where it sits.
pub(super) fn say_ready(place: &Place, handle: &Handle) {
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
