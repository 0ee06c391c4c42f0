//! Finding what is due without looking at what is not: a hierarchical timing wheel.
//!
//! Time is a number of 16 digits of 4 bits, in microseconds. Level `n` of the wheel has a bucket
//! for each value of digit `n`; a deadline is put at the level of the highest digit in which it
//! differs from the wheel's time, under its own value of that digit. So a bucket of a lower level
//! always comes before one of a higher level, the first bucket in use is the first to come, and
//! when its time comes its nodes move to lower levels. Sixteen levels span every deadline there
//! is: no horizon, and a jump of the clock by years is one step.
//!
//! A deadline that is put off stays in its bucket until that comes up: re-arming a retransmission
//! timer at each acknowledgement touches no memory but the flow's own.

mod ready;
mod ring;

pub(crate) use ready::{ReadyLink, ReadyList, ReadyNode, ReadyRing, RingId};

use ring::{Link, Linked};

use crate::time::Instant;

/// Bits of a digit.
const DIGIT_BITS: u32 = 4;
/// Values of a digit less one.
const DIGIT_MASK: u32 = 15;
/// Sixteen levels of sixteen buckets.
const BUCKETS: usize = 256;
/// Words of a bitmap of all buckets.
const WORDS: usize = BUCKETS / 64;

/// A node that has a timer.
pub(crate) trait TimerNode {
    fn timer(&self) -> &TimerLink;
    fn timer_mut(&mut self) -> &mut TimerLink;
}

/// A node's timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct TimerLink {
    /// Low half of the deadline in microseconds.
    deadline_low: u32,
    /// High half of the deadline.
    deadline_high: u32,
    /// The list is the bucket's number plus one.
    link: Link,
}

impl TimerLink {
    /// A timer that is not armed.
    pub(crate) const EMPTY: Self = Self {
        deadline_low: 0,
        deadline_high: 0,
        link: Link::EMPTY,
    };

    #[expect(clippy::as_conversions, reason = "widening in a const fn")]
    const fn deadline_us(&self) -> u64 {
        (self.deadline_high as u64) << 32 | self.deadline_low as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    const fn set_deadline_us(&mut self, at_us: u64) {
        self.deadline_low = at_us as u32;
        self.deadline_high = (at_us >> 32) as u32;
    }
}

struct ByTimer;

impl<T: TimerNode> Linked<T> for ByTimer {
    fn link(node: &T) -> &Link {
        &node.timer().link
    }

    fn link_mut(node: &mut T) -> &mut Link {
        &mut node.timer_mut().link
    }
}

/// The number of a bucket: level in the high digit, value of the level's digit in the low one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bucket(u32);

impl Bucket {
    /// Where a deadline belongs while the wheel stands at `now_us`; the present if it has passed.
    fn of(at_us: u64, now_us: u64) -> Self {
        let at_us = at_us.max(now_us);
        let level = ((at_us ^ now_us) | 1).ilog2() / DIGIT_BITS;
        let digit = low_half(at_us >> (level.wrapping_mul(DIGIT_BITS) & 63)) & DIGIT_MASK;
        Self(level << DIGIT_BITS | digit)
    }

    /// The bucket that a node's list number names.
    const fn of_list(list: u32) -> Option<Self> {
        match list.checked_sub(1) {
            Some(number) if number <= 255 => Some(Self(number)),
            _ => None,
        }
    }

    const fn list(self) -> u32 {
        self.0.saturating_add(1)
    }

    /// When the bucket comes up, as seen from `now_us`: the digits above its level are those of
    /// the present, those below are zero.
    fn start_us(self, now_us: u64) -> u64 {
        let shift = (self.0 >> DIGIT_BITS).wrapping_mul(DIGIT_BITS) & 63;
        let above = u64::MAX
            .checked_shl(shift.wrapping_add(DIGIT_BITS))
            .unwrap_or(0);
        now_us & above | u64::from(self.0 & DIGIT_MASK) << shift
    }

    /// Word and bit in a bitmap of all buckets.
    const fn bit(self) -> (usize, u64) {
        ((self.0 >> 6) as usize & 3, 1 << (self.0 & 63))
    }
}

/// The low half of a 64-bit number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
const fn low_half(wide: u64) -> u32 {
    wide as u32
}

/// The timers of all nodes of one slice.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct TimerWheel {
    /// Everything before this point has been dealt with, in microseconds.
    now_us: u64,
    /// Which buckets have nodes.
    occupied: [u64; WORDS],
    /// First node of each bucket, index plus one.
    heads: [u32; BUCKETS],
    /// Number plus one of a bucket above level 0 that has come up and is not empty yet. It comes
    /// before all others, though its number is not the lowest.
    emptying: u32,
    _padding: u32,
}

impl TimerWheel {
    /// No timer is armed, and no time has passed.
    pub(crate) const EMPTY: Self = Self {
        now_us: 0,
        occupied: [0; WORDS],
        heads: [0; BUCKETS],
        emptying: 0,
        _padding: 0,
    };

