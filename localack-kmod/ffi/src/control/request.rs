//! What can be asked for.
#![forbid(unsafe_code)]

use localack_core::{Direction, FlowId, Service};

use super::reader::{Reader, number};
use super::writer::Text;

/// A line that was read.
pub(super) struct Question<'a> {
    pub(super) id: Option<u64>,
    pub(super) request: Result<Request<'a>, Failure>,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    BadRequest,
    Version,
    UnknownFlow,
    Refused(&'static str),
}

pub(super) enum Request<'a> {
    Status,
    /// At most so many.
    Flows(u64),
    Flow(SetService<'a>),
    Stats,
    Drain,
    Reset,
    /// localack-tun would answer.
    Elsewhere,
}

/// Another service for a flow.
pub(super) struct SetService<'a> {
    pub(super) flow: Name<'a>,
    pub(super) direction: Option<Direction>,
    pub(super) service: Service,
}

/// What names a flow.
pub(super) enum Name<'a> {
    Id(FlowId),
    /// As other answers write them.
    Ends([&'a [u8]; 2]),
}

/// Flows in an answer, unless it is said how many.
const USUAL_LIMIT: u64 = 100;

impl<'a> Question<'a> {
    pub(super) fn read(line: &'a [u8]) -> Self {
        let (mut version, mut id, mut request) = (None, None, None);
        let mut reader = Reader::new(line);
        let whole = reader.object(|key, reader| {
            match key {
                b"v" => version = Some(reader.number()?),
                b"id" => id = Some(reader.number()?),
                b"request" => request = Some(Request::read(reader)?),
                _ => return None,
            }
            Some(())
        });
        let request = match (whole, version, request) {
            (Some(()), Some(1), Some(request)) if reader.is_at_end() => Ok(request),
            (_, Some(other), _) if other != 1 => Err(Failure::Version),
            _ => Err(Failure::BadRequest),
        };
        Self { id, request }
    }
}

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        if !reader.sees(b'{') {
            return Some(match reader.string()? {
                b"status" => Self::Status,
                b"stats" => Self::Stats,
                b"drain" => Self::Drain,
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
                b"flow" => Self::Flow(SetService::read(reader)?),
                _ => return None,
            });
            Some(())
        })?;
        request
    }
}

fn limit(reader: &mut Reader<'_>) -> Option<u64> {
    let mut limit = USUAL_LIMIT;
    reader.object(|key, reader| {
        match key {
            b"limit" => limit = reader.number()?,
            b"sort" => drop(reader.string()?),
            _ => return None,
        }
        Some(())
    })?;
    Some(limit)
}

impl<'a> SetService<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (mut flow, mut direction, mut service) = (None, None, None);
        reader.object(|key, reader| {
            match key {
                b"flow" => flow = Some(Name::read(reader)?),
                b"direction" => {
                    direction = Some(match reader.string()? {
                        b"inner-to-outer" => Direction::InnerToOuter,
                        b"outer-to-inner" => Direction::OuterToInner,
                        _ => return None,
                    });
                }
                b"service" => {
                    service = Some(match reader.string()? {
                        b"bypass" => Service::Bypass,
                        b"snoop" => Service::Snoop,
                        b"local-ack" => Service::LocalAck,
                        _ => return None,
                    });
                }
                _ => return None,
            }
            Some(())
        })?;
        Some(Self {
            flow: flow?,
            direction,
            service: service?,
        })
    }
}

impl<'a> Name<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let mut name = None;
        reader.object(|key, reader| {
            name = Some(match key {
                b"id" => Self::Id(flow_id(reader.string()?)?),
                b"ends" => {
                    reader.expect(b'[')?;
                    let one = reader.string()?;
                    reader.expect(b',')?;
                    let other = reader.string()?;
                    reader.expect(b']')?;
                    Self::Ends([one, other])
                }
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
    let slot = u32::try_from(number(slot)?).ok()?;
    let generation = u32::try_from(number(generation)?).ok()?;
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
            Self::Refused(why) => ("refused", why),
        };
        text.key("error");
        text.raw("{");
        text.word("code", code);
        text.word("message", message);
        text.raw("}");
    }
}
