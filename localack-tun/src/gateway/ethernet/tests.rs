use core::net::IpAddr;

use localack_core::wire::{Flags, HeaderSpec, Sum, emit};
use localack_core::{
    Config, Engine, Event, FlowConfig, Instant, PacketMeta, SeqNum, Sink, SinkFull, StaticStorage,
    Transmit,
};

use super::*;

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MOVED: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const STANDBY: [u8; 6] = [2, 0, 0, 0, 0, 8];

/// Addresses, tags and a type, as they stand in a frame.
fn octets(to: [u8; 6], from: [u8; 6], words: &[u16]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| word.to_be_bytes());
    to.into_iter().chain(from).chain(words).collect()
}

#[test]
fn an_ip_packet_is_found_behind_two_tags_at_most() {
    let found = |words: &[u16]| {
        let mut frame = octets(ROUTER, GUEST, words);
        frame.extend([0x45; 40]);
        lead(&frame).map(|(length, link)| (length, link.0))
    };
    assert_eq!(found(&[0x0800]), Some((14, 0)));
    assert_eq!(found(&[0x86dd]), Some((14, 0)));
    let [five, six, provider, both] = [
        found(&[0x8100, 5, 0x0800]),
        found(&[0x8100, 6, 0x0800]),
        found(&[0x88a8, 5, 0x0800]),
        found(&[0x88a8, 6, 0x8100, 5, 0x86dd]),
    ]
    .map(|found| found.expect("it is IP"));
    assert_eq!([five.0, six.0, provider.0, both.0], [18, 18, 18, 22]);
    // H9.5: each is a link of its own, and none is the one without a tag.
    let links = [0, five.1, six.1, provider.1, both.1];
    for (n, link) in links.iter().enumerate() {
        assert!(!links[..n].contains(link), "{links:?}");
    }
    assert_ne!(found(&[0x8100, 6, 0x8100, 5, 0x0800]).unwrap().1, both.1);
    // Priorities do not tell links apart, nor does a tag that has nothing else.
    assert_eq!(found(&[0x8100, 0xe005, 0x0800]), Some((18, five.1)));
    assert_eq!(found(&[0x8100, 0xe000, 0x0800]), Some((18, 0)));
    for other in [
        &[0x0806][..],
        &[0x88cc],
        &[1500],
        &[0x8100, 5, 0x0806],
        &[0x88a8, 7, 0x8100, 6, 0x8100, 5, 0x0800],
        &[],
        &[0x8100],
    ] {
        assert_eq!(found(other), None, "{other:x?}");
    }
}

#[test]
fn what_is_for_a_group_or_cut_off_is_none_of_the_engines() {
    let frame = octets([1, 0, 0x5e, 0, 0, 1], GUEST, &[0x0800]);
    assert_eq!(lead(&frame), None);
    let frame = octets(ROUTER, GUEST, &[0x8100, 5, 0x0800]);
    for length in 0..frame.len() {
        assert_eq!(lead(&frame[..length]), None, "{length}");
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, _: Transmit<'_>) -> Result<(), SinkFull> {
        Ok(())
    }

    fn event(&mut self, _: Instant, _: Event) {}
}

fn syn(port: u16) -> Vec<u8> {
    let address = |last| IpAddr::from([192, 0, 2, last]);
    let spec = HeaderSpec {
        src: address(1),
        dst: address(2),
        src_port: port,
        dst_port: 443,
        seq: SeqNum::new(1),
        ack: SeqNum::new(0),
        flags: Flags::SYN,
        window: 60_000,
        urgent: 0,
        timestamps: None,
        sack: &[],
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        dont_fragment: true,
    };
    let packet = emit(&spec, 0, Sum::new()).expect("one IP version");
    packet.as_slice().to_vec()
}

