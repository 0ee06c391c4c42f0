//! What a flow says of itself as a whole.

use super::*;
use crate::policy::Service;
use crate::pool::{BlockSize, BlockSlot, Pool, PoolHead, Quota};
use crate::seq::SeqNum;
use crate::stats::DirectionMode;

#[test]
fn h12_4_what_stalled_directions_hold_is_counted_each_for_itself() {
    let mut blocks = [BlockSlot::EMPTY; 8];
    let mut arena = [0; 8 * 512];
    let size = BlockSize::of(&blocks, &arena).expect("memory that fits");
    let mut head = PoolHead::EMPTY;
    let mut pool = Pool::new(&mut head, &mut blocks, &mut arena, size);
    let mut flow = FlowSlot::EMPTY;
    let quota = Quota {
        reserved_blocks: 0,
        limit_blocks: 8,
    };
    for (direction, octets) in Direction::BOTH.into_iter().zip([1000, 500]) {
        let chain = &mut flow.stream_mut(direction).chain;
        pool.reserve(chain, quota).expect("room");
        let end = SeqNum::ZERO.advance(octets);
        let payload = [7; 1000];
        let stored = payload.get(..octets as usize).expect("no more");
        let staged = pool.store(chain, SeqNum::ZERO, stored, end, false);
        let _ = staged.commit();
    }
    let stalled = [FlowFlags::INNER_STALLED, FlowFlags::OUTER_STALLED];
    for others in [FlowFlags::NONE, FlowFlags::SACK, FlowFlags::ECN] {
        for (inner, outer, blocks) in [
            (false, false, 0),
            (true, false, 2),
            (false, true, 1),
            (true, true, 3),
        ] {
            flow.flags = others;
            for (flag, on) in stalled.into_iter().zip([inner, outer]) {
                flow.flags.put(flag, on);
            }
            assert_eq!(flow.stalled_blocks(), blocks, "{inner} {outer}");
        }
    }
}

#[test]
fn every_flag_is_one_of_its_own() {
    let flags = [
        FlowFlags::TIMESTAMPS,
        FlowFlags::SACK,
        FlowFlags::SYN_PENDING,
        FlowFlags::CUSTODY_AFTER_HANDSHAKE,
        FlowFlags::ASYMMETRIC,
        FlowFlags::SYN_LOST,
        FlowFlags::ALLOW_DF,
        FlowFlags::RESET_DUE,
        FlowFlags::INNER_CLOCK_VOID,
        FlowFlags::OUTER_CLOCK_VOID,
        FlowFlags::INNER_STALLED,
        FlowFlags::OUTER_STALLED,
        FlowFlags::UNPACED,
        FlowFlags::ECN,
        FlowFlags::TELL_AGAIN,
        FlowFlags::CAREFUL_RESUME,
    ];
    for flag in flags {
        let mut set = FlowFlags::NONE;
        assert!(!set.has(flag));
        set.set(flag);
        for other in flags {
            assert_eq!(set.has(other), other == flag, "{flag:?}, {other:?}");
        }
    }
}

#[test]
fn a_flow_is_arranged_if_either_direction_is() {
    for service in [Service::Bypass, Service::LocalAck, Service::Snoop] {
        for direction in Direction::BOTH {
            let mut flow = FlowSlot::EMPTY;
            flow.stream_mut(direction).set_service(service);
            assert_eq!(flow.is_arranged(), service == Service::Snoop);
            flow.stream_mut(direction).set_service(Service::LocalAck);
            flow.stream_mut(direction).set_mode(DirectionMode::Snoop);
            assert!(flow.is_arranged(), "copies are still kept");
        }
    }
}
