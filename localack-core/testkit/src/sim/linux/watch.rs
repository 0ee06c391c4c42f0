//! An eye on what the peer sends: rules that a network cannot break, whatever it does to packets.

use localack_core::Instant;

use super::fault::{FaultKind, Faults};

/// A segment with ACK, in positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) ack: u64,
    pub(super) window: u64,
    /// TSval.
    pub(super) stamp: Option<u32>,
}

/// What the peer has told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// The highest acknowledgement, with the TSval of the last segment that carried it.
    last: Option<Told>,
    /// The right edge of all windows.
    edge: u64,
}

impl Watch {
    /// Whether a window that ends at `edge` reaches further than all before.
    pub(super) const fn is_news(&self, edge: u64) -> bool {
        self.last.is_some() && edge > self.edge
    }

    /// Takes a segment. Acknowledgements, right edges and timestamps of a peer never
    /// decrease, so that of two segments one can tell which was sent later, in whatever order they
    /// arrive.
    pub(super) fn tell(&mut self, now: Instant, told: Told, faults: &mut Faults) {
        let edge = told.ack + told.window;
        let Some(last) = self.last else {
            self.last = Some(told);
            self.edge = edge;
            return;
        };
        let stamped_later = match (told.stamp, last.stamp) {
            (Some(new), Some(old)) => new.wrapping_sub(old).cast_signed() > 0,
            _ => false,
        };
        if told.ack < last.ack && stamped_later {
            faults.add(now, FaultKind::AckRetreat);
        }
        let later = told.ack > last.ack || (told.ack == last.ack && stamped_later);
        if later && edge < self.edge {
            faults.add(now, FaultKind::WindowRetreat);
        }
        if later {
            self.last = Some(told);
        }
        self.edge = self.edge.max(edge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(segments: &[(u64, u64, Option<u32>)]) -> Vec<FaultKind> {
        let mut watch = Watch::default();
        let mut faults = Faults::default();
        for &(ack, window, stamp) in segments {
            let told = Told { ack, window, stamp };
            watch.tell(Instant::ZERO, told, &mut faults);
        }
        faults.all.into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn rfc9293_windows_and_acknowledgements_that_retreat_are_noticed() {
        let at = |stamp: u32| Some(u32::MAX.wrapping_add(stamp));
        assert_eq!(
            judge(&[(100, 50, at(1)), (90, 90, at(2))]),
            [FaultKind::AckRetreat]
        );
        assert_eq!(
            judge(&[(100, 50, at(1)), (120, 29, at(1))]),
            [FaultKind::WindowRetreat]
        );
        assert_eq!(
            judge(&[(100, 50, at(1)), (100, 49, at(2))]),
            [FaultKind::WindowRetreat]
        );
        assert_eq!(
            judge(&[(100, 50, None), (120, 29, None)]),
            [FaultKind::WindowRetreat]
        );
        assert_eq!(
            judge(&[(100, 50, at(1)), (120, 30, at(1)), (120, 31, at(2))]),
            []
        );
    }

    #[test]
    fn segments_in_the_wrong_order_are_no_fault() {
        let at = |stamp: u32| Some(u32::MAX.wrapping_add(stamp));
        assert_eq!(
            judge(&[(120, 60, at(3)), (100, 50, at(1)), (110, 50, at(3))]),
            []
        );
        assert_eq!(
            judge(&[(100, 60, at(1)), (100, 50, at(1)), (100, 0, None)]),
            []
        );
        assert_eq!(judge(&[(120, 60, None), (100, 50, None)]), []);
    }
}
