//! What an acknowledgement does to the sender.

use localack_core::Instant;

use super::super::clock::{after, since};
use super::super::congestion::Growth;
use super::super::fault::{FaultKind, Faults};
use super::{Phase, Sender};

/// An acknowledgement as it arrived; positions are the sender's.
#[derive(Clone, Debug)]
pub(in super::super) struct AckInfo {
    pub(in super::super) ack: u64,
    /// The sequence position of the segment, in the peer's space.
    pub(in super::super) seq: u64,
    /// The window in octets.
    pub(in super::super) window: u64,
    pub(in super::super) sack: Vec<(u64, u64)>,
    /// TSecr, and the age of that timestamp in microseconds.
    pub(in super::super) echo: Option<(u32, u64)>,
    pub(in super::super) payload: bool,
    pub(in super::super) ece: bool,
}

/// Why the whole segment is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum AckRefused {
    /// It acknowledges what was not sent.
    Unsent,
    /// It is older than any window explains (RFC 5961 section 5.2).
    TooOld,
}

/// What came of an acknowledgement so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) now: Instant,
    /// SND.UNA advanced.
    pub(super) advanced: bool,
    /// Segments acknowledged cumulatively, newly reported, and delivered in all.
    pub(super) acked: u32,
    pub(super) reported: u32,
    pub(super) delivered: u32,
    /// Whether it counts as a duplicate acknowledgement.
    pub(super) duplicate: bool,
    pub(super) dsack: bool,
    /// A segment that was sent more than once was acknowledged.
    again: bool,
    /// A segment that was never sent again was delivered, and F-RTO waits for such ones.
    pub(super) original: bool,
    pub(super) echo: Option<u32>,
    pub(super) ece: bool,
    /// Round trips of the first and the last segment that was delivered without retransmission.
    first_rtt: Option<u64>,
    last_rtt: Option<u64>,
}

impl Sender {
    /// Takes an acknowledgement of an acceptable segment.
    pub(in super::super) fn on_ack(
        &mut self,
        now: Instant,
        info: &AckInfo,
        faults: &mut Faults,
    ) -> Result<(), AckRefused> {
        if info.ack > self.nxt {
            return Err(AckRefused::Unsent);
        }
        let acked = self.una - super::super::position::ORIGIN;
        if info.ack + self.max_window.min(acked) < self.una {
            return Err(AckRefused::TooOld);
        }
        let old = info.ack < self.una;
        let opened = !old && self.update_window(info);
        let mut out = Outcome {
            now,
            advanced: info.ack > self.una,
            acked: 0,
            reported: 0,
            delivered: 0,
            duplicate: false,
            dsack: false,
            again: false,
            original: false,
            echo: info.echo.map(|(echo, _)| echo),
            ece: info.ece && self.ecn,
            first_rtt: None,
            last_rtt: None,
        };
        self.lost_again = false;
        let highest = self.flight.highest_sacked;
        if self.sack {
            self.take_blocks(info, &mut out, faults);
        }
        if out.advanced {
            self.una = info.ack;
            self.timers.retries = 0;
            self.take_cumulative(highest, &mut out);
            if self.flight.head().is_some_and(|head| head.sacked) {
                faults.add(now, FaultKind::Reneged);
                let wait = (self.rtt.smoothed().unwrap_or(0) / 16).max(10_000);
                self.timers.rto = Some(after(now, wait));
            } else {
                self.rearm(now);
            }
        }
        self.measure(info, &out);
        out.duplicate = !out.advanced && !info.payload && !opened && !self.flight.is_empty();
        self.tail_probe_answered(&out);
        let lost = self.alert(&mut out);
        self.control_window(&out, lost);
        self.window_probe_answered();
        Ok(())
    }

    /// Takes the window over if the segment is newer than the one that set it; true if it changed.
    fn update_window(&mut self, info: &AckInfo) -> bool {
        let newer = info.ack > self.una
            || info.seq > self.wl1
            || (info.seq == self.wl1 && (info.window > self.wnd || info.window == 0));
        if !newer {
            return false;
        }
        self.wl1 = info.seq;
        let changed = self.wnd != info.window;
        self.wnd = info.window;
        self.max_window = self.max_window.max(info.window);
        changed
    }

