//! Breadth first through all states, and whether every run ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::check;
use super::machine::Machine;
use super::report::{Failure, Summary};
use super::scope::Scope;
use super::segment::Segments;
use super::world::{Account, Action, Context, World};

/// Steps that a run may take; no run of so small a world needs as many.
const MOST_STEPS: usize = 150;

/// A state as the search remembers it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The state before it, and how it came to be.
    from: Option<(u32, Action)>,
    /// The state that follows if all goes well from now on; `None` in a last state.
    fair: Option<u32>,
}

/// The search.
#[derive(Debug)]
struct Search {
    context: Context,
    seen: Vec<Seen>,
    known: HashMap<u128, u32>,
    edges: usize,
    over: usize,
}

impl Scope {
    /// Explores everything that may happen in this world.
    ///
    /// # Errors
    /// The shortest sequence found after which something is wrong, or after which nothing more
    /// happens although the connection is not over.
    pub fn explore(&self) -> Result<Summary, Box<Failure>> {
        let mut context = Context {
            scope: *self,
            machine: Machine::new(self),
            segments: Segments::default(),
        };
        let start = World::begin(&mut context);
        let mut search = Search {
            context,
            seen: vec![Seen {
                from: None,
                fair: None,
            }],
            known: HashMap::from([(start.digest(), 0)]),
            edges: 0,
            over: 0,
        };
        let depth = search.breadth_first(&start)?;
        let longest = search.fair_runs()?;
        Ok(Summary {
            name: self.name,
            states: search.seen.len(),
            edges: search.edges,
            over: search.over,
            depth,
            longest,
            engine_states: search.context.machine.len(),
            engine_steps: search.context.machine.steps(),
        })
    }
}

impl Search {
    /// Visits every state; answers how many steps the farthest is away.
    fn breadth_first(&mut self, start: &World) -> Result<usize, Box<Failure>> {
        let mut level = vec![(0, start.clone())];
        let mut depth = 0;
        while !level.is_empty() {
            if depth > MOST_STEPS {
                return Err(self.failure(level[0].0, None, "the run does not end"));
            }
            let mut next = Vec::new();
            for (place, world) in &level {
                self.expand(*place, world, &mut next)?;
            }
            if self.seen.len() > self.context.scope.most_states {
                let problem = "the scope is too large to be searched";
                return Err(self.failure(level[0].0, None, problem));
            }
            level = next;
            depth += 1;
        }
        Ok(depth - 1)
    }

    fn expand(
        &mut self,
        place: u32,
        world: &World,
        next: &mut Vec<(u32, World)>,
    ) -> Result<(), Box<Failure>> {
        if world.is_over(&self.context) {
            self.over += 1;
            return Ok(());
        }
        let Some(fair) = world.fair(&self.context) else {
            let problem = "nothing more happens, and the connection is not over";
            return Err(self.failure(place, None, problem));
        };
        for action in world.actions(&self.context) {
            self.edges += 1;
            let mut account = Account::default();
            let after = world.after(action, &mut self.context, &mut account);
            account.faults.extend(check::faults(&after, &self.context));
            if !account.faults.is_empty() {
                let problem = account.faults.join("; ");
                return Err(self.failure(place, Some(action), &problem));
            }
            let count = u32::try_from(self.seen.len()).expect("a small world");
            let target = match self.known.entry(after.digest()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(free) => {
                    free.insert(count);
                    self.seen.push(Seen {
                        from: Some((place, action)),
                        fair: None,
                    });
                    next.push((count, after));
                    count
                }
            };
            if action == fair {
                self.seen[place as usize].fair = Some(target);
            }
        }
        Ok(())
    }

    /// Follows every state to its end in a world without faults; answers the longest way.
    fn fair_runs(&self) -> Result<usize, Box<Failure>> {
        let mut steps: Vec<Option<usize>> = vec![None; self.seen.len()];
        let mut longest = 0;
        for place in 0..self.seen.len() {
            let (mut way, mut at) = (vec![], place);
            while steps[at].is_none() {
                way.push(at);
                match self.seen[at].fair {
                    None => steps[at] = Some(0),
                    Some(next) => at = next as usize,
                }
                if way.len() > self.seen.len() {
                    let from = u32::try_from(place).expect("a small world");
                    let problem = "from here on all goes well, and yet it goes round in circles";
                    return Err(self.failure(from, None, problem));
                }
            }
            let mut count = steps[at].unwrap_or(0);
            while let Some(back) = way.pop() {
                if steps[back].is_none() {
                    count += 1;
                    steps[back] = Some(count);
                }
            }
            longest = longest.max(steps[place].unwrap_or(0));
        }
        Ok(longest)
    }

    /// The way to a state, and one action more.
    fn failure(&self, place: u32, last: Option<Action>, problem: &str) -> Box<Failure> {
        let mut actions: Vec<Action> = last.into_iter().collect();
        let mut at = place;
        while let Some((from, action)) = self.seen[at as usize].from {
            actions.push(action);
            at = from;
        }
        actions.reverse();
        Box::new(Failure::new(&self.context.scope, &actions, problem))
    }
}
