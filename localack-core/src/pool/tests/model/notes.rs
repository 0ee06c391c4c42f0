//! What the pages should say of when their octets were sent.

use super::super::super::sent::Expired;
use super::super::super::{Expiry, Newest};
use super::super::*;
use super::{Model, Op, count};
use crate::recovery::delivery::Sent;
use crate::time::{Instant, Stamp};

/// When a test begins, in microseconds, soon before stamps wrap, and how far apart things happen:
/// never at the one instant whose stamp is moved.
pub(super) const START: u64 = (1 << 32) - 25;
const TICK: u64 = 10;

/// When something was sent, on a clock that does not wrap, and the note of it.
#[derive(Clone, Copy)]
pub(super) struct Note {
    at: u64,
    sent: Sent,
}

/// What the notes of delivered pages say: the newest, and the lowest octet.
#[derive(Default)]
pub(super) struct News {
    newest: Option<(u64, u32, Sent)>,
    lowest: Option<u32>,
}

impl Model {
    /// Where the pages begin that `from .. to` touches.
    pub(super) fn pages(&self, chain: &Chain, size: u32, from: u32, to: u32) -> Vec<u32> {
        let base = self.at(chain.base);
        let first = base + (from - base) / size * size;
        (first..to).step_by(size as usize).collect()
    }

    /// The pages that were freed have no notes.
    pub(super) fn forget_notes(&mut self, chain: &Chain, size: u32) {
        let base = self.at(chain.base);
        let pages = base..base + chain.blocks() * size;
        self.notes.retain(|page, _| pages.contains(page));
    }

    /// Sent octets end here, as far as they are stored.
    fn sent_end(&self) -> u32 {
        self.nxt.min(self.end)
    }

    /// Takes in that `first .. to` of the page at `page` has newly arrived.
    pub(super) fn deliver(&self, news: &mut News, size: u32, page: u32, first: u32, to: u32) {
        let Some(note) = self.notes.get(&page) else {
            return;
        };
        if !note.sent.is_retransmitted() {
            news.lowest = Some(news.lowest.map_or(first, |lowest| lowest.min(first)));
        }
        if to == page + size || to >= self.sent_end() {
            let is_newer = news
                .newest
                .is_none_or(|(at, end, _)| (note.at, to) > (at, end));
            if is_newer {
                news.newest = Some((note.at, to, note.sent));
            }
        }
    }

    pub(super) fn assert_news(&self, news: &News, newest: Option<Newest>, lowest: Option<SeqNum>) {
        let expected = news.newest.map(|(_, end, sent)| Newest {
            end: self.seq(end),
            sent,
        });
        assert_eq!(newest, expected);
        assert_eq!(lowest, news.lowest.map(|at| self.seq(at)));
    }
}

/// What the pages say that SND.UNA passes on its way to `reached`; or only the first of them and the
/// last of which nothing was sent that has not arrived.
pub(super) fn passed_news(
    model: &Model,
    chain: &Chain,
    size: u32,
    reached: u32,
    ends: bool,
) -> News {
    let passed_to = reached.min(model.sent_end());
    let mut news = News::default();
    if passed_to <= model.una {
        return news;
    }
    let pages = model.pages(chain, size, model.una, passed_to);
    let to = |page: u32| (page + size).min(passed_to);
    let last = pages
        .iter()
        .rposition(|page| to(*page) == page + size || to(*page) == model.sent_end());
    for (index, page) in pages.iter().enumerate() {
        if ends && index > 0 && Some(index) != last {
            continue;
        }
        let mut piece = model.una.max(*page)..to(*page);
        if let Some(first) = piece.find(|at| !model.sacked[*at as usize]) {
            model.deliver(&mut news, size, *page, first, to(*page));
        }
    }
    news
}

/// Sends once more or for the first time.
pub(super) fn send(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Send {
        from,
        octets,
        pause,
        again,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let range = model.range(from, to);
    let mut sent = Vec::new();
    let payload = pool.payload(chain, range);
    payload.for_each(|piece| sent.extend_from_slice(piece));
    assert_eq!(sent, model.bytes[from as usize..to as usize]);
    let Some(pause) = pause.filter(|_| from < to) else {
        return;
    };
    model.now += u64::from(pause) * TICK;
    model.nxt = model.nxt.max(to);
    let mut sent = Sent::NEVER;
    sent.at = Stamp::at(Instant::from_micros(model.now));
    sent.flags = if again { Sent::RETRANSMITTED } else { 0 };
    pool.stamp(chain, range, sent);
    for page in model.pages(chain, pool.block_size().octets(), from, to) {
        let before = model.notes.get(&page);
        let twice = before.is_some_and(|note| note.sent.is_retransmitted());
        let mut sent = sent;
        if twice {
            sent.flags |= Sent::RETRANSMITTED;
        }
        model.notes.insert(
            page,
            Note {
                at: model.now,
                sent,
            },
        );
    }
}

/// Looks for losses in steps, and compares the sum with what the notes say.
pub(super) fn expire(model: &Model, pool: &Pool<'_>, chain: &Chain, op: &Op) {
    let Op::Expire {
        from,
        octets,
        ago,
        end,
        reach,
        pages,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let (xmit, now) = (model.now - u64::from(ago) * TICK, model.now + TICK);
    let end = model.una + end;
    let expiry = Expiry {
        xmit: Stamp::at(Instant::from_micros(xmit)),
        end: model.seq(end),
        reach_us: reach * TICK as u32,
        now: Instant::from_micros(now),
    };
    let size = pool.block_size().octets();
    let (mut edge, mut octets, mut last, mut wait_us) = (from, 0, None, None);
    for page in model.pages(chain, size, from, to) {
        let (start, stop) = (page.max(from), (page + size).min(to));
        let unsacked = stop - start - count(&model.sacked[start as usize..stop as usize]);
        if unsacked > 0 {
            let note = model
                .notes
                .get(&page)
                .filter(|note| (note.at, stop) <= (xmit, end));
            let due = |note: &Note| note.at + u64::from(reach) * TICK;
            wait_us = note.map(|note| due(note).saturating_sub(now) as u32);
            if wait_us != Some(0) {
                break;
            }
            (octets, last, wait_us) = (octets + unsacked, note.map(|note| note.sent), None);
        }
        edge = stop;
    }
    let mut found = pool.expired(chain, model.range(from, to), &expiry, pages);
    while found.more {
        let rest = pool.expired(
            chain,
            SeqRange::new(found.edge, model.seq(to)),
            &expiry,
            pages,
        );
        assert!(
            rest.edge.after(found.edge) || !rest.more,
            "a search makes progress"
        );
        found = Expired {
            octets: found.octets + rest.octets,
            last: rest.last.or(found.last),
            ..rest
        };
    }
    let expected = Expired {
        edge: model.seq(edge),
        octets,
        last,
        wait_us,
        more: false,
    };
    assert_eq!(found, expected);
}
