//! The numbers that arrangements have in the engines.
//!
//! A flow names what is done with it by a number, and engines keep what each number means. A name keeps its
//! number as long as there is an arrangement of that name, in other processes that go on with the same flows
//! too: [`Numbers`] go to them.

use localack_core::{Engine, Instant, Policy, Service, Shaping, ShapingId};
use serde::{Deserialize, Serialize};

use crate::config::{ArrangementSettings, NO_ARRANGEMENT};

/// Which number each name has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numbers(Vec<(u8, String)>);

impl FromIterator<(u8, String)> for Numbers {
    fn from_iter<I: IntoIterator<Item = (u8, String)>>(numbered: I) -> Self {
        Self(numbered.into_iter().collect())
    }
}

impl Numbers {
    fn of(&self, name: &str) -> Option<usize> {
        let found = self.0.iter().find(|(_, other)| other == name);
        found.map(|(number, _)| usize::from(*number))
    }

    fn has(&self, number: usize) -> bool {
        self.0
            .iter()
            .any(|(other, _)| usize::from(*other) == number)
    }
}

/// The arrangements of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangements {
    /// By their numbers; the first is always empty.
    cells: [Option<ArrangementSettings>; ShapingId::COUNT],
}

/// There is no arrangement of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no arrangement called {0:?}")]
pub struct UnknownArrangement(pub String);

impl Arrangements {
    /// Those of some settings. What has a number keeps it, and others get one that nothing had, as long as there
    /// is one: so no flow gets what it was not meant to have.
    pub(super) fn new(settings: &[ArrangementSettings], before: &Numbers) -> Self {
        let mut all = Self::default();
        let mut new = Vec::new();
        for one in settings {
            let known = before.of(&one.name).filter(|number| *number > 0);
            match known.and_then(|number| all.cells.get_mut(number)) {
                Some(cell) => *cell = Some(one.clone()),
                None => new.push(one),
            }
        }
        for one in new {
            let is_free = |number: &usize| matches!(all.cells.get(*number), Some(None));
            let mut free = (1..ShapingId::COUNT).filter(is_free);
            let fresh = free.clone().find(|number| !before.has(*number));
            // There are no more in settings that were read.
            let number = fresh.or_else(|| free.next());
            if let Some(cell) = number.and_then(|number| all.cells.get_mut(number)) {
                *cell = Some(one.clone());
            }
        }
        all
    }

    /// All of them, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ShapingId, &ArrangementSettings)> {
        let numbered = (0..).zip(&self.cells);
        numbered.filter_map(|(number, cell)| Some((ShapingId::new(number)?, cell.as_ref()?)))
    }

    /// What they are numbered.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let numbered = self.iter();
        Numbers(
            numbered
                .map(|(id, one)| (id.number(), one.name.clone()))
                .collect(),
        )
    }

    /// The one that has this number.
    #[must_use]
    pub fn get(&self, id: ShapingId) -> Option<&ArrangementSettings> {
        self.cells.get(usize::from(id.number()))?.as_ref()
    }

    /// The name of the one that has this number.
    #[must_use]
    pub fn name(&self, id: ShapingId) -> Option<&str> {
        self.get(id).map(|one| one.name.as_str())
    }

    /// The number of the one that has this name, and the service that it names.
    ///
    /// # Errors
    /// [`UnknownArrangement`]; [`NO_ARRANGEMENT`] is known, and names none.
    pub fn find(&self, name: &str) -> Result<(ShapingId, Option<Service>), UnknownArrangement> {
        if name == NO_ARRANGEMENT {
            return Ok((ShapingId::NONE, None));
        }
        let found = self.iter().find(|(_, one)| one.name == name);
        let found = found.map(|(id, one)| (id, one.service()));
        found.ok_or_else(|| UnknownArrangement(name.to_owned()))
    }

    fn shaping(&self, id: ShapingId) -> Shaping {
        self.get(id)
            .map_or(Shaping::NONE, ArrangementSettings::shaping)
    }

    /// Whether this number means something else than `before`.
    #[must_use]
    pub fn differs(&self, before: &Self, id: ShapingId) -> bool {
        self.shaping(id) != before.shaping(id)
    }

    /// Tells an engine what each number means. All of its flows are treated so from the next packet on.
    pub fn tell<P: Policy>(&self, engine: &mut Engine<'_, P>, now: Instant) {
        for id in (0..).map_while(ShapingId::new) {
            if self.shaping(id) != engine.shaping(id) {
                engine.set_shaping(id, &self.shaping(id), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MOST_ARRANGEMENTS;

    fn settings(names: &[&str]) -> Vec<ArrangementSettings> {
        names
            .iter()
            .map(|name| ArrangementSettings::new(*name))
            .collect()
    }

    fn numbered(all: &Arrangements) -> Vec<(u8, &str)> {
        all.iter()
            .map(|(id, one)| (id.number(), one.name.as_str()))
            .collect()
    }

    #[test]
    fn a_name_keeps_its_number_and_new_ones_get_others() {
        let first = Arrangements::new(&settings(&["a", "b", "c"]), &Numbers::default());
        assert_eq!(numbered(&first), [(1, "a"), (2, "b"), (3, "c")]);
        let second = Arrangements::new(&settings(&["x", "c", "a"]), &first.numbers());
        assert_eq!(numbered(&second), [(1, "a"), (3, "c"), (4, "x")]);
        let third = Arrangements::new(&settings(&["y"]), &second.numbers());
        assert_eq!(numbered(&third), [(2, "y")]);
        for (number, name) in numbered(&second) {
            let id = ShapingId::new(number).unwrap();
            assert_eq!(second.find(name), Ok((id, None)));
            assert_eq!(second.name(id), Some(name));
        }
        assert_eq!(second.find("b"), Err(UnknownArrangement("b".to_owned())));
        assert_eq!(
            second.find(NO_ARRANGEMENT),
            Ok((ShapingId::NONE, None)),
            "nothing is an arrangement"
        );
    }

    #[test]
    fn all_of_them_have_numbers_even_if_others_had_them_before() {
        let names = |letter: char| -> Vec<String> {
            (0..MOST_ARRANGEMENTS)
                .map(|number| format!("{letter}{number}"))
                .collect()
        };
        let all = |letter| -> Vec<_> {
            let names = names(letter).into_iter();
            names.map(ArrangementSettings::new).collect()
        };
        let first = Arrangements::new(&all('a'), &Numbers::default());
        assert_eq!(first.iter().count(), MOST_ARRANGEMENTS);
        let second = Arrangements::new(&all('b'), &first.numbers());
        assert_eq!(second.iter().count(), MOST_ARRANGEMENTS);
    }

    #[test]
    fn numbers_that_make_no_sense_do_no_harm() {
        let odd: Numbers = serde_json::from_str("[[0,\"a\"],[16,\"b\"],[255,\"c\"]]").unwrap();
        let all = Arrangements::new(&settings(&["a", "b", "c"]), &odd);
        assert_eq!(numbered(&all), [(1, "a"), (2, "b"), (3, "c")]);
    }
}
