//! The chains of nf_tables that hand the machine's own packets over and put the engine's in their
//! place, and the device by which packets come in at an interface.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption,
    TcActionOption, TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage,
    TcMirror, TcMirrorActionType, TcOption, TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use super::super::netlink::Netlink;
use super::Lower;
use crate::steer::nftables::{Address, Base, Batch, Hook, Meta, Nftables, Rule};

/// What the engine's packets carry from our devices to the interface, where it is taken off.
///
/// Packets that somebody else has marked so would pass the engine by.
const MARK: u32 = u32::from_be_bytes(*b"lack");
const NO_MARK: u32 = 0;

/// Before all others: what other chains of the interface see are the packets that are really on the
/// wire, or that the machine really gets, each once.
const PRIORITY: i32 = -1000;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// `PACKET_HOST`: addressed to the interface itself.
const FOR_US: [u8; 1] = [0];

const OUT: &str = "out";
const IN: &str = "in";
const TO_WIRE: &str = "to-wire";
const TO_MACHINE: &str = "to-machine";

/// One version of IP.
struct Version {
    ether_type: u16,
    icmp: u8,
    /// Types of the errors that concern a connection.
    errors: &'static [u8],
    /// Where in such an error is said which protocol it is about, from the ICMP header on.
    about: u32,
}

/// Octets of ICMP before the packet that an error is about.
const ERROR_HEADER: u32 = 8;

const IPV4: Version = Version {
    ether_type: 0x0800,
    icmp: ICMP,
    // Destination unreachable, time exceeded, parameter problem.
    errors: &[3, 11, 12],
    about: ERROR_HEADER + 9,
};

const IPV6: Version = Version {
    ether_type: 0x86dd,
    icmp: ICMPV6,
    // Destination unreachable, packet too big, time exceeded, parameter problem.
    errors: &[1, 2, 3, 4],
    about: ERROR_HEADER + 6,
};

/// The interface and our devices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) table: &'a str,
    pub(super) lower: Lower,
    pub(super) versions: [bool; 2],
    /// Name and index of each.
    pub(super) interface: (&'a str, u32),
    pub(super) inner: (&'a str, u32),
    pub(super) outer: (&'a str, u32),
    pub(super) back: u32,
}

impl Places<'_> {
    fn of_version(&self, version: &Version) -> Rule {
        let value = version.ether_type.to_be_bytes();
        match self.lower {
            // Not what the kernel calls the protocol: that is IP behind a tag of a VLAN as well, and
            // such packets are those of another interface.
            Lower::Ethernet => Rule::new().has(Base::LinkLayer, 12, &value),
            Lower::Bare => Rule::new().equals(Meta::Protocol, &value),
        }
    }

    fn versions(&self) -> impl Iterator<Item = &'static Version> {
        let all = [&IPV4, &IPV6].into_iter().zip(self.versions);
        all.filter_map(|(version, wanted)| wanted.then_some(version))
    }

    /// What lets the engine's own pass.
    fn of_the_engine() -> Rule {
        Rule::new()
            .equals(Meta::Mark, &MARK.to_ne_bytes())
            .set(Meta::Mark, &NO_MARK.to_ne_bytes())
            .accept()
    }

    /// What goes out.
    fn rules_out(&self) -> Vec<Rule> {
        let mut rules = vec![Self::of_the_engine()];
        rules.extend(self.versions().map(|version| {
            self.of_version(version)
                .equals(Meta::L4Protocol, &[TCP])
                .of_this_machine(Address::Source)
                .send_out_by(self.inner.1)
        }));
        rules
    }

    /// What comes in.
    fn rules_in(&self) -> Vec<Rule> {
        let mut rules = vec![
            Self::of_the_engine(),
            // Its way out is encrypted, and it would lose the proof that its way in was.
            Rule::new().equals(Meta::Decrypted, &[1]).accept(),
            Rule::new().differs(Meta::PacketType, &FOR_US).accept(),
        ];
        for version in self.versions() {
            let ours = |protocol| {
                self.of_version(version)
                    .equals(Meta::L4Protocol, &[protocol])
                    .of_this_machine(Address::Destination)
            };
            rules.push(ours(TCP).send_out_by(self.outer.1));
            rules.extend(version.errors.iter().map(|error| {
                ours(version.icmp)
                    .has(Base::Transport, 0, &[*error])
                    .has(Base::Transport, version.about, &[TCP])
                    .send_out_by(self.outer.1)
            }));
        }
        rules
    }

    /// All of what comes out of one of our devices goes on by an interface, marked.
    fn rule_on(to: u32) -> Rule {
        Rule::new()
            .set(Meta::Mark, &MARK.to_ne_bytes())
            // The kernel has compared the frame's address with our device's.
            .set(Meta::PacketType, &FOR_US)
            .send_out_by(to)
    }

    /// Everything, in the order in which it has to be there: what the engine makes of a packet has a
    /// way before the packet has one to the engine.
    fn batch(&self) -> Batch {
        let mut batch = Batch::of_interfaces();
        batch.add_table(self.table);
        let chains = [
            (
                TO_WIRE,
                self.outer.0,
                Hook::Ingress,
                vec![Self::rule_on(self.interface.1)],
            ),
            (
                TO_MACHINE,
                self.inner.0,
                Hook::Ingress,
                vec![Self::rule_on(self.back)],
            ),
            (IN, self.interface.0, Hook::Ingress, self.rules_in()),
            (OUT, self.interface.0, Hook::Egress, self.rules_out()),
        ];
        for (chain, interface, hook, rules) in chains {
            batch.add_chain(self.table, chain, (interface, hook), PRIORITY);
            for rule in rules {
                batch.add_rule(self.table, chain, &rule);
            }
        }
        batch
    }

    /// Puts all chains into force at once.
    pub(super) fn install(&self, nftables: &mut Nftables) -> io::Result<()> {
        nftables.commit(self.batch())
    }
}

