//! What is known of one end host, and of a SYN that has not been answered yet.

use crate::policy::{Port, SynInfo};
use crate::seq::{SeqNum, WindowScale};
use crate::time::{Instant, Stamp};
use crate::verdict::PassReason;
use crate::wire::{Flags, IpVersion, Segment, kind};

/// Segment size of a host that announces none (RFC 9293 section 3.7.1).
const DEFAULT_MSS: [u16; 2] = [536, 1220];

/// One end of a connection: what its SYN announced, and how its packets look.
///
/// Packets that the engine makes in its name look like the last one it sent (rule H9.5).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct Host {
    /// Octets of payload and options it is willing to receive in one segment.
    pub(crate) mss: u16,
    window_scale: u8,
    hop_limit: u8,
    /// Traffic class and flow label as the first word of an IPv6 header has them; the IPv4 flag
    /// that forbids fragmentation takes a bit of the version.
    looks: u32,
}

// Two of them in each flow slot.
const _: () = assert!(size_of::<Host>() == 8);

impl Host {
    const FLOW_LABEL: u32 = 0xf_ffff;
    const CLASS_SHIFT: u32 = 20;
    const DONT_FRAGMENT: u32 = 1 << 31;

    pub(crate) const EMPTY: Self = Self {
        mss: 0,
        window_scale: 0,
        hop_limit: 0,
        looks: 0,
    };

    /// Notes how the host's latest packet looks. The flow label is kept as first seen: a new one
    /// makes some receivers re-route (rule H9.5).
    pub(crate) fn observe(&mut self, seg: &Segment) {
        let class = u32::from(seg.ip.traffic_class & !0b11) << Self::CLASS_SHIFT;
        let fragments = if seg.ip.dont_fragment {
            Self::DONT_FRAGMENT
        } else {
            0
        };
        self.hop_limit = seg.ip.hop_limit;
        self.looks = self.flow_label() | class | fragments;
    }

    pub(crate) const fn freeze_flow_label(&mut self, label: u32) {
        self.looks = self.looks & !Self::FLOW_LABEL | label & Self::FLOW_LABEL;
    }

    pub(crate) const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    pub(crate) const fn traffic_class(&self) -> u8 {
        let [class, ..] = (self.looks >> Self::CLASS_SHIFT).to_le_bytes();
        class
    }

    pub(crate) const fn flow_label(&self) -> u32 {
        self.looks & Self::FLOW_LABEL
    }

    /// Whether its packets forbid fragmentation. IPv6 packets always do.
    pub(crate) const fn dont_fragment(&self, version: IpVersion) -> bool {
        matches!(version, IpVersion::V6) || self.looks & Self::DONT_FRAGMENT != 0
    }

    /// The shift of the windows this host announces after its SYN.
    pub(crate) const fn scale(&self) -> WindowScale {
        WindowScale::new(self.window_scale)
    }

    pub(crate) const fn set_scale(&mut self, scale: WindowScale) {
        self.window_scale = scale.shift();
    }
}

/// A SYN that waits for its SYN-ACK.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct PendingSyn {
    isn: u32,
    /// When the last copy of the SYN was seen.
    syn_at: Stamp,
    /// When the last copy of the SYN-ACK was seen.
    syn_ack_at: Stamp,
    /// Kinds of options that the engine does not speak, folded: those that share a bit can only make the
    /// engine more careful.
    kinds: u32,
    mss: u16,
    window: u16,
    payload: u16,
    /// Shift plus one; zero if there is no window scale option.
    window_scale: u8,
    flags: u8,
}

const _: () = assert!(size_of::<PendingSyn>() == 24);

impl PendingSyn {
    const SACK: u8 = 1;
    const TIMESTAMPS: u8 = 1 << 1;
    const ECN: u8 = 1 << 2;
    const ACCURATE_ECN: u8 = 1 << 3;
    const FROM_OUTER: u8 = 1 << 4;
    const UNSERVABLE: u8 = 1 << 5;
    const ESTABLISHED: u8 = 1 << 6;

