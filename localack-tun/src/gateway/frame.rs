//! What stands before each packet of a device with offloads: what the kernel knows of the packet, and
//! wants to know (`struct virtio_net_hdr` of `linux/virtio_net.h`).

use localack_core::wire::checksum::pseudo_header;
use localack_core::wire::{IpVersion, Parsed, parse_headers};
use localack_core::{Checksum, PacketMeta};

/// Octets of the header.
pub(super) const FRAME_HEADER: usize = 10;

/// The checksum is to be completed (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
const NEEDS_CHECKSUM: u8 = 1;
/// The checksum has been verified (`VIRTIO_NET_HDR_F_DATA_VALID`).
const DATA_VALID: u8 = 2;
/// Kinds of cutting (`VIRTIO_NET_HDR_GSO_*`).
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// Set beside the kind where only the first segment may carry CWR.
const GSO_ECN: u8 = 0x80;
/// Where a TCP header has its checksum.
const TCP_CHECKSUM: u16 = 16;

/// What the kernel says of a packet; `None` if it makes no sense, or is not TCP and yet to be cut.
pub(super) fn meta(header: &[u8]) -> Option<PacketMeta> {
    let &[flags, kind, _, _, low, high, ..] = header.first_chunk::<FRAME_HEADER>()?;
    let checksum = if flags & NEEDS_CHECKSUM != 0 {
        Checksum::Partial
    } else if flags & DATA_VALID != 0 {
        Checksum::Verified
    } else {
        Checksum::Verify
    };
    let gso_size = match kind & !GSO_ECN {
        GSO_NONE => 0,
        GSO_TCPV4 | GSO_TCPV6 => u16::from_ne_bytes([low, high]),
        _ => return None,
    };
    Some(PacketMeta {
        checksum,
        gso_size,
        ..PacketMeta::default()
    })
}

/// The header of a packet that is complete as it is.
pub(super) const PLAIN: [u8; FRAME_HEADER] = [0; FRAME_HEADER];

/// The header of a super-segment that begins with `headers`, behind `lead` octets of the link layer, which
/// the kernel is to cut into segments of `gso_size` octets. It works their checksums out itself, so that
/// `headers` gets the sum of the pseudo-header instead of one. `None` if those are not the headers of TCP in
/// IP.
pub(super) fn to_be_cut(
    headers: &mut [u8],
    lead: usize,
    gso_size: u16,
) -> Option<[u8; FRAME_HEADER]> {
    let Parsed::Tcp(seg) = parse_headers(headers) else {
        return None;
    };
    let sum = pseudo_header(seg.src, seg.dst, seg.tcp_len()).fold();
    let at = usize::from(seg.tcp_offset.checked_add(TCP_CHECKSUM)?);
    let field = headers.get_mut(at..)?.first_chunk_mut()?;
    *field = sum.to_be_bytes();
    let kind = match seg.version {
        IpVersion::V4 => GSO_TCPV4,
        IpVersion::V6 => GSO_TCPV6,
    };
    let lead = u16::try_from(lead).ok()?;
    let words = [
        lead.checked_add(seg.payload_offset)?,
        gso_size,
        lead.checked_add(seg.tcp_offset)?,
        TCP_CHECKSUM,
    ];
    let mut frame = [0; FRAME_HEADER];
    let octets = [NEEDS_CHECKSUM, kind].into_iter();
    let octets = octets.chain(words.into_iter().flat_map(u16::to_ne_bytes));
    for (cell, octet) in frame.iter_mut().zip(octets) {
        *cell = octet;
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use localack_core::wire::checksum::verify;

    /// A frame header as the kernel writes it.
    fn frame(flags: u8, kind: u8, gso_size: u16) -> [u8; FRAME_HEADER] {
        let mut frame = [0xee; FRAME_HEADER];
        frame[0] = flags;
        frame[1] = kind;
        frame[4..6].copy_from_slice(&gso_size.to_ne_bytes());
        frame
    }

    #[test]
    fn checksums_are_open_verified_or_neither() {
        for (flags, checksum) in [
            (0, Checksum::Verify),
            (NEEDS_CHECKSUM, Checksum::Partial),
            (DATA_VALID, Checksum::Verified),
            (NEEDS_CHECKSUM | DATA_VALID, Checksum::Partial),
        ] {
            let meta = meta(&frame(flags, GSO_NONE, 99)).unwrap();
            assert_eq!((meta.checksum, meta.gso_size), (checksum, 0));
        }
    }

    #[test]
    fn super_segments_of_tcp_say_how_they_are_cut_and_others_are_refused() {
        for kind in [GSO_TCPV4, GSO_TCPV6, GSO_TCPV4 | GSO_ECN] {
            assert_eq!(meta(&frame(1, kind, 1448)).unwrap().gso_size, 1448);
        }
        // UDP in pieces and in segments, and what does not exist.
        for kind in [3, 5, 7] {
            assert_eq!(meta(&frame(1, kind, 1448)), None);
        }
        assert_eq!(meta(&[0; 9]), None);
    }

    /// Headers of IPv4 and TCP with timestamps, and a payload of so many octets.
    fn packet(payload: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet[2..4].copy_from_slice(&(52 + payload).to_be_bytes());
        packet.extend([192, 0, 2, 1, 203, 0, 113, 1]);
        packet.extend([0x9c, 0x40, 1, 187, 0, 0, 0, 9, 0, 0, 0, 7]);
        packet.extend([0x80, 0x10, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10]);
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        packet.resize(usize::from(52 + payload), 0x5a);
        packet
    }

    #[test]
    fn the_kernel_is_told_where_to_cut_and_gets_the_sum_of_the_pseudo_header() {
        let mut packet = packet(4000);
        let (headers, payload) = packet.split_at_mut(52);
        let words = |frame: &[u8]| -> Vec<u16> {
            let words = frame[2..].chunks(2);
            words
                .map(|word| u16::from_ne_bytes([word[0], word[1]]))
                .collect()
        };
        let behind_ethernet = to_be_cut(&mut headers.to_vec(), 18, 1448).unwrap();
        assert_eq!(words(&behind_ethernet), [70, 1448, 38, 16]);
        let frame = to_be_cut(headers, 0, 1448).unwrap();
        assert_eq!(frame[..2], [NEEDS_CHECKSUM, GSO_TCPV4]);
        assert_eq!(words(&frame), [52, 1448, 20, 16]);
        assert_eq!(meta(&frame).unwrap().gso_size, 1448);
        // Completed as hardware does it, over everything from csum_start on, it is right.
        let mut sum = localack_core::wire::checksum::Sum::new();
        sum.add_bytes(&headers[20..]);
        sum.add_bytes(payload);
        headers[36..38].copy_from_slice(&sum.checksum().to_be_bytes());
        let Parsed::Tcp(seg) = localack_core::wire::parse(&packet) else {
            panic!("it is TCP");
        };
        assert!(verify(&packet, &seg));
    }

    #[test]
    fn what_is_not_tcp_is_not_cut() {
        let mut udp = packet(100);
        udp[9] = 17;
        assert_eq!(to_be_cut(&mut udp[..52], 0, 1448), None);
        assert_eq!(to_be_cut(&mut [], 0, 1448), None);
    }
}
