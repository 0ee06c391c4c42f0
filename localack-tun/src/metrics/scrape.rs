//! What one scrape gets.

use core::fmt;
use core::time::Duration;

use localack_core::{Direction, ShapingId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::families::{ENGINE, REASONS};
use super::process::Memory;
use crate::control::protocol::CounterEntry;
use crate::control::{
    BackendError, GatewayState, MODES, Observer, Occupancy, Overview, STATES, Standing, Totals, sum,
};

/// Names of [`GatewayState`]s.
const GATEWAY_STATES: [(&str, GatewayState); 4] = [
    ("starting", GatewayState::Starting),
    ("running", GatewayState::Running),
    ("draining", GatewayState::Draining),
    ("drained", GatewayState::Drained),
];

const DIRECTIONS: [(&str, Direction); 2] = [
    ("inner_to_outer", Direction::InnerToOuter),
    ("outer_to_inner", Direction::OuterToInner),
];

/// Everything that is told, as it was at one time.
#[derive(Debug)]
pub(super) struct Scrape {
    overview: Overview,
    counters: Vec<CounterEntry>,
    pool: Occupancy,
    flow_slots: u64,
    totals: Totals,
    standings: [Standing; 2],
    /// Directions of open connections by their arrangement, of each the name.
    arranged: Vec<(String, [u64; 2])>,
    /// New connections by the name of their policy.
    hits: Vec<(String, u64)>,
    memory: Option<Memory>,
}

impl Scrape {
    /// Asks the gateway.
    pub(super) fn take(observer: &Observer) -> Result<Self, BackendError> {
        let backend = observer.backend();
        let queues = backend.queues()?;
        let pool = queues
            .iter()
            .fold(Occupancy::default(), |sum, queue| Occupancy {
                blocks: sum.blocks.saturating_add(queue.pool.blocks),
                used: sum.used.saturating_add(queue.pool.used),
                // The same in every queue.
                block_size: queue.pool.block_size,
            });
        let policies = backend.policies();
        let totals = observer.totals()?;
        let arranged = policies.arrangements().iter().map(|(id, one)| {
            let number = usize::from(id.number());
            let count = |counts: [u64; ShapingId::COUNT]| counts.get(number).copied().unwrap_or(0);
            (one.name.clone(), totals.arranged.map(count))
        });
        Ok(Self {
            arranged: arranged.collect(),
            overview: backend.overview(),
            counters: sum(&queues),
            pool,
            flow_slots: queues.iter().map(|queue| queue.flow_slots).sum(),
            totals,
            standings: observer.standings(),
            hits: policies
                .rules()
                .map(|rule| (rule.name().to_owned(), rule.hits()))
                .collect(),
            memory: Memory::of_this_process(),
        })
    }

    /// The text of the answer.
    pub(super) fn into_text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut answer = String::new();
        text::encode(&mut answer, &registry)?;
        Ok(answer)
    }

    fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a CounterEntry> {
        self.counters
            .iter()
            .filter(move |entry| entry.group == group)
    }

    fn write_counters(&self, to: &mut Writer<'_>) -> fmt::Result {
        for (group, name, label, help) in REASONS {
            let values = self
                .of_group(group)
                .map(|entry| ([(*label, entry.name.as_str())], entry.count));
            to.counters(&format!("localack_{name}"), help, values)?;
        }
        for entry in self.of_group("engine") {
            match ENGINE.iter().find(|(of, ..)| *of == entry.name) {
                Some((_, name, in_octets, help)) => {
                    let unit = in_octets.then_some(Unit::Bytes);
                    to.counter(&format!("localack_{name}"), help, unit, entry.count)?;
                }
                // A counter of a later engine is better told than explained.
                None => {
                    let name = format!("localack_{}", entry.name.replace('-', "_"));
                    to.counter(&name, "See the engine's counters", None, entry.count)?;
                }
            }
        }
        let hits = self
            .hits
            .iter()
            .map(|(name, count)| ([("policy", name.as_str())], *count));
        to.counters(
            "localack_policy_hits",
            "New connections that a policy was for",
            hits,
        )
    }

    fn write_flows(&self, to: &mut Writer<'_>) -> fmt::Result {
        let totals = &self.totals;
        let states = STATES.iter().zip(totals.states);
        let states = states.map(|(state, count)| ([("state", *state)], count));
        to.gauges(
            "localack_flows",
            "Connections that are known, by state",
            None,
            states,
        )?;
        to.gauge(
            "localack_flow_slots",
            "Connections that can be known",
            None,
            self.flow_slots,
        )?;
        let modes = DIRECTIONS
            .iter()
            .zip(totals.modes)
            .flat_map(|((direction, _), counts)| {
                MODES
                    .iter()
                    .zip(counts)
                    .map(move |(mode, count)| ([("direction", *direction), ("mode", *mode)], count))
            });
        let help = "Directions of open connections, by what is done with their data";
        to.gauges("localack_flow_directions", help, None, modes)?;
        let arranged = self.arranged.iter().flat_map(|(name, counts)| {
            DIRECTIONS
                .iter()
                .zip(counts)
                .map(move |((direction, _), count)| {
                    (
                        [("direction", *direction), ("arrangement", name.as_str())],
                        *count,
                    )
                })
        });
        let help = "Directions of open connections, by the arrangement that they have";
        if !self.arranged.is_empty() {
            to.gauges("localack_arranged_directions", help, None, arranged)?;
        }
        let rates = DIRECTIONS.iter().zip(&self.standings);
        let rates =
            rates.map(|((direction, _), standing)| ([("direction", *direction)], standing.rate));
        let help = "Octets that receivers acknowledged in the last second of what is served";
        to.gauges("localack_delivery_rate_bytes_per_second", help, None, rates)?;
        let help = "Octets held for delivery, in whole blocks";
        to.gauge("localack_custody", help, Some(Unit::Bytes), totals.custody)?;
        let help = "Octets acknowledged to senders and not yet by receivers";
        to.gauge("localack_debt", help, Some(Unit::Bytes), totals.debt)?;
        let [there, back] = self.standings.map(|standing| standing.saving);
        let early = there.octets.saturating_add(back.octets);
        let saved_ms = there.milliseconds().saturating_add(back.milliseconds());
        let help = "Octets acknowledged before their receivers had acknowledged them (estimate)";
        to.counter(
            "localack_acknowledged_early",
            help,
            Some(Unit::Bytes),
            early,
        )?;
        let help =
            "Time that segments did not wait for their acknowledgements, added up (estimate)";
        let seconds = Duration::from_millis(saved_ms).as_secs_f64();
        to.counter(
            "localack_waiting_spared",
            help,
            Some(Unit::Seconds),
            seconds,
        )
    }

    fn write_gateway(&self, to: &mut Writer<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        to.info("localack_build", "The program", &version)?;
        let states = GATEWAY_STATES
            .map(|(name, state)| ([("state", name)], u64::from(state == self.overview.state)));
        to.gauges(
            "localack_state",
            "1 for what the gateway is doing",
            None,
            states.into_iter(),
        )?;
        let uptime = self.overview.uptime.as_secs_f64();
        to.gauge(
            "localack_uptime",
            "Time since the start",
            Some(Unit::Seconds),
            uptime,
        )?;
        let help = "Threads with an engine of their own";
        to.gauge(
            "localack_queues",
            help,
            None,
            u64::from(self.overview.queues),
        )?;
        let Occupancy {
            blocks,
            used,
            block_size,
        } = self.pool;
        let help = "Memory for octets in custody";
        let octets = blocks.saturating_mul(block_size);
        to.gauge("localack_pool_size", help, Some(Unit::Bytes), octets)?;
        let help = "Memory for octets in custody that is in use";
        let octets = used.saturating_mul(block_size);
        to.gauge("localack_pool_used", help, Some(Unit::Bytes), octets)?;
        if let Some(memory) = self.memory {
            let help = "Memory of the process that is in RAM";
            to.gauge(
                "process_resident_memory",
                help,
                Some(Unit::Bytes),
                memory.resident,
            )?;
            let help = "Address space of the process";
            to.gauge(
                "process_virtual_memory",
                help,
                Some(Unit::Bytes),
                memory.virt,
            )?;
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(encoder);
        self.write_gateway(&mut to)?;
        self.write_flows(&mut to)?;
        self.write_counters(&mut to)
    }
}

/// Writes families of metrics.
struct Writer<'a>(DescriptorEncoder<'a>);

/// The labels of one value.
type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Writer<'_> {
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl Iterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: &Labels<'_, N>,
    ) -> fmt::Result {
        let kind = MetricType::Info;
        self.0
            .encode_descriptor(name, help, None, kind)?
            .encode_info(labels)
    }
}
