//! Answers requests by asking the gateway.

use localack_core::{
    AbsorbReason, Counters, Direction, DropReason, PassReason, Service, ShapingId, TransmitKind,
};

use super::backend::{Applied, BackendError, GatewayState, QueueReport};
use super::flow::{ends, id, millis};
use super::observer::Observer;
use super::policies;
use super::protocol::{
    Answer, AppliedEntry, ArrangementList, CounterEntry, DirectionChoice, ErrorCode, ErrorEntry,
    FlowList, FlowName, FlowSet, Flows, MOST_FLOWS, PolicyEntry, PolicyList, PoolEntry, QueueEntry,
    RefusedList, Request, SetService, Stats, Status, TotalsEntry,
};
use crate::config::Settings;
use crate::policy::{Arrangements, Rule, UnknownArrangement};

/// Flows of one name that are told apart in an error.
const MOST_NAMESAKES: usize = 8;

impl From<BackendError> for ErrorEntry {
    fn from(error: BackendError) -> Self {
        let code = match &error {
            BackendError::Busy => ErrorCode::Busy,
            BackendError::Gone => ErrorCode::Ending,
            BackendError::UnknownFlow => ErrorCode::UnknownFlow,
            BackendError::UnknownArrangement(_) => ErrorCode::UnknownArrangement,
            BackendError::Refused(_) => ErrorCode::Refused,
        };
        Self::new(code, error.to_string())
    }
}

/// Does what is asked for.
pub(super) fn answer(observer: &Observer, request: &Request) -> Result<Answer, ErrorEntry> {
    let backend = observer.backend();
    Ok(match request {
        Request::Status => Answer::Status(status(observer)?),
        Request::Flows(flows) => Answer::Flows(list(observer, flows)?),
        Request::Refused => Answer::Refused(RefusedList {
            refused: backend.refused().iter().map(Into::into).collect(),
        }),
        Request::PolicyList => Answer::PolicyList(policy_list(observer)),
        Request::PolicySet(set) => {
            let edit = |settings: &Settings| {
                let fragment = policies::Fragment::parse(&set.toml, &settings.arrangements)?;
                fragment.apply(settings, set.before.as_deref())
            };
            Answer::PolicySet(change(observer, edit)?)
        }
        Request::PolicyRemove(remove) => {
            let edit = |settings: &_| policies::remove(settings, &remove.name);
            Answer::PolicyRemove(change(observer, edit)?)
        }
        Request::PolicyReload => {
            let applied = backend.reload().map_err(bad_policy)?;
            Answer::PolicyReload(applied.into())
        }
        Request::ArrangementList => Answer::ArrangementList(arrangement_list(observer)?),
        Request::ArrangementSet(set) => {
            let edit = |settings: &_| policies::set_arrangements(settings, &set.toml);
            Answer::ArrangementSet(change(observer, edit)?)
        }
        Request::ArrangementRemove(remove) => {
            let edit = |settings: &_| policies::remove_arrangement(settings, &remove.name);
            Answer::ArrangementRemove(change(observer, edit)?)
        }
        Request::Flow(set) => Answer::Flow(set_service(observer, set)?),
        Request::Drain => {
            backend.drain()?;
            Answer::Drain
        }
        Request::Upgrade(upgrade) => {
            backend.upgrade(&upgrade.program, upgrade.layout)?;
            Answer::Upgrade
        }
        Request::Stats => Answer::Stats(stats(&backend.queues()?)),
    })
}

/// What is refused about settings is their content.
fn bad_policy(error: BackendError) -> ErrorEntry {
    match error {
        BackendError::Refused(message) => ErrorEntry::new(ErrorCode::BadPolicy, message),
        other => other.into(),
    }
}

/// Changes the policies; an error of `edit` keeps its code.
fn change(
    observer: &Observer,
    edit: impl Fn(&Settings) -> Result<Settings, ErrorEntry>,
) -> Result<AppliedEntry, ErrorEntry> {
    let mut failed = None;
    let applied = observer.backend().change_policies(&mut |settings| {
        edit(settings).map_err(|error| {
            let message = error.message.clone();
            failed = Some(error);
            message
        })
    });
    match (applied, failed) {
        (Ok(applied), _) => Ok(applied.into()),
        (Err(BackendError::Refused(_)), Some(error)) => Err(error),
        (Err(error), _) => Err(bad_policy(error)),
    }
}

