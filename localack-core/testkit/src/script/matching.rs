//! Whether what left is what the script expects.

use super::model::{Expected, Number, Outcome, PacketSpec, Place, Quantity, Side, Term};
use super::side::Host;
use crate::packet::{Flags, Packet};

/// A packet that left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// The side it left toward.
    pub(super) toward: Side,
    pub(super) octets: Vec<u8>,
    /// `None` if it is not a TCP segment.
    pub(super) packet: Option<Packet>,
    /// In the notation of the scripts, with time and origin.
    pub(super) text: String,
}

/// What numbers in a script refer to.
pub(super) struct Frame<'a> {
    pub(super) hosts: &'a [Host; 2],
    pub(super) resolve: &'a dyn Fn(Term) -> i64,
    /// Shift of the window fields that each side sends.
    pub(super) shifts: [u8; 2],
    /// The octets that came in.
    pub(super) input: Option<&'a [u8]>,
}

impl Frame<'_> {
    fn agrees(&self, number: Option<Number>, value: i64) -> bool {
        match number {
            None | Some(Number::Any) => true,
            Some(Number::Is(term)) => value == (self.resolve)(term),
            Some(Number::AtLeast(term)) => value >= (self.resolve)(term),
            Some(Number::AtMost(term)) => value <= (self.resolve)(term),
        }
    }

    /// Whether a packet has all that an expectation names.
    fn fits(&self, expected: &Expected, left: &Left) -> bool {
        if expected.toward != left.toward {
            return false;
        }
        if expected.same {
            return self.input == Some(&left.octets);
        }
        let Some(packet) = &left.packet else {
            return false;
        };
        let strict = !matches!(expected.quantity, Quantity::Not | Quantity::Each);
        self.fields_fit(&expected.packet, packet, left.toward.other(), strict)
    }

    fn fields_fit(&self, spec: &PacketSpec, packet: &Packet, from: Side, strict: bool) -> bool {
        let (own, peer) = (&self.hosts[from.index()], &self.hosts[from.other().index()]);
        let special = Flags::SYN | Flags::RST | Flags::FIN;
        let flags_fit = match spec.flags {
            // PSH is also set where the store runs empty (rule H5.7), so it is only ever required.
            Some(flags) => packet.flags == flags || packet.flags == flags | Flags::PSH,
            None if spec.fin => !packet.flags.has(Flags::SYN) && !packet.flags.has(Flags::RST),
            None => !strict || packet.flags.0 & special.0 == 0,
        };
        let ack = peer.relative(packet.ack);
        let edge = ack + (i64::from(packet.window) << self.shifts[from.index()]);
        let stamps_fit = match packet.options.timestamps {
            Some((stamp, echo)) => {
                self.agrees(spec.stamp, own.relative_stamp(stamp))
                    && self.agrees(spec.echo, peer.relative_stamp(echo))
            }
            None => spec.stamp.is_none() && spec.echo.is_none(),
        };
        flags_fit
            && self.place_fits(spec, packet, own.relative(packet.seq))
            && (spec.ack.is_none() || packet.flags.has(Flags::ACK) && self.agrees(spec.ack, ack))
            && self.agrees(spec.window, packet.window.into())
            && self.agrees(spec.edge, edge)
            && stamps_fit
            && self.sack_fits(spec, packet, peer)
            && spec.urgent.is_none_or(|urgent| packet.urgent == urgent)
            && self.agrees(spec.len, packet.payload_len().into())
            && spec
                .hop_limit
                .is_none_or(|limit| packet.ip.hop_limit == limit)
            && spec
                .traffic_class
                .is_none_or(|class| packet.ip.traffic_class == class)
            && spec
                .ecn
                .is_none_or(|ecn| packet.ip.traffic_class & 3 == ecn)
            && spec.fill.is_none_or(|fill| {
                !packet.payload.is_empty() && packet.payload.iter().all(|&octet| octet == fill)
            })
    }

    fn place_fits(&self, spec: &PacketSpec, packet: &Packet, seq: i64) -> bool {
        match spec.place {
            None => true,
            Some(Place::At(number)) => self.agrees(Some(number), seq),
            Some(Place::Range(start, end)) => {
                let (start, end) = ((self.resolve)(start), (self.resolve)(end));
                seq == start && i64::from(packet.payload_len()) == end - start
            }
            Some(Place::Series(start, end)) => {
                let last = seq + i64::from(packet.payload_len());
                let there = last > seq || spec.fin && packet.flags.has(Flags::FIN);
                seq >= (self.resolve)(start) && last <= (self.resolve)(end) && there
            }
        }
    }

    fn sack_fits(&self, spec: &PacketSpec, packet: &Packet, peer: &Host) -> bool {
        let relative = |&(left, right): &(u32, u32)| (peer.relative(left), peer.relative(right));
        let resolved =
            |&(left, right): &(Term, Term)| ((self.resolve)(left), (self.resolve)(right));
        let mut blocks = packet.options.sack.iter().map(relative);
        if let Some(duplicate) = &spec.dsack
            && blocks.next() != Some(resolved(duplicate))
        {
            return false;
        }
        spec.sack
            .as_ref()
            .is_none_or(|sack| blocks.eq(sack.iter().map(resolved)))
    }
}