    pub(crate) const EMPTY: Self = Self {
        isn: 0,
        syn_at: Stamp::NEVER,
        syn_ack_at: Stamp::NEVER,
        kinds: 0,
        mss: 0,
        window: 0,
        payload: 0,
        window_scale: 0,
        flags: 0,
    };

    /// Remembers a SYN.
    pub(crate) fn of(from: Port, seg: &Segment, now: Instant) -> Self {
        let mut flags = 0;
        let classic = Flags::ECE.union(Flags::CWR);
        for (on, flag) in [
            (seg.options.sack_permitted, Self::SACK),
            (seg.options.timestamps.is_some(), Self::TIMESTAMPS),
            (seg.flags.contains(classic), Self::ECN),
            (
                seg.flags.contains(classic) && seg.accurate_ecn,
                Self::ACCURATE_ECN,
            ),
            (from == Port::Outer, Self::FROM_OUTER),
            (unservable(seg).is_some(), Self::UNSERVABLE),
        ] {
            if on {
                flags |= flag;
            }
        }
        Self {
            isn: seg.seq.raw(),
            syn_at: Stamp::at(now),
            syn_ack_at: Stamp::NEVER,
            kinds: seg.options.unusual.folded(),
            mss: announced_mss(seg),
            window: seg.window,
            payload: u16::try_from(seg.payload_len).unwrap_or(u16::MAX),
            window_scale: seg
                .options
                .window_scale
                .map_or(0, |shift| shift.min(14).saturating_add(1)),
            flags,
        }
    }

    /// The port on which the SYN arrived.
    pub(crate) const fn from(&self) -> Port {
        if self.flags & Self::FROM_OUTER == 0 {
            Port::Inner
        } else {
            Port::Outer
        }
    }

    /// The connection that the SYN asked for is established.
    pub(crate) const fn establish(&mut self) {
        self.flags |= Self::ESTABLISHED;
    }

    /// Whether this is the SYN that the connection began with, and not one that came later.
    pub(crate) const fn is_established(&self) -> bool {
        self.flags & Self::ESTABLISHED != 0
    }

    /// Whether the SYN alone says that its connection cannot be served.
    pub(crate) const fn is_unservable(&self) -> bool {
        self.flags & Self::UNSERVABLE != 0
    }

    /// What the SYN tells a policy.
    pub(crate) fn info(&self, traffic_class: u8) -> SynInfo {
        SynInfo {
            isn: self.isn(),
            mss: Some(self.mss),
            window_scale: self.window_scale(),
            sack_permitted: self.sack_permitted(),
            timestamps: self.timestamps(),
            traffic_class,
        }
    }

    pub(crate) const fn isn(&self) -> SeqNum {
        SeqNum::new(self.isn)
    }

    pub(crate) const fn mss(&self) -> u16 {
        self.mss
    }

    /// No more than this reaches the SYN's receiver.
    pub(crate) fn clamp_mss(&mut self, mss: u16) {
        self.mss = self.mss.min(mss);
    }

    /// The SYN's window in octets; windows in SYNs are never scaled (RFC 7323 section 2.2).
    pub(crate) fn window(&self) -> u32 {
        u32::from(self.window)
    }

    /// Whether `ack` answers this SYN, with some, all or none of the data it carried (RFC 7413).
    pub(crate) fn is_answered_by(&self, ack: SeqNum) -> bool {
        ack.octets_since(self.isn().advance(1))
            .is_some_and(|octets| octets <= u32::from(self.payload))
    }

    pub(crate) const fn sack_permitted(&self) -> bool {
        self.flags & Self::SACK != 0
    }

    pub(crate) const fn timestamps(&self) -> bool {
        self.flags & Self::TIMESTAMPS != 0
    }

    pub(crate) const fn offers_ecn(&self) -> bool {
        self.flags & Self::ECN != 0
    }

    pub(crate) const fn offers_accurate_ecn(&self) -> bool {
        self.flags & Self::ACCURATE_ECN != 0
    }

