//! Times during which nothing passes.

use localack_core::Instant;

use crate::sim::path::{Exits, Node};

/// Drops everything during its outages. What is past it already still arrives.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    /// Beginning and end, in order; the end belongs to the time after.
    times: Vec<(Instant, Instant)>,
    over: usize,
}

impl Outage {
    /// Outages from one point in time until before another; they may overlap.
    #[must_use]
    pub fn new(times: impl IntoIterator<Item = (Instant, Instant)>) -> Self {
        let mut sorted: Vec<(Instant, Instant)> = times.into_iter().collect();
        sorted.sort_unstable_by_key(|&(_, end)| end);
        Self {
            times: sorted,
            over: 0,
        }
    }
}

impl Node for Outage {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        while self
            .times
            .get(self.over)
            .is_some_and(|&(_, end)| end <= now)
        {
            self.over += 1;
        }
        let ahead = &self.times[self.over..];
        if !ahead.iter().any(|&(start, _)| start <= now) {
            exits.onward(now, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Path;
    use crate::sim::node::arrivals;

    #[test]
    fn nothing_passes_from_the_beginning_until_before_the_end() {
        let at = Instant::from_micros;
        // The second ends inside the third, which begins before it.
        let times = [(at(2), at(4)), (at(11), at(13)), (at(10), at(15))];
        let mut path = Path::new().then(Outage::new(times));
        let sent = (0..18).map(|number| (u64::from(number), vec![number]));
        let all: Vec<u64> = arrivals(&mut path, sent)
            .iter()
            .map(|&(at, _)| at)
            .collect();
        assert_eq!(all, [0, 1, 4, 5, 6, 7, 8, 9, 15, 16, 17]);
    }
}
