//! The window offered to the data's sender (section 1.2 of the protocol's rules).

use crate::seq::{SeqNum, WindowScale};

/// What one acknowledgement announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    /// Acknowledgement number.
    pub(crate) ack: SeqNum,
    /// Window field.
    pub(crate) window: u16,
    /// Right edge that the two announce together.
    pub(crate) edge: SeqNum,
}

/// What the sender knows already, and how far rounding may raise it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// Highest acknowledgement number sent.
    pub(crate) ack: SeqNum,
    /// Right edge offered.
    pub(crate) edge: SeqNum,
    /// What the store can take at most, if rounding is to go no further.
    pub(crate) ceiling: Option<SeqNum>,
    /// What bounds the debt, likewise: as long as something new can be acknowledged nevertheless.
    pub(crate) debt_edge: Option<SeqNum>,
}

/// The offer of an acknowledgement of `ack` by a receiver that has told its sender `told` and could
/// offer `target` now, in steps of at least `step` octets.
///
/// The edge never moves back, whatever rounding does (rule H2.1, RFC 7323 section 2.4): the field
/// is rounded up where the edge stays, and down where it rises.
pub(crate) fn offer(
    told: Told,
    ack: SeqNum,
    target: SeqNum,
    step: u32,
    scale: WindowScale,
) -> Offer {
    let edge = told.edge;
    let at = |window| Offer {
        ack,
        window,
        edge: ack.advance(scale.octets(window)),
    };
    if may_rise(edge, target, step) {
        let raised = at(scale.field_floor(target.octets_past(ack)));
        if raised.edge.after(edge) {
            return raised;
        }
    }
    let kept = at(scale.field_ceil(edge.octets_past(ack)));
    // Rounded up again and again by a sender of small segments the edge would run away. What was
    // offered can be said exactly of an acknowledgement a little lower.
    let lower = edge.retreat(scale.octets(kept.window));
    if lower.at_or_after(told.ack) && lower.at_or_before(ack) {
        let exceeds = |bound: Option<SeqNum>| bound.is_some_and(|bound| kept.edge.after(bound));
        if exceeds(told.ceiling) || (exceeds(told.debt_edge) && lower.after(told.ack)) {
            return Offer {
                ack: lower,
                window: kept.window,
                edge,
            };
        }
    }
    Offer {
        edge: kept.edge.latest(edge),
        ..kept
    }
}

/// Whether the edge may rise to `target`: only in steps worth a segment or two, lest the sender
/// send small segments or halve its segment size (rule H2.5, RFC 9293 section 3.8.6.2.2).
pub(crate) fn may_rise(edge: SeqNum, target: SeqNum, step: u32) -> bool {
    target.octets_past(edge) >= step.max(1)
}

/// The least step by which an edge rises: two segments, or half the buffer where that is less.
pub(crate) fn step(mss: u16, limit: u32) -> u32 {
    u32::from(mss).saturating_mul(2).min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(ack: u32, edge: SeqNum) -> Told {
        Told {
            ack: SeqNum::new(ack),
            edge,
            ceiling: Some(edge.advance(1 << 20)),
            debt_edge: None,
        }
    }

    #[test]
    fn h2_1_small_segments_do_not_walk_the_edge_away() {
        // A full store, a sender of 100-octet segments, and windows in units of 16 KiB.
        let scale = WindowScale::new(14);
        let ceiling = SeqNum::new(1 << 16);
        let mut last = Told {
            ack: SeqNum::new(1),
            edge: ceiling,
            ceiling: Some(ceiling),
            debt_edge: None,
        };
        for octets in (100..65_000).step_by(100) {
            let now = offer(last, SeqNum::new(1 + octets), ceiling, 2000, scale);
            assert_eq!(now.ack.advance(scale.octets(now.window)), now.edge);
            assert!(now.ack.at_or_after(last.ack));
            last = Told {
                ack: now.ack,
                edge: now.edge,
                ceiling: Some(ceiling),
                debt_edge: None,
            };
        }
        assert!(last.edge.octets_past(ceiling) < scale.unit(), "{last:?}");
    }

    #[test]
    fn h6_3_full_segments_do_not_walk_the_edge_past_the_debt() {
        // The edge lies where it was offered at a better time; windows in units of 1 KiB.
        let (scale, edge) = (WindowScale::new(10), SeqNum::new(1 << 20));
        let mut last = Told {
            ack: SeqNum::new(1),
            edge,
            ceiling: None,
            debt_edge: Some(SeqNum::new(1 << 16)),
        };
        for octets in (1448..900_000).step_by(1448) {
            let now = offer(last, SeqNum::new(1 + octets), edge, 2896, scale);
            assert!(now.ack.after(last.ack) && now.ack.octets_past(last.ack) > 400);
            last = Told {
                ack: now.ack,
                edge: now.edge,
                ..last
            };
        }
        assert!(last.edge.octets_past(edge) < scale.unit(), "{last:?}");
        // A small segment alone is acknowledged all the same (rule H5.6).
        let small = last.ack.advance(100);
        let now = offer(last, small, edge, 2896, WindowScale::new(10));
        assert!(now.ack == small || now.ack.after(last.ack), "{now:?}");
    }

    #[test]
    fn t12_h2_1_an_edge_that_stays_is_rounded_up() {
        let edge = SeqNum::new(65_537);
        let offer = offer(
            told(1, edge),
            SeqNum::new(101),
            edge,
            2000,
            WindowScale::new(7),
        );
        assert_eq!(offer.window, 512);
        assert_eq!(offer.edge, SeqNum::new(65_637));
    }

    #[test]
    fn h2_5_small_steps_are_not_offered() {
        let (ack, edge) = (SeqNum::new(8001), SeqNum::new(8001));
        let scale = WindowScale::NONE;
        assert_eq!(
            offer(told(1, edge), ack, edge.advance(1999), 2000, scale).window,
            0
        );
        assert_eq!(
            offer(told(1, edge), ack, edge.advance(2000), 2000, scale).window,
            2000
        );
        assert_eq!(step(1000, 8000), 2000);
        assert_eq!(step(1000, 3000), 1500);
    }

    proptest! {
        #[test]
        fn the_announced_edge_never_moves_back(
            start: u32, shift in 0u8..=14, ceiling in 0u32..40_000,
            steps in prop::collection::vec((0u32..5000, 0u32..100_000), 1..60),
        ) {
            // Invariant 4: the edge as the sender computes it from the bits it gets.
            let scale = WindowScale::new(shift);
            let mut ack = SeqNum::new(start);
            let mut edge = ack.advance(30_000);
            let mut seen = edge;
            let mut sent = ack;
            for (acked, room) in steps {
                ack = ack.advance(acked).earliest(edge);
                let debt_edge = Some(edge.advance(ceiling / 2));
                let told = Told { ack: sent, edge, ceiling: Some(edge.advance(ceiling)), debt_edge };
                let now = offer(told, ack, ack.advance(room), 2000, scale);
                prop_assert!(now.ack.at_or_after(sent) && now.ack.at_or_before(ack));
                sent = now.ack;
                let announced = now.ack.advance(scale.octets(now.window));
                prop_assert!(announced.at_or_after(seen));
                seen = announced;
                edge = now.edge;
            }
        }
    }

    #[test]
    fn h2_1_an_edge_that_no_field_can_say_stays() {
        let edge = SeqNum::new(100_001);
        let ack = SeqNum::new(1);
        let said = offer(told(1, edge), ack, edge, 2000, WindowScale::NONE);
        assert_eq!((said.ack, said.window, said.edge), (ack, u16::MAX, edge));
    }
}
