//! Packets in the notation of the scripts.

use core::fmt::Write as _;

use super::model::Side;
use super::side::Host;
use crate::packet::{Flags, Packet};

/// Describes a packet that `from` sends (or seems to send), with numbers relative.
pub(super) fn describe(packet: &Packet, from: Side, hosts: &[Host; 2]) -> String {
    let (own, peer) = (&hosts[from.index()], &hosts[from.other().index()]);
    let seq = own.relative(packet.seq);
    let mut text = format!("{} {seq}", packet.flags);
    if !packet.payload.is_empty() {
        let first = seq + i64::from(packet.flags.has(Flags::SYN));
        let end = first + i64::from(packet.payload_len());
        write!(text, ":{end}").expect("to a string");
    }
    if packet.flags.has(Flags::ACK) {
        write!(text, " ack {}", peer.relative(packet.ack)).expect("to a string");
    }
    write!(text, " w{}", packet.window).expect("to a string");
    if let Some((stamp, echo)) = packet.options.timestamps {
        let (stamp, echo) = (own.relative_stamp(stamp), peer.relative_stamp(echo));
        write!(text, " ts {stamp} tsecr {echo}").expect("to a string");
    }
    if packet.options.sack_present {
        write!(text, " sack").expect("to a string");
    }
    for &(left, right) in &packet.options.sack {
        write!(text, " {}:{}", peer.relative(left), peer.relative(right)).expect("to a string");
    }
    if packet.ip.traffic_class & 3 != 0 {
        write!(text, " ecn {}", packet.ip.traffic_class & 3).expect("to a string");
    }
    if packet.flags.has(Flags::URG) {
        write!(text, " up {}", packet.urgent).expect("to a string");
    }
    if let (Some(&first), true) = (
        packet.payload.first(),
        packet.payload.windows(2).all(|pair| pair[0] == pair[1]),
    ) && first.is_ascii_alphabetic()
    {
        write!(text, " data '{}'", char::from(first)).expect("to a string");
    }
    text
}
