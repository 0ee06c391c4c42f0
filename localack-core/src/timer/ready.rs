//! Who has something to do now, in the order in which they asked.

use super::ring::{self, Link, Linked};

/// A node that can wait in a [`ReadyList`].
pub(crate) trait ReadyNode {
    fn ready(&self) -> &ReadyLink;
    fn ready_mut(&mut self) -> &mut ReadyLink;
}

/// A node's place in the ready list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct ReadyLink {
    link: Link,
}

impl ReadyLink {
    /// Not waiting.
    pub(crate) const EMPTY: Self = Self { link: Link::EMPTY };
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

/// The only list that goes through a [`ReadyLink`].
const READY: u32 = 1;

/// A first-in, first-out list in which a node is at most once. Every operation is constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct ReadyList {
    head: u32,
}

impl ReadyList {
    /// Nobody waits.
    pub(crate) const EMPTY: Self = Self { head: 0 };

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.head == 0
    }

    /// Appends node `index`; `false`, and no change, if it is waiting already.
    pub(crate) fn push_back<T: ReadyNode>(&mut self, nodes: &mut [T], index: u32) -> bool {
        ring::push_back::<T, ByReady>(&mut self.head, READY, nodes, index)
    }

    /// Takes node `index` out, wherever it is; `false` if it is not waiting.
    pub(crate) fn remove<T: ReadyNode>(&mut self, nodes: &mut [T], index: u32) -> bool {
        ring::remove::<T, ByReady>(&mut self.head, READY, nodes, index)
    }

    /// Takes the node that has waited longest.
    pub(crate) fn pop_front<T: ReadyNode>(&mut self, nodes: &mut [T]) -> Option<u32> {
        ring::pop_front::<T, ByReady>(&mut self.head, READY, nodes)
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
        nodes[0].link = ring::tests_support::link(3, 2, READY);
        assert!(list.push_back(&mut nodes, 2));
        assert_eq!(list.pop_front(&mut nodes), Some(2));
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
            let mut list = ReadyList { head: head % 7 };
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