impl From<Applied> for AppliedEntry {
    fn from(applied: Applied) -> Self {
        let Applied {
            policies,
            flows_changed,
            flows_partial,
            ignored,
        } = applied;
        Self {
            policies,
            flows_changed,
            flows_partial,
            ignored,
        }
    }
}

fn status(observer: &Observer) -> Result<Status, ErrorEntry> {
    let backend = observer.backend();
    let overview = backend.overview();
    let queues = backend.queues()?;
    let state = match overview.state {
        GatewayState::Starting => "starting",
        GatewayState::Running => "running",
        GatewayState::Draining => "draining",
        GatewayState::Drained => "drained",
    };
    let pool = queues.iter().fold(PoolEntry::default(), |sum, queue| {
        let PoolEntry { octets, used } = queue.pool.into();
        PoolEntry {
            octets: sum.octets.saturating_add(octets),
            used: sum.used.saturating_add(used),
        }
    });
    let known = backend.policies();
    let policies = known.rules().count().saturating_sub(1);
    let arrangements = known.arrangements().iter().count();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state.to_owned(),
        uptime_ms: millis(overview.uptime),
        inner: overview.inner,
        outer: overview.outer,
        config: overview.config.map(|path| path.display().to_string()),
        queues: overview.queues,
        policies: u32::try_from(policies).unwrap_or(u32::MAX),
        arrangements: u32::try_from(arrangements).unwrap_or(u32::MAX),
        flow_slots: queues.iter().map(|queue| queue.flow_slots).sum(),
        pool,
        totals: TotalsEntry::new(&observer.totals()?, &observer.standings()),
    })
}

fn list(observer: &Observer, wanted: &Flows) -> Result<FlowList, ErrorEntry> {
    let (totals, flows) = observer.flows(wanted.sort, wanted.limit.min(MOST_FLOWS))?;
    Ok(FlowList {
        sort: wanted.sort,
        totals,
        flows,
    })
}

fn policy_list(observer: &Observer) -> PolicyList {
    let policies = observer.backend().policies();
    let arrangements = policies.arrangements().iter();
    let arrangements: Vec<_> = arrangements.map(|(_, one)| one.clone()).collect();
    let entry = |rule: &Rule| PolicyEntry {
        name: rule.name().to_owned(),
        hits: rule.hits(),
        toml: policies::text(rule.settings(), &arrangements),
    };
    PolicyList {
        policies: policies.rules().map(entry).collect(),
    }
}

fn arrangement_list(observer: &Observer) -> Result<ArrangementList, ErrorEntry> {
    let settings = observer.backend().settings();
    let numbered = observer.backend().policies();
    let totals = observer.totals()?;
    let directions = |name: &str| {
        // Another change may have come in between.
        let Ok((id, _)) = numbered.arrangements().find(name) else {
            return 0;
        };
        let counts = totals.arranged.iter();
        let counts = counts.filter_map(|counts| counts.get(usize::from(id.number())));
        counts.sum()
    };
    Ok(policies::arrangement_list(&settings, directions))
}

/// The number of the arrangement that is asked for, and the service to go with it.
fn choose(
    set: &SetService,
    name: &str,
    arrangements: &Arrangements,
) -> Result<(ShapingId, Option<Service>), UnknownArrangement> {
    let (id, service) = arrangements.find(name)?;
    Ok((id, set.service.map(Service::from).or(service)))
}

/// What is contradictory in what is asked for a flow.
fn check(observer: &Observer, set: &SetService) -> Result<(), ErrorEntry> {
    let bad = |message: String| Err(ErrorEntry::new(ErrorCode::BadRequest, message));
    let Some(name) = &set.arrangement else {
        return match set.service {
            Some(_) => Ok(()),
            None => bad("a flow needs a service, an arrangement, or both".to_owned()),
        };
    };
    let policies = observer.backend().policies();
    let found = policies.arrangements().find(name);
    let (_, named) = found.map_err(BackendError::from)?;
    if set.service.is_some() && named.is_some() {
        return bad(format!(
            "the arrangement {name:?} names a service, too: leave out the other one"
        ));
    }
    Ok(())
}

