//! Options that several subcommands share.

use core::net::IpAddr;

use clap::{Args, ValueEnum};
use console::Term;
use ipnet::IpNet;
use localack_core::{Controller, Service};

use crate::replay::{Checksums, Inner, Options};
use crate::report::{Layout, Sort};
use crate::whatif::ControllerChoice;

/// How captures are replayed.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Which end of a connection is the inner one, whose data is served: `auto` (the end with the
    /// shorter handshake round trip), or networks in CIDR form, separated by commas.
    #[arg(long, value_name = "auto|CIDR[,CIDR]", default_value = "auto", value_parser = parse_inner)]
    inner: Inner,
    /// What the engine does with that data.
    #[arg(long, value_enum, default_value_t = ServiceArg::LocalAck)]
    service: ServiceArg,
    /// Serve the data of both ends.
    #[arg(long)]
    both_directions: bool,
    /// Who decides how much may be in flight toward the receivers [default: cubic].
    #[arg(long, value_enum)]
    controller: Option<ControllerArg>,
    /// Vouch for a rate instead, such as 20mbit, which all connections share; once each way.
    #[arg(long, value_name = "RATE", conflicts_with = "controller", value_parser = parse_rate)]
    rate: Option<u32>,
    /// Let Reno and CUBIC send at once what an acknowledgement allows.
    #[arg(long, conflicts_with = "rate")]
    no_pacing: bool,
    /// Flows that the engine can hold.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    flows: u32,
    /// Octets lent to the engine for data in custody; K, M and G stand for powers of 1024.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_size)]
    buffer: usize,
    /// What wrong checksums mean.
    #[arg(long, value_enum, default_value_t = ChecksumsArg::Auto)]
    checksums: ChecksumsArg,
}

/// Which conversations are shown first.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// Conversations that are shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Their order.
    #[arg(long, value_enum, default_value_t = SortArg::Bytes)]
    sort: SortArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceArg {
    /// Acknowledge it at once, hold it, and deliver it.
    LocalAck,
    /// Keep copies of it, and answer losses on the receiver's side from them.
    Snoop,
    /// Nothing: follow the connections only.
    Bypass,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ControllerArg {
    /// The window grows by a segment a round trip and is halved by a loss.
    Reno,
    /// It follows a cubic curve of the time since the last loss.
    Cubic,
    /// It follows a model of the path's bandwidth and shortest round trip.
    Bbr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ChecksumsArg {
    /// A sender's usual pseudo-header sums are offloaded, other wrong sums are corruption.
    Auto,
    /// Every wrong sum is corruption.
    Verify,
    /// No sum is looked at.
    Trust,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SortArg {
    /// Most payload first.
    Bytes,
    /// Most packets first.
    Packets,
    /// Longest wait for ACKs first.
    Wait,
    /// Most waiting saved first.
    Saved,
    /// In the order of their first packets.
    Start,
}

impl EngineArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            inner: self.inner.clone(),
            both_directions: self.both_directions,
            service: match self.service {
                ServiceArg::LocalAck => Service::LocalAck,
                ServiceArg::Snoop => Service::Snoop,
                ServiceArg::Bypass => Service::Bypass,
            },
            controller: match (self.rate, self.controller) {
                (Some(rate), _) => Controller::provisioned(rate),
                (None, Some(ControllerArg::Reno)) => Controller::Reno,
                (None, Some(ControllerArg::Cubic) | None) => Controller::Cubic,
                (None, Some(ControllerArg::Bbr)) => Controller::Bbr,
            },
            pacing: !self.no_pacing,
            flows: self.flows as usize,
            buffer: self.buffer,
            checksums: match self.checksums {
                ChecksumsArg::Auto => Checksums::Auto,
                ChecksumsArg::Verify => Checksums::Verify,
                ChecksumsArg::Trust => Checksums::Trust,
            },
        }
    }
}

impl EngineArgs {
    /// The same controller for a simulation, whose default is another.
    pub(super) const fn simulated(&self) -> ControllerChoice {
        match (self.rate, self.controller) {
            (Some(_), _) => ControllerChoice::Provisioned,
            (None, Some(ControllerArg::Reno)) => ControllerChoice::Reno,
            (None, Some(ControllerArg::Cubic)) => ControllerChoice::Cubic,
            (None, Some(ControllerArg::Bbr) | None) => ControllerChoice::Bbr,
        }
    }
}

impl OrderArgs {
    /// The text report's layout, as wide as the terminal.
    pub(super) fn layout(&self) -> Layout {
        /// Columns where there is no terminal.
        const PLAIN: usize = 100;
        let width = Term::stdout()
            .size_checked()
            .map_or(PLAIN, |(_, columns)| columns.into());
        let sort = match self.sort {
            SortArg::Bytes => Sort::Bytes,
            SortArg::Packets => Sort::Packets,
            SortArg::Wait => Sort::Wait,
            SortArg::Saved => Sort::Saved,
            SortArg::Start => Sort::Start,
        };
        Layout {
            width,
            top: self.top,
            sort,
        }
    }
}

fn parse_inner(text: &str) -> Result<Inner, String> {
    if text == "auto" {
        return Ok(Inner::Auto);
    }
    let network = |part: &str| {
        let host = || part.parse::<IpAddr>().map(IpNet::from);
        part.parse()
            .or_else(|_| host())
            .map_err(|_| format!("{part:?} is not a network such as 192.0.2.0/24"))
    };
    text.split(',')
        .map(|part| network(part.trim()))
        .collect::<Result<_, _>>()
        .map(Inner::Networks)
}

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    /// Below this not even one segment finds room.
    const LEAST: usize = 8 << 10;
    const MOST: usize = 16 << 30;
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let size = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    size.filter(|size| (LEAST..=MOST).contains(size))
        .ok_or_else(|| "not a number of octets between 8K and 16G".to_owned())
}

/// Reads bits per second, and answers octets per second.
fn parse_rate(text: &str) -> Result<u32, String> {
    const UNITS: [(&str, u64); 4] = [
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("bit", 1),
    ];
    /// Below this a segment takes more than a second.
    const LEAST: u64 = 8_000;
    const MOST: u64 = 32_000_000_000;
    let lower = text.to_ascii_lowercase();
    let bits = UNITS.into_iter().find_map(|(unit, worth)| {
        let number = lower.strip_suffix(unit)?.parse::<u64>().ok()?;
        number.checked_mul(worth)
    });
    bits.filter(|bits| (LEAST..=MOST).contains(bits))
        .and_then(|bits| u32::try_from(bits / 8).ok())
        .ok_or_else(|| "not a rate between 8kbit and 32gbit per second".to_owned())
}
