//! One operation, on the pool and on the model.

use super::super::*;
use super::notes::{News, expire, passed_news, send};
use super::{Model, Op, SPAN, count};
use crate::wire::checksum::Sum;

fn store(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Store {
        ahead,
        octets,
        edge,
        liar,
        push,
        commit,
    } = *op
    else {
        return;
    };
    let at = model.end.saturating_add_signed(ahead);
    let edge = model.end + edge;
    if at + octets > SPAN || edge > SPAN {
        return;
    }
    let bytes: Vec<u8> = (at..at + octets)
        .map(|at| super::octet(at) ^ u8::from(liar))
        .collect();
    let before = (chain.blocks(), pool.available(chain));
    let staged = pool.store(chain, model.seq(at), &bytes, model.seq(edge), push);
    let mut sum = Sum::new();
    sum.add_bytes(&bytes);
    assert_eq!(staged.sum().fold(), sum.fold());
    if !commit {
        drop(staged);
        assert_eq!((chain.blocks(), pool.available(chain)), before);
        return;
    }
    let stored = staged.commit();
    let from = at.max(model.end);
    let wanted = (at + octets).min(edge).saturating_sub(from);
    let (taken, in_order) = if stored.held().is_empty() && from == model.end {
        (stored.advanced().octets().min(wanted), true)
    } else {
        assert!(stored.advanced().is_empty());
        assert!(stored.held().is_empty() || stored.held().start() == model.seq(from));
        (stored.held().octets(), false)
    };
    assert!(taken <= wanted);
    if in_order {
        assert_eq!(
            taken,
            wanted.min(before.1),
            "in order, only a lack of room may refuse octets"
        );
    }
    let first = (from - at) as usize;
    let new = &bytes[bytes.len().min(first)..bytes.len().min(first + taken as usize)];
    let differs = (from..)
        .zip(new)
        .any(|(at, byte)| model.held[at as usize] && model.bytes[at as usize] != *byte);
    assert_eq!(stored.differs(), differs);
    model.take(from, new);
    // What brings nothing new does not go on with a walk that stopped before.
    if in_order && !stored.advanced().is_empty() {
        let end = model.at(stored.advanced().end());
        assert_eq!(stored.advanced().start(), model.seq(model.end));
        advance(model, end, stored.more());
    }
}

/// Moves the model's in-order end to where the pool says it is.
fn advance(model: &mut Model, end: u32, more: bool) {
    let passed = model.end as usize..end as usize;
    assert!(
        model.held[passed.clone()].iter().all(|held| *held),
        "only held octets may be acknowledged"
    );
    model.held[passed].fill(false);
    model.end = end;
    assert!(
        more || !model.held[end as usize],
        "the in-order end stops only at a hole"
    );
}

fn report(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    let Op::Sack {
        from,
        octets,
        watch,
        pages,
    } = *op
    else {
        return;
    };
    let from = (model.una + from).min(model.end);
    let to = (from + octets).min(model.end);
    let watch = model.watch(watch);
    // What arrives was sent.
    model.nxt = model.nxt.max(to);
    let snd_nxt = model.seq(model.nxt);
    let marked = pool.mark_sacked(chain, model.range(from, to), snd_nxt, watch, pages);
    model.reported[from as usize..to as usize].fill(true);
    let marks = model.marks_of(pool, chain);
    let mut new = vec![false; SPAN as usize];
    for at in model.una as usize..model.end as usize {
        assert!(!marks[at] || model.reported[at], "marked without a report");
        assert!(marks[at] || !model.sacked[at], "a mark went away");
        new[at] = marks[at] && !model.sacked[at];
    }
    assert_eq!(marked.newly.octets, count(&new));
    assert_eq!(marked.newly.watched, model.count_in(&new, watch));
    let size = pool.block_size().octets();
    let mut news = News::default();
    for page in model.pages(chain, size, from, to) {
        let mut piece = page.max(from)..(page + size).min(to);
        if let Some(first) = piece.find(|at| new[*at as usize]) {
            let end = (page + size).min(model.end);
            let reach = (first..end).find(|at| !marks[*at as usize]).unwrap_or(end);
            model.deliver(&mut news, size, page, first, reach);
        }
    }
    model.assert_news(&news, marked.newest, marked.lowest);
    if !marked.more {
        // All but what lies in the first and the last page of the block is always expressible.
        let inner = (from + size).min(to) as usize..(to.saturating_sub(size)).max(from) as usize;
        assert!(inner.is_empty() || marks[inner].iter().all(|marked| *marked));
    }
    model.sacked = marks;
}

fn acknowledge(
    model: &mut Model,
    pool: &mut Pool<'_>,
    chain: &mut Chain,
    una: u32,
    watch: (u32, u32),
    pages: u32,
) {
    let watch = model.watch(watch);
    let size = pool.block_size().octets();
    let looks_at_ends = !model.sacked.contains(&true)
        && (una <= model.end || !model.held[model.end as usize..].contains(&true));
    let before = *chain;
    let released = pool.release(chain, model.seq(una), model.seq(model.nxt), watch, pages);
    let reached = model.at(chain.una);
    let news = passed_news(model, &before, size, reached, looks_at_ends);
    model.assert_news(&news, released.newest, released.lowest);
    assert_eq!(released.more, reached < una);
    assert!(reached > model.una || una == model.una);
    let mut gone = vec![false; SPAN as usize];
    let passed = model.una as usize..reached as usize;
    gone[passed.clone()].copy_from_slice(&model.sacked[passed.clone()]);
    assert_eq!(released.sacked.octets, count(&gone));
    assert_eq!(released.sacked.watched, model.count_in(&gone, watch));
    model.sacked[passed.clone()].fill(false);
    model.held[passed].fill(false);
    model.una = reached;
    model.end = model.end.max(reached);
    model.nxt = model.nxt.max(reached);
}

pub(super) fn step(model: &mut Model, pool: &mut Pool<'_>, chain: &mut Chain, op: &Op) {
    match *op {
        Op::Store { .. } => store(model, pool, chain, op),
        Op::Sack { .. } => report(model, pool, chain, op),
        Op::Extend { pages } => {
            let stored = pool.extend(chain, pages);
            advance(model, model.at(stored.advanced().end()), stored.more());
        }
        Op::TimeOut => {
            chain.forget_sacked();
            model.sacked.fill(false);
            model.reported.fill(false);
        }
        Op::Release {
            octets,
            watch,
            pages,
        } => {
            let una = (model.una + octets).min(model.end);
            acknowledge(model, pool, chain, una, watch, pages);
        }
        Op::Overtake { octets } => {
            let una = model.end + octets;
            if una < SPAN - 10_000 {
                acknowledge(model, pool, chain, una, (0, 0), ALL);
                let stored = pool.extend(chain, ALL);
                advance(model, model.at(stored.advanced().end()), stored.more());
            }
        }
        Op::Send { .. } => send(model, pool, chain, op),
        Op::Expire { .. } => expire(model, pool, chain, op),
        Op::Restart => {
            pool.restart(chain, model.seq(model.end));
            model.una = model.end;
            model.held.fill(false);
            model.sacked.fill(false);
            model.reported.fill(false);
            assert_eq!(pool.free_blocks(), pool.blocks());
        }
        Op::Limit { blocks } => {
            let quota = Quota {
                reserved_blocks: blocks / 4,
                limit_blocks: blocks,
            };
            let _ = pool.reserve(chain, quota);
        }
    }
    model.forget_notes(chain, pool.block_size().octets());
}
