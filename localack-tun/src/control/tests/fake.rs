//! A gateway of two queues without devices.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard};

use localack_core::wire::{self, Flags, HeaderSpec, Sum};
use localack_core::{
    BlockSlot, Config, DemoteCause, Direction, Engine, EngineHead, FlowId, FlowInfo, FlowKey,
    FlowSlot, IndexSlot, Instant, PacketMeta, PassReason, PathSlot, Poll, Port, SeqNum, Service,
    Shaping, ShapingId, Sink, SinkFull, Storage, Transmit,
};

use crate::config::Settings;
use crate::control::{
    Applied, Backend, BackendError, Chosen, GatewayState, Occupancy, Overview, QueueReport,
    Refusal, Selection,
};
use crate::gateway::DeviceCounters;
use crate::policy::{Arrangements, DirectionChange, Policies};

const FLOWS: usize = 64;
const BLOCKS: usize = 256;
const BLOCK: usize = 1536;

/// A sink for packets that nobody looks at.
struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }
}

struct State {
    engines: Vec<Engine<'static, Policies>>,
    settings: Settings,
    policies: Policies,
    state: GatewayState,
    now: Instant,
    /// What every call but `overview` answers, if something.
    error: Option<BackendError>,
}

/// A gateway that works, but for devices.
pub(crate) struct Fake(Mutex<State>);

fn engine(policies: &Policies) -> Engine<'static, Policies> {
    // It lives as long as the test's process.
    let storage = Storage {
        head: Box::leak(Box::new(EngineHead::EMPTY)),
        flows: vec![FlowSlot::EMPTY; FLOWS].leak(),
        index: vec![IndexSlot::EMPTY; 2 * FLOWS].leak(),
        blocks: vec![BlockSlot::EMPTY; BLOCKS].leak(),
        arena: vec![0; BLOCKS * BLOCK].leak(),
        paths: vec![PathSlot::EMPTY; 8].leak(),
        before: &mut [],
    };
    let mut engine = Engine::new(storage, Config::new([1, 2]), policies.clone()).unwrap();
    policies
        .arrangements()
        .tell(&mut engine, Instant::from_millis(1));
    engine
}

