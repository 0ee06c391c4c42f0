//! Checks that run beside the engine on every replay.

use core::fmt;

use localack_core::{Instant, TransmitKind};

use super::shadow::Shadow;
use crate::conversation::{Conversation, End};
use crate::dissect::{Flags, Segment, Sum};

/// Violations that are remembered in words; more are only counted.
const DESCRIBED: usize = 20;
/// Octets of one direction that are remembered to compare with.
pub(crate) const SHADOW: usize = 1 << 24;

/// What was checked and what was found.
#[derive(Debug, Default)]
pub struct Checker {
    checked: u64,
    violations: u64,
    described: Vec<Violation>,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The captured packet that was being processed, counted from 1.
    pub packet: u64,
    /// Virtual time.
    pub time: Instant,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "packet {} at {} us: {}",
            self.packet,
            self.time.as_micros(),
            self.what
        )
    }
}

/// Where in the replay something is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) packet: u64,
    pub(crate) time: Instant,
}

impl Checker {
    /// Checks that were made.
    #[must_use]
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Checks that failed.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.violations
    }

    /// The first of them.
    #[must_use]
    pub fn described(&self) -> &[Violation] {
        &self.described
    }

    /// Counts one check; `what` says what is wrong if it failed.
    pub(crate) fn expect(&mut self, moment: Moment, holds: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if holds {
            return;
        }
        self.violations += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(Violation {
                packet: moment.packet,
                time: moment.time,
                what: what(),
            });
        }
    }

    /// A packet goes to `to` with an acknowledgement that is the engine's: nothing may be
    /// acknowledged that was not captured before.
    pub(crate) fn acknowledgement(
        &mut self,
        moment: Moment,
        conversation: &Conversation,
        to: End,
        segment: &Segment,
    ) {
        if !segment.flags.has(Flags::ACK) {
            return;
        }
        let position = conversation.position(to, segment.ack);
        let limit = conversation.acknowledgeable(to);
        let holds = position
            .zip(limit)
            .is_some_and(|(position, limit)| position <= limit);
        self.expect(moment, holds, || {
            let beyond = position
                .zip(limit)
                .map_or(0, |(position, limit)| position - limit);
            format!(
                "{}: {beyond} octets acknowledged that were not captured",
                name(segment)
            )
        });
    }

    /// A packet made by the engine carries data of a sender: each octet must be as captured.
    pub(crate) fn data(
        &mut self,
        moment: Moment,
        conversation: &Conversation,
        from: End,
        shadow: &Shadow,
        segment: &Segment,
        payload: &[u8],
    ) {
        let Some(start) = conversation.position(from, segment.payload_seq()) else {
            self.expect(moment, false, || {
                format!("{}: data of a sender never seen", name(segment))
            });
            return;
        };
        self.expect(moment, !shadow.contradicts(start, payload), || {
            format!("{}: data differs from what was captured", name(segment))
        });
        let end = start + payload.len() as i64;
        let limit = conversation.acknowledgeable(from);
        self.expect(moment, limit.is_some_and(|limit| end <= limit), || {
            format!("{}: data beyond what was captured", name(segment))
        });
    }

    /// A packet made by the engine needs a right checksum.
    pub(crate) fn made(&mut self, moment: Moment, kind: TransmitKind, segment: Option<&Segment>) {
        let holds = segment.is_some_and(|segment| segment.sum == Sum::Good);
        self.expect(moment, holds, || {
            let name = segment.map_or_else(|| "unreadable packet".to_owned(), name);
            format!("{name}: a {} without a right checksum", kind.slug())
        });
    }

    /// An edited packet has a right checksum exactly if its source had one (rule H1.8); one that a
    /// network card is to complete is left to it.
    pub(crate) fn edited(
        &mut self,
        moment: Moment,
        before: &Segment,
        after: Option<&Segment>,
        is_partial: bool,
    ) {
        let holds = after.is_some_and(|after| {
            if is_partial {
                after.checksum == before.checksum
            } else {
                (after.sum == Sum::Good) == (before.sum == Sum::Good)
            }
        });
        self.expect(moment, holds, || {
            format!("{}: its checksum was falsified", name(before))
        });
    }

    /// An edited packet's payload is the captured one.
    pub(crate) fn payload(&mut self, moment: Moment, segment: &Segment, unchanged: bool) {
        self.expect(moment, unchanged, || {
            format!("{}: its payload was changed", name(segment))
        });
    }

    /// Custody fits the memory that was lent.
    pub(crate) fn custody(&mut self, moment: Moment, custody: u64, lent: u64) {
        self.expect(moment, custody <= lent, || {
            format!("{custody} octets in custody, {lent} were lent")
        });
    }
}

