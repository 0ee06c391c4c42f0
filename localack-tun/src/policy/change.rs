//! What other policies change about a connection that is under way.

use localack_core::{
    Admit, Controller, Direction, DirectionInfo, Engine, FlowConfig, FlowId, FlowInfo, Instant,
    Policy, Service, ShapingId, UnknownFlow,
};

/// What is to be changed about a live flow; see [`Policies::change`](super::Policies::change).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    inner_to_outer: DirectionChange,
    outer_to_inner: DirectionChange,
    is_partial: bool,
}

/// What is to be changed about one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DirectionChange {
    /// Another service.
    pub service: Option<Service>,
    /// Another controller.
    pub controller: Option<Controller>,
    /// Another arrangement.
    pub shaping: Option<ShapingId>,
}

impl DirectionChange {
    /// Another service, another arrangement, or both; the rest stays.
    #[must_use]
    pub const fn arranged(service: Option<Service>, shaping: Option<ShapingId>) -> Self {
        Self {
            service,
            controller: None,
            shaping,
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn apply<P: Policy>(
        &self,
        engine: &mut Engine<'_, P>,
        flow: FlowId,
        direction: Direction,
        now: Instant,
    ) -> Result<(), UnknownFlow> {
        // A service that begins should find its controller.
        if let Some(controller) = self.controller {
            engine.set_controller(flow, direction, controller, now)?;
        }
        match (self.service, self.shaping) {
            (None, None) => Ok(()),
            (Some(service), None) => engine.set_service(flow, direction, service, now),
            (service, Some(shaping)) => {
                let present = engine.flow(flow).ok_or(UnknownFlow)?;
                let service = service.unwrap_or(present.direction(direction).service);
                engine.arrange(flow, direction, service, shaping, now)
            }
        }
    }

    /// Whether a direction is as the change would have it.
    fn is_made(&self, present: &DirectionInfo) -> bool {
        self.service.is_none_or(|wanted| wanted == present.service)
            && self
                .controller
                .is_none_or(|wanted| wanted == present.controller)
            && self.shaping.is_none_or(|wanted| wanted == present.shaping)
    }
}

impl Change {
    /// What leads from one answer of a policy to another. To leave a flow alone is to serve neither
    /// direction: the engine knows it until it ends.
    #[must_use]
    pub fn between(before: &Admit, after: &Admit) -> Self {
        let config = |answer: &Admit| match answer {
            Admit::Pass => None,
            Admit::Adopt(config) => Some(*config),
        };
        let before = config(before).unwrap_or(FlowConfig::tracked());
        let after = config(after).unwrap_or(Direction::BOTH.into_iter().fold(
            before,
            |config, direction| {
                config
                    .with_service(direction, Service::Bypass)
                    .with_shaping(direction, ShapingId::NONE)
            },
        ));
        let direction = |direction: Direction| {
            let (old, new) = (before.controller(direction), after.controller(direction));
            DirectionChange {
                service: Some(after.service(direction))
                    .filter(|service| *service != before.service(direction)),
                controller: Some(new).filter(|_| !is_same_part(old, new)),
                shaping: Some(after.shaping(direction))
                    .filter(|shaping| *shaping != before.shaping(direction)),
            }
        };
        Self {
            inner_to_outer: direction(Direction::InnerToOuter),
            outer_to_inner: direction(Direction::OuterToInner),
            is_partial: has_more(&before, &after),
        }
    }

    /// What is to be changed about one direction.
    #[must_use]
    pub const fn direction(&self, direction: Direction) -> &DirectionChange {
        match direction {
            Direction::InnerToOuter => &self.inner_to_outer,
            Direction::OuterToInner => &self.outer_to_inner,
        }
    }

    pub(super) const fn direction_mut(&mut self, direction: Direction) -> &mut DirectionChange {
        match direction {
            Direction::InnerToOuter => &mut self.inner_to_outer,
            Direction::OuterToInner => &mut self.outer_to_inner,
        }
    }

    /// Whether a flow is as the change would have it: nothing changes for it, or it has begun since.
    #[must_use]
    pub fn is_made(&self, flow: &FlowInfo) -> bool {
        Direction::BOTH.into_iter().all(|direction| {
            let change = self.direction(direction);
            change.is_made(flow.direction(direction))
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing = DirectionChange::default();
        self.inner_to_outer == nothing && self.outer_to_inner == nothing
    }

    /// Whether the answers differ in more, such as the beginning of custody or the buffer, which a
    /// connection can only have from its beginning.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Makes the change.
    ///
    /// # Errors
    /// [`UnknownFlow`] if the flow is gone.
    pub fn apply<P: Policy>(
        &self,
        engine: &mut Engine<'_, P>,
        flow: FlowId,
        now: Instant,
    ) -> Result<(), UnknownFlow> {
        for direction in Direction::BOTH {
            let change = self.direction(direction);
            change.apply(engine, flow, direction, now)?;
        }
        Ok(())
    }
}

/// Whether two controllers are the same for a flow. The rate of a share is the share's business: see
/// [`Policies::rate_changes`](super::Policies::rate_changes).
fn is_same_part(old: Controller, new: Controller) -> bool {
    match (old, new) {
        (Controller::Provisioned(mut old), Controller::Provisioned(new)) => {
            old.rate = new.rate;
            old == new
        }
        _ => old == new,
    }
}

/// Whether two configurations differ in what cannot be changed about a live flow.
fn has_more(before: &FlowConfig, after: &FlowConfig) -> bool {
    let mut before = *before;
    for direction in Direction::BOTH {
        before = before
            .with_service(direction, after.service(direction))
            .with_shaping(direction, after.shaping(direction));
    }
    before.controller = after.controller;
    before.inward_controller = after.inward_controller;
    before != *after
}

#[cfg(test)]
mod tests {
    use super::*;
    use localack_core::Custody;

    fn adopt(change: impl FnOnce(&mut FlowConfig)) -> Admit {
        let mut config = FlowConfig::inner_local_ack();
        change(&mut config);
        Admit::Adopt(config)
    }

    #[test]
    fn the_same_answer_changes_nothing() {
        for answer in [Admit::Pass, adopt(|_| {})] {
            let change = Change::between(&answer, &answer);
            assert!(change.is_empty() && !change.is_partial());
        }
    }

    #[test]
    fn only_what_differs_is_changed() {
        let after = adopt(|config| {
            config.outer_to_inner = Service::LocalAck;
            config.controller = Controller::Reno;
        });
        let change = Change::between(&adopt(|_| {}), &after);
        let there = change.direction(Direction::InnerToOuter);
        assert_eq!(
            (there.service, there.controller),
            (None, Some(Controller::Reno))
        );
        let back = change.direction(Direction::OuterToInner);
        assert_eq!(
            (back.service, back.controller),
            (Some(Service::LocalAck), None)
        );
        assert!(!change.is_empty() && !change.is_partial());
    }

    #[test]
    fn to_leave_a_flow_alone_is_to_serve_neither_direction() {
        let change = Change::between(&adopt(|_| {}), &Admit::Pass);
        let there = change.direction(Direction::InnerToOuter);
        assert_eq!(there.service, Some(Service::Bypass));
        assert_eq!(there.controller, None);
        let back = change.direction(Direction::OuterToInner);
        assert_eq!(*back, DirectionChange::default(), "nothing was served");
        assert!(!change.is_partial());
    }

    #[test]
    fn what_a_connection_has_from_its_beginning_stays() {
        let after = adopt(|config| config.custody = Custody::AfterHandshake);
        let change = Change::between(&adopt(|_| {}), &after);
        assert!(change.is_empty() && change.is_partial());
    }

    #[test]
    fn a_flow_of_a_share_keeps_its_controller_when_the_rate_changes() {
        let vouched = |rate, floor| {
            adopt(|config| {
                let Controller::Provisioned(mut provision) = Controller::provisioned(rate) else {
                    return;
                };
                provision.floor = floor;
                config.controller = Controller::Provisioned(provision);
            })
        };
        let faster = Change::between(&vouched(1000, 0), &vouched(2000, 0));
        assert!(faster.is_empty() && !faster.is_partial());
        let floor = Change::between(&vouched(1000, 0), &vouched(1000, 500));
        assert!(!floor.is_empty());
    }
}