impl Fake {
    pub(crate) fn new(settings: &str) -> Self {
        let settings = Settings::parse(settings).unwrap();
        let policies = Policies::new(&settings);
        Self(Mutex::new(State {
            engines: vec![engine(&policies), engine(&policies)],
            settings,
            policies,
            state: GatewayState::Running,
            now: Instant::from_millis(1),
            error: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn working(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = self.state();
        state.error.clone().map_or(Ok(state), Err)
    }

    /// From now on every call is answered so.
    pub(crate) fn fail(&self, error: Option<BackendError>) {
        self.state().error = error;
    }

    /// Opens a connection from 10.0.0.1 and `port` to 192.0.2.1 and port 80.
    pub(crate) fn open(&self, queue: u16, port: u16) {
        let segments = [
            (Port::Inner, Flags::SYN, (100, 0), 0),
            (Port::Outer, Flags::SYN.union(Flags::ACK), (200, 101), 0),
            (Port::Inner, Flags::ACK, (101, 201), 0),
        ];
        for segment in segments {
            self.send(queue, port, segment);
        }
    }

    /// Shows that the server of an open connection is there, and sends it `octets` from the client.
    pub(crate) fn upload(&self, queue: u16, port: u16, octets: u32) {
        let answers = Flags::ACK;
        self.send(queue, port, (Port::Inner, answers, (101, 201), 10));
        self.send(queue, port, (Port::Outer, answers, (201, 111), 0));
        let mut sent = 0;
        while sent < octets {
            let length = 1000.min(octets - sent);
            let segment = (Port::Inner, answers, (111 + sent, 201), length as usize);
            self.send(queue, port, segment);
            sent += length;
        }
    }

    /// The server acknowledges the first `octets` of an upload.
    pub(crate) fn deliver(&self, queue: u16, port: u16, octets: u32) {
        let segment = (Port::Outer, Flags::ACK, (201, 111 + octets), 0);
        self.send(queue, port, segment);
    }

    fn send(
        &self,
        queue: u16,
        client_port: u16,
        (from, flags, (seq, ack), octets): (Port, Flags, (u32, u32), usize),
    ) {
        let mut state = self.state();
        let (inner, outer) = (
            ([10, 0, 0, 1].into(), client_port),
            ([192, 0, 2, 1].into(), 80),
        );
        let (src, dst) = match from {
            Port::Inner => (inner, outer),
            Port::Outer => (outer, inner),
        };
        let payload = vec![7; octets];
        let mut sum = Sum::new();
        sum.add_bytes(&payload);
        let spec = HeaderSpec {
            src: src.0,
            dst: dst.0,
            src_port: src.1,
            dst_port: dst.1,
            seq: SeqNum::new(seq),
            ack: SeqNum::new(ack),
            flags,
            window: 60_000,
            urgent: 0,
            timestamps: None,
            sack: &[],
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            dont_fragment: true,
        };
        let header = wire::emit(&spec, octets as u32, sum).unwrap();
        let mut packet = [header.as_slice(), &payload].concat();
        let now = state.now;
        let engine = &mut state.engines[usize::from(queue)];
        let _ = engine.ingest(from, now, &mut packet, PacketMeta::default(), &mut Nowhere);
        while engine.poll(now, 64, &mut Nowhere) == Poll::More {}
    }

    /// The flow of a queue whose client has this port.
    pub(crate) fn flow(&self, queue: u16, port: u16) -> FlowInfo {
        let state = self.state();
        let mut flows = state.engines[usize::from(queue)].flows();
        flows.find(|flow| flow.key.inner_port() == port).unwrap()
    }

    /// What the number of an arrangement means to the engine of a queue.
    pub(crate) fn shaping(&self, queue: u16, id: ShapingId) -> Shaping {
        self.state().engines[usize::from(queue)].shaping(id)
    }

    fn switch(state: &mut State, settings: Settings) -> Applied {
        let new = state.policies.reload(&settings);
        let old = core::mem::replace(&mut state.policies, new.clone());
        let mut applied = Applied {
            policies: u32::try_from(settings.policies.len()).unwrap(),
            ..Applied::default()
        };
        let now = state.now;
        for engine in &mut state.engines {
            *engine.policy_mut() = new.clone();
            new.arrangements().tell(engine, now);
            let flows: Vec<_> = engine.flows().collect();
            for flow in flows {
                let change = new.change_of_flow(&old, &flow);
                applied.flows_changed += u64::from(!change.is_empty());
                applied.flows_partial += u64::from(change.is_partial());
                change.apply(engine, flow.id, now).unwrap();
            }
            while engine.poll(now, 64, &mut Nowhere) == Poll::More {}
        }
        state.settings = settings;
        applied
    }
}

impl Backend for Fake {
    fn overview(&self) -> Overview {
        let state = self.state();
        Overview {
            state: state.state,
            uptime: Duration::from_millis(90_061_001),
            inner: "lan0".to_owned(),
            outer: "sat0".to_owned(),
            queues: 2,
            config: Some("/etc/localack-tun.toml".into()),
        }
    }

    fn queues(&self) -> Result<Vec<QueueReport>, BackendError> {
        let state = self.working()?;
        let report = |engine: &Engine<'_, Policies>| {
            let held = |flow: FlowInfo| flow.inner_to_outer.custody + flow.outer_to_inner.custody;
            QueueReport {
                counters: *engine.counters(),
                devices: DeviceCounters::default(),
                pool: Occupancy {
                    blocks: BLOCKS as u64,
                    used: u64::from(engine.flows().map(held).sum::<u32>()) / BLOCK as u64,
                    block_size: BLOCK as u64,
                },
                flow_slots: FLOWS as u64,
            }
        };
        Ok(state.engines.iter().map(report).collect())
    }

    fn collect(&self, mut selection: Selection) -> Result<Selection, BackendError> {
        let state = self.working()?;
        let empty = selection.clone();
        for (queue, engine) in (0..).zip(&state.engines) {
            let mut own = empty.clone();
            engine.flows().for_each(|flow| own.offer(queue, &flow));
            selection.merge(own);
        }
        Ok(selection)
    }

    fn policies(&self) -> Policies {
        self.state().policies.clone()
    }

    fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    fn change_policies(
        &self,
        edit: &mut dyn FnMut(&Settings) -> Result<Settings, String>,
    ) -> Result<Applied, BackendError> {
        let mut state = self.working()?;
        let settings = edit(&state.settings).map_err(BackendError::Refused)?;
        Ok(Self::switch(&mut state, settings))
    }

    fn reload(&self) -> Result<Applied, BackendError> {
        let mut state = self.working()?;
        let mut applied = Self::switch(&mut state, Settings::default());
        applied.ignored = vec!["[engine]".to_owned()];
        Ok(applied)
    }

    fn set_service(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        service: Service,
    ) -> Result<(), BackendError> {
        let mut state = self.working()?;
        let now = state.now;
        let engine = &mut state.engines[usize::from(queue)];
        let outcome = engine.set_service(flow, direction, service, now);
        while engine.poll(now, 64, &mut Nowhere) == Poll::More {}
        outcome.map_err(|_| BackendError::UnknownFlow)
    }

    fn arrange(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        choose: &dyn Fn(&Arrangements) -> Chosen,
    ) -> Result<(), BackendError> {
        let mut state = self.working()?;
        let now = state.now;
        let (shaping, service) = choose(state.policies.arrangements())?;
        let engine = &mut state.engines[usize::from(queue)];
        let change = DirectionChange::arranged(service, Some(shaping));
        let outcome = change.apply(engine, flow, direction, now);
        while engine.poll(now, 64, &mut Nowhere) == Poll::More {}
        outcome.map_err(|_| BackendError::UnknownFlow)
    }

    fn drain(&self) -> Result<(), BackendError> {
        let mut state = self.working()?;
        let now = state.now;
        state
            .engines
            .iter_mut()
            .for_each(|engine| engine.drain(now));
        state.state = GatewayState::Draining;
        Ok(())
    }

    fn refused(&self) -> Vec<Refusal> {
        vec![Refusal {
            key: FlowKey::new([10, 0, 0, 9].into(), 5009, [192, 0, 2, 1].into(), 22, 0),
            from: Port::Outer,
            reason: PassReason::Authenticated,
            age: Duration::from_millis(1500),
        }]
    }

    fn demoted(&self, queue: u16, flow: FlowId) -> [Option<DemoteCause>; 2] {
        // As if the gateway had said so of the second queue's first flow.
        if (queue, flow.slot()) == (1, 0) {
            [None, Some(DemoteCause::WentRound)]
        } else {
            [None; 2]
        }
    }
}
