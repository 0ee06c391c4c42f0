//! Rules as they are sent: what policies are made into by whoever can read them.
#![forbid(unsafe_code)]

use super::reader::{Reader, Word};
use crate::abi::{
    self, Arrangement, LOCALACK_FROM_EITHER, LOCALACK_FROM_INNER, LOCALACK_FROM_OUTER, Rule,
    Serving,
};
use crate::rules::{Arranged, Name, Table};

/// Reads rules into a table that was cleared. Returns the revision that they were made from; `None` if something in
/// them means nothing, and then the table is of no use.
pub(super) fn read(reader: &mut Reader<'_, '_>, table: &mut Table) -> Option<u64> {
    let mut revision = None;
    let mut has_rest = false;
    reader.object(|key, reader| {
        let done = match key {
            b"revision" => {
                revision = Some(reader.number()?);
                true
            }
            b"settings" => reader.text(|text| table.keep_settings(text.as_bytes()))?,
            b"default" => {
                has_rest = true;
                table.serve_rest(&serving(reader)?)
            }
            b"arrangements" => {
                reader.list(|reader| arrangement(reader, table))?;
                true
            }
            b"policies" => {
                reader.list(|reader| policy(reader, table))?;
                true
            }
            _ => false,
        };
        done.then_some(())
    })?;
    revision.filter(|_| has_rest)
}

fn name(reader: &mut Reader<'_, '_>) -> Option<Name> {
    let word = reader.word()?;
    Name::new(str::from_utf8(word.octets()).ok()?)
}

fn arrangement(reader: &mut Reader<'_, '_>, table: &mut Table) -> Option<()> {
    let mut number = None;
    let mut called = None;
    let mut service = 0;
    let mut arrangement = Arrangement::default();
    reader.object(|key, reader| {
        match key {
            b"number" => number = Some(reader.number()?),
            b"name" => called = Some(name(reader)?),
            b"service" => service = self::service(reader)?.saturating_add(1),
            b"rate_limit" => arrangement.rate_limit = reader.number()?,
            b"ack_interval_us" => arrangement.ack_interval_us = reader.number()?,
            b"mss_clamp" => arrangement.mss_clamp = reader.number()?,
            _ => return None,
        }
        Some(())
    })?;
    let arranged = Arranged {
        arrangement,
        name: called?,
        service,
    };
    table.name(number?, arranged).then_some(())
}

fn policy(reader: &mut Reader<'_, '_>, table: &mut Table) -> Option<()> {
    let (mut called, mut served) = (None, None);
    let first = table.count_of_rules();
    reader.object(|key, reader| {
        match key {
            b"name" => called = Some(name(reader)?),
            b"serving" => served = Some(serving(reader)?),
            b"rules" => reader.list(|reader| {
                let rule = rule(reader)?;
                table.add(&rule).then_some(())
            })?,
            _ => return None,
        }
        Some(())
    })?;
    table.end_policy(called?, first, &served?).then_some(())
}

fn service(reader: &mut Reader<'_, '_>) -> Option<u8> {
    Some(match reader.word()?.octets() {
        b"bypass" => abi::LOCALACK_BYPASS,
        b"snoop" => abi::LOCALACK_SNOOP,
        b"local-ack" => abi::LOCALACK_LOCAL_ACK,
        _ => return None,
    })
}

fn controller(reader: &mut Reader<'_, '_>) -> Option<u8> {
    Some(match reader.word()?.octets() {
        b"reno" => abi::LOCALACK_RENO,
        b"cubic" => abi::LOCALACK_CUBIC,
        b"bbr" => abi::LOCALACK_BBR,
        b"provisioned" => abi::LOCALACK_PROVISIONED,
        _ => return None,
    })
}