    /// Arms the timer of node `index`, or moves it if it is armed. A deadline that has passed is
    /// due at once.
    pub(crate) fn arm<T: TimerNode>(&mut self, nodes: &mut [T], index: u32, at: Instant) {
        let Some(timer) = timer_mut(nodes, index) else {
            return;
        };
        let at_us = at.as_micros();
        timer.set_deadline_us(at_us);
        // Early enough where it is: it finds its place when the bucket comes up.
        let bucket = Bucket::of_list(timer.link.list());
        if bucket
            .is_some_and(|bucket| bucket.start_us(self.now_us) <= at_us && self.is_occupied(bucket))
        {
            return;
        }
        self.disarm(nodes, index);
        self.place(nodes, index);
    }

    /// Disarms the timer of node `index`; nothing happens if it is not armed.
    pub(crate) fn disarm<T: TimerNode>(&mut self, nodes: &mut [T], index: u32) {
        let Some(timer) = timer_mut(nodes, index) else {
            return;
        };
        match Bucket::of_list(timer.link.list()) {
            Some(bucket) => {
                if let Some(head) = self.head_mut(bucket) {
                    ring::remove::<T, ByTimer>(head, bucket.list(), nodes, index);
                }
                self.note_emptied(bucket);
            }
            None => timer.link = Link::EMPTY,
        }
    }

    /// When [`Self::pop_expired`] should be called next; `None` if no timer is armed.
    ///
    /// Never later than the earliest deadline, or the wheel's present if that has passed. It may
    /// be earlier where nodes only change buckets at that time.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.first()
            .map(|(_, start_us)| Instant::from_micros(start_us))
    }

    /// Takes one node whose deadline is at or before `now` and disarms it.
    ///
    /// A node that is looked at costs one of `budget`, whether it is due or moves to another
    /// bucket. `None` with budget left means that nothing more is due; without, that there may be.
    /// A `now` before one given earlier counts as that one.
    pub(crate) fn pop_expired<T: TimerNode>(
        &mut self,
        nodes: &mut [T],
        now: Instant,
        budget: &mut u32,
    ) -> Option<u32> {
        let now_us = now.as_micros().max(self.now_us);
        while let Some((bucket, start_us)) = self.first()
            && start_us <= now_us
        {
            *budget = budget.checked_sub(1)?;
            self.now_us = self.now_us.max(start_us);
            if let Some(index) = self.take_first(nodes, bucket) {
                if timer_mut(nodes, index).is_some_and(|timer| timer.deadline_us() <= now_us) {
                    return Some(index);
                }
                self.place(nodes, index);
            }
        }
        self.now_us = now_us;
        None
    }

    /// The bucket that comes up first, and when.
    fn first(&self) -> Option<(Bucket, u64)> {
        if let Some(bucket) = Bucket::of_list(self.emptying) {
            return Some((bucket, self.now_us));
        }
        let (first, bits) = match self.occupied {
            [0, 0, 0, 0] => return None,
            [0, 0, 0, bits] => (192, bits),
            [0, 0, bits, _] => (128, bits),
            [0, bits, ..] => (64, bits),
            [bits, ..] => (0, bits),
        };
        let bucket = Bucket(first | bits.trailing_zeros());
        Some((bucket, bucket.start_us(self.now_us)))
    }

    /// Takes the first node out of a bucket whose time has come.
    fn take_first<T: TimerNode>(&mut self, nodes: &mut [T], bucket: Bucket) -> Option<u32> {
        let head = self.head_mut(bucket)?;
        let index = ring::pop_front::<T, ByTimer>(head, bucket.list(), nodes);
        self.emptying = if bucket.0 > DIGIT_MASK {
            bucket.list()
        } else {
            0
        };
        self.note_emptied(bucket);
        index
    }

    /// Puts a node that is in no bucket where its deadline belongs.
    fn place<T: TimerNode>(&mut self, nodes: &mut [T], index: u32) {
        let Some(timer) = timer_mut(nodes, index) else {
            return;
        };
        let bucket = Bucket::of(timer.deadline_us(), self.now_us);
        if let Some(head) = self.head_mut(bucket) {
            ring::push_back::<T, ByTimer>(head, bucket.list(), nodes, index);
        }
        let (word, bit) = bucket.bit();
        if let Some(bits) = self.occupied.get_mut(word) {
            *bits |= bit;
        }
    }

    /// Strikes a bucket off the map if it has no node.
    fn note_emptied(&mut self, bucket: Bucket) {
        if self.head_mut(bucket).is_some_and(|head| *head != 0) {
            return;
        }
        let (word, bit) = bucket.bit();
        if let Some(bits) = self.occupied.get_mut(word) {
            *bits &= !bit;
        }
        if self.emptying == bucket.list() {
            self.emptying = 0;
        }
    }

    fn is_occupied(&self, bucket: Bucket) -> bool {
        let (word, bit) = bucket.bit();
        self.occupied.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn head_mut(&mut self, bucket: Bucket) -> Option<&mut u32> {
        self.heads.get_mut(usize::try_from(bucket.0).ok()?)
    }
}

fn timer_mut<T: TimerNode>(nodes: &mut [T], index: u32) -> Option<&mut TimerLink> {
    nodes
        .get_mut(usize::try_from(index).ok()?)
        .map(T::timer_mut)
}

#[cfg(test)]
mod tests;
