//! What actions have of the arrangements that they name.

use super::actions::Actions;
use super::arrangement::{self, ArrangementSettings, NO_ARRANGEMENT};
use super::reader::{Entry, Reader, Section};
use super::value::text;
use super::words::ServiceChoice;

/// The service of the arrangement of this name, if there is one and it names one.
fn service_of(
    name: Option<&String>,
    arrangements: &[ArrangementSettings],
) -> Option<ServiceChoice> {
    arrangement::find(arrangements, name?)?.service
}

impl Actions {
    /// Those of `[default]` with what was built in. Where an arrangement may name the service, none is built in.
    pub(super) fn completed(&self, builtin: &Self) -> Self {
        let mut all = self.or(builtin);
        for (service, own, name) in [
            (
                &mut all.inner_to_outer,
                self.inner_to_outer,
                &self.arrangement,
            ),
            (
                &mut all.outer_to_inner,
                self.outer_to_inner,
                &self.reverse_arrangement,
            ),
        ] {
            if name.as_deref().is_some_and(|name| name != NO_ARRANGEMENT) {
                *service = own;
            }
        }
        all
    }

    /// The same with the services that their arrangements name, where they name none themselves.
    #[must_use]
    pub fn arranged(&self, arrangements: &[ArrangementSettings]) -> Self {
        let mut arranged = self.clone();
        for (service, name) in [
            (&mut arranged.inner_to_outer, &self.arrangement),
            (&mut arranged.outer_to_inner, &self.reverse_arrangement),
        ] {
            *service = service.or(service_of(name.as_ref(), arrangements));
        }
        arranged
    }

    /// The same as a file would have it: without the services that their arrangements name as well, and without
    /// an arrangement that names another service. Who has a service of its own did not name that one, but has it
    /// of `[default]`.
    #[must_use]
    pub fn without_arranged(&self, arrangements: &[ArrangementSettings]) -> Self {
        let mut actions = self.clone();
        for (service, name) in [
            (&mut actions.inner_to_outer, &mut actions.arrangement),
            (
                &mut actions.outer_to_inner,
                &mut actions.reverse_arrangement,
            ),
        ] {
            let named = service_of(name.as_ref(), arrangements);
            if service.is_some() && *service == named {
                *service = None;
            } else if service.is_some() && named.is_some() {
                *name = None;
            }
        }
        actions
    }

    /// Whether they name this arrangement.
    #[must_use]
    pub fn name_arrangement(&self, name: &str) -> bool {
        let names = [&self.arrangement, &self.reverse_arrangement];
        names.into_iter().flatten().any(|other| other == name)
    }

    /// Reads the names of arrangements, before the services are read.
    pub(super) fn read_arrangements(
        &mut self,
        section: &mut Section<'_>,
        reader: &mut Reader<'_>,
        arrangements: &[ArrangementSettings],
    ) {
        for (key, services, place) in [
            (
                "arrangement",
                &["service", "inner_to_outer"][..],
                &mut self.arrangement,
            ),
            (
                "reverse_arrangement",
                &["outer_to_inner"],
                &mut self.reverse_arrangement,
            ),
        ] {
            let stated = services
                .iter()
                .find(|service| section.place_of(service).is_some());
            let known = |text: &str| arrangement::known(text, arrangements);
            let Some(Entry { span, value }) = section.read(reader, key, text(known)) else {
                continue;
            };
            if let Some(service) = stated
                && service_of(Some(&value), arrangements).is_some()
            {
                let message =
                    format!("`{key}`: {value:?} names a service, too: leave out `{service}`");
                reader.report(span, message);
            }
            *place = Some(value);
        }
    }
}
