//! The last reduction of a window that follows RFC 5681: how it proceeds, and the way back if it was
//! needless.

use super::prr::Prr;
use super::window::{CongestionWindow, OPEN};
use super::words::Words;

/// What Reno and CUBIC keep of it, in the last of the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reduction {
    /// Window and threshold before it; no window once they are restored.
    prior_cwnd: u32,
    prior_ssthresh: u32,
    pub(super) prr: Prr,
}

impl Reduction {
    pub(super) const fn load(words: &Words) -> Self {
        let [.., prior_cwnd, prior_ssthresh, delivered, out, recover_fs] = *words;
        Self {
            prior_cwnd,
            prior_ssthresh,
            prr: Prr {
                delivered,
                out,
                recover_fs,
            },
        }
    }

    pub(super) const fn store(self, words: &mut Words) {
        let [.., prior_cwnd, prior_ssthresh, delivered, out, recover_fs] = words;
        *prior_cwnd = self.prior_cwnd;
        *prior_ssthresh = self.prior_ssthresh;
        *delivered = self.prr.delivered;
        *out = self.prr.out;
        *recover_fs = self.prr.recover_fs;
    }

    /// A reduction begins with `in_flight` octets outstanding; the window is still as it was.
    pub(super) fn begin(window: &CongestionWindow, in_flight: u32) -> Self {
        Self {
            prior_cwnd: window.cwnd,
            prior_ssthresh: window.ssthresh,
            prr: Prr::begin(in_flight),
        }
    }

    /// It was needless: takes it back (RFC 4015 section 3.2), once. Whether that was of use; a window
    /// that has outgrown what it was stays as it is.
    pub(super) fn take_back(&mut self, window: &mut CongestionWindow) -> bool {
        window.episode = OPEN;
        let is_outgrown = window.cwnd > self.prior_cwnd;
        if !is_outgrown {
            window.cwnd = self.prior_cwnd;
            window.ssthresh = window.ssthresh.max(self.prior_ssthresh);
        }
        self.prior_cwnd = 0;
        !is_outgrown
    }
}
