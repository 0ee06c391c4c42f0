//! A sender that cannot be beaten: it knows the path's rate, is never late and knows of each loss after a round
//! trip, but it obeys the windows that its receiver offers, and loses as many packets as others do.

use std::collections::VecDeque;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

use crate::stage::{PAYLOAD, median};
use crate::watch::Offer;

/// Choices of packets that are lost, of which the median counts.
const TRIES: u64 = 15;

/// What is to go over which path.
pub(crate) struct Task {
    /// Seconds.
    pub(crate) rtt: f64,
    /// Octets of payload in a second.
    pub(crate) rate: f64,
    /// The part of the packets that is lost.
    pub(crate) loss: f64,
    pub(crate) octets: u64,
}

impl Task {
    /// The seconds from the SYN to the last octet's arrival, if the receiver offers for as many octets what
    /// it did offer for them, however much sooner it has them.
    pub(crate) fn least(&self, offers: &[Offer]) -> f64 {
        let edges = edges(offers);
        median((0..TRIES).map(|seed| self.once(&edges, seed)).collect())
    }

    fn once(&self, edges: &[(u64, u64)], seed: u64) -> f64 {
        let segment = PAYLOAD as u64;
        let count = usize::try_from(self.octets.div_ceil(segment)).unwrap();
        let end = |number: usize| (number as u64 + 1).saturating_mul(segment).min(self.octets);
        let mut dice = Pcg64Mcg::new(u128::from(seed) << 64 | 0x9e37_79b9);
        let mut is_lost = || (f64::from(dice.next_u32()) / f64::from(u32::MAX)) < self.loss;
        // The answers under way: when each comes, and what it tells, a loss or octets in order.
        let mut answers = VecDeque::<(f64, Result<u64, usize>)>::new();
        let mut again = VecDeque::new();
        let mut arrived = vec![false; count];
        let (mut fresh, mut in_order) = (0, 0);
        // The handshake has taken a round trip, and told the first window.
        let (mut free, mut edge) = (self.rtt, edge_at(edges, 0));
        while in_order < count {
            while let Some((_, told)) = answers.front().filter(|(at, _)| *at <= free) {
                match *told {
                    Ok(octets) => edge = edge.max(edge_at(edges, octets)),
                    Err(number) => again.push_back(number),
                }
                answers.pop_front();
            }
            let may_go = (fresh < count && end(fresh) <= edge).then_some(fresh);
            let Some(number) = again.pop_front().or(may_go) else {
                let Some((at, _)) = answers.front() else {
                    // The capture is not that of the whole transfer.
                    return f64::INFINITY;
                };
                free = *at;
                continue;
            };
            fresh = fresh.max(number + 1);
            let before = number as u64 * segment;
            free += (end(number) - before) as f64 / self.rate;
            let told = if is_lost() {
                Err(number)
            } else {
                arrived[number] = true;
                while arrived.get(in_order) == Some(&true) {
                    in_order += 1;
                }
                Ok((in_order as u64 * segment).min(self.octets))
            };
            answers.push_back((free + self.rtt, told));
        }
        free + self.rtt / 2.0
    }
}

/// How far the sender may go for so many octets acknowledged, each number of them once and in their order.
fn edges(offers: &[Offer]) -> Vec<(u64, u64)> {
    let mut edges: Vec<(u64, u64)> = Vec::new();
    for offer in offers {
        match edges.last_mut() {
            Some((acknowledged, edge)) if offer.acknowledged <= *acknowledged => {
                *edge = (*edge).max(offer.edge);
            }
            last => {
                // A window does not retreat.
                let edge = last.map_or(0, |(_, edge)| *edge).max(offer.edge);
                edges.push((offer.acknowledged, edge));
            }
        }
    }
    edges
}

/// The edge for so many octets; between two that were offered it moves evenly.
fn edge_at(edges: &[(u64, u64)], octets: u64) -> u64 {
    let behind = edges.partition_point(|(acknowledged, _)| *acknowledged <= octets);
    match (behind.checked_sub(1).map(|n| edges[n]), edges.get(behind)) {
        (Some((from, low)), Some((to, high))) => {
            let part = (octets - from) as f64 / (to - from) as f64;
            low + (part * (high - low) as f64) as u64
        }
        (Some((_, edge)), None) => edge,
        (None, _) => 0,
    }
}
