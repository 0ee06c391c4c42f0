//! Writes JSON into lent memory, as it is found out and without a copy of it elsewhere. See the reader for why no
//! library does it.
#![forbid(unsafe_code)]

use core::net::IpAddr;

/// What was written so far. Once it is full nothing more is written.
pub(crate) struct Text<'a> {
    room: &'a mut [u8],
    used: usize,
    is_full: bool,
}

impl<'a> Text<'a> {
    pub(super) const fn new(room: &'a mut [u8]) -> Self {
        Self {
            room,
            used: 0,
            is_full: false,
        }
    }

    pub(super) const fn length(&self) -> usize {
        self.used
    }

    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Takes back what was written after `length` octets.
    pub(super) const fn cut(&mut self, length: usize) {
        if length <= self.used {
            self.used = length;
            self.is_full = false;
        }
    }

    /// Whether these pieces together are what was written.
    pub(super) fn is(&self, pieces: &[&[u8]]) -> bool {
        let written = self.room.iter().take(self.used);
        written.eq(pieces.iter().flat_map(|piece| piece.iter()))
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        let end = self.used.saturating_add(octets.len());
        match self.room.get_mut(self.used..end) {
            Some(cell) if !self.is_full => {
                for (to, from) in cell.iter_mut().zip(octets) {
                    *to = *from;
                }
                self.used = end;
            }
            _ => self.is_full = true,
        }
    }

    /// Text as it is.
    pub(super) fn raw(&mut self, text: &str) {
        self.octets(text.as_bytes());
    }

    /// A key and its mark, with what separates it from the one before it.
    pub(super) fn key(&mut self, name: &str) {
        let last = self.used.checked_sub(1).and_then(|at| self.room.get(at));
        if !matches!(last, Some(b'{' | b'[') | None) {
            self.raw(",");
        }
        self.raw("\"");
        self.raw(name);
        self.raw("\":");
    }

    /// A key and a word.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        self.key(name);
        self.string(word.as_bytes());
    }

    /// A key and a number.
    pub(super) fn count(&mut self, name: &str, number: u64) {
        self.key(name);
        self.number(number);
    }

    /// A string; what JSON does not take as it is becomes a question mark.
    pub(super) fn string(&mut self, octets: &[u8]) {
        self.raw("\"");
        for octet in octets {
            let plain = matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\');
            self.octets(&[if plain { *octet } else { b'?' }]);
        }
        self.raw("\"");
    }

    /// A key, and yes or no.
    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        self.key(name);
        self.raw(if flag { "true" } else { "false" });
    }

    /// A string with everything that is in it.
    pub(super) fn escaped(&mut self, octets: &[u8]) {
        self.raw("\"");
        for octet in octets {
            match octet {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                0..b' ' => {
                    self.raw("\\u00");
                    for digit in [octet >> 4, octet & 15] {
                        self.hex_digit(digit.into());
                    }
                }
                _ => self.octets(&[*octet]),
            }
        }
        self.raw("\"");
    }

    pub(super) fn number(&mut self, number: u64) {
        let mut digits = [b'0'; 20];
        let mut rest = number;
        let mut used = 0_usize;
        for cell in digits.iter_mut().rev() {
            let digit = u8::try_from(rest % 10).unwrap_or(0);
            *cell = b'0'.saturating_add(digit);
            rest /= 10;
            used = used.saturating_add(1);
            if rest == 0 {
                break;
            }
        }
        let start = digits.len().saturating_sub(used);
        self.octets(digits.get(start..).unwrap_or_default());
    }

    fn hex_digit(&mut self, digit: usize) {
        let digit = b"0123456789abcdef".get(digit).copied();
        self.octets(&[digit.unwrap_or(b'0')]);
    }

    fn hex(&mut self, word: u16) {
        let mut begun = false;
        for shift in [12, 8, 4, 0] {
            let digit = usize::from(word >> shift & 15);
            begun |= digit != 0 || shift == 0;
            if begun {
                self.hex_digit(digit);
            }
        }
    }

    /// An address and a port, as sockets are named.
    pub(super) fn end(&mut self, address: IpAddr, port: u16) {
        self.raw("\"");
        match address {
            IpAddr::V4(v4) => {
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    self.raw(if place == 0 { "" } else { "." });
                    self.number(octet.into());
                }
            }
            IpAddr::V6(v6) => {
                self.raw("[");
                self.groups(v6.segments());
                self.raw("]");
            }
        }
        self.raw(":");
        self.number(port.into());
        self.raw("\"");
    }

    /// The groups of an IPv6 address, the longest run of zeroes left out (RFC 5952).
    fn groups(&mut self, groups: [u16; 8]) {
        let (mut best, mut run) = (0..0, 0..0);
        for (place, group) in groups.into_iter().enumerate() {
            if group != 0 {
                run = place.saturating_add(1)..place.saturating_add(1);
                continue;
            }
            run.end = place.saturating_add(1);
            if run.len() > best.len() && run.len() > 1 {
                best = run.clone();
            }
        }
        for (place, group) in groups.into_iter().enumerate() {
            if best.contains(&place) {
                self.raw(if place == best.start { "::" } else { "" });
                continue;
            }
            let apart = place > 0 && place != best.end;
            self.raw(if apart || (place > 0 && best.is_empty()) {
                ":"
            } else {
                ""
            });
            self.hex(group);
        }
    }
}
