//! Who has something to do now, in the order in which they asked; and who waits for a turn at
//! something that many want.

use super::ring::{self, Link, Linked};

/// A node that can wait in a [`ReadyList`] or a [`ReadyRing`].
pub(crate) trait ReadyNode {
    fn ready(&self) -> &ReadyLink;
    fn ready_mut(&mut self) -> &mut ReadyLink;
}

/// A node's place in the one list that it waits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct ReadyLink {
    link: Link,
}

impl ReadyLink {
    /// Not waiting.
    pub(crate) const EMPTY: Self = Self { link: Link::EMPTY };

    /// Whether the node waits in a list that is no path's ring.
    pub(crate) fn waits_elsewhere(&self) -> bool {
        self.ring().is_some_and(|ring| ring.path().is_none())
    }

    /// Which list the node waits in; `None` if none.
    pub(crate) const fn ring(&self) -> Option<RingId> {
        match self.link.list() {
            0 => None,
            list => Some(RingId(list)),
        }
    }
}

struct ByReady;

impl<T: ReadyNode> Linked<T> for ByReady {
    fn link(node: &T) -> &Link {
        &node.ready().link
    }

    fn link_mut(node: &mut T) -> &mut Link {
        &mut node.ready_mut().link
    }
}

/// One of the lists that go through a [`ReadyLink`], of which a node is in at most one: 1 is the
/// ready list, 2 to 17 are the rings of the shares, and from 18 on those of the paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RingId(u32);

/// The first of the rings of the shares, and how many there are.
const FIRST_SHARE: u32 = 2;
const SHARE_RINGS: u32 = 16;
/// The first of the rings of the paths.
const FIRST_PATH: u32 = FIRST_SHARE + SHARE_RINGS;

impl RingId {
    const READY: Self = Self(1);

    /// The ring of a share; there are sixteen.
    #[expect(clippy::as_conversions, reason = "widening in a const fn")]
    pub(crate) const fn of_share(share: u8) -> Self {
        Self((share as u32 & SHARE_RINGS.wrapping_sub(1)).wrapping_add(FIRST_SHARE))
    }

    /// The share whose ring it is; `None` if it is another list.
    pub(crate) fn share(self) -> Option<u8> {
        let share = self.0.checked_sub(FIRST_SHARE)?;
        u8::try_from(share).ok().filter(|_| share < SHARE_RINGS)
    }

    /// The ring of the path in slot `path`.
    pub(crate) const fn of_path(path: u32) -> Self {
        Self(path.saturating_add(FIRST_PATH))
    }

    /// The slot of the path whose ring it is; `None` if it is another list.
    pub(crate) const fn path(self) -> Option<u32> {
        self.0.checked_sub(FIRST_PATH)
    }
}

/// A first-in, first-out list in which a node is at most once. Every operation is constant. Each
/// says which list it is, always the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct ReadyRing {
    head: u32,
}

impl ReadyRing {
    /// Nobody waits.
    pub(crate) const EMPTY: Self = Self { head: 0 };

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.head == 0
    }

    /// The node that has waited longest. A damaged list may name one that does not wait in it.
    pub(crate) const fn front(&self) -> Option<u32> {
        self.head.checked_sub(1)
    }

    /// Appends node `index`; `false`, and no change, if it waits somewhere already.
    pub(crate) fn push_back<T: ReadyNode>(
        &mut self,
        id: RingId,
        nodes: &mut [T],
        index: u32,
    ) -> bool {
        ring::push_back::<T, ByReady>(&mut self.head, id.0, nodes, index)
    }

    /// Takes node `index` out, wherever it is; `false` if it does not wait in this list.
    pub(crate) fn remove<T: ReadyNode>(&mut self, id: RingId, nodes: &mut [T], index: u32) -> bool {
        ring::remove::<T, ByReady>(&mut self.head, id.0, nodes, index)
    }

    /// Takes the node that has waited longest.
    pub(crate) fn pop_front<T: ReadyNode>(&mut self, id: RingId, nodes: &mut [T]) -> Option<u32> {
        ring::pop_front::<T, ByReady>(&mut self.head, id.0, nodes)
    }
}