/// Flows of connections that have begun.
fn flows() -> [FlowId; 2] {
    let mut memory = Box::new(StaticStorage::<8, 16, 64, { 64 * 1536 }>::new());
    let config = Config::new([1, 2]);
    let policy = FlowConfig::inner_local_ack();
    let mut engine = Engine::new(memory.as_storage(), config, policy).unwrap();
    [1000, 1001].map(|port| {
        let mut packet = syn(port);
        let key = key(Port::Inner, &packet, LinkId(7)).unwrap();
        assert_eq!(engine.find_flow(&key), None);
        let meta = PacketMeta {
            link: LinkId(7),
            ..PacketMeta::default()
        };
        let _ = engine.ingest(
            Port::Inner,
            Instant::from_millis(1),
            &mut packet,
            meta,
            &mut Nowhere,
        );
        let flow = engine.find_flow(&key).expect("its handshake has begun");
        let elsewhere = self::key(Port::Inner, &packet, LinkId(8)).unwrap();
        assert_eq!(engine.find_flow(&elsewhere), None, "H9.5");
        flow
    })
}

fn told(leads: &Leads, flow: FlowId, port: Port) -> Vec<u8> {
    leads.of(flow, port).expect("a lead").octets().to_vec()
}

#[test]
fn each_direction_has_what_stood_before_its_newest_packet() {
    let [one, other] = flows();
    let mut leads = Leads::new(8);
    assert_eq!(leads.of(one, Port::Outer), None);
    // Until the other side is heard, its frames are expected to come back the way these went.
    leads.learn(
        one,
        Port::Inner,
        &octets(ROUTER, GUEST, &[0x8100, 5, 0x0800]),
    );
    assert_eq!(
        told(&leads, one, Port::Inner),
        octets(GUEST, ROUTER, &[0x8100, 5, 0x0800])
    );
    assert_eq!(leads.of(other, Port::Outer), None);
    // Answers come from another router, and with a priority.
    let back = octets(GUEST, STANDBY, &[0x8100, 0x6005, 0x0800]);
    leads.learn(one, Port::Outer, &back);
    assert_eq!(told(&leads, one, Port::Inner), back);
    assert_eq!(
        told(&leads, one, Port::Outer),
        octets(ROUTER, GUEST, &[0x8100, 5, 0x0800])
    );
}

#[test]
fn a_host_that_moves_is_followed_with_its_own_next_frame() {
    let [flow, _] = flows();
    let mut leads = Leads::new(8);
    leads.learn(flow, Port::Inner, &octets(ROUTER, GUEST, &[0x0800]));
    leads.learn(flow, Port::Outer, &octets(GUEST, ROUTER, &[0x0800]));
    leads.learn(flow, Port::Inner, &octets(ROUTER, MOVED, &[0x0800]));
    assert_eq!(
        told(&leads, flow, Port::Inner),
        octets(MOVED, ROUTER, &[0x0800])
    );
    assert_eq!(
        told(&leads, flow, Port::Outer),
        octets(ROUTER, MOVED, &[0x0800])
    );
    // A router whose answers come from elsewhere than packets are sent to is no move.
    leads.learn(flow, Port::Outer, &octets(MOVED, STANDBY, &[0x0800]));
    leads.learn(flow, Port::Inner, &octets(ROUTER, MOVED, &[0x0800]));
    leads.learn(flow, Port::Outer, &octets(MOVED, ROUTER, &[0x0800]));
    leads.learn(flow, Port::Outer, &octets(MOVED, STANDBY, &[0x0800]));
    assert_eq!(
        told(&leads, flow, Port::Inner),
        octets(MOVED, STANDBY, &[0x0800])
    );
}

#[test]
fn a_slot_without_room_is_no_harm() {
    let [flow, other] = flows();
    assert_ne!(flow.slot(), other.slot());
    let mut leads = Leads::new(flow.slot().min(other.slot()) as usize);
    for flow in [flow, other] {
        leads.learn(flow, Port::Inner, &octets(ROUTER, GUEST, &[0x0800]));
        assert_eq!(leads.of(flow, Port::Inner), None);
    }
}
