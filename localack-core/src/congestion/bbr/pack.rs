//! How the state lies in the words of a flow slot. Any bits decode to something that can be used.

use super::{Bbr, Phase, Undo};
use crate::congestion::words::Words;
use crate::time::{Moment, Stamp};

/// Units in which aggregation is kept: octets to the power of two.
const EXTRA_ACKED_SHIFT: u32 = 10;

impl Phase {
    const fn decode(tag: u8) -> Self {
        match tag {
            1 => Self::Drain,
            2 => Self::Down,
            3 => Self::Cruise,
            4 => Self::Refill,
            5 => Self::Up,
            6 => Self::ProbeRtt,
            _ => Self::Startup,
        }
    }

    const fn encode(self) -> u8 {
        match self {
            Self::Startup => 0,
            Self::Drain => 1,
            Self::Down => 2,
            Self::Cruise => 3,
            Self::Refill => 4,
            Self::Up => 5,
            Self::ProbeRtt => 6,
        }
    }
}

impl Undo {
    const fn decode(tag: u8) -> Self {
        match tag {
            1 => Self::Startup,
            2 => Self::Up,
            _ => Self::Nothing,
        }
    }

    const fn encode(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Startup => 1,
            Self::Up => 2,
        }
    }
}

/// Small numbers side by side, read in the order in which they were written, each with its width.
struct Reader(u64);

impl Reader {
    /// A number of at most sixteen bits.
    #[expect(clippy::cast_possible_truncation, reason = "the mask is as wide")]
    const fn number(&mut self, bits: u32) -> u16 {
        let number = self.0 & mask(bits);
        self.0 = self.0.wrapping_shr(bits);
        number as u16
    }

    /// A number of at most eight bits.
    #[expect(clippy::cast_possible_truncation, reason = "the mask is as wide")]
    const fn small(&mut self, bits: u32) -> u8 {
        self.number(bits) as u8
    }

    const fn flag(&mut self) -> bool {
        self.number(1) != 0
    }
}

const fn mask(bits: u32) -> u64 {
    u64::MAX.wrapping_shr(64_u32.saturating_sub(bits))
}

struct Writer {
    packed: u64,
    at: u32,
}

impl Writer {
    /// Writes a number; one that is too large becomes the largest that fits.
    fn number(&mut self, bits: u32, number: u16) {
        self.packed |= u64::from(number).min(mask(bits)).wrapping_shl(self.at);
        self.at = self.at.saturating_add(bits);
    }

    fn flag(&mut self, flag: bool) {
        self.number(1, u16::from(flag));
    }
}

impl Bbr {
    #[inline]
    pub(in crate::congestion) fn load(words: &Words) -> Self {
        let [
            pacing_rate,
            prior_cwnd,
            delivered,
            next_round_delivered,
            best_before,
            best_latest,
            min_rtt_us,
            min_rtt_at,
            extra_acked_start,
            extra_acked_delivered,
            extra_acked,
            full_bw,
            phase_at,
            bw_probe_up_acked,
            probe_up_acked_per_inc,
            inflight_longterm,
            bw_shortterm,
            inflight_shortterm,
            bw_latest,
            inflight_latest,
            loss_round_delivered,
            undo_bw_shortterm,
            undo_inflight_shortterm,
            undo_inflight_longterm,
            probe_rtt_min_us,
            probe_rtt_min_at,
            low_flags,
            high_flags,
        ] = *words;
        let mut small = Reader(u64::from(high_flags) << 32 | u64::from(low_flags));
        Self {
            pacing_rate,
            prior_cwnd,
            delivered,
            next_round_delivered,
            max_bw: [best_before, best_latest],
            min_rtt_us,
            min_rtt_at: Moment::from_bits(min_rtt_at),
            extra_acked_start: Stamp::from_bits(extra_acked_start),
            extra_acked_delivered,
            extra_acked: [
                extra_acked >> 16 << EXTRA_ACKED_SHIFT,
                (extra_acked & 0xffff) << EXTRA_ACKED_SHIFT,
            ],
            full_bw,
            phase_at: Moment::from_bits(phase_at),
            bw_probe_up_acked,
            probe_up_acked_per_inc,
            inflight_longterm,
            bw_shortterm,
            inflight_shortterm,
            bw_latest,
            inflight_latest,
            loss_round_delivered,
            undo_bw_shortterm,
            undo_inflight_shortterm,
            undo_inflight_longterm,
            probe_rtt_min_us,
            probe_rtt_min_at: Moment::from_bits(probe_rtt_min_at),
            // In the order of `small_fields`.
            phase: Phase::decode(small.small(3)),
            undo: Undo::decode(small.small(2)),
            extra_acked_rounds: small.small(3),
            full_bw_count: small.small(2),
            phase_rounds: small.small(3),
            bw_probe_wait_ms: small.number(10),
            rounds_since_probe_up: small.small(7),
            bw_probe_up_rounds: small.small(5),
            loss_events: small.small(3),
            probe_rtt_shadow: small.small(2),
            heard: small.flag(),
            cwnd_limited: small.flag(),
            cwnd_limited_before: small.flag(),
            full_bw_now: small.flag(),
            full_bw_reached: small.flag(),
            probe_stopping: small.flag(),
            is_bw_probe_sample: small.flag(),
            prev_probe_too_high: small.flag(),
            prev_probe_precautionary: small.flag(),
            probe_began_clear: small.flag(),
            is_loss_in_round: small.flag(),
            loss_is_blind: small.flag(),
            is_marked: small.flag(),
            loss_was_told: small.flag(),
            queue_seen: small.flag(),
            queue_seen_before: small.flag(),
            probe_rtt_round_done: small.flag(),
            idle_restart: small.flag(),
        }
    }

