//! The options of a TCP header.

use crate::bytes::Rest;

/// SACK blocks that fit into a header.
const MOST_BLOCKS: usize = 4;

/// The options of a TCP segment, as far as they were stored and are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Maximum segment size (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale shift, as it stands there (RFC 7323 section 2).
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements are permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// TSval and TSecr (RFC 7323 section 3).
    pub timestamps: Option<(u32, u32)>,
    blocks: [(u32, u32); MOST_BLOCKS],
    count: u8,
}

impl Options {
    /// The SACK blocks, in their order (RFC 2018 section 3).
    #[must_use]
    pub fn sack(&self) -> &[(u32, u32)] {
        self.blocks
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }
}

/// Reads the options of a header of `header_len` octets; stops at the first that makes no sense.
pub(super) fn options(rest: Rest<'_>, header_len: usize) -> Options {
    const HEADER: usize = 20;
    let mut options = Options::default();
    let mut at = HEADER;
    while at < header_len {
        let Some(kind) = rest.u8(at) else { break };
        match kind {
            0 => break,
            1 => at += 1,
            _ => {
                let Some(length) = rest.u8(at + 1).map(usize::from) else {
                    break;
                };
                if length < 2 || at + length > header_len {
                    break;
                }
                options.take(kind, length, rest, at + 2);
                at += length;
            }
        }
    }
    options
}

impl Options {
    /// Takes the option of this kind and length whose value stands at `at`.
    fn take(&mut self, kind: u8, length: usize, rest: Rest<'_>, at: usize) {
        match (kind, length) {
            (2, 4) => self.mss = rest.u16(at),
            (3, 3) => self.window_scale = rest.u8(at),
            (4, 2) => self.sack_permitted = true,
            (5, _) => {
                let blocks = (length - 2) / 8;
                for block in 0..blocks.min(MOST_BLOCKS) {
                    let (left, right) = (rest.u32(at + block * 8), rest.u32(at + block * 8 + 4));
                    let Some(block) = left.zip(right) else { break };
                    if let Some(place) = self.blocks.get_mut(usize::from(self.count)) {
                        *place = block;
                        self.count += 1;
                    }
                }
            }
            (8, 10) => self.timestamps = rest.u32(at).zip(rest.u32(at + 4)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Options {
        let mut header = vec![0; 20];
        header.extend(octets);
        options(Rest::new(&header, header.len()), header.len())
    }

    #[test]
    fn the_usual_options_are_read() {
        let syn = read(&[
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 9, 1, 3, 3, 7,
        ]);
        assert_eq!(
            (
                syn.mss,
                syn.window_scale,
                syn.sack_permitted,
                syn.timestamps
            ),
            (Some(1460), Some(7), true, Some((256, 9)))
        );
        let mut ack = vec![1, 1, 5, 18];
        ack.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 7]);
        assert_eq!(read(&ack).sack(), [(1, 2), (5, 7)]);
    }

    #[test]
    fn what_contradicts_itself_ends_the_reading() {
        for bad in [
            &[3, 0, 3, 3, 7][..],
            &[3, 1, 3, 3, 7],
            &[3, 200, 7],
            &[0, 3, 3, 7],
            &[8],
        ] {
            assert_eq!(read(bad), Options::default(), "{bad:?}");
        }
        // Cut off by the capture.
        let cut = [[0; 20].as_slice(), &[8, 10, 0, 0]].concat();
        assert_eq!(options(Rest::new(&cut, 32), 32), Options::default());
    }
}
