//! Reads JSON as far as requests have it: objects, strings without escapes, whole numbers, lists of two.
#![forbid(unsafe_code)]

/// What is left of a line.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', tail @ ..] = self.rest {
            self.rest = tail;
        }
    }

    /// Takes a mark if it is the next one.
    pub(super) fn take(&mut self, mark: u8) -> bool {
        self.skip_space();
        match self.rest {
            [first, tail @ ..] if *first == mark => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }

    /// Whether an object comes next.
    pub(super) fn sees(&mut self, mark: u8) -> bool {
        self.skip_space();
        self.rest.first() == Some(&mark)
    }

    /// A mark that must come next.
    pub(super) fn expect(&mut self, mark: u8) -> Option<()> {
        self.take(mark).then_some(())
    }

    /// A string, without the quotes. Names need no escapes.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let end = self.rest.iter().position(|octet| *octet == b'"')?;
        let (text, tail) = self.rest.split_at_checked(end)?;
        if text.iter().any(|octet| *octet == b'\\' || *octet < b' ') {
            return None;
        }
        let (_, tail) = tail.split_first()?;
        self.rest = tail;
        Some(text)
    }

    /// A whole number.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.skip_space();
        let digits = self.rest.iter().take_while(|o| o.is_ascii_digit()).count();
        let (text, tail) = self.rest.split_at_checked(digits)?;
        self.rest = tail;
        number(text)
    }

    /// The keys of an object; `each` reads what belongs to one, and says whether it knows it.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&'a [u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            each(key, self)?;
            if self.take(b'}') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }
}

/// A whole number in decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, octet| {
        let digit = u64::from(octet.wrapping_sub(b'0'));
        let sum = sum.checked_mul(10)?.checked_add(digit)?;
        (digit < 10).then_some(sum)
    })
}
