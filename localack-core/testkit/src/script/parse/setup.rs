//! Setup lines.

use core::str::FromStr;
use core::time::Duration;

use localack_core::{Controller, Service, Shaping};

use super::Result;
use super::words::hex;
use crate::packet::Flags;
use crate::script::model::{Choice, Proof, Setup, Side, SideSetup};

/// Adds the settings of one line.
pub(super) fn parse(line: &str, setup: &mut Setup) -> Result<()> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        match word {
            "local-ack" => setup.services = [Service::LocalAck, Service::Bypass],
            "both" => setup.services = [Service::LocalAck; 2],
            "reverse" => setup.services = [Service::Bypass, Service::LocalAck],
            "bypass" => setup.services = [Service::Bypass; 2],
            "snoop" => setup.services = [Service::Snoop, Service::Bypass],
            "snoop-both" => setup.services = [Service::Snoop; 2],
            "snoop-local-ack" => setup.services = [Service::Snoop, Service::LocalAck],
            "shape" => shape(value()?, &mut setup.shaping[0])?,
            "shape-reverse" => shape(value()?, &mut setup.shaping[1])?,
            "proven" => setup.proof = Proof::Given,
            "unproven" => setup.proof = Proof::Missing,
            "client" => setup.client = Some(side(value()?)?),
            "inner" => setup.inner = side(value()?)?,
            "mss" => setup.mss = number(value()?)?,
            "rtt" => setup.rtt_ms = number(value()?)?,
            "buffer" => setup.buffer = Some(number(value()?)?),
            "debt_floor" => setup.debt_floor = Some(number(value()?)?),
            "queue_floor" => setup.queue_floor = Some(number(value()?)?),
            "ack_delay" => setup.ack_delay_ms = Some(number(value()?)?),
            "give_up" => setup.give_up_s = Some(number(value()?)?),
            "mtu" => setup.mtu = Some(number(value()?)?),
            "blocks" => setup.blocks = number(value()?)?,
            "flows" => setup.flows = number(value()?)?,
            "reserved" => setup.reserved = Some(number(value()?)?),
            "ip" => {
                let version = value()?;
                setup.versions = [version == "v4", version == "v6"];
            }
            "pacing" => setup.pacing = value()? == "on",
            "controller" => {
                setup.controller = match value()? {
                    "reno" => Controller::Reno,
                    "cubic" => Controller::Cubic,
                    "bbr" => Controller::Bbr,
                    rate => Controller::provisioned(number(rate)?),
                };
            }
            "df" => setup.allow_df = value()? == "allow",
            "laws" => setup.laws = value()? == "on",
            _ => {
                let (sides, key) = match word.split_once('.') {
                    Some((name, key)) => (vec![side(name)?], key),
                    None => (Side::BOTH.to_vec(), word),
                };
                let value = value()?;
                for side in sides {
                    of_side(key, value, &mut setup.sides[side.index()])?;
                }
            }
        }
    }
    Ok(())
}

fn of_side(key: &str, value: &str, side: &mut SideSetup) -> Result<()> {
    match key {
        "w" => side.window = Some(number(value)?),
        "shift" => {
            side.shift = Some(if value == "off" {
                None
            } else {
                Some(number(value)?)
            });
        }
        "ts" => match choice(value) {
            Ok(choice) => side.timestamps = choice,
            Err(_) => {
                side.first_stamp = Some(number(value)?);
                side.timestamps = Choice::On;
            }
        },
        "sack" => side.sack = choice(value)?,
        "isn" => side.isn = Some(number(value)?),
        "opt" => side.syn_options = hex(value)?,
        "flags" => {
            side.syn_flags = Flags::parse(value).ok_or_else(|| format!("{value} are no flags"))?;
        }
        _ => return Err(format!("{key} is no setting")),
    }
    Ok(())
}

/// Settings such as `rate=1000,ack=10,mss=500`: octets per second, milliseconds, octets.
pub(super) fn shape(words: &str, shaping: &mut Shaping) -> Result<()> {
    for word in words.split(',') {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{word} is no setting of a shape"))?;
        *shaping = match key {
            "rate" => shaping.with_rate_limit(number(value)?),
            "ack" => shaping.with_ack_interval(Duration::from_millis(number(value)?)),
            "mss" => shaping.with_mss_clamp(number(value)?),
            _ => return Err(format!("{key} is no setting of a shape")),
        };
    }
    Ok(())
}

fn side(word: &str) -> Result<Side> {
    match word {
        "S" => Ok(Side::S),
        "R" => Ok(Side::R),
        _ => Err(format!("{word} is neither S nor R")),
    }
}

fn choice(word: &str) -> Result<Choice> {
    match word {
        "on" => Ok(Choice::On),
        "off" => Ok(Choice::Off),
        "either" => Ok(Choice::Either),
        _ => Err(format!("{word} is not on, off or either")),
    }
}

fn number<T: FromStr>(word: &str) -> Result<T> {
    word.parse()
        .map_err(|_| format!("{word} is not a number that fits"))
}