/// The list of those who have something to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct ReadyList {
    ring: ReadyRing,
}

impl ReadyList {
    /// Nobody waits.
    pub(crate) const EMPTY: Self = Self {
        ring: ReadyRing::EMPTY,
    };

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Appends node `index`; `false`, and no change, if it is waiting already.
    pub(crate) fn push_back<T: ReadyNode>(&mut self, nodes: &mut [T], index: u32) -> bool {
        self.ring.push_back(RingId::READY, nodes, index)
    }

    /// Takes node `index` out, wherever it is; `false` if it is not waiting.
    pub(crate) fn remove<T: ReadyNode>(&mut self, nodes: &mut [T], index: u32) -> bool {
        self.ring.remove(RingId::READY, nodes, index)
    }

    /// Takes the node that has waited longest.
    pub(crate) fn pop_front<T: ReadyNode>(&mut self, nodes: &mut [T]) -> Option<u32> {
        self.ring.pop_front(RingId::READY, nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec;

    impl ReadyNode for ReadyLink {
        fn ready(&self) -> &ReadyLink {
            self
        }

        fn ready_mut(&mut self) -> &mut ReadyLink {
            self
        }
    }

    impl ReadyLink {
        fn is_waiting(&self) -> bool {
            self.link.list() != 0
        }
    }

    impl ReadyLink {
        /// A link as damage may leave it.
        pub(crate) const fn damaged(prev: u32, next: u32, list: u32) -> Self {
            Self {
                link: ring::tests_support::link(prev, next, list),
            }
        }
    }

    impl ReadyRing {
        /// A ring as damage may leave it.
        pub(crate) const fn damaged(head: u32) -> Self {
            Self { head }
        }
    }

    #[test]
    fn a_node_waits_at_most_once() {
        let (mut list, mut nodes) = (ReadyList::EMPTY, [ReadyLink::EMPTY; 3]);
        assert!(list.push_back(&mut nodes, 1) && list.push_back(&mut nodes, 2));
        assert!(!list.push_back(&mut nodes, 1), "it is waiting already");
        assert!(
            !list.push_back(&mut nodes, 3) && !list.push_back(&mut nodes, u32::MAX),
            "no such node"
        );
        assert_eq!(list.pop_front(&mut nodes), Some(1));
        assert!(!nodes[1].is_waiting() && nodes[2].is_waiting());
        assert_eq!(list.pop_front(&mut nodes), Some(2));
        assert_eq!(list.pop_front(&mut nodes), None);
        assert!(list.is_empty());
    }

    #[test]
    fn a_node_put_into_a_damaged_list_comes_out() {
        let (mut list, mut nodes) = (ReadyList::EMPTY, [ReadyLink::EMPTY; 3]);
        assert!(list.push_back(&mut nodes, 0) && list.push_back(&mut nodes, 1));
        // The first node no longer leads to the last.
        nodes[0].link = ring::tests_support::link(3, 2, RingId::READY.0);
        assert!(list.push_back(&mut nodes, 2));
        assert_eq!(list.pop_front(&mut nodes), Some(2));
    }

    #[test]
    fn a_node_waits_in_one_list_only() {
        let (mut ready, mut nodes) = (ReadyList::EMPTY, [ReadyLink::EMPTY; 2]);
        let mut rings = [ReadyRing::EMPTY; 2];
        let [first, last] = [RingId::of_share(0), RingId::of_share(15)];
        assert!(rings[0].push_back(first, &mut nodes, 0));
        assert!(rings[1].push_back(last, &mut nodes, 1));
        assert!(!rings[1].push_back(last, &mut nodes, 0) && !ready.push_back(&mut nodes, 0));
        assert!(!rings[1].remove(last, &mut nodes, 0) && !ready.remove(&mut nodes, 1));
        assert_eq!(rings.map(|ring| ring.front()), [Some(0), Some(1)]);
        assert_eq!(nodes[0].ring().and_then(RingId::share), Some(0));
        assert_eq!(nodes[1].ring().and_then(RingId::share), Some(15));
        assert_eq!(rings[1].pop_front(last, &mut nodes), Some(1));
        assert_eq!(nodes[1].ring(), None);
        assert!(ready.push_back(&mut nodes, 1));
        assert_eq!(nodes[1].ring().and_then(RingId::share), None);
        assert_eq!(RingId(18).share(), None, "the paths' rings are no shares");
    }

    #[test]
    fn the_rings_of_paths_follow_those_of_shares() {
        let (mut ring, mut nodes) = (ReadyRing::EMPTY, [ReadyLink::EMPTY; 2]);
        let id = RingId::of_path(7);
        assert!(ring.push_back(id, &mut nodes, 1));
        assert_eq!(nodes[1].ring().and_then(RingId::path), Some(7));
        assert_eq!(nodes[1].ring().and_then(RingId::share), None);
        assert_eq!(RingId::of_share(15).path(), None);
        assert_eq!(RingId::READY.path(), None);
        assert_eq!(RingId::of_path(0).path(), Some(0));
    }

    #[test]
    fn a_node_that_waits_for_its_path_waits_nowhere_else() {
        let (mut ready, mut nodes) = (ReadyList::EMPTY, [ReadyLink::EMPTY; 4]);
        let mut rings = [ReadyRing::EMPTY; 2];
        assert!(ready.push_back(&mut nodes, 0));
        assert!(rings[0].push_back(RingId::of_share(15), &mut nodes, 1));
        assert!(rings[1].push_back(RingId::of_path(0), &mut nodes, 2));
        let elsewhere = nodes.map(|node| node.waits_elsewhere());
        assert_eq!(elsewhere, [true, true, false, false]);
    }

    proptest! {
        #[test]
        fn the_list_is_a_queue(steps in prop::collection::vec((0u8..3, 0u32..12), 0..200)) {
            let (mut list, mut nodes) = (ReadyList::EMPTY, vec![ReadyLink::EMPTY; 10]);
            let mut model = VecDeque::new();
            for (step, index) in steps {
                match step {
                    0 => {
                        let fresh = index < 10 && !model.contains(&index);
                        prop_assert_eq!(list.push_back(&mut nodes, index), fresh);
                        if fresh {
                            model.push_back(index);
                        }
                    }
                    1 => {
                        let place = model.iter().position(|&other| other == index);
                        prop_assert_eq!(list.remove(&mut nodes, index), place.is_some());
                        place.and_then(|place| model.remove(place));
                    }
                    _ => prop_assert_eq!(list.pop_front(&mut nodes), model.pop_front()),
                }
                prop_assert_eq!(list.is_empty(), model.is_empty());
            }
        }

        #[test]
        fn damage_neither_panics_nor_loops(
            head: u32,
            links in prop::collection::vec((0u32..6, 0u32..6, 0u32..3), 4),
            steps in prop::collection::vec((0u8..3, 0u32..5), 0..40),
        ) {
            let mut list = ReadyList {
                ring: ReadyRing { head: head % 7 },
            };
            let mut nodes = [ReadyLink::EMPTY; 4];
            for (node, (prev, next, id)) in nodes.iter_mut().zip(links) {
                node.link = ring::tests_support::link(prev, next, id);
            }
            for (step, index) in steps {
                match step {
                    0 => drop(list.push_back(&mut nodes, index)),
                    1 => drop(list.remove(&mut nodes, index)),
                    _ => drop(list.pop_front(&mut nodes)),
                }
            }
            // Each pop takes a node out of the list or empties it.
            let pops = core::iter::from_fn(|| list.pop_front(&mut nodes)).take(10).count();
            prop_assert!(pops <= 4, "{pops} nodes came out of 4");
        }
    }
}