/// How connections are served. What is left out is as usual; nothing is left alone unless it is said so.
fn serving(reader: &mut Reader<'_, '_>) -> Option<Serving> {
    let mut it = Serving {
        adopt: 1,
        controller: abi::LOCALACK_CUBIC,
        inward_controller: abi::LOCALACK_CUBIC,
        ..Serving::default()
    };
    let (mut rate, mut share) = (it.rate, it.share);
    let (mut floor, mut ceiling) = (it.floor, it.ceiling);
    let [mut arranged, mut reverse_arranged] = it.arrangement;
    reader.object(|key, reader| {
        let [outward, inward] = &mut rate;
        let [outward_share, inward_share] = &mut share;
        let [outward_floor, inward_floor] = &mut floor;
        let [outward_ceiling, inward_ceiling] = &mut ceiling;
        match key {
            b"track" => it.adopt = reader.flag()?.into(),
            b"inner_to_outer" => it.inner_to_outer = service(reader)?,
            b"outer_to_inner" => it.outer_to_inner = service(reader)?,
            b"arrangement" => arranged = reader.number()?,
            b"reverse_arrangement" => reverse_arranged = reader.number()?,
            b"controller" => it.controller = controller(reader)?,
            b"rate" => *outward = reader.number()?,
            b"share" => *outward_share = reader.number()?,
            b"floor" => *outward_floor = reader.number()?,
            b"ceiling" => *outward_ceiling = reader.number()?,
            b"reverse_controller" => it.inward_controller = controller(reader)?,
            b"reverse_rate" => *inward = reader.number()?,
            b"reverse_share" => *inward_share = reader.number()?,
            b"reverse_floor" => *inward_floor = reader.number()?,
            b"reverse_ceiling" => *inward_ceiling = reader.number()?,
            b"custody" => {
                it.after_handshake = match reader.word()?.octets() {
                    b"after-proof" => 0,
                    b"after-handshake" => 1,
                    _ => return None,
                }
            }
            b"pacing" => it.in_bursts = (!reader.flag()?).into(),
            b"careful_resume" => it.careful_resume = reader.flag()?.into(),
            b"buffer" => it.buffer_limit = reader.number()?,
            b"ack_delay_us" => it.ack_delay_us = reader.number()?,
            b"allow_dont_fragment" => it.allow_dont_fragment = reader.flag()?.into(),
            _ => return None,
        }
        Some(())
    })?;
    Some(Serving {
        rate,
        share,
        floor,
        ceiling,
        arrangement: [arranged, reverse_arranged],
        ..it
    })
}

/// One rule. What is left out asks nothing.
fn rule(reader: &mut Reader<'_, '_>) -> Option<Rule> {
    let mut rule = Rule {
        inner_ports: [0, u16::MAX],
        outer_ports: [0, u16::MAX],
        ..Rule::default()
    };
    let mut versions = [0; 2];
    reader.object(|key, reader| {
        let [inner_version, outer_version] = &mut versions;
        match key {
            b"from" => {
                rule.from = match reader.word()?.octets() {
                    b"either" => LOCALACK_FROM_EITHER,
                    b"inner" => LOCALACK_FROM_INNER,
                    b"outer" => LOCALACK_FROM_OUTER,
                    _ => return None,
                }
            }
            b"dscp" => rule.dscp = points(reader)?,
            b"inner" => (*inner_version, rule.inner, rule.inner_bits) = network(&reader.word()?)?,
            b"outer" => (*outer_version, rule.outer, rule.outer_bits) = network(&reader.word()?)?,
            b"inner_ports" => rule.inner_ports = reader.pair(Reader::number)?,
            b"outer_ports" => rule.outer_ports = reader.pair(Reader::number)?,
            _ => return None,
        }
        Some(())
    })?;
    rule.version = match versions {
        [version, 0] | [0, version] => version,
        [one, other] if one == other => one,
        _ => return None,
    };
    Some(rule)
}

/// Code points, as bits.
fn points(reader: &mut Reader<'_, '_>) -> Option<u64> {
    let mut bits = 0;
    reader.list(|reader| {
        bits |= 1_u64.checked_shl(reader.number()?)?;
        Some(())
    })?;
    Some(bits)
}

/// The IP version, the octets and the length of a network in hexadecimal digits, 8 or 32 of them, such as
/// `0a000000/8`. (Addresses as people write them are read by code of `core` that links panics.)
fn network(word: &Word) -> Option<(u8, [u8; 16], u8)> {
    let place = word.octets().iter().position(|octet| *octet == b'/')?;
    let (digits, bits) = word.octets().split_at_checked(place)?;
    let bits = str::from_utf8(bits.strip_prefix(b"/")?).ok()?;
    let version = match digits.len() {
        8 => 4,
        32 => 6,
        _ => return None,
    };
    let mut octets = [0; 16];
    let (pairs, _) = digits.as_chunks::<2>();
    for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Some((version, octets, bits.parse().ok()?))
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => octet.checked_sub(b'0'),
        b'a'..=b'f' => octet.checked_sub(b'a' - 10),
        _ => None,
    }
}
