//! What may have to be taken back: a window that was jumped to (Careful Resume), or a reduction (undo).
//!
//! They share their memory. What a jump leads to is judged by rules of its own, which know no undo;
//! and nobody jumps once the window has been reduced.

use super::undo::Undo;
use crate::path::Resume;

/// Plain old data; all zeroes is neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Attempt {
    /// Zero unless the flow resumes.
    tag: u32,
    rest: [u32; 3],
}

impl Attempt {
    pub(crate) const EMPTY: Self = Self {
        tag: 0,
        rest: [0; 3],
    };

    /// The state of Careful Resume.
    pub(crate) const fn resume(&self) -> Resume {
        let [a, b, c] = self.rest;
        Resume::from_words([self.tag, a, b, c])
    }

    /// Changes it.
    pub(crate) fn with_resume<T>(&mut self, change: impl FnOnce(&mut Resume) -> T) -> T {
        let mut resume = self.resume();
        let answer = change(&mut resume);
        if !resume.is_over() {
            let [tag, a, b, c] = resume.to_words();
            (self.tag, self.rest) = (tag, [a, b, c]);
        } else if self.is_resuming() {
            *self = Self::EMPTY;
        }
        answer
    }

    /// What undoing the last reduction depends on; nothing while the flow resumes.
    pub(crate) const fn undo(&self) -> Undo {
        if self.is_resuming() {
            Undo::EMPTY
        } else {
            Undo::from_words(self.rest)
        }
    }

    /// Changes it.
    pub(crate) fn with_undo<T>(&mut self, change: impl FnOnce(&mut Undo) -> T) -> T {
        let mut undo = self.undo();
        let answer = change(&mut undo);
        if !self.is_resuming() {
            self.tag = 0;
            self.rest = undo.to_words();
        }
        answer
    }

    const fn is_resuming(&self) -> bool {
        !self.resume().is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::{SeqNum, SeqRange};

    #[test]
    fn a_flow_that_resumes_has_nothing_to_undo() {
        let una = SeqNum::new(1);
        let repair = SeqRange::new(una, SeqNum::new(1001));
        let mut attempt = Attempt::EMPTY;
        attempt.with_resume(|resume| *resume = Resume::begin(una, 10_000));
        attempt.with_undo(|undo| *undo = Undo::begin(una, 0));
        attempt.with_undo(|undo| undo.on_repair(repair, 7));
        assert!(!attempt.undo().has_repaired() && !attempt.resume().is_over());
        let _ = attempt.with_resume(|resume| resume.on_timeout(1000));
        assert!(attempt.resume().is_over());
        attempt.with_undo(|undo| *undo = Undo::begin(una, 0));
        attempt.with_undo(|undo| undo.on_repair(repair, 7));
        assert!(attempt.undo().has_repaired() && attempt.resume().is_over());
        assert!(attempt.undo().echoes_original(6, una));
    }
}
