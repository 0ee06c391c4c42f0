//! Reassembly of IP fragments, in bounded memory.

use std::collections::{HashMap, VecDeque};

use super::Addresses;
use crate::bytes::Rest;
use crate::ranges::RangeSet;

/// Datagrams that may be incomplete at once; the oldest is forgotten for a new one.
const DATAGRAMS: usize = 1024;
/// Octets of the largest datagram.
const LARGEST: usize = 65_535;

/// What the fragments of one datagram have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    pub(super) addresses: Addresses,
    pub(super) id: u32,
    /// In IPv4 alone it tells datagrams apart.
    pub(super) protocol: Option<u8>,
}

/// One fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment<'a> {
    /// Octets before its payload in the datagram.
    pub(super) offset: usize,
    /// Whether more fragments follow.
    pub(super) more: bool,
    /// Whether all octets that its IP header states were stored.
    pub(super) whole: bool,
    pub(super) payload: Rest<'a>,
}

/// A datagram of which something is missing.
#[derive(Debug, Default)]
struct Partial {
    octets: Vec<u8>,
    present: RangeSet,
    /// Octets of the whole, once its last fragment is here.
    total: Option<usize>,
}

/// Incomplete datagrams.
#[derive(Debug, Default)]
pub(super) struct Defrag {
    partials: HashMap<FragmentKey, Partial>,
    /// Keys in the order of their first fragments; some may be complete and gone.
    order: VecDeque<FragmentKey>,
}

impl Defrag {
    /// Adds one fragment and returns the datagram if it is whole now.
    ///
    /// A fragment of which octets are missing in the capture can complete nothing.
    pub(super) fn add(&mut self, key: FragmentKey, fragment: Fragment<'_>) -> Option<Vec<u8>> {
        let end = fragment.offset + fragment.payload.wire_len;
        if !fragment.whole || end > LARGEST {
            return None;
        }
        if !self.partials.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let partial = self.partials.entry(key).or_default();
        partial.insert(&fragment, end);
        if !partial.is_whole() {
            return None;
        }
        let mut whole = self.partials.remove(&key)?;
        self.order.retain(|other| *other != key);
        whole.octets.truncate(whole.total?);
        Some(whole.octets)
    }

    fn make_room(&mut self) {
        while self.partials.len() >= DATAGRAMS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.partials.remove(&oldest);
        }
    }
}

impl Partial {
    fn insert(&mut self, fragment: &Fragment<'_>, end: usize) {
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        if let Some(target) = self.octets.get_mut(fragment.offset..end) {
            target.copy_from_slice(fragment.payload.data);
        }
        self.present.insert(fragment.offset as i64, end as i64);
        if !fragment.more {
            self.total = Some(end);
        }
    }

    fn is_whole(&self) -> bool {
        self.total
            .is_some_and(|total| self.present.covers(0, total as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> FragmentKey {
        let host = core::net::IpAddr::from([10, 0, 0, 1]);
        let addresses = Addresses {
            source: host,
            target: host,
            link_id: 0,
        };
        FragmentKey {
            addresses,
            id,
            protocol: Some(6),
        }
    }

    fn add(
        defrag: &mut Defrag,
        id: u32,
        offset: usize,
        more: bool,
        data: &[u8],
    ) -> Option<Vec<u8>> {
        defrag.add(
            key(id),
            Fragment {
                offset,
                more,
                whole: true,
                payload: Rest::new(data, data.len()),
            },
        )
    }

    #[test]
    fn any_order_and_repeats_give_the_datagram_once() {
        let mut defrag = Defrag::default();
        assert_eq!(add(&mut defrag, 1, 8, false, b"end"), None);
        assert_eq!(add(&mut defrag, 2, 0, true, b"another!"), None);
        assert_eq!(add(&mut defrag, 1, 8, false, b"end"), None);
        assert_eq!(
            add(&mut defrag, 1, 0, true, b"the very").as_deref(),
            Some(&b"the veryend"[..])
        );
        assert_eq!(add(&mut defrag, 1, 0, true, b"the very"), None);
    }

    #[test]
    fn a_fragment_that_was_cut_completes_nothing() {
        let mut defrag = Defrag::default();
        let cut = Fragment {
            offset: 0,
            more: true,
            whole: false,
            payload: Rest::new(b"abc", 8),
        };
        assert_eq!(defrag.add(key(1), cut), None);
        assert_eq!(add(&mut defrag, 1, 8, false, b"end"), None);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut defrag = Defrag::default();
        for id in 0..=DATAGRAMS as u32 {
            assert_eq!(add(&mut defrag, id, 0, true, b"headhead"), None);
        }
        assert_eq!(defrag.partials.len(), DATAGRAMS);
        assert_eq!(add(&mut defrag, 0, 8, false, b"tail"), None);
        assert!(add(&mut defrag, DATAGRAMS as u32, 8, false, b"tail").is_some());
    }
}
