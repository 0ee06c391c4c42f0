//! What a search found, for people.

use core::fmt;

use localack_core::{Custody, Port};

use super::check;
use super::machine::Machine;
use super::scope::{MSS, Scope};
use super::segment::{Segments, origin};
use super::world::{Account, Action, Context, World};

/// Steps at either end of a sequence that are written down; a run that does not end repeats itself.
const MOST_SHOWN: usize = 50;
/// Steps without faults that a failure shows beyond its own.
const MOST_AFTER: usize = 12;

/// The size of a world that was explored to the end.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The scope's name.
    pub name: &'static str,
    /// Different states.
    pub states: usize,
    /// Steps from a state to another.
    pub edges: usize,
    /// States in which the connection is over.
    pub over: usize,
    /// Steps to the state farthest away.
    pub depth: usize,
    /// Most steps that any state needs to the end if nothing goes wrong from there on.
    pub longest: usize,
    /// Different states of the engine.
    pub engine_states: usize,
    /// Steps that the engine itself took.
    pub engine_steps: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            states,
            edges,
            over,
            depth,
            longest,
            engine_states,
            engine_steps,
        } = self;
        write!(
            f,
            "{name:<28} {states:>9} states, {edges:>9} steps, depth {depth:>3}, {over:>6} ends \
             within {longest:>3}; engine {engine_states:>7} states, {engine_steps:>7} steps"
        )
    }
}

/// A sequence of steps after which something is wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    name: &'static str,
    problem: String,
    /// What happened.
    lines: Vec<String>,
    /// The same as a packet script.
    script: Vec<String>,
}

impl Failure {
    /// Goes the way once more and takes notes.
    pub(super) fn new(scope: &Scope, actions: &[Action], problem: &str) -> Self {
        let mut context = Context {
            scope: *scope,
            machine: Machine::new(scope),
            segments: Segments::default(),
        };
        let mut failure = Self {
            name: scope.name,
            problem: problem.to_owned(),
            lines: Vec::new(),
            script: setup(scope),
        };
        let mut world = World::begin(&mut context);
        let start = world.now;
        for (place, &action) in actions.iter().enumerate() {
            let left = actions.len() - place;
            let (lines, script) = (failure.lines.len(), failure.script.len());
            world = failure.step(&world, action, start, &mut context);
            if place >= MOST_SHOWN && left > MOST_SHOWN {
                failure.lines.truncate(lines);
                failure.script.truncate(script);
                if left == MOST_SHOWN + 1 {
                    failure.lines.push("and so on, until".into());
                    failure.script.push("# and so on, until".into());
                }
            }
        }
        if check::faults(&world, &context).is_empty() {
            failure.lines.push("if all goes well from here on:".into());
            for _ in 0..MOST_AFTER {
                if world.is_over(&context) {
                    break;
                }
                let Some(action) = world.fair(&context) else {
                    break;
                };
                world = failure.step(&world, action, start, &mut context);
            }
        }
        failure
    }

    fn step(&mut self, world: &World, action: Action, start: u64, context: &mut Context) -> World {
        let mut account = Account {
            lines: Some(Vec::new()),
            ..Account::default()
        };
        let next = world.after(action, context, &mut account);
        let at_ms = next.now.saturating_sub(start) as f64 / 1000.0;
        self.lines.push(format!("{at_ms:>9.1} ms  {action}"));
        let said = account.lines.unwrap_or_default();
        self.lines
            .extend(said.into_iter().map(|line| format!("              {line}")));
        let whole_ms = next.now.saturating_sub(start) / 1000;
        let sent: Vec<String> = account
            .sent
            .iter()
            .map(|&(port, id)| format!(">{} {}", letter(port), context.segments.get(id)))
            .collect();
        let outcome = if sent.is_empty() {
            "nothing".to_owned()
        } else {
            sent.join("; ")
        };
        if let Some(id) = account.given {
            let segment = context.segments.get(id);
            self.script.push(format!(
                "{whole_ms:>6} {} {segment} => {outcome}",
                letter(segment.from)
            ));
        } else if !sent.is_empty() {
            self.script.push(format!("{whole_ms:>6} tick => {outcome}"));
        }
        next
    }
}

/// The letter of an end in packet scripts.
const fn letter(port: Port) -> char {
    match port {
        Port::Inner => 'I',
        Port::Outer => 'O',
    }
}

/// The first lines of a packet script of this world.
fn setup(scope: &Scope) -> Vec<String> {
    let services = match scope.served {
        [true, true] => "both",
        [true, false] => "local-ack",
        [false, true] => "reverse",
        [false, false] => "bypass",
    };
    let proof = match scope.custody {
        Custody::AfterHandshake => "proven",
        Custody::AfterProof => "unproven",
    };
    let client = match scope.client {
        Port::Inner => 'S',
        Port::Outer => 'R',
    };
    let on = |on: bool| if on { "on" } else { "off" };
    let windows = [Port::Inner, Port::Outer].map(|port| scope.app(port).buffer());
    let isns = [Port::Inner, Port::Outer].map(|port| origin(port).0);
    vec![
        format!(
            "setup {services} {proof} client {client} mss {MSS} shift off ts {} sack {}",
            on(scope.timestamps),
            on(scope.sack)
        ),
        format!(
            "setup S.w {} R.w {} S.isn {} R.isn {} rtt 100 buffer {} controller reno",
            windows[0],
            windows[1],
            isns[0],
            isns[1],
            scope.store * MSS
        ),
        "handshake".to_owned(),
    ]
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.problem)?;
        writeln!(f, "  what happened:")?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "  as a packet script:")?;
        self.script
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl core::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;
    use crate::worlds::{App, Budget};

    /// A scope that is given up after a few states shows how it came to the last of them.
    #[test]
    fn what_happened_is_a_script_that_holds() {
        for losses in [0, 1] {
            let scope = Scope {
                apps: [App::sending(3), App::sending(1)],
                served: [true; 2],
                budget: Budget {
                    losses,
                    ..Budget::NONE
                },
                most_states: 300,
                ..Scope::new("script")
            };
            let failure = scope.explore().expect_err("too few states are allowed");
            let text = failure.to_string();
            assert!(text.starts_with("script: the scope is too large"), "{text}");
            script::check(&failure.script.join("\n"));
        }
    }
}
