//! Hop limits. A packet that goes through the gateway is forwarded twice by the kernel, and each time loses a
//! hop; the gateway gives one back, so that it counts as one router.

/// Offset of the IPv4 header's time to live and of its checksum.
const TTL: usize = 8;
const CHECKSUM: usize = 10;
/// Offset of the IPv6 header's hop limit.
const HOP_LIMIT: usize = 7;

/// Gives `packet`, which begins with its IP header, a hop more, at most 255.
pub(super) fn give_back(packet: &mut [u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let Some(&[ttl, protocol]) = packet.get(TTL..TTL + 2).and_then(<[u8]>::first_chunk)
            else {
                return;
            };
            let Some(&field) = packet.get(CHECKSUM..).and_then(<[u8]>::first_chunk) else {
                return;
            };
            let more = ttl.saturating_add(1);
            let words = [ttl, more].map(|ttl| u16::from_be_bytes([ttl, protocol]));
            let [old, new] = words;
            let sum = localack_core::wire::checksum::update(u16::from_be_bytes(field), old, new);
            if let Some(field) = packet.get_mut(CHECKSUM..CHECKSUM + 2) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
            if let Some(field) = packet.get_mut(TTL) {
                *field = more;
            }
        }
        Some(6) => {
            if let Some(field) = packet.get_mut(HOP_LIMIT) {
                *field = field.saturating_add(1);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use localack_core::wire::checksum::ipv4_header_checksum;

    /// A header with these hops and this address at its end.
    fn header(ttl: u8, last: u8) -> [u8; 20] {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[3] = 40;
        header[TTL] = ttl;
        header[9] = 6;
        header[12..].copy_from_slice(&[192, 0, 2, 1, 203, 0, 113, last]);
        let sum = ipv4_header_checksum(&header);
        header[CHECKSUM..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    #[test]
    fn an_ipv4_packet_gets_a_hop_and_keeps_its_checksum_right() {
        for (ttl, last) in (0..=255).flat_map(|ttl| [(ttl, 1), (ttl, 77), (ttl, 255)]) {
            let mut packet = header(ttl, last);
            give_back(&mut packet);
            assert_eq!(packet, header(ttl.saturating_add(1), last), "{ttl} {last}");
        }
    }

    #[test]
    fn an_ipv6_packet_gets_a_hop() {
        for (before, after) in [(0, 1), (63, 64), (254, 255), (255, 255)] {
            let mut packet = [0; 40];
            packet[0] = 0x60;
            packet[HOP_LIMIT] = before;
            give_back(&mut packet);
            assert_eq!(packet[HOP_LIMIT], after);
        }
    }

    #[test]
    fn what_is_no_packet_stays_as_it_is() {
        for mut junk in [
            vec![],
            vec![0x45],
            vec![0x60; 7],
            vec![0x45; 11],
            vec![0xff; 40],
        ] {
            let before = junk.clone();
            give_back(&mut junk);
            assert_eq!(junk, before);
        }
    }
}