    /// SACK blocks, D-SACK first (RFC 2883).
    fn take_blocks(&mut self, info: &AckInfo, out: &mut Outcome, faults: &mut Faults) {
        let mut blocks = Vec::with_capacity(4);
        for (index, &(start, end)) in info.sack.iter().enumerate() {
            if start >= end {
                faults.add(out.now, FaultKind::SackMalformed);
            } else if end > self.nxt {
                faults.add(out.now, FaultKind::SackOfUnsent);
            } else if index == 0 && is_duplicate(info, (start, end)) {
                if !self.take_dsack(start, end, out) {
                    faults.add(out.now, FaultKind::UnexplainedDsack);
                }
            } else if end > self.una {
                blocks.push((start.max(self.una), end));
            }
        }
        blocks.sort_unstable();
        let highest = self.flight.highest_sacked;
        let mut least = u64::MAX;
        let mut reported = Vec::new();
        for (start, end) in blocks {
            self.flight.sack(start, end, |sent| reported.push(sent));
        }
        for sent in reported {
            out.reported += 1;
            out.delivered += 1;
            if !sent.again {
                if sent.start < highest {
                    least = least.min(sent.start);
                }
                out.original |= sent.end <= self.high_seq;
                out.saw(sent.at);
            }
            self.rack_delivered(out.now, &sent);
        }
        if least < highest && self.phase != Phase::Loss {
            self.saw_reordering(least, highest);
        }
    }

    /// Takes a D-SACK; false if more came back than was sent twice, so that it says nothing.
    fn take_dsack(&mut self, start: u64, end: u64, out: &mut Outcome) -> bool {
        let segments = (end - start).div_ceil(self.mss.max(1).into());
        self.duplicates += segments;
        if self.duplicates > self.stats.segments_retransmitted {
            return false;
        }
        out.dsack = true;
        let recent = self.undo.marker.is_some_and(|marker| end > marker) && end <= self.una;
        if recent && self.undo.unexcused > 0 {
            let segments = i64::try_from(segments).unwrap_or(i64::MAX);
            self.undo.unexcused = (self.undo.unexcused - segments).max(0);
        }
        if self.tlp == Some((end, true)) {
            self.tlp = None; // The probe was needless.
        }
        self.rack_dsack();
        true
    }

    /// Segments up to the new SND.UNA; `highest` was the highest reported before.
    fn take_cumulative(&mut self, highest: u64, out: &mut Outcome) {
        let mut all = Vec::new();
        self.flight
            .acknowledge(self.una, |delivered| all.push(delivered));
        let mut least = u64::MAX;
        for delivered in all {
            let sent = delivered.sent;
            out.acked += 1;
            if delivered.known {
                continue;
            }
            out.delivered += 1;
            out.again |= sent.again;
            if !sent.again {
                out.saw(sent.at);
                least = least.min(sent.start);
                out.original |= sent.end <= self.high_seq;
            }
            self.rack_delivered(out.now, &sent);
        }
        if self.sack {
            if least < highest && self.phase != Phase::Loss {
                self.saw_reordering(least, highest);
            }
        } else {
            // Of what duplicates stood for, all but the segment that was missing.
            let known = self.flight.reno_sacked.min(out.acked.saturating_sub(1));
            self.flight.reno_sacked -= known;
            out.delivered = out.delivered.saturating_sub(known).max(1);
        }
    }

    /// A round-trip sample, from own times if possible (rule of Karn), else from the echo.
    fn measure(&mut self, info: &AckInfo, out: &Outcome) {
        let own = out.first_rtt.filter(|_| !out.again);
        let sample = own.or_else(|| {
            let (_, age) = info.echo.filter(|_| out.advanced)?;
            Some(age)
        });
        if let Some(sample) = sample {
            let now = out.now.as_micros();
            self.rtt.sample(sample, now, self.una, self.nxt);
            self.rtt.recovered();
        }
    }

    /// Grows or shrinks the window; `lost` segments were just found lost.
    fn control_window(&mut self, out: &Outcome, lost: u32) {
        if self.in_reduction() {
            self.reduce_window(out.delivered, out.advanced && lost == 0);
            return;
        }
        let progress = if self.reordering > 3 {
            out.delivered
        } else {
            out.acked.min(out.delivered)
        };
        if progress > 0 && self.is_limited_by_window() {
            self.congestion.grow(Growth {
                now: out.now,
                delivered: out.delivered,
                srtt: self.rtt.smoothed().unwrap_or(0),
                sample: out.last_rtt.filter(|_| !out.again),
                una: self.una,
                nxt: self.nxt,
            });
        }
    }

    fn is_limited_by_window(&self) -> bool {
        self.cwnd_limited
            || (self.congestion.in_slow_start() && self.congestion.cwnd < 2 * self.most_out)
    }
}

impl Outcome {
    fn saw(&mut self, at: Instant) {
        let rtt = since(self.now, at);
        self.first_rtt = self.first_rtt.or(Some(rtt));
        self.last_rtt = Some(rtt);
    }
}

/// Whether the first block is a D-SACK: below the acknowledgement, or inside the second block.
fn is_duplicate(info: &AckInfo, (start, end): (u64, u64)) -> bool {
    start < info.ack
        || info
            .sack
            .get(1)
            .is_some_and(|&(left, right)| left <= start && end <= right)
}
