//! Circular lists whose links lie in the listed nodes.
//!
//! A list is one `head`: the index plus one of its first node, zero if it is empty. The links of
//! damaged memory may say anything: every reference is checked before it is followed, every step
//! is constant, and a list that turns out damaged is cut short.

/// A node's place in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Link {
    /// Index plus one of the node before; of the last node for the first one.
    prev: u32,
    /// Index plus one of the node after; of the first node for the last one.
    next: u32,
    /// Which list the node is in; zero if none.
    list: u32,
}

impl Link {
    /// In no list.
    pub(crate) const EMPTY: Self = Self {
        prev: 0,
        next: 0,
        list: 0,
    };

    /// Which list the node is in; zero if none.
    pub(crate) const fn list(self) -> u32 {
        self.list
    }
}

/// Says which of the links of a `T` a list goes through.
pub(crate) trait Linked<T> {
    fn link(node: &T) -> &Link;
    fn link_mut(node: &mut T) -> &mut Link;
}

/// Appends node `index`, which must be in no list through this link; `false` if it is in one, or
/// does not exist.
pub(crate) fn push_back<T, L: Linked<T>>(
    head: &mut u32,
    list: u32,
    nodes: &mut [T],
    index: u32,
) -> bool {
    let me = index.wrapping_add(1);
    if link::<T, L>(nodes, me).is_none_or(|link| link.list != 0) {
        return false;
    }
    let first = *head;
    let last = link::<T, L>(nodes, first)
        .filter(|link| link.list == list)
        .map(|link| link.prev);
    let last = last.filter(|&last| follows::<T, L>(nodes, list, last, first));
    let (prev, next) = last.map_or((me, me), |last| (last, first));
    set_link::<T, L>(nodes, me, Link { prev, next, list });
    if last.is_none() {
        *head = me;
        return true;
    }
    update_link::<T, L>(nodes, prev, |link| link.next = me);
    update_link::<T, L>(nodes, next, |link| link.prev = me);
    true
}

/// Takes node `index` out of `list`; `false` if it is not in it.
pub(crate) fn remove<T, L: Linked<T>>(
    head: &mut u32,
    list: u32,
    nodes: &mut [T],
    index: u32,
) -> bool {
    let me = index.wrapping_add(1);
    let Some(Link { prev, next, .. }) = link::<T, L>(nodes, me).filter(|link| link.list == list)
    else {
        return false;
    };
    let is_between = next != me
        && follows::<T, L>(nodes, list, prev, me)
        && link::<T, L>(nodes, next).is_some_and(|link| link.list == list && link.prev == me);
    set_link::<T, L>(nodes, me, Link::EMPTY);
    if is_between {
        update_link::<T, L>(nodes, prev, |link| link.next = next);
        update_link::<T, L>(nodes, next, |link| link.prev = prev);
    }
    if *head == me {
        *head = if is_between { next } else { 0 };
    }
    true
}

/// Takes the first node out of `list`. Empties a list whose head is damaged.
pub(crate) fn pop_front<T, L: Linked<T>>(
    head: &mut u32,
    list: u32,
    nodes: &mut [T],
) -> Option<u32> {
    let index = head.checked_sub(1)?;
    if remove::<T, L>(head, list, nodes, index) {
        return Some(index);
    }
    *head = 0;
    None
}

/// Whether `node` is in `list` and `next` comes after it.
fn follows<T, L: Linked<T>>(nodes: &[T], list: u32, node: u32, next: u32) -> bool {
    link::<T, L>(nodes, node).is_some_and(|link| link.list == list && link.next == next)
}

fn link<T, L: Linked<T>>(nodes: &[T], reference: u32) -> Option<Link> {
    let index = usize::try_from(reference.checked_sub(1)?).ok()?;
    nodes.get(index).map(|node| *L::link(node))
}

fn set_link<T, L: Linked<T>>(nodes: &mut [T], reference: u32, link: Link) {
    update_link::<T, L>(nodes, reference, |place| *place = link);
}

fn update_link<T, L: Linked<T>>(nodes: &mut [T], reference: u32, change: impl FnOnce(&mut Link)) {
    let index = reference
        .checked_sub(1)
        .and_then(|index| usize::try_from(index).ok());
    if let Some(node) = index.and_then(|index| nodes.get_mut(index)) {
        change(L::link_mut(node));
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    /// A link as damage may leave it.
    pub(crate) const fn link(prev: u32, next: u32, list: u32) -> super::Link {
        super::Link { prev, next, list }
    }
}
