//! What crosses the boundary: plain structures and numbers.
#![forbid(unsafe_code)]

use core::ffi::{c_char, c_void};

use crate::output::Packet;

/// The version of this interface. It changes when a program built for another one would not work.
pub const LOCALACK_ABI: u32 = 2;

/// The side of the local hosts.
pub const LOCALACK_INNER: u8 = 0;
/// The side of the long or lossy path.
pub const LOCALACK_OUTER: u8 = 1;

/// Data that arrives on the inner side.
pub const LOCALACK_INNER_TO_OUTER: u8 = 0;
/// Data that arrives on the outer side.
pub const LOCALACK_OUTER_TO_INNER: u8 = 1;

/// Data and acknowledgements pass as they are.
pub const LOCALACK_BYPASS: u8 = 0;
/// Copies of the data answer losses behind the engine; nothing is acknowledged early.
pub const LOCALACK_SNOOP: u8 = 1;
/// Data is acknowledged at once, kept, and delivered.
pub const LOCALACK_LOCAL_ACK: u8 = 2;

/// The packet goes on out of the other side, bit for bit as it was.
pub const LOCALACK_PASS: u8 = 0;
/// The packet goes on out of the other side; its headers were edited in place, its length is the same.
pub const LOCALACK_FORWARD: u8 = 1;
/// The packet does not go on: its content is held, or it has done its work.
pub const LOCALACK_ABSORB: u8 = 2;
/// The packet does not go on: nobody would accept it, or accepting it would do harm.
pub const LOCALACK_DROP: u8 = 3;

/// Nothing is known of the TCP checksum: the engine verifies it.
pub const LOCALACK_CHECKSUM_VERIFY: u8 = 0;
/// The checksum was verified, by hardware for example.
pub const LOCALACK_CHECKSUM_VERIFIED: u8 = 1;
/// The field holds the sum of the pseudo-header only; whoever sends the packet completes it.
pub const LOCALACK_CHECKSUM_PARTIAL: u8 = 2;

/// Nothing to do before the next deadline.
pub const LOCALACK_IDLE: u8 = 0;
/// The budget is spent and there is more to do: call again.
pub const LOCALACK_MORE: u8 = 1;
/// A packet could not be taken: call again when there is room.
pub const LOCALACK_BLOCKED: u8 = 2;

/// Additive increase, multiplicative decrease (RFC 5681).
pub const LOCALACK_RENO: u8 = 0;
/// CUBIC (RFC 9438), the default.
pub const LOCALACK_CUBIC: u8 = 1;
/// BBR, version 3.
pub const LOCALACK_BBR: u8 = 2;
/// The operator vouches for `rate` octets of IP packets per second, which all such flows share.
pub const LOCALACK_PROVISIONED: u8 = 3;

/// It was done.
pub const LOCALACK_OK: i32 = 0;
/// The settings are out of range, or of another version of this interface.
pub const LOCALACK_BAD_SETTINGS: i32 = -1;
/// The memory is too short, or does not begin at a multiple of 64.
pub const LOCALACK_BAD_MEMORY: i32 = -2;
/// No flow has this id any more.
pub const LOCALACK_NO_FLOW: i32 = -3;
/// A number in an argument means nothing.
pub const LOCALACK_BAD_ARGUMENT: i32 = -4;
/// A packet could not be taken: call again.
pub const LOCALACK_FULL: i32 = -5;

/// Most rules of an engine.
pub const LOCALACK_MOST_RULES: usize = 256;
/// Arrangements of an engine, with the one that is none.
pub const LOCALACK_ARRANGEMENTS: usize = 16;

/// Whichever side opened the connection.
pub const LOCALACK_FROM_EITHER: u8 = 0;
/// The inner side opened it.
pub const LOCALACK_FROM_INNER: u8 = 1;
/// The outer side opened it.
pub const LOCALACK_FROM_OUTER: u8 = 2;

