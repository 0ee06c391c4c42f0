//! A sender that cannot be beaten: it knows the path's rate, loses nothing and is never late, but obeys the
//! windows that its receiver offers.

use crate::stage::PAYLOAD;
use crate::watch::Offer;

/// A path without losses, and how much is to go over it.
pub(crate) struct Task {
    /// Seconds.
    pub(crate) rtt: f64,
    /// Octets of payload in a second.
    pub(crate) rate: f64,
    pub(crate) octets: u64,
}

impl Task {
    /// The seconds from the SYN to the last octet's arrival, if the receiver offers for as many octets what
    /// it did offer for them, however much sooner it has them.
    pub(crate) fn by_progress(&self, offers: &[Offer]) -> f64 {
        let edges = edges(offers);
        // Octets that have gone with each segment, and when the sender has the answer to it.
        let mut sent: Vec<(u64, f64)> = Vec::new();
        let mut asked = 0;
        let mut edge = edge_at(&edges, 0);
        // The handshake has its answer after a round trip.
        let mut heard = self.rtt;
        let mut free = self.rtt;
        for end in self.ends() {
            while edge < end {
                let Some(&(octets, answered)) = sent.get(asked) else {
                    // The capture is not that of the whole transfer.
                    return f64::INFINITY;
                };
                (edge, heard) = (edge_at(&edges, octets), answered);
                asked += 1;
            }
            free = self.after(end, free.max(heard));
            sent.push((end, free + self.rtt));
        }
        free + self.rtt / 2.0
    }

    /// The same, if the receiver offers at each time what it did offer then.
    pub(crate) fn by_time(&self, offers: &[Offer]) -> f64 {
        let mut offers = offers.iter();
        let (mut edge, mut heard) = (0, self.rtt);
        let mut free = self.rtt;
        for end in self.ends() {
            while edge < end {
                let Some(offer) = offers.next() else {
                    return f64::INFINITY;
                };
                edge = edge.max(offer.edge);
                // Half a round trip for the SYN to get there, half a one for the answer.
                heard = offer.at + self.rtt;
            }
            free = self.after(end, free.max(heard));
        }
        free + self.rtt / 2.0
    }

    /// Where each segment ends.
    fn ends(&self) -> impl Iterator<Item = u64> {
        let segment = PAYLOAD as u64;
        let full = (1..=self.octets / segment).map(move |n| n * segment);
        let rest = !self.octets.is_multiple_of(segment);
        full.chain(rest.then_some(self.octets))
    }

    /// When the line is free after the segment that ends there and begins at `start`.
    fn after(&self, end: u64, start: f64) -> f64 {
        let segment = PAYLOAD as u64;
        let octets = (end - 1) % segment + 1;
        start + octets as f64 / self.rate
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