/// Hands over nothing more. What the engine still makes goes its way.
pub(super) fn release(nftables: &mut Nftables, table: &str) -> io::Result<()> {
    let mut batch = Batch::of_interfaces();
    batch.remove_chain(table, IN);
    batch.remove_chain(table, OUT);
    nftables.commit(batch)
}

/// Lets whatever is sent out by `device` come in at `interface` instead.
pub(super) fn turn_back(netlink: &mut Netlink, device: u32, interface: u32) -> io::Result<()> {
    let index = |index: u32| i32::try_from(index).unwrap_or_default();
    let mut qdisc = TcMessage::with_index(index(device));
    qdisc.header.parent = TcHandle::CLSACT;
    qdisc.header.handle = TcHandle {
        major: u16::MAX,
        minor: 0,
    };
    qdisc
        .attributes
        .push(TcAttribute::Kind("clsact".to_owned()));
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.request(RouteNetlinkMessage::NewQueueDiscipline(qdisc), flags)?;

    let mut generic = TcActionGeneric::default();
    generic.action = TcActionType::Stolen;
    let mut redirect = TcMirror::default();
    redirect.generic = generic;
    redirect.eaction = TcMirrorActionType::IngressRedir;
    redirect.ifindex = interface;
    let redirect = TcActionOption::Mirror(TcActionMirrorOption::Parms(redirect));
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![redirect]),
    ];
    // One condition that holds for everything: none is not allowed.
    let mut everything = TcU32Selector::default();
    everything.flags = TcU32SelectorFlags::Terminal;
    everything.nkeys = 1;
    everything.keys = vec![TcU32Key::default()];
    let options = [
        TcFilterU32Option::Selector(everything),
        TcFilterU32Option::Action(vec![action]),
    ];
    let mut filter = TcMessage::with_index(index(device));
    filter.header.parent = TcHandle {
        major: u16::MAX,
        minor: TcHandle::MIN_EGRESS,
    };
    filter.header.info = 1 << 16 | u32::from(ALL_PROTOCOLS.to_be());
    filter.attributes = vec![
        TcAttribute::Kind(TcFilterU32::KIND.to_owned()),
        TcAttribute::Options(options.map(TcOption::U32).to_vec()),
    ];
    netlink
        .request(RouteNetlinkMessage::NewTrafficFilter(filter), flags)
        .map(drop)
}

/// `ETH_P_ALL`.
const ALL_PROTOCOLS: u16 = 3;
