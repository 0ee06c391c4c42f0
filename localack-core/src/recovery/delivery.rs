//! How fast the path delivers (draft-cheng-iccrg-delivery-rate-estimation, and the chapter of
//! draft-ietf-ccwg-bbr that took its place): what is noted of a segment when it is sent, and what its
//! delivery then says.
//!
//! Segments leave their notes on the pages they lie in, so a sample stands for the last segment of a
//! page. Counters wrap; only their differences mean anything.

#[cfg(feature = "bbr")]
use crate::time::Instant;
use crate::time::Stamp;

/// What is known of the last transmission of some octets. Plain old data, kept with each block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Sent {
    /// When it was.
    pub(crate) at: Stamp,
    /// Octets delivered and when, as it left.
    #[cfg(feature = "bbr")]
    pub(crate) delivered: u32,
    #[cfg(feature = "bbr")]
    pub(crate) delivered_at: Stamp,
    /// When the segment left whose delivery was the last news.
    #[cfg(feature = "bbr")]
    pub(crate) first_sent_at: Stamp,
    /// Octets in flight, its own counted.
    #[cfg(feature = "bbr")]
    pub(crate) in_flight: u32,
    /// Octets found lost until then.
    #[cfg(feature = "bbr")]
    pub(crate) lost: u32,
    pub(crate) flags: u32,
}

impl Sent {
    /// Some of the octets were sent before.
    pub(crate) const RETRANSMITTED: u32 = 1;
    /// The application, not the path, limited the flow.
    pub(crate) const APP_LIMITED: u32 = 1 << 1;

    pub(crate) const NEVER: Self = Self {
        at: Stamp::NEVER,
        #[cfg(feature = "bbr")]
        delivered: 0,
        #[cfg(feature = "bbr")]
        delivered_at: Stamp::NEVER,
        #[cfg(feature = "bbr")]
        first_sent_at: Stamp::NEVER,
        #[cfg(feature = "bbr")]
        in_flight: 0,
        #[cfg(feature = "bbr")]
        lost: 0,
        flags: 0,
    };

    pub(crate) const fn is_retransmitted(&self) -> bool {
        self.flags & Self::RETRANSMITTED != 0
    }
}

/// A measurement of the delivery rate. Without a controller that uses it there is nothing in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RateSample {
    /// When the measured segment was sent is known, and so is all but the rate itself.
    #[cfg(feature = "bbr")]
    pub(crate) is_known: bool,
    /// Octets delivered in the interval.
    #[cfg(feature = "bbr")]
    pub(crate) delivered: u32,
    /// Its length, in microseconds; zero if nothing was measured.
    #[cfg(feature = "bbr")]
    pub(crate) interval_us: u32,
    /// Octets delivered in all when the measured segment was sent, and now.
    #[cfg(feature = "bbr")]
    pub(crate) prior_delivered: u32,
    #[cfg(feature = "bbr")]
    pub(crate) total_delivered: u32,
    /// Octets in flight when it was sent, its own counted.
    #[cfg(feature = "bbr")]
    pub(crate) tx_in_flight: u32,
    /// Octets found lost between its sending and now.
    #[cfg(feature = "bbr")]
    pub(crate) lost: u32,
    /// The application limited the flow when it was sent: the path may be faster.
    #[cfg(feature = "bbr")]
    pub(crate) is_app_limited: bool,
}

/// The counters of one direction. Plain old data.
#[cfg(feature = "bbr")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Delivery {
    /// Octets delivered in all, and when the last of them were.
    delivered: u32,
    delivered_at: Stamp,
    /// When the segment left whose delivery was the last news.
    first_sent_at: Stamp,
    /// Octets found lost in all.
    lost: u32,
    /// The flow is limited by its application until so many octets are delivered; zero if it is not.
    app_limited_until: u32,
}

#[cfg(feature = "bbr")]
impl Delivery {
    pub(crate) const EMPTY: Self = Self {
        delivered: 0,
        delivered_at: Stamp::NEVER,
        first_sent_at: Stamp::NEVER,
        lost: 0,
        app_limited_until: 0,
    };

    /// The note of a segment of `octets` that leaves now, with `in_flight` octets before it.
    pub(crate) fn on_sent(&mut self, now: Instant, octets: u32, in_flight: u32) -> Sent {
        if in_flight == 0 || !self.delivered_at.is_set() {
            // The path was idle: time spent waiting for data is not the path's.
            self.delivered_at = Stamp::at(now);
            self.first_sent_at = Stamp::at(now);
        }
        Sent {
            at: Stamp::at(now),
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            in_flight: in_flight.saturating_add(octets),
            lost: self.lost,
            flags: if self.app_limited_until == 0 {
                0
            } else {
                Sent::APP_LIMITED
            },
        }
    }

    /// Nothing waits to be sent although the window has room, with `in_flight` octets on their way.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = self.delivered.wrapping_add(in_flight).max(1);
    }

    /// Octets were found lost. Answers the total.
    pub(crate) fn on_lost(&mut self, octets: u32) -> u32 {
        self.lost = self.lost.wrapping_add(octets);
        self.lost
    }

    /// Octets arrived; `newest` is the note of the last sent of them, if it is known. The rate that
    /// follows, unless it is faster than a round trip of `min_rtt_us` allows.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        octets: u32,
        newest: Option<&Sent>,
        min_rtt_us: Option<u32>,
    ) -> RateSample {
        let unknown = RateSample {
            total_delivered: self.delivered.wrapping_add(octets),
            ..RateSample::default()
        };
        if octets == 0 {
            return unknown;
        }
        self.delivered = self.delivered.wrapping_add(octets);
        self.delivered_at = Stamp::at(now);
        let passed = self.delivered.wrapping_sub(self.app_limited_until);
        if self.app_limited_until != 0 && passed > 0 && passed < 1 << 31 {
            self.app_limited_until = 0;
        }
        let Some(sent) = newest.filter(|sent| sent.at.is_set()) else {
            return unknown;
        };
        self.first_sent_at = sent.at;
        // What was delivered cannot have come faster than it was sent, nor than it was acknowledged.
        let send_us = sent.at.since(sent.first_sent_at);
        let ack_us = self.delivered_at.since(sent.delivered_at);
        let interval_us = send_us.max(ack_us);
        // Less than a round trip is the answer to an earlier transmission of the same octets.
        let is_plausible = interval_us >= min_rtt_us.unwrap_or(1).max(1);
        RateSample {
            is_known: true,
            delivered: self.delivered.wrapping_sub(sent.delivered),
            interval_us: if is_plausible { interval_us } else { 0 },
            prior_delivered: sent.delivered,
            total_delivered: self.delivered,
            tx_in_flight: sent.in_flight,
            lost: self.lost.wrapping_sub(sent.lost),
            is_app_limited: sent.flags & Sent::APP_LIMITED != 0,
        }
    }
}

#[cfg(test)]
mod tests;
