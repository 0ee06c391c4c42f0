//! What is so of loss recovery toward the receiver, and what its timer is for.

/// What the timer of a direction means when it expires. Zeroed memory means the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerKind {
    /// The retransmission time-out (RFC 6298), or the persist timer where nothing may be sent.
    Timeout,
    /// The tail may be lost: probe for it (TLP, RFC 8985 section 7).
    TailProbe,
    /// What may only be reordered is lost by then (RACK, RFC 8985 section 6.3).
    Reordering,
    /// Half of a doubled time-out is over: if several flows of the path have timed out and nothing was
    /// heard of any, it need not be waited for in full.
    PathCheck,
}

/// What is so of loss recovery, beside [`StreamFlags`](crate::flow::stream::StreamFlags).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct SendFlags(u16);

impl SendFlags {
    pub(super) const NONE: Self = Self(0);
    /// A tail loss probe is owed to the receiver.
    pub(crate) const TAIL_PROBE_OWED: u16 = 1;
    /// A tail loss probe is on its way; `probe_end` is SND.NXT behind it.
    pub(crate) const TAIL_PROBE_OUT: u16 = 1 << 1;
    /// That probe repeated old octets.
    pub(crate) const TAIL_PROBE_REPEATS: u16 = 1 << 2;
    /// The time-out may turn out spurious; `probe_end` is what had been SACKed before it (F-RTO).
    pub(crate) const FORWARD: u16 = 1 << 3;
    /// New data goes before repairs, to find out (RFC 5682 section 2.1, step 2b).
    pub(crate) const FORWARD_NEW: u16 = 1 << 4;
    /// What is being recovered from is a time-out.
    pub(crate) const TIMED_OUT: u16 = 1 << 5;
    /// Acknowledgements of this stream's data carry ECE: its sender has not answered the last CE mark
    /// yet. Of a stream that is only watched: the receiver's newest one carried it.
    pub(crate) const ECHO: u16 = 1 << 6;
    /// The window was reduced and the receiver does not know it yet: CWR is owed with new data.
    pub(crate) const CWR_OWED: u16 = 1 << 7;
    /// The window was reduced for an ECN echo, and nothing is known to be lost; `recover` ends it.
    pub(crate) const ECN_REDUCED: u16 = 1 << 8;
    /// The stream was handed back while its sender believed in more room than its receiver has (rule
    /// H2.11): what the sender says without data may lie past the receiver's window.
    pub(crate) const OVERRUNS: u16 = 1 << 9;
    /// Why the timer will expire: two bits that hold a [`TimerKind`].
    const TIMER: u16 = 0b11 << 14;
    const TIMER_SHIFT: u32 = 14;

    pub(crate) const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn set(&mut self, flags: u16) {
        self.0 |= flags;
    }

    pub(crate) const fn clear(&mut self, flags: u16) {
        self.0 &= !flags;
    }

    /// Clears all others.
    pub(super) const fn keep(&mut self, flags: u16) {
        self.0 &= flags;
    }

    pub(crate) const fn put(&mut self, flags: u16, on: bool) {
        if on {
            self.set(flags);
        } else {
            self.clear(flags);
        }
    }

    pub(super) const fn set_timer(&mut self, kind: TimerKind) {
        let number = match kind {
            TimerKind::Timeout => 0,
            TimerKind::TailProbe => 1,
            TimerKind::Reordering => 2,
            TimerKind::PathCheck => 3,
        };
        self.0 = self.0 & !Self::TIMER | number << Self::TIMER_SHIFT;
    }

    pub(super) const fn timer(self) -> TimerKind {
        match self.0 >> Self::TIMER_SHIFT {
            1 => TimerKind::TailProbe,
            2 => TimerKind::Reordering,
            3 => TimerKind::PathCheck,
            _ => TimerKind::Timeout,
        }
    }
}
