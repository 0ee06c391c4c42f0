//! From text to a script.

mod setup;
mod words;

use core::fmt;

use super::model::{Action, Expected, Outcome, PacketSpec, Quantity, Script, Setup, Side, Step};
use localack_core::{Service, Shaping};
use words::{hex, packet, term};

/// A line that is not as the format says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    line: usize,
    text: String,
    problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "script line {}: {}\n    {}",
            self.line, self.problem, self.text
        )
    }
}

impl core::error::Error for ParseError {}

type Result<T, E = String> = core::result::Result<T, E>;

impl Script {
    /// Parses a script; the format is described at [`crate::script`].
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut setup = Setup::default();
        let mut steps = Vec::new();
        for (line, text) in logical_lines(text) {
            let error = |problem| ParseError {
                line,
                text: text.clone(),
                problem,
            };
            if let Some(words) = text.strip_prefix("setup ") {
                setup::parse(words, &mut setup).map_err(error)?;
            } else {
                steps.push(step(line, &text).map_err(error)?);
            }
        }
        Ok(Self { setup, steps })
    }
}

/// Lines without comments, those that go on joined to the one they belong to.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        match lines.last_mut() {
            Some((_, previous)) if line.starts_with("=>") || line.starts_with(';') => {
                previous.push(' ');
                previous.push_str(line);
            }
            _ => lines.push((number, line.to_owned())),
        }
    }
    lines
}

fn step(line: usize, text: &str) -> Result<Step> {
    let (before, after) = match text.split_once("=>") {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    let mut words: Vec<&str> = before.split_whitespace().collect();
    let first = *words.first().ok_or("nothing before =>")?;
    let at_ms = match first.parse::<i64>() {
        Ok(at) => {
            words.remove(0);
            at
        }
        Err(_) if first == "handshake" => -1000,
        Err(_) => return Err(format!("{first} is not a time in ms")),
    };
    let action = action(&words)?;
    let outcome = after.map(outcome).transpose()?;
    Ok(Step {
        line,
        text: text.to_owned(),
        at_ms,
        action,
        outcome,
    })
}

fn side(word: &str) -> Option<Side> {
    match word {
        "I" => Some(Side::S),
        "O" => Some(Side::R),
        _ => None,
    }
}

fn action(words: &[&str]) -> Result<Action> {
    let reverse = words.contains(&"R->S");
    let rest: Vec<&str> = words
        .iter()
        .skip(1)
        .filter(|word| !word.contains("->"))
        .copied()
        .collect();
    Ok(match words {
        ["handshake"] => Action::Handshake,
        ["tick"] => Action::Tick,
        ["drain"] => Action::Drain,
        ["give-up"] => Action::GiveUp,
        ["sink", "open"] => Action::Sink { room: None },
        ["sink", "full"] => Action::Sink { room: Some(0) },
        ["sink", room] => Action::Sink {
            room: Some(
                room.parse()
                    .map_err(|_| format!("no number of packets: {room}"))?,
            ),
        },
        [word @ ("demote" | "promote" | "snoop"), ..] => Action::SetService {
            reverse,
            service: match *word {
                "promote" => Service::LocalAck,
                "snoop" => Service::Snoop,
                _ => Service::Bypass,
            },
        },
        ["shape", settings @ ..] => {
            let mut shaping = Shaping::NONE;
            for setting in settings.iter().filter(|word| !word.contains("->")) {
                setup::shape(setting, &mut shaping)?;
            }
            Action::Shape { reverse, shaping }
        }
        ["check", ..] => {
            let facts = rest.chunks(2).map(|fact| match fact {
                [name, value] => Ok(((*name).to_owned(), (*value).to_owned())),
                _ => Err("check needs pairs of name and value".to_owned()),
            });
            Action::Check {
                reverse,
                facts: facts.collect::<Result<_>>()?,
            }
        }
        [from, "raw", octets] => Action::Raw(
            side(from).ok_or("a packet arrives from I or O")?,
            hex(octets)?,
        ),
        [from @ ("I" | "O"), "ptb", "mtu", mtu, "seq", seq, rest @ ..] => Action::TooBig {
            from: side(from).ok_or("I or O")?,
            mtu: mtu.parse().map_err(|_| format!("{mtu} is not an MTU"))?,
            seq: term(seq)?,
            len: match rest {
                [] => None,
                ["len", len] => Some(len.parse().map_err(|_| format!("{len} is no length"))?),
                _ => return Err("ptb mtu n seq n len n".into()),
            },
        },
        [from, fields @ ..] => {
            let from = side(from).ok_or_else(|| format!("{from} is no action"))?;
            Action::Packet(from, Box::new(packet(fields)?))
        }
        [] => return Err("a time and nothing else".into()),
    })
}

fn outcome(text: &str) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut nothing = false;
    for item in text.split([';']).flat_map(|item| item.split("=>")) {
        let words: Vec<&str> = item.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["nothing"] => nothing = true,
            ["..."] => outcome.others_allowed = true,
            ["event", name @ ..] => outcome.events.push(name.join(" ")),
            [kind @ ("pass" | "forward" | "absorb" | "drop")] => {
                outcome.verdict = Some(((*kind).to_owned(), None));
            }
            [kind @ ("pass" | "absorb" | "drop"), slug] => {
                outcome.verdict = Some(((*kind).to_owned(), Some((*slug).to_owned())));
            }
            words => outcome.packets.push(expected(words, item.trim())?),
        }
    }
    let needs_packets = outcome.packets.iter().any(|packet| {
        matches!(
            packet.quantity,
            Quantity::One | Quantity::First | Quantity::Last
        )
    });
    if nothing && (needs_packets || outcome.others_allowed) {
        return Err("nothing, and yet something".into());
    }
    Ok(outcome)
}

