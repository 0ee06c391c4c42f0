//! Proportional rate reduction (RFC 9937, which was draft-ietf-tcpm-prr-rfc6937bis): how the window
//! moves from what it was to the new threshold, clocked by what is delivered.

/// What recovery has delivered and sent so far. Plain old data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Prr {
    /// Octets delivered since recovery began.
    pub(super) delivered: u32,
    /// Octets sent since recovery began, repairs and new data alike.
    pub(super) out: u32,
    /// RecoverFS: octets in flight when recovery began.
    pub(super) recover_fs: u32,
}

/// What an acknowledgement in recovery says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Progress {
    /// Octets newly delivered.
    pub(super) delivered: u32,
    /// Octets in flight after it (`pipe`).
    pub(super) in_flight: u32,
    /// It advanced SND.UNA and showed no new loss: the path has room (SafeACK).
    pub(super) is_safe: bool,
    /// The window to arrive at.
    pub(super) ssthresh: u32,
    /// Octets of a full-size segment.
    pub(super) segment: u32,
}

impl Prr {
    pub(super) const EMPTY: Self = Self {
        delivered: 0,
        out: 0,
        recover_fs: 0,
    };

    /// Recovery begins with `in_flight` octets outstanding.
    pub(super) fn begin(in_flight: u32) -> Self {
        Self {
            recover_fs: in_flight.max(1),
            ..Self::EMPTY
        }
    }

    /// Octets were sent during recovery.
    pub(super) fn on_sent(&mut self, octets: u32) {
        self.out = self.out.saturating_add(octets);
    }

    /// The window after an acknowledgement: what is in flight and what may be sent now.
    pub(super) fn on_ack(&mut self, ack: &Progress) -> u32 {
        self.delivered = self.delivered.saturating_add(ack.delivered);
        let room = if ack.in_flight > ack.ssthresh {
            // Proportional: by the time a flight is delivered, ssthresh of it has been sent anew.
            let share = u64::from(self.delivered)
                .saturating_mul(ack.ssthresh.into())
                .div_ceil(u64::from(self.recover_fs.max(1)));
            u32::try_from(share)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out)
        } else {
            // The path holds less than it may: one for one, and one more if that looks safe.
            let kept = self.delivered.saturating_sub(self.out);
            let growth = if ack.is_safe { ack.segment } else { 0 };
            kept.max(ack.delivered)
                .saturating_add(growth)
                .min(ack.ssthresh.saturating_sub(ack.in_flight))
        };
        // The first repair must go out, however full the path is.
        let room = if self.out == 0 {
            room.max(ack.segment)
        } else {
            room
        };
        ack.in_flight.saturating_add(room)
    }
}

#[cfg(test)]
mod tests;
