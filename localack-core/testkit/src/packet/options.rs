//! TCP option lists, walked without `etherparse`, whose iterator stops at the first kind it does
//! not know.

/// Where timestamps and SACK blocks stand in the option list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layout {
    /// Each option is padded in front so that its numbers are aligned, as hosts do it.
    #[default]
    Aligned,
    /// One NOP first, so that every number stands at an odd offset (rule H1.8).
    Odd,
}

/// The options of a TCP header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size (kind 2).
    pub mss: Option<u16>,
    /// Window scale (kind 3).
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4).
    pub sack_permitted: bool,
    /// TSval and TSecr (kind 8).
    pub timestamps: Option<(u32, u32)>,
    /// Blocks (kind 5).
    pub sack: Vec<(u32, u32)>,
    /// Whether a SACK option was there at all.
    pub sack_present: bool,
    /// Options of other kinds, raw, in order.
    pub others: Vec<u8>,
}

impl Options {
    /// The option list as it stands in a header, padded to a multiple of four octets.
    #[must_use]
    pub fn encode(&self, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if self.sack_permitted {
            bytes.extend([1, 1, 4, 2]);
        }
        if let Some(shift) = self.window_scale {
            bytes.extend([1, 3, 3, shift]);
        }
        if layout == Layout::Odd {
            bytes.push(1);
        }
        if let Some((value, echo)) = self.timestamps {
            if layout == Layout::Aligned {
                bytes.extend([1, 1]);
            }
            bytes.extend([8, 10]);
            bytes.extend(value.to_be_bytes());
            bytes.extend(echo.to_be_bytes());
        }
        bytes.extend(&self.others);
        if !self.sack.is_empty() {
            if layout == Layout::Aligned {
                while bytes.len() % 4 != 2 {
                    bytes.push(1);
                }
            }
            bytes.extend([
                5,
                u8::try_from(2 + 8 * self.sack.len()).expect("at most 4 blocks"),
            ]);
            for (left, right) in &self.sack {
                bytes.extend(left.to_be_bytes());
                bytes.extend(right.to_be_bytes());
            }
        }
        if layout == Layout::Odd && bytes.len() % 4 != 0 {
            bytes.push(0);
        }
        while bytes.len() % 4 != 0 {
            bytes.push(if layout == Layout::Odd { 0 } else { 1 });
        }
        bytes
    }

    /// Walks an option list; `None` if a length contradicts the list.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let word = |value: &[u8], at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?))
        };
        let mut options = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            match kind {
                0 => break,
                1 => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let length = usize::from(*rest.first()?);
            let value = bytes.get(2..length)?;
            match (kind, value.len()) {
                (2, 2) => options.mss = Some(u16::from_be_bytes([value[0], value[1]])),
                (3, 1) => options.window_scale = Some(value[0]),
                (4, 0) => options.sack_permitted = true,
                (5, length) if length % 8 == 0 => {
                    options.sack_present = true;
                    for block in value.chunks(8) {
                        options.sack.push((word(block, 0)?, word(block, 4)?));
                    }
                }
                (8, 8) => options.timestamps = Some((word(value, 0)?, word(value, 4)?)),
                _ => options.others.extend(&bytes[..length]),
            }
            bytes = &bytes[length..];
        }
        Some(options)
    }
}
