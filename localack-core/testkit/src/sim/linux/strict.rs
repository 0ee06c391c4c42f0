//! A receiver that refuses what any of the common ones refuses, so that whoever pleases it pleases them all.
//!
//! Linux is lenient where others are not, and a box on the way must get along with each:
//!
//! | what arrives | who takes nothing of it |
//! |---|---|
//! | a TSval below TS.Recent by a tick, or a plain duplicate below it | FreeBSD (`tcp_do_segment`), RFC 7323 section 5.3 |
//! | no timestamp although they were agreed on | FreeBSD (`tolerate_missing_ts` off), RFC 7323 section 3.2 |
//! | an acknowledgement below SND.UNA | smoltcp (`process`), OpenBSD; Linux 4.13 to 6.8 once it has sent a FIN |
//! | a segment that ends beyond the window, octets inside it included | Linux 6.18 with unread data (`tcp_sequence`) |
//! | no data, at the right edge of an open window | smoltcp, RFC 9293 section 3.10.7.4 |
//! | no data, below RCV.NXT | smoltcp; Linux (`tcp_sequence`) if it acknowledged further |
//! | only data that it has | smoltcp |
//! | a RST at the edge of what was SACKed | FreeBSD, RFC 5961 section 3.2 |
//! | a third ACK with a TSval below the SYN's, or an echo of no SYN-ACK | Linux 6.14 (`tcp_check_req`) |
//! | a SYN-ACK with an echo of no SYN | Linux (`tcp_rcv_synsent_state_process`) |

use localack_core::Instant;

use super::fault::FaultKind;
use super::host::LinuxHost;
use crate::packet::{Flags, Packet};

/// How a segment of which nothing is taken is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// By an acknowledgement.
    Answered,
    /// Not at all.
    Silent,
}

impl LinuxHost {
    /// Whether, and how, a strict host refuses a segment from `seq` to `end` of an open connection. It
    /// judges no SYN and no RST.
    pub(super) fn refuses_strictly(
        &mut self,
        now: Instant,
        packet: &Packet,
        (seq, end): (u64, u64),
    ) -> Option<Refusal> {
        if self.sender.stamps && packet.options.timestamps.is_none() {
            return Some(Refusal::Silent); // Held against it already.
        }
        let stamp = packet.options.timestamps.filter(|_| self.sender.stamps);
        if stamp.is_some_and(|(value, _)| self.stamps.refuse_any(now, value)) {
            self.hold_against_paws(now, (seq, end));
            return Some(Refusal::Answered);
        }
        let ack = self.own.position(self.sender.una, packet.ack);
        let explained = ack + self.sender.max_window >= self.sender.una;
        if packet.flags.has(Flags::ACK) && ack < self.sender.una && explained {
            self.faults.add(now, FaultKind::OldAck);
            return Some(Refusal::Silent);
        }
        let window = u64::from(packet.window) << self.peer_scale;
        let news = ack > self.sender.una || self.watch.is_news(ack + window);
        let fault = match self.misplaced(seq, end) {
            None => return None,
            Some(Place::Again) => {
                self.receiver.repeated(seq, end);
                None
            }
            Some(Place::Probe) => None,
            Some(Place::Question) => None,
            Some(Place::Behind) => Some(FaultKind::BehindWindow).filter(|_| news),
            Some(Place::AtEdge) => Some(FaultKind::AtEdge),
            Some(Place::Beyond) => Some(FaultKind::BeyondWindow),
        };
        self.sender.stats.refused_sequence += 1;
        if let Some(kind) = fault {
            self.faults.add(now, kind);
        }
        Some(Refusal::Answered)
    }

    /// Where a segment stands that is not acceptable by its place.
    fn misplaced(&self, seq: u64, end: u64) -> Option<Place> {
        let (next, edge) = (self.receiver.rcv_nxt, self.receiver.window.edge());
        if end > seq {
            return match () {
                () if end <= next => Some(Place::Again),
                // One octet beyond a closed window is how some hosts probe it.
                () if seq == edge && end == seq + 1 => Some(Place::Probe),
                () if end > edge => Some(Place::Beyond),
                () => None,
            };
        }
        match () {
            () if seq + 1 == next => Some(Place::Question),
            () if seq < next => Some(Place::Behind),
            () if seq > edge => Some(Place::Beyond),
            () if seq == edge && edge > next => Some(Place::AtEdge),
            () => None,
        }
    }

    /// Whether a strict host makes no connection of a third ACK.
    pub(super) fn refuses_third_ack(&mut self, now: Instant, packet: &Packet) -> bool {
        let agreed = self.config.timestamps && self.handshake.offered.timestamps.is_some();
        let Some((value, echo)) = packet.options.timestamps.filter(|_| agreed) else {
            if agreed {
                self.faults.add(now, FaultKind::MissingTimestamp);
            }
            return agreed;
        };
        let told = self.handshake.told_stamps;
        let known = told.is_none_or(|[first, last]| {
            echo.wrapping_sub(first) <= last.wrapping_sub(first) // Also across the wrap.
        });
        if !known {
            self.faults.add(now, FaultKind::EchoOfUnsent);
        } else if self.stamps.refuse_any(now, value) {
            self.faults.add(now, FaultKind::Paws);
        } else {
            return false;
        }
        true
    }
}

/// Places at which nothing is taken of a segment.
enum Place {
    /// All its octets are there already.
    Again,
    /// One octet at a closed edge.
    Probe,
    /// Without octets, right below RCV.NXT: how a window is probed, and a sign of life asked for.
    Question,
    /// Without octets, below that.
    Behind,
    /// Without octets, at the right edge of an open window.
    AtEdge,
    /// Beyond the right edge, if only with its last octet.
    Beyond,
}