/// Compares packets with an outcome; answers what is wrong.
pub(super) fn judge(outcome: &Outcome, left: &[Left], frame: &Frame<'_>) -> Result<(), String> {
    let mut taken = vec![false; left.len()];
    let mut singles = Vec::new();
    let mut options = Vec::new();
    for expected in &outcome.packets {
        let fits = |left: &Left| frame.fits(expected, left);
        let toward = |left: &&Left| left.toward == expected.toward;
        match (expected.quantity, expected.packet.place) {
            (Quantity::Not, _) => {
                if let Some(found) = left.iter().find(|left| fits(left)) {
                    return Err(format!("forbidden by {:?}: {}", expected.text, found.text));
                }
            }
            (Quantity::Each, _) => {
                if let Some(found) = left.iter().filter(toward).find(|left| !fits(left)) {
                    return Err(format!("not as {:?}: {}", expected.text, found.text));
                }
            }
            (Quantity::First | Quantity::Last, _) => {
                let mut there = left.iter().enumerate().filter(|(_, left)| toward(left));
                let found = if expected.quantity == Quantity::First {
                    there.next()
                } else {
                    there.next_back()
                };
                match found {
                    Some((at, packet)) if fits(packet) => taken[at] = true,
                    _ => return Err(format!("missing: {}", expected.text)),
                }
            }
            (Quantity::One, Some(Place::Series(start, end))) => {
                let ends = ((frame.resolve)(start), (frame.resolve)(end));
                take_series(expected, ends, left, &mut taken, frame)?;
            }
            (Quantity::One, _) => singles.push(expected),
            (Quantity::Maybe, _) => options.push(expected),
        }
    }
    assign(&singles, &options, left, &mut taken, frame)?;
    match taken.iter().position(|taken| !taken) {
        Some(extra) if !outcome.others_allowed => Err(format!("unexpected: {}", left[extra].text)),
        _ => Ok(()),
    }
}

/// Takes segments that carry exactly the octets from `ends.0` to `ends.1`, in the order they left.
fn take_series(
    expected: &Expected,
    ends: (i64, i64),
    left: &[Left],
    taken: &mut [bool],
    frame: &Frame<'_>,
) -> Result<(), String> {
    let own = &frame.hosts[expected.toward.other().index()];
    let mut next = ends.0;
    let mut finished = !expected.packet.fin;
    for (at, candidate) in left.iter().enumerate() {
        let Some(packet) = &candidate.packet else {
            continue;
        };
        if !taken[at] && frame.fits(expected, candidate) && own.relative(packet.seq) == next {
            taken[at] = true;
            next += i64::from(packet.payload_len());
            finished |= packet.flags.has(Flags::FIN) && next == ends.1;
        }
    }
    if next == ends.1 && finished {
        Ok(())
    } else {
        Err(format!("missing from {next} on: {}", expected.text))
    }
}

/// Gives each expectation a packet of its own (maximum bipartite matching by augmenting paths).
fn assign(
    needed: &[&Expected],
    allowed: &[&Expected],
    left: &[Left],
    taken: &mut [bool],
    frame: &Frame<'_>,
) -> Result<(), String> {
    let wishes: Vec<&Expected> = needed.iter().chain(allowed).copied().collect();
    let mut owner: Vec<Option<usize>> = vec![None; left.len()];
    for wish in 0..wishes.len() {
        let mut seen = taken.to_vec();
        let found = augment(wish, &wishes, left, &mut owner, &mut seen, frame);
        if !found && wish < needed.len() {
            return Err(format!("missing: {}", wishes[wish].text));
        }
    }
    for (taken, owner) in taken.iter_mut().zip(owner) {
        *taken |= owner.is_some();
    }
    Ok(())
}

fn augment(
    wish: usize,
    wishes: &[&Expected],
    left: &[Left],
    owner: &mut [Option<usize>],
    seen: &mut [bool],
    frame: &Frame<'_>,
) -> bool {
    for at in 0..left.len() {
        if seen[at] || !frame.fits(wishes[wish], &left[at]) {
            continue;
        }
        seen[at] = true;
        let free = match owner[at] {
            None => true,
            Some(other) => augment(other, wishes, left, owner, seen, frame),
        };
        if free {
            owner[at] = Some(wish);
            return true;
        }
    }
    false
}
