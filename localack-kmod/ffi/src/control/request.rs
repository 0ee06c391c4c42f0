//! What can be asked for.
#![forbid(unsafe_code)]

use localack_core::{Direction, FlowId, Service};

use super::reader::{Piece, Reader, Word};
use super::ruling;
use super::writer::Text;
use crate::rules::Table;

/// A line that was read.
pub(super) struct Question {
    pub(super) id: Option<u64>,
    pub(super) request: Result<Request, Failure>,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    BadRequest,
    Version,
    UnknownFlow,
    UnknownArrangement,
    TwoServices,
    BadRules,
    Changed,
    Refused(&'static str),
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one, on the stack, and no memory to put a part elsewhere"
)]
pub(super) enum Request {
    Status,
    /// At most so many.
    Flows(u64),
    Flow(SetFlow),
    Stats,
    Drain,
    Rules,
    /// Rules that were read into the spare table, made from those of this revision.
    SetRules(u64),
    Reset,
    /// localack-tun would answer.
    Elsewhere,
}

/// Another service or arrangement for a flow.
pub(super) struct SetFlow {
    pub(super) flow: Named,
    pub(super) direction: Option<Direction>,
    pub(super) service: Option<Service>,
    pub(super) arrangement: Option<Word>,
}

/// What names a flow.
pub(super) enum Named {
    Id(FlowId),
    /// As other answers write them.
    Ends([Word; 2]),
}

/// Flows in an answer, unless it is said how many.
const USUAL_LIMIT: u64 = 100;

impl Question {
    /// Reads a line; rules go into `table`.
    pub(super) fn read(line: &[u8], scratch: &mut [u8], table: &mut Table) -> Self {
        let (mut version, mut id, mut request) = (None, None, None);
        let mut has_rules = false;
        let mut reader = Reader::new(line, scratch);
        let whole = reader.object(|key, reader| {
            match key {
                b"v" => version = Some(reader.number()?),
                b"id" => id = Some(reader.number()?),
                b"request" => request = Some(Request::read(reader, table, &mut has_rules)?),
                _ => return None,
            }
            Some(())
        });
        let request = match (whole, version, request) {
            (Some(()), Some(1), Some(request)) if reader.is_at_end() => Ok(request),
            (_, Some(other), _) if other != 1_u64 => Err(Failure::Version),
            (_, _, None) if has_rules => Err(Failure::BadRules),
            _ => Err(Failure::BadRequest),
        };
        Self { id, request }
    }
}

impl Request {
    fn read(reader: &mut Reader<'_, '_>, table: &mut Table, has_rules: &mut bool) -> Option<Self> {
        if let Piece::Text(word) = reader.look()? {
            reader.take()?;
            return Some(match word.octets() {
                b"status" => Self::Status,
                b"stats" => Self::Stats,
                b"drain" => Self::Drain,
                b"rules" => Self::Rules,
                b"reset" => Self::Reset,
                b"refused" | b"policy-list" | b"policy-reload" | b"arrangement-list" => {
                    Self::Elsewhere
                }
                _ => return None,
            });
        }
        let mut request = None;
        reader.object(|key, reader| {
            request = Some(match key {
                b"flows" => Self::Flows(limit(reader)?),
                b"flow" => Self::Flow(SetFlow::read(reader)?),
                b"set-rules" => {
                    *has_rules = true;
                    table.clear();
                    Self::SetRules(ruling::read(reader, table)?)
                }
                _ => return None,
            });
            Some(())
        })?;
        request
    }
}

fn limit(reader: &mut Reader<'_, '_>) -> Option<u64> {
    let mut limit = USUAL_LIMIT;
    reader.object(|key, reader| {
        match key {
            b"limit" => limit = reader.number()?,
            b"sort" => drop(reader.word()?),
            _ => return None,
        }
        Some(())
    })?;
    Some(limit)
}

impl SetFlow {
    fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let (mut flow, mut direction, mut service) = (None, None, None);
        let mut arrangement = None;
        reader.object(|key, reader| {
            match key {
                b"flow" => flow = Some(Named::read(reader)?),
                b"direction" => {
                    direction = Some(match reader.word()?.octets() {
                        b"inner-to-outer" => Direction::InnerToOuter,
                        b"outer-to-inner" => Direction::OuterToInner,
                        _ => return None,
                    });
                }
                b"service" => {
                    service = Some(match reader.word()?.octets() {
                        b"bypass" => Service::Bypass,
                        b"snoop" => Service::Snoop,
                        b"local-ack" => Service::LocalAck,
                        _ => return None,
                    });
                }
                b"arrangement" => arrangement = Some(reader.word()?),
                _ => return None,
            }
            Some(())
        })?;
        let is_something = service.is_some() || arrangement.is_some();
        Some(Self {
            flow: flow.filter(|_| is_something)?,
            direction,
            service,
            arrangement,
        })
    }
}

impl Named {
    fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let mut name = None;
        reader.object(|key, reader| {
            name = Some(match key {
                b"id" => Self::Id(flow_id(reader.word()?.octets())?),
                b"ends" => Self::Ends(reader.pair(Reader::word)?),
                _ => return None,
            });
            Some(())
        })?;
        name
    }
}

/// The id that a text like `0:12.3` names: the queue, which is always 0, the slot, and which tenant.
fn flow_id(text: &[u8]) -> Option<FlowId> {
    let text = text.strip_prefix(b"0:")?;
    let dot = text.iter().position(|octet| *octet == b'.')?;
    let (slot, generation) = text.split_at_checked(dot)?;
    let generation = generation.strip_prefix(b".")?;
    let slot: u32 = str::from_utf8(slot).ok()?.parse().ok()?;
    let generation: u32 = str::from_utf8(generation).ok()?.parse().ok()?;
    Some(FlowId::from_bits(
        u64::from(generation) << 32 | u64::from(slot),
    ))
}

impl Failure {
    pub(super) fn write(self, text: &mut Text<'_>) {
        let (code, message) = match self {
            Self::BadRequest => ("bad-request", "the line is no request"),
            Self::Version => ("version", "version 1 is spoken here"),
            Self::UnknownFlow => ("unknown-flow", "there is no such flow"),
            Self::UnknownArrangement => (
                "unknown-arrangement",
                "there is no arrangement of this name",
            ),
            Self::TwoServices => (
                "bad-request",
                "the arrangement names a service, too: leave out the other one",
            ),
            Self::BadRules => (
                "bad-policy",
                "the rules are too many, or one makes no sense",
            ),
            Self::Changed => ("busy", "the rules have changed meanwhile; try again"),
            Self::Refused(why) => ("refused", why),
        };
        text.key("error");
        text.raw("{");
        text.word("code", code);
        text.word("message", message);
        text.raw("}");
    }
}
