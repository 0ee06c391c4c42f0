//! What hosts send, known by its place, so that a receiver can tell a wrong octet.

use std::sync::OnceLock;

use localack_core::Port;

/// After so many octets the streams repeat themselves.
const PERIOD: usize = 1 << 16;
/// No segment is longer.
const LONGEST: usize = 1 << 13;

/// `length` octets of the stream from `port`, from a position on that is not negative.
pub(super) fn stretch(port: Port, position: i64, length: usize) -> &'static [u8] {
    static STREAMS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let [inner, outer] = STREAMS.get_or_init(|| {
        [0x3c, 0xc3].map(|side| {
            let places = (0..PERIOD + LONGEST).map(|place| place % PERIOD);
            places.map(|place| mixed(place) ^ side).collect()
        })
    });
    let stream = match port {
        Port::Inner => inner,
        Port::Outer => outer,
    };
    let start = usize::try_from(position).expect("not negative") % PERIOD;
    &stream[start..start + length]
}

fn mixed(place: usize) -> u8 {
    let [_, _, octet, ..] = place.wrapping_mul(0x9e37_79b1).to_le_bytes();
    octet
}

/// The position of the first of `payload`, which stands at `position`, that is not the stream's.
pub(super) fn first_wrong(port: Port, position: i64, payload: &[u8]) -> Option<i64> {
    let before = usize::try_from(-position.min(0)).expect("not negative");
    let payload = payload.get(before..)?;
    let position = position.max(0);
    let right = stretch(port, position, payload.len());
    if payload == right {
        return None;
    }
    let same = payload
        .iter()
        .zip(right)
        .take_while(|(a, b)| a == b)
        .count();
    Some(position + i64::try_from(same).expect("a segment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_octet_is_found_where_it_is() {
        for position in [0, 7, 65_530, 70_000] {
            let mut payload = stretch(Port::Inner, position, 400).to_vec();
            assert_eq!(first_wrong(Port::Inner, position, &payload), None);
            assert_eq!(
                first_wrong(Port::Inner, position - 1, &[&[0], &payload[..]].concat()).is_some(),
                position > 0
            );
            assert!(first_wrong(Port::Outer, position, &payload).is_some());
            assert!(first_wrong(Port::Inner, position + 1, &payload).is_some());
            payload[399] ^= 1;
            assert_eq!(
                first_wrong(Port::Inner, position, &payload),
                Some(position + 399)
            );
        }
    }
}