/// How a connection is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Serving {
    /// Whether the connection is followed at all: 0 leaves it alone for ever.
    pub adopt: u8,
    /// The service for data that arrives on the inner side.
    pub inner_to_outer: u8,
    /// The service for data that arrives on the outer side.
    pub outer_to_inner: u8,
    /// The controller toward receivers on the outer side.
    pub controller: u8,
    /// The controller toward receivers on the inner side.
    pub inward_controller: u8,
    /// Whether data may be acknowledged early as soon as the handshake is complete, rather than once the
    /// receiver has shown that it is there.
    pub after_handshake: u8,
    /// Whether a flow may begin with half of what an earlier one to the same network could use (RFC 9959).
    pub careful_resume: u8,
    /// Whether segments may be sent with DF = 1 for a sender that allows fragmentation.
    pub allow_dont_fragment: u8,
    /// 1: CUBIC and Reno send what an acknowledgement allows at once, instead of spacing it out.
    pub in_bursts: u8,
    /// 0.
    pub reserved: u8,
    /// The arrangement of what arrives on the inner and on the outer side (`localack_set_arrangement`); 0 for none.
    pub arrangement: [u8; 2],
    /// Octets per second of the controller `LOCALACK_PROVISIONED`, outward and inward; 0 otherwise.
    pub rate: [u32; 2],
    /// Which rate that is, 0 to 15: connections of the same number share it.
    pub share: [u8; 2],
    /// 0.
    pub reserved2: u16,
    /// Octets per second that a connection may use even if its part of the rate is less.
    pub floor: [u32; 2],
    /// Octets per second that a connection may use at most; 0 for all of the rate.
    pub ceiling: [u32; 2],
    /// Octets that one direction may hold and offer as window, at most 2^29; 0 for the usual MiB.
    pub buffer_limit: u32,
    /// Microseconds that an acknowledgement may wait for a second segment, at most 10000.
    pub ack_delay_us: u32,
}

/// Which connections a rule is for, and how they are served. The first rule that matches counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// 4 or 6; 0 for both, and then the addresses are not looked at.
    pub version: u8,
    /// Bits of `inner` that must match.
    pub inner_bits: u8,
    /// Bits of `outer` that must match.
    pub outer_bits: u8,
    /// The side that opened the connection: `LOCALACK_FROM_EITHER` and so on.
    pub from: u8,
    /// Lowest and highest port of the inner end.
    pub inner_ports: [u16; 2],
    /// Lowest and highest port of the outer end.
    pub outer_ports: [u16; 2],
    /// Address of the inner end, in network order; an IPv4 address takes the first four octets.
    pub inner: [u8; 16],
    /// Address of the outer end.
    pub outer: [u8; 16],
    /// 0.
    pub reserved: u32,
    /// Differentiated-services code points of the SYN, the lowest bit for 0; 0 for all of them.
    pub dscp: u64,
    /// How they are served.
    pub serving: Serving,
}

/// What is done with one direction of connections beside its service. All zeroes is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Arrangement {
    /// Octets of IP packets per second that the data of one connection may take; 0 for no limit.
    pub rate_limit: u32,
    /// Microseconds that acknowledgements which tell nothing but a higher number keep between them, at most
    /// 500000; 0 lets all of them pass.
    pub ack_interval_us: u32,
    /// The largest segment that a SYN may announce, in octets; 0 leaves it alone.
    pub mss_clamp: u16,
    /// 0.
    pub reserved: u16,
}