fn expected(words: &[&str], text: &str) -> Result<Expected> {
    let (quantity, words) = match words {
        ["maybe", rest @ ..] => (Quantity::Maybe, rest),
        ["not", rest @ ..] => (Quantity::Not, rest),
        ["first", rest @ ..] => (Quantity::First, rest),
        ["last", rest @ ..] => (Quantity::Last, rest),
        ["each", rest @ ..] => (Quantity::Each, rest),
        rest => (Quantity::One, rest),
    };
    let (toward, fields) = match words {
        [">I", fields @ ..] => (Side::S, fields),
        [">O", fields @ ..] => (Side::R, fields),
        _ => return Err(format!("{text:?} is no outcome")),
    };
    let same = fields == ["same"];
    let packet = if same {
        PacketSpec::default()
    } else {
        packet(fields)?
    };
    Ok(Expected {
        quantity,
        toward,
        same,
        packet,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_on_belong_to_the_one_before() {
        let script = Script::parse(
            "setup mss 500 # comment\n\n 5 I 1:501\n   => absorb stored; >O 1..501\n   ; ...\n",
        )
        .unwrap();
        assert_eq!(script.setup.mss, 500);
        assert_eq!(script.steps.len(), 1);
        let outcome = script.steps[0].outcome.as_ref().unwrap();
        assert_eq!(
            outcome.verdict,
            Some(("absorb".into(), Some("stored".into())))
        );
        assert!(outcome.others_allowed);
        assert_eq!(outcome.packets.len(), 1);
    }

    #[test]
    fn nonsense_is_an_error_with_its_line() {
        for (text, line) in [
            ("setup mss x", 1),
            ("\n 0 Q . 1", 2),
            ("0 I 1:5 => nothing; >O 1:5", 1),
            ("0 I 1:5 => >X 1", 1),
            ("0 I 1:5 colour blue", 1),
            ("I 1:5", 1),
        ] {
            let error = Script::parse(text).expect_err(text);
            assert_eq!(error.line, line, "{error}");
        }
    }
}