    pub(crate) fn window_scale(&self) -> Option<WindowScale> {
        self.window_scale.checked_sub(1).map(WindowScale::new)
    }

    /// Whether `answer` agrees to an option of this SYN that the engine does not speak.
    pub(crate) fn shares_unusual_option(&self, answer: &Segment) -> bool {
        self.kinds & answer.options.unusual.folded() != 0
    }

    /// When the last copy of the SYN was seen.
    pub(crate) fn syn_at(&self, now: Instant) -> Instant {
        self.syn_at.resolve(now).unwrap_or(now)
    }

    /// When the last copy of the SYN-ACK was seen.
    pub(crate) fn syn_ack_at(&self, now: Instant) -> Instant {
        self.syn_ack_at.resolve(now).unwrap_or(now)
    }

    pub(crate) const fn note_syn(&mut self, now: Instant) {
        self.syn_at = Stamp::at(now);
    }

    pub(crate) const fn note_syn_ack(&mut self, now: Instant) {
        self.syn_ack_at = Stamp::at(now);
    }
}

/// Why a connection cannot be served, as far as its SYN or SYN-ACK alone says.
pub(crate) fn unservable(seg: &Segment) -> Option<PassReason> {
    let unusual = &seg.options.unusual;
    if !seg.ip.plain {
        Some(PassReason::IpOptions)
    } else if seg.options.malformed {
        Some(PassReason::Malformed)
    } else if unusual.contains(kind::MD5) || unusual.contains(kind::AUTHENTICATION) {
        Some(PassReason::Authenticated)
    } else {
        None
    }
}