/// Settings of an engine. Get them from `localack_settings_default`, and change some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// `LOCALACK_ABI`.
    pub abi: u32,
    /// Connections at a time.
    pub flows: u32,
    /// Octets that may be held for all of them together.
    pub buffer: u64,
    /// Secret key of the table of flows, from a random source.
    pub hash_key: [u64; 2],
    /// Largest IP packet that may leave by each side, inner first.
    pub mtu: [u16; 2],
    /// Most octets of payload in one packet of the engine's; more than a segment have to be cut
    /// (`gso_size`). 0 for one segment.
    pub super_segment: u16,
    /// 0.
    pub reserved: u16,
    /// Networks that are remembered for later flows; 0 for none.
    pub paths: u32,
    /// Milliseconds that a drain waits for the offered window to match the receiver's; 0 for the usual 10000.
    pub drain_ms: u32,
    /// Milliseconds that a silent receiver is tried, at least 100000; 0 for the usual 924000.
    pub give_up_ms: u32,
    /// Octets that may be in custody however slowly they drain; 0 for the usual 65536.
    pub debt_floor: u32,
    /// Milliseconds that a direction waits after it was handed back before it is served again; 0 for the usual
    /// 60000.
    pub hold_ms: u32,
    /// 0.
    pub reserved2: u32,
    /// How connections are served that no rule matches.
    pub serving: Serving,
    /// The present, in microseconds of the clock that the other calls go by.
    pub now_us: u64,
}

/// Names that the control protocol tells.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Names {
    /// The device on the inner side.
    pub inner: *const c_char,
    /// The device on the outer side.
    pub outer: *const c_char,
}

/// The circumstances of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Meta {
    /// What is known of its TCP checksum.
    pub checksum: u8,
    /// 0.
    pub reserved: u8,
    /// Octets of payload in each segment if it is a super-segment, else 0.
    pub gso_size: u16,
    /// A VLAN, encapsulation or device of the caller's, part of what names a flow; comes back with packets of
    /// the flow.
    pub link: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// `LOCALACK_PASS`, `_FORWARD`, `_ABSORB` or `_DROP`.
    pub kind: u8,
    /// The number of the reason, for all but `LOCALACK_FORWARD`.
    pub reason: u8,
    /// Octets of headers at the front of the packet, the only ones that `LOCALACK_FORWARD` may have changed.
    pub headers: u16,
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Part {
    /// Its octets, for the time of the callback.
    pub data: *const u8,
    /// How many.
    pub length: usize,
}

/// News about a connection.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct News {
    /// `LOCALACK_ADOPTED` and so on.
    pub kind: u8,
    /// The side it came from, or the direction that it is about.
    pub side: u8,
    /// The number of the reason or cause, or the service now in force.
    pub reason: u8,
    /// 0.
    pub reserved: u8,
    /// Octets that were lost, or are still in custody.
    pub octets: u32,
    /// The flow; 0 if it was refused.
    pub flow: u64,
}

/// A handshake was completed and the flow has a slot.
pub const LOCALACK_ADOPTED: u8 = 0;
/// A connection is left alone; `side` and `reason` (as of `LOCALACK_PASS`).
pub const LOCALACK_REFUSED: u8 = 1;
/// Early acknowledgement begins in the direction `side`.
pub const LOCALACK_CUSTODY_BEGUN: u8 = 2;
/// The direction `side` acknowledges nothing early any more; `reason` is the cause.
pub const LOCALACK_DEMOTED: u8 = 3;
/// The direction `side` has reached the service `reason`.
pub const LOCALACK_SERVICE_CHANGED: u8 = 4;
/// `octets` have been in custody for long after a FIN, in the direction `side`.
pub const LOCALACK_SLOW_CLOSE: u8 = 5;
/// The end at `side` has reset the connection; `octets` can no longer be delivered.
pub const LOCALACK_RESET: u8 = 6;
/// A receiver was silent too long or somebody wants no more of it; both ends are reset and `octets` of the
/// direction `side` were lost.
pub const LOCALACK_GIVEN_UP: u8 = 7;
/// The flow has no state any more.
pub const LOCALACK_CLOSED: u8 = 8;
/// News of a later version.
pub const LOCALACK_OTHER_NEWS: u8 = 255;