    #[inline]
    pub(in crate::congestion) fn store(&self, words: &mut Words) {
        let [best_before, best_latest] = self.max_bw;
        let [extra_before, extra_latest] = self.extra_acked.map(in_units);
        let small = self.small_fields();
        *words = [
            self.pacing_rate,
            self.prior_cwnd,
            self.delivered,
            self.next_round_delivered,
            best_before,
            best_latest,
            self.min_rtt_us,
            self.min_rtt_at.bits(),
            self.extra_acked_start.bits(),
            self.extra_acked_delivered,
            extra_before << 16 | extra_latest,
            self.full_bw,
            self.phase_at.bits(),
            self.bw_probe_up_acked,
            self.probe_up_acked_per_inc,
            self.inflight_longterm,
            self.bw_shortterm,
            self.inflight_shortterm,
            self.bw_latest,
            self.inflight_latest,
            self.loss_round_delivered,
            self.undo_bw_shortterm,
            self.undo_inflight_shortterm,
            self.undo_inflight_longterm,
            self.probe_rtt_min_us,
            self.probe_rtt_min_at.bits(),
            low_half(small),
            low_half(small >> 32),
        ];
    }

    fn small_fields(&self) -> u64 {
        let mut small = Writer { packed: 0, at: 0 };
        small.number(3, self.phase.encode().into());
        small.number(2, self.undo.encode().into());
        small.number(3, self.extra_acked_rounds.into());
        small.number(2, self.full_bw_count.into());
        small.number(3, self.phase_rounds.into());
        small.number(10, self.bw_probe_wait_ms);
        small.number(7, self.rounds_since_probe_up.into());
        small.number(5, self.bw_probe_up_rounds.into());
        small.number(3, self.loss_events.into());
        small.number(2, self.probe_rtt_shadow.into());
        small.flag(self.heard);
        small.flag(self.cwnd_limited);
        small.flag(self.cwnd_limited_before);
        small.flag(self.full_bw_now);
        small.flag(self.full_bw_reached);
        small.flag(self.probe_stopping);
        small.flag(self.is_bw_probe_sample);
        small.flag(self.prev_probe_too_high);
        small.flag(self.prev_probe_precautionary);
        small.flag(self.probe_began_clear);
        small.flag(self.is_loss_in_round);
        small.flag(self.loss_is_blind);
        small.flag(self.is_marked);
        small.flag(self.loss_was_told);
        small.flag(self.queue_seen);
        small.flag(self.queue_seen_before);
        small.flag(self.probe_rtt_round_done);
        small.flag(self.idle_restart);
        small.packed
    }
}

/// Aggregation in the units in which it is kept, as far as sixteen bits reach.
fn in_units(octets: u32) -> u32 {
    (octets >> EXTRA_ACKED_SHIFT).min(0xffff)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is asked for"
)]
const fn low_half(wide: u64) -> u32 {
    wide as u32
}