/// The segment size that a SYN or SYN-ACK announces.
pub(crate) fn announced_mss(seg: &Segment) -> u16 {
    let [v4, v6] = DEFAULT_MSS;
    let default = match seg.version {
        IpVersion::V4 => v4,
        IpVersion::V6 => v6,
    };
    seg.options.mss.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HeaderSpec, Parsed, Sum, Timestamps, emit, parse};
    use core::net::Ipv6Addr;

    fn segment(traffic_class: u8, flow_label: u32, hop_limit: u8) -> Segment {
        let header = emit(
            &HeaderSpec {
                src: Ipv6Addr::LOCALHOST.into(),
                dst: Ipv6Addr::LOCALHOST.into(),
                src_port: 1,
                dst_port: 2,
                seq: SeqNum::ZERO,
                ack: SeqNum::ZERO,
                flags: Flags::ACK,
                window: 0,
                urgent: 0,
                timestamps: None,
                sack: &[],
                hop_limit,
                traffic_class,
                flow_label,
                dont_fragment: true,
            },
            0,
            Sum::new(),
        );
        let Parsed::Tcp(segment) = parse(header.unwrap().as_slice()) else {
            panic!("a TCP segment is taken for something else");
        };
        segment
    }

    #[test]
    fn h9_5_looks_follow_the_host_but_for_its_flow_label_and_ecn() {
        let mut host = Host::EMPTY;
        host.freeze_flow_label(0xf_fffe);
        host.observe(&segment(0xff, 0x1_2345, 64));
        assert_eq!((host.traffic_class(), host.hop_limit()), (0xfc, 64));
        host.observe(&segment(0x48, 0x5_4321, 63));
        assert_eq!((host.traffic_class(), host.hop_limit()), (0x48, 63));
        assert_eq!(host.flow_label(), 0xf_fffe);
    }

    #[test]
    fn only_ipv6_forbids_fragmentation_without_a_flag() {
        let mut host = Host::EMPTY;
        assert!(!host.dont_fragment(IpVersion::V4) && host.dont_fragment(IpVersion::V6));
        let mut seg = segment(0xff, 0, 64);
        seg.ip.dont_fragment = true;
        host.observe(&seg);
        assert!(host.dont_fragment(IpVersion::V4));
        seg.ip.dont_fragment = false;
        host.observe(&seg);
        assert!(!host.dont_fragment(IpVersion::V4));
        assert_eq!(host.traffic_class(), 0xfc);
    }

    /// A SYN, and what is remembered of it.
    fn syn(change: impl FnOnce(&mut Segment)) -> PendingSyn {
        let mut seg = segment(0, 0, 64);
        seg.flags = Flags::SYN;
        change(&mut seg);
        PendingSyn::of(Port::Inner, &seg, Instant::from_millis(10))
    }

    #[test]
    fn a_syn_is_taken_at_its_word() {
        let offers = |syn: PendingSyn| {
            [
                syn.sack_permitted(),
                syn.timestamps(),
                syn.offers_ecn(),
                syn.offers_accurate_ecn(),
                syn.is_unservable(),
                syn.from() == Port::Outer,
            ]
        };
        let classic = Flags::SYN.union(Flags::ECE).union(Flags::CWR);
        let none = [false; 6];
        let only = |number: usize| core::array::from_fn(|other| other == number);
        assert_eq!(offers(syn(|_| ())), none);
        assert_eq!(
            offers(syn(|seg| seg.options.sack_permitted = true)),
            only(0)
        );
        let stamped = syn(|seg| {
            seg.options.timestamps = Some(Timestamps { val: 1, ecr: 0 });
        });
        assert_eq!(offers(stamped), only(1));
        assert_eq!(offers(syn(|seg| seg.flags = classic)), only(2));
        for alone in [Flags::ECE, Flags::CWR] {
            assert_eq!(offers(syn(|seg| seg.flags = Flags::SYN.union(alone))), none);
        }
        // RFC 9768 section 3.1.1: all three flags offer it, and classic ECN besides.
        assert_eq!(offers(syn(|seg| seg.accurate_ecn = true)), none);
        let accurate = syn(|seg| (seg.flags, seg.accurate_ecn) = (classic, true));
        assert_eq!(offers(accurate), [false, false, true, true, false, false]);
        assert_eq!(offers(syn(|seg| seg.ip.plain = false)), only(4));
        let mut seg = segment(0, 0, 64);
        seg.flags = Flags::SYN;
        let from_outer = PendingSyn::of(Port::Outer, &seg, Instant::ZERO);
        assert_eq!(offers(from_outer), only(5));
    }

    #[test]
    fn rfc7323_2_2_the_window_of_a_syn_is_not_scaled() {
        for window in [0, 1, 2, u16::MAX] {
            let syn = syn(|seg| {
                seg.window = window;
                seg.options.window_scale = Some(7);
            });
            assert_eq!(syn.window(), u32::from(window));
            assert_eq!(syn.window_scale(), Some(WindowScale::new(7)));
        }
        assert_eq!(syn(|_| ()).window_scale(), None);
    }

    #[test]
    fn an_option_is_agreed_on_by_both() {
        for (asked, answered, agreed) in [
            (Some(30), Some(30), true),
            (Some(34), Some(34), true),
            (Some(30), Some(34), false),
            (Some(30), None, false),
            (None, Some(30), false),
            (None, None, false),
        ] {
            let with = |seg: &mut Segment, kind: Option<u8>| {
                if let Some(kind) = kind {
                    seg.options.unusual.insert(kind);
                }
            };
            let syn = syn(|seg| with(seg, asked));
            let mut answer = segment(0, 0, 64);
            with(&mut answer, answered);
            assert_eq!(
                syn.shares_unusual_option(&answer),
                agreed,
                "{asked:?}, {answered:?}"
            );
        }
    }

    #[test]
    fn h7_9_the_last_copy_of_a_handshake_counts() {
        let at = Instant::from_millis;
        let mut syn = syn(|_| ());
        assert_eq!(
            (syn.syn_at(at(900)), syn.syn_ack_at(at(900))),
            (at(10), at(900))
        );
        syn.note_syn_ack(at(100));
        syn.note_syn(at(500));
        assert_eq!(
            (syn.syn_at(at(900)), syn.syn_ack_at(at(900))),
            (at(500), at(100))
        );
        syn.note_syn_ack(at(600));
        assert_eq!(
            (syn.syn_at(at(900)), syn.syn_ack_at(at(900))),
            (at(500), at(600))
        );
    }
}