/// What an engine calls. It must not be used from within.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Callbacks {
    /// Comes back with each call.
    pub context: *mut c_void,
    /// Takes one packet; false if it cannot be taken now, and nothing is lost: `localack_poll` offers it again.
    /// The packet is there for the time of the call.
    pub transmit:
        Option<unsafe extern "C" fn(context: *mut c_void, packet: *mut Packet<'_>) -> bool>,
    /// Learns rare news; may be null.
    pub news: Option<unsafe extern "C" fn(context: *mut c_void, now_us: u64, news: *const News)>,
}

/// A packet that the engine wants sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PacketInfo {
    /// The side to send it out of.
    pub side: u8,
    /// What it is for (`localack_packet_kind_name`).
    pub kind: u8,
    /// Octets of payload in each segment if it is to be cut, else 0. Then its TCP checksum is that of the
    /// pseudo-header only; without it the checksum is complete.
    pub gso_size: u16,
    /// Octets of its IP and TCP headers, which are the first part of it.
    pub headers: u32,
    /// Octets of all of it.
    pub length: u32,
    /// The link by which packets of its direction last arrived.
    pub link: u32,
    /// The flow it belongs to.
    pub flow: u64,
}

/// A look at one direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DirectionState {
    /// The service that is asked for.
    pub service: u8,
    /// What it does: 0 bypass, 1 store and forward, 2 local acknowledgement, 3 draining, 4 snoop.
    pub mode: u8,
    /// The controller.
    pub controller: u8,
    /// 0.
    pub reserved: u8,
    /// Octets acknowledged to the sender and not by the receiver.
    pub debt: u32,
    /// Octets of blocks held.
    pub custody: u32,
    /// Octets per second that the receiver has acknowledged of late.
    pub rate: u32,
    /// Smoothed and shortest round-trip time to the receiver, in microseconds; 0 if unknown.
    pub srtt_us: u32,
    /// See `srtt_us`.
    pub min_rtt_us: u32,
    /// Congestion window toward the receiver, and octets on their way to it.
    pub cwnd: u32,
    /// See `cwnd`.
    pub in_flight: u32,
    /// Octets found lost that wait to be sent again.
    pub lost: u32,
    /// Largest segment sent to the receiver, in octets of payload.
    pub mss: u16,
    /// 0.
    pub reserved2: u16,
}

/// A look at a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowView {
    /// Its id.
    pub id: u64,
    /// 0 SYN seen, 1 SYN-ACK seen, 2 open, 3 being reset, 4 was reset.
    pub state: u8,
    /// The side that opened the connection.
    pub client: u8,
    /// IP version of both ends.
    pub version: u8,
    /// 0.
    pub reserved: u8,
    /// Caller's link.
    pub link: u32,
    /// Addresses in network order, inner first; an IPv4 address takes the first four octets.
    pub addresses: [[u8; 16]; 2],
    /// Ports, inner first.
    pub ports: [u16; 2],
    /// 0.
    pub reserved2: u32,
    /// Data from the inner side, then from the outer side.
    pub directions: [DirectionState; 2],
}

/// What all flows have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Custody {
    /// Octets acknowledged to their senders that their receivers have not acknowledged.
    pub debt: u64,
    /// Octets of blocks in use.
    pub held: u64,
    /// Flows in any state.
    pub flows: u32,
    /// Flows that owe something.
    pub owing: u32,
    /// Flows that are served or are being handed back.
    pub served: u32,
    /// 0.
    pub reserved: u32,
}

/// What was lost with flows that were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lost {
    /// Octets that were acknowledged and not delivered.
    pub octets: u64,
    /// Flows that were reset.
    pub flows: u64,
}

/// A counter.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CounterView {
    /// What it counts, as two names that stay the same. They are not terminated: see their lengths.
    pub group: *const c_char,
    /// See `group`.
    pub name: *const c_char,
    /// Octets of `group`.
    pub group_length: usize,
    /// Octets of `name`.
    pub name_length: usize,
    /// The count.
    pub count: u64,
}
