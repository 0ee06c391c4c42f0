//! ICMP errors about packets of a flow (section 1.10 of the protocol's rules).

use super::Work;
use crate::policy::Direction;
use crate::sink::Sink;
use crate::verdict::{AbsorbReason, DropReason, PassReason, Verdict};
use crate::wire::{IcmpError, IcmpKind, IpVersion, Quoted};

/// Least path MTU that is believed (rule H10.1).
const MTU_FLOOR_V4: u32 = 552;
const MTU_FLOOR_V6: u32 = 1280;

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
        // Anyone can forge an error; nobody off the path knows what is in flight (RFC 5927).
        if !stream.is_active() || !stream.send.outstanding().contains(error.quoted.seq) {
            return Verdict::Pass(PassReason::Icmp);
        }
        let floor = match error.version {
            IpVersion::V4 => MTU_FLOOR_V4,
            IpVersion::V6 => MTU_FLOOR_V6,
        };
        let Ok(mtu) = u16::try_from(mtu) else {
            return Verdict::Pass(PassReason::Icmp);
        };
        let mss = self.segment_size_at(mtu);
        if u32::from(mtu) < floor || mss >= stream.send.mss() {
            return Verdict::Pass(PassReason::Icmp);
        }
        let send = &mut self.flow.stream_mut(direction).send;
        send.congestion.on_mss_change(mss);
        // Whatever is in flight was too big as well; it is not lost to congestion (RFC 1191).
        self.lose_all(direction);
        self.pump(direction);
        Verdict::Absorb(AbsorbReason::PacketTooBig)
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
