//! ICMP errors about packets of a flow (section 1.10 of the protocol's rules).

use super::Work;
use crate::policy::Direction;
use crate::sink::Sink;
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};
use crate::wire::{IcmpError, IcmpKind, Quoted};

impl<S: Sink + ?Sized> Work<'_, S> {
    /// An error about a segment that travelled in `direction`.
    pub(crate) fn on_icmp(&mut self, direction: Direction, error: &IcmpError) -> Verdict {
        if self.quotes_own_ack(direction, &error.quoted) {
            return Verdict::Drop(DropReason::IcmpForSynthesized);
        }
        let IcmpKind::PacketTooBig { mtu } = error.kind else {
            return Verdict::Pass(PassReason::Icmp);
        };
        let stream = self.flow.stream(direction);
        if stream.send.outstanding().contains(error.quoted.seq) {
            self.outdate_copies(direction);
        }
        let stream = self.flow.stream(direction);
        // Anyone can forge an error; nobody off the path knows what is in flight (RFC 5927).
        if !stream.is_active() || !stream.send.outstanding().contains(error.quoted.seq) {
            return Verdict::Pass(PassReason::Icmp);
        }
        if self.on_packet_too_big(direction, mtu, &error.quoted) {
            Verdict::Absorb(AbsorbReason::PacketTooBig)
        } else {
            Verdict::Pass(PassReason::Icmp)
        }
    }

    /// Whether an error is about an acknowledgement that the engine made: its host never sent it
    /// (rule H10.4).
    fn quotes_own_ack(&self, direction: Direction, quoted: &Quoted) -> bool {
        let served = self.flow.stream(direction.reverse());
        served.is_active()
            && quoted.payload_len == Some(0)
            && quoted.seq == self.flow.stream(direction).send.snd_nxt
            && served.debt() > 0
    }
}