/// A segment for a message.
fn name(segment: &Segment) -> String {
    let (source, target) = (segment.source, segment.target);
    format!(
        "{} > {} seq {} ack {}",
        crate::report::endpoint(source),
        crate::report::endpoint(target),
        segment.seq,
        segment.ack
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Rest;
    use crate::conversation::Conversations;
    use crate::dissect::Dissector;
    use crate::link::IpPacket;

    const MOMENT: Moment = Moment {
        packet: 1,
        time: Instant::ZERO,
    };
    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 0, 2];

    /// A segment whose checksum is wrong.
    fn segment(up: bool, seq: u32, ack: u32, flags: u8, payload: usize) -> Segment {
        let (from, to) = if up {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        let total = (40 + payload) as u16;
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet.extend([from, to].concat());
        packet.extend(if up { [0, 1, 0, 2] } else { [0, 2, 0, 1] });
        packet.extend([seq.to_be_bytes(), ack.to_be_bytes()].concat());
        packet.extend([0x50, flags, 1, 0, 0xba, 0xad, 0, 0]);
        packet.extend(vec![7; payload]);
        let rest = Rest::new(&packet, packet.len());
        Dissector::new()
            .dissect(&IpPacket { rest, link_id: 0 })
            .segment
            .unwrap()
    }

    /// A conversation of which octets 1 to 100 and 201 to 300 of the client were captured.
    fn conversations() -> Conversations {
        let mut all = Conversations::new();
        for segment in [
            segment(true, 1000, 0, 2, 0),
            segment(false, 5000, 1001, 18, 0),
            segment(true, 1001, 5001, 16, 100),
            segment(true, 1201, 5001, 16, 100),
        ] {
            all.observe(&segment);
        }
        all
    }

    #[test]
    fn acknowledging_what_was_not_captured_is_found() {
        let all = conversations();
        let conversation = &all.all()[0];
        for (ack, violations) in [(1001, 0), (1101, 0), (1102, 1), (1301, 1), (0, 0)] {
            let mut checker = Checker::default();
            let made = segment(false, 5001, ack, 16, 0);
            checker.acknowledgement(MOMENT, conversation, End::First, &made);
            assert_eq!(
                (checker.checked(), checker.violations()),
                (1, violations),
                "{ack}"
            );
        }
        // The receiver has acknowledged more than was captured: so may the engine.
        let mut all = all;
        all.observe(&segment(false, 5001, 1151, 16, 0));
        let mut checker = Checker::default();
        let made = segment(false, 5001, 1151, 16, 0);
        checker.acknowledgement(MOMENT, &all.all()[0], End::First, &made);
        assert_eq!(checker.violations(), 0);
    }

    #[test]
    fn invented_octets_are_found() {
        let all = conversations();
        let conversation = &all.all()[0];
        let start = conversation.position(End::First, 1001).unwrap();
        let mut shadow = Shadow::default();
        shadow.insert(start, &[7; 100]);
        let check = |seq, payload: &[u8]| {
            let mut checker = Checker::default();
            let made = segment(true, seq, 5001, 16, payload.len());
            checker.data(MOMENT, conversation, End::First, &shadow, &made, payload);
            checker.violations()
        };
        assert_eq!(check(1001, &[7; 100]), 0);
        assert_eq!(check(1051, &[7, 7, 8]), 1);
        assert_eq!(check(1100, &[7, 7]), 1);
    }

    #[test]
    fn falsified_checksums_are_found() {
        let wrong = segment(true, 1001, 5001, 16, 10);
        let good = Segment {
            sum: Sum::Good,
            ..wrong
        };
        let check = |before: &Segment, after: Option<&Segment>, is_partial| {
            let mut checker = Checker::default();
            checker.edited(MOMENT, before, after, is_partial);
            checker.violations()
        };
        assert_eq!(check(&good, Some(&good), false), 0);
        assert_eq!(check(&wrong, Some(&wrong), false), 0);
        assert_eq!(check(&wrong, Some(&good), false), 1);
        assert_eq!(check(&good, Some(&wrong), false), 1);
        assert_eq!(check(&good, None, false), 1);
        let touched = Segment {
            checksum: wrong.checksum ^ 1,
            ..wrong
        };
        assert_eq!(
            (
                check(&wrong, Some(&wrong), true),
                check(&wrong, Some(&touched), true)
            ),
            (0, 1)
        );
        let mut checker = Checker::default();
        checker.made(MOMENT, TransmitKind::LocalAck, Some(&good));
        checker.made(MOMENT, TransmitKind::LocalAck, Some(&wrong));
        checker.made(MOMENT, TransmitKind::LocalAck, None);
        assert_eq!((checker.checked(), checker.violations()), (3, 2));
    }

    #[test]
    fn custody_beyond_the_memory_is_found_and_words_are_bounded() {
        let mut checker = Checker::default();
        checker.custody(MOMENT, 100, 100);
        (0..100).for_each(|_| checker.custody(MOMENT, 101, 100));
        assert_eq!((checker.checked(), checker.violations()), (101, 100));
        assert_eq!(checker.described().len(), DESCRIBED);
        let first = checker.described()[0].to_string();
        assert_eq!(
            first,
            "packet 1 at 0 us: 101 octets in custody, 100 were lent"
        );
    }
}
