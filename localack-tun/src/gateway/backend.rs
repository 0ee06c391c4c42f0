//! A [`Handle`] as the control socket and the metrics see it.

use std::path::Path;

use localack_core::{DemoteCause, Direction, FlowId, Port, Service};

use super::handle::{Applied, Handle, HandleError, State};
use crate::clock::Clock;
use crate::config::Settings;
use crate::control::{
    self, Backend, BackendError, Chosen, GatewayState, Occupancy, Overview, QueueReport, Refusal,
    Selection,
};
use crate::policy::{Arrangements, Policies};

impl Backend for Handle {
    fn overview(&self) -> Overview {
        let settings = self.settings();
        let side = |side, interface: Option<String>| match settings.port.clone() {
            Some((of, port)) if of == side => port,
            Some(_) => "bridge".to_owned(),
            None if side == Port::Inner && settings.host => "host".to_owned(),
            None => interface.unwrap_or_default(),
        };
        Overview {
            state: match self.state() {
                State::Starting => GatewayState::Starting,
                State::Running => GatewayState::Running,
                State::Draining => GatewayState::Draining,
                State::Drained => GatewayState::Drained,
            },
            uptime: self.uptime(),
            inner: side(Port::Inner, settings.inner.clone()),
            outer: side(Port::Outer, settings.outer.clone()),
            queues: settings.engine.queues,
            config: self.source().file.clone(),
        }
    }

    fn queues(&self) -> Result<Vec<QueueReport>, BackendError> {
        let geometry = self.settings().engine.per_queue();
        let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let block_size = geometry.arena.checked_div(geometry.blocks).unwrap_or(0);
        let counts = self.counts()?;
        let report = |counts: super::Counts| QueueReport {
            counters: counts.engine,
            devices: counts.devices,
            pool: Occupancy {
                blocks: size(geometry.blocks),
                used: counts.blocks_used,
                block_size: size(block_size),
            },
            flow_slots: size(geometry.flows),
        };
        Ok(counts.into_iter().map(report).collect())
    }

    fn collect(&self, selection: Selection) -> Result<Selection, BackendError> {
        let offer = |selection: &mut Selection, queue, flow: &_| selection.offer(queue, flow);
        let mut copies = self.show(&selection, offer)?.into_iter();
        let first = copies.next().unwrap_or(selection);
        Ok(copies.fold(first, |mut all, one| {
            all.merge(one);
            all
        }))
    }

    fn policies(&self) -> Policies {
        Self::policies(self)
    }

    fn settings(&self) -> Settings {
        Self::settings(self)
    }

    fn change_policies(
        &self,
        edit: &mut dyn FnMut(&Settings) -> Result<Settings, String>,
    ) -> Result<control::Applied, BackendError> {
        Ok(self.change(edit)?.into())
    }

    fn reload(&self) -> Result<control::Applied, BackendError> {
        if self.source().file.is_none() {
            let message = "it was started without a file of settings";
            return Err(BackendError::Refused(message.to_owned()));
        }
        Ok(Self::reload(self)?.into())
    }

    fn set_service(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        service: Service,
    ) -> Result<(), BackendError> {
        Ok(Self::set_service(self, queue, flow, direction, service)?)
    }

    fn arrange(
        &self,
        queue: u16,
        flow: FlowId,
        direction: Direction,
        choose: &dyn Fn(&Arrangements) -> Chosen,
    ) -> Result<(), BackendError> {
        Ok(Self::arrange(self, queue, flow, direction, choose)?)
    }

    fn drain(&self) -> Result<(), BackendError> {
        Ok(Self::drain(self)?)
    }

    fn upgrade(&self, program: &Path, layout: u32) -> Result<(), BackendError> {
        Ok(Self::upgrade(self, program, layout)?)
    }

    fn refused(&self) -> Vec<Refusal> {
        let clock = Clock::start();
        let now = clock.stamp(clock.now());
        let refused = Self::refused(self).into_iter();
        refused
            .map(|refused| Refusal {
                key: refused.key,
                from: refused.from,
                reason: refused.reason,
                age: now.saturating_sub(refused.at),
            })
            .collect()
    }

    fn demoted(&self, queue: u16, flow: FlowId) -> [Option<DemoteCause>; 2] {
        Self::demoted(self, queue, flow)
    }
}

impl From<HandleError> for BackendError {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Busy => Self::Busy,
            HandleError::Ended => Self::Gone,
            HandleError::UnknownFlow => Self::UnknownFlow,
            HandleError::UnknownArrangement(error) => Self::UnknownArrangement(error),
            HandleError::Settings(error) => Self::Refused(error.to_string()),
            HandleError::Refused(reason) => Self::Refused(reason),
        }
    }
}

impl From<Applied> for control::Applied {
    fn from(applied: Applied) -> Self {
        Self {
            policies: applied.policies.try_into().unwrap_or(u32::MAX),
            flows_changed: applied.flows.changed,
            flows_partial: applied.flows.partial,
            ignored: applied.ignored,
        }
    }
}