fn set_service(observer: &Observer, set: &SetService) -> Result<FlowSet, ErrorEntry> {
    check(observer, set)?;
    let found = observer
        .named(&set.flow, MOST_NAMESAKES)
        .map_err(|error| match error {
            BackendError::Refused(message) => ErrorEntry::new(ErrorCode::BadRequest, message),
            other => other.into(),
        })?;
    let seen = match found.as_slice() {
        [] => return Err(BackendError::UnknownFlow.into()),
        [seen] => seen,
        several => {
            let ids: Vec<_> = several.iter().map(id).collect();
            let message = format!("several flows have these ends: {}", ids.join(", "));
            return Err(ErrorEntry::new(ErrorCode::AmbiguousFlow, message));
        }
    };
    let directions = match set.direction {
        Some(direction) => vec![direction],
        None => vec![DirectionChoice::InnerToOuter, DirectionChoice::OuterToInner],
    };
    for direction in &directions {
        let direction = Direction::from(*direction);
        let backend = observer.backend();
        let (queue, flow) = (seen.queue, seen.flow.id);
        match (&set.arrangement, set.service) {
            (Some(name), _) => {
                backend.arrange(queue, flow, direction, &|all| choose(set, name, all))?;
            }
            (None, Some(service)) => {
                backend.set_service(queue, flow, direction, service.into())?;
            }
            (None, None) => {}
        }
    }
    Ok(FlowSet {
        id: id(seen),
        flow: FlowName::Ends(ends(&seen.flow.key)),
        directions,
        service: set.service,
        arrangement: set.arrangement.clone(),
    })
}

/// All counters of a queue, with their numbers where they have some.
pub(crate) fn counters(queue: &QueueReport) -> impl Iterator<Item = CounterEntry> + '_ {
    let engine = queue
        .counters
        .iter()
        .map(|(group, name, count)| CounterEntry {
            group: group.to_owned(),
            name: name.to_owned(),
            number: number(group, name),
            count,
        });
    let devices = &queue.devices;
    let devices = [
        ("full", devices.full),
        ("refused", devices.refused),
        ("odd", devices.odd),
        ("handed-over", devices.handed_over),
        ("not-handed-over", devices.not_handed_over),
    ];
    engine.chain(devices.map(|(name, count)| CounterEntry {
        group: "device".to_owned(),
        name: name.to_owned(),
        number: None,
        count,
    }))
}

/// The number of a reason, by the names that [`Counters::iter`] gives.
fn number(group: &str, name: &str) -> Option<u8> {
    fn find<T: Copy>(
        all: &[T],
        name: &str,
        slug: fn(T) -> &'static str,
        number: fn(T) -> u8,
    ) -> Option<u8> {
        all.iter()
            .find(|one| slug(**one) == name)
            .map(|one| number(*one))
    }
    match group {
        "pass" => find(PassReason::ALL, name, PassReason::slug, PassReason::number),
        "absorb" => find(
            AbsorbReason::ALL,
            name,
            AbsorbReason::slug,
            AbsorbReason::number,
        ),
        "drop" => find(DropReason::ALL, name, DropReason::slug, DropReason::number),
        "transmit" => find(
            TransmitKind::ALL,
            name,
            TransmitKind::slug,
            TransmitKind::number,
        ),
        _ => None,
    }
}

/// The counters of all queues added up, in the order of the first.
pub(crate) fn sum(queues: &[QueueReport]) -> Vec<CounterEntry> {
    let none = QueueReport {
        counters: Counters::ZERO,
        devices: crate::gateway::DeviceCounters::default(),
        pool: super::Occupancy::default(),
        flow_slots: 0,
    };
    let mut sum: Vec<_> = counters(&none).collect();
    for queue in queues {
        // Every queue lists the same counters in the same order.
        for (total, one) in sum.iter_mut().zip(counters(queue)) {
            total.count = total.count.saturating_add(one.count);
        }
    }
    sum
}

fn stats(queues: &[QueueReport]) -> Stats {
    let numbered = (0..=u16::MAX).zip(queues);
    Stats {
        counters: sum(queues),
        queues: numbered
            .map(|(number, queue)| QueueEntry {
                queue: number,
                pool: queue.pool.into(),
                counters: counters(queue).filter(|entry| entry.count > 0).collect(),
            })
            .collect(),
    }
}
