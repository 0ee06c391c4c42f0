//! The words that describe a packet.

use super::Result;
use crate::packet::Flags;
use crate::script::model::{Number, PacketSpec, Place, Term};

/// `n`, `X`, `X+n` or `X-n`.
pub(super) fn term(word: &str) -> Result<Term> {
    let error = || format!("{word} is not a number");
    if let Ok(offset) = word.parse() {
        return Ok(Term {
            symbol: None,
            offset,
        });
    }
    let mut letters = word.chars();
    let symbol = letters
        .next()
        .filter(|letter| "MLEANXP".contains(*letter))
        .ok_or_else(error)?;
    let rest = letters.as_str();
    let offset = if rest.is_empty() {
        0
    } else {
        rest.parse().map_err(|_| error())?
    };
    Ok(Term {
        symbol: Some(symbol),
        offset,
    })
}

fn number(word: &str) -> Result<Number> {
    Ok(if word == "any" {
        Number::Any
    } else if let Some(least) = word.strip_prefix(">=") {
        Number::AtLeast(term(least)?)
    } else if let Some(most) = word.strip_prefix("<=") {
        Number::AtMost(term(most)?)
    } else {
        Number::Is(term(word)?)
    })
}

fn range(word: &str, separator: &str) -> Option<(Term, Term)> {
    let (start, end) = word.split_once(separator)?;
    Some((term(start).ok()?, term(end).ok()?))
}

/// Octets in hexadecimal.
pub(super) fn hex(word: &str) -> Result<Vec<u8>> {
    let error = || format!("{word} is not hexadecimal");
    if !word.is_ascii() || !word.len().is_multiple_of(2) {
        return Err(error());
    }
    (0..word.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&word[at..at + 2], 16).map_err(|_| error()))
        .collect()
}

/// The fields of a packet.
pub(super) fn packet(words: &[&str]) -> Result<PacketSpec> {
    let mut spec = PacketSpec::default();
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        match word {
            "seq" => spec.place = Some(Place::At(number(value()?)?)),
            "ack" => spec.ack = Some(number(value()?)?),
            "edge" => spec.edge = Some(number(value()?)?),
            "ts" => spec.stamp = Some(number(value()?)?),
            "tsecr" => spec.echo = Some(number(value()?)?),
            "w" => spec.window = Some(number(value()?)?),
            "len" => spec.len = Some(number(value()?)?),
            "up" => spec.urgent = Some(small(value()?)?),
            "ttl" => spec.hop_limit = Some(small(value()?)?),
            "tos" => spec.traffic_class = Some(small(value()?)?),
            "ecn" => spec.ecn = Some(small::<u8>(value()?)? & 3),
            "opt" => spec.options.extend(hex(value()?)?),
            "dsack" => {
                let word = value()?;
                spec.dsack = Some(range(word, ":").ok_or_else(|| format!("{word} is no block"))?);
            }
            "data" => {
                let word = value()?;
                let fill = word.trim_matches('\'').bytes().next();
                spec.fill = Some(fill.ok_or_else(|| format!("{word} is no fill"))?);
            }
            "sack" => {
                let mut blocks = Vec::new();
                while let Some(block) = words.peek().and_then(|word| range(word, ":")) {
                    blocks.push(block);
                    words.next();
                }
                words.next_if_eq(&"none");
                spec.sack = Some(blocks);
            }
            "badsum" => spec.bad_checksum = true,
            "verified" => spec.checksum_vouched = true,
            "partial" => spec.checksum_partial = true,
            "frag" => spec.fragment = true,
            "df0" => spec.may_fragment = true,
            "ipopt" => spec.ip_options = true,
            "odd" => spec.odd = true,
            "nots" => spec.no_stamp = true,
            "fin" => spec.fin = true,
            _ => free_word(word, &mut spec)?,
        }
    }
    Ok(spec)
}

/// A word that no key announces: flags, a place, a window.
fn free_word(word: &str, spec: &mut PacketSpec) -> Result<()> {
    if let Some((start, end)) = range(word, "..") {
        spec.place = Some(Place::Series(start, end));
    } else if let Some((start, end)) = range(word, ":") {
        spec.place = Some(Place::Range(start, end));
    } else if let Some(window) = word.strip_prefix('w') {
        spec.window = Some(number(window)?);
    } else if let (None, None, Some(flags)) = (spec.flags, spec.place, Flags::parse(word)) {
        spec.flags = Some(flags);
    } else if let Some(length) = word.strip_prefix("len") {
        spec.len = Some(number(length)?);
    } else {
        spec.place = Some(Place::At(number(word)?));
    }
    Ok(())
}

fn small<T: core::str::FromStr>(word: &str) -> Result<T> {
    word.parse()
        .map_err(|_| format!("{word} is not a number that fits"))
}
