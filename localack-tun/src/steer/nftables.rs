//! Tables, chains and rules of nf_tables: as much as is needed of how the kernel wants them written
//! (`linux/netfilter/nf_tables.h`).
//!
//! Changes are made in batches, each of which holds as a whole or not at all.

use core::convert::Infallible;
use std::io;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL,
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

/// The subsystem of netfilter (`NFNL_SUBSYS_NFTABLES`).
const SUBSYSTEM: u16 = 10;
/// What a batch begins and ends with (`NFNL_MSG_BATCH_*`).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// `NFT_MSG_*`.
const NEW_TABLE: u16 = 0;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DEL_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_SET_ELEMENTS: u16 = 12;

/// Tables for single interfaces (`NFPROTO_NETDEV`).
const NETDEV: u8 = 5;
/// Tables for both versions of IP (`NFPROTO_INET`).
const INET: u8 = 1;
/// The table goes when the socket that made it is closed, however its process ends
/// (`NFT_TABLE_F_OWNER`).
const OWNED: u32 = 2;

/// The register that values pass through (`NFT_REG32_00`), and that of verdicts.
const REGISTER: u32 = 8;
const VERDICT: u32 = 0;
/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// An address of this machine's (`RTN_LOCAL`).
const LOCAL: u32 = 2;

/// Where a chain of an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// What has come in, before any protocol sees it.
    Ingress,
    /// What is going out, before it is queued.
    Egress,
}

/// What is known of a packet beside its octets (`NFT_META_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    /// The type of what follows the link layer: two octets.
    Protocol = 1,
    /// The mark: four octets in the machine's order.
    Mark = 3,
    /// The index of the interface that it came in by, and of the one it goes out by: likewise.
    IncomingInterface = 4,
    OutgoingInterface = 5,
    /// The version of IP as netfilter numbers it: one octet.
    Version = 15,
    /// The protocol above IP: one octet.
    L4Protocol = 16,
    /// To whom the frame is addressed: one octet.
    PacketType = 19,
    /// Whether it has come out of IPsec: one octet.
    Decrypted = 25,
}

/// Where in a packet octets are counted from (`NFT_PAYLOAD_*_HEADER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    LinkLayer = 0,
    Network = 1,
    Transport = 2,
}

/// Which address of a packet (`NFTA_FIB_F_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    Source = 1,
    Destination = 2,
}

/// An attribute with a text, one with a number and one with others.
fn text(kind: u16, text: &str) -> DefaultNla {
    let mut octets = text.as_bytes().to_vec();
    octets.push(0);
    DefaultNla::new(kind, octets)
}

fn number(kind: u16, number: u32) -> DefaultNla {
    DefaultNla::new(kind, number.to_be_bytes().to_vec())
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    DefaultNla::new(kind | NLA_F_NESTED, octets(&attributes))
}

fn octets(attributes: &impl Emitable) -> Vec<u8> {
    let mut octets = vec![0; attributes.buffer_len()];
    attributes.emit(&mut octets);
    octets
}

/// What is asked of a packet, and what is done with one of which all is so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rule {
    expressions: Vec<DefaultNla>,
}

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, attributes: &[DefaultNla]) -> Self {
        // NFTA_LIST_ELEM, NFTA_EXPR_NAME and NFTA_EXPR_DATA.
        let expression = nested(1, &[text(1, name), nested(2, attributes)]);
        self.expressions.push(expression);
        self
    }

    /// What is in the register is, or is not, `value`.
    fn compare(self, is: bool, value: &[u8]) -> Self {
        // NFTA_DATA_VALUE.
        let value = DefaultNla::new(1, value.to_vec());
        let operation = u32::from(!is);
        self.with(
            "cmp",
            &[
                number(1, REGISTER),
                number(2, operation),
                nested(3, &[value]),
            ],
        )
    }

    fn load(self, what: Meta) -> Self {
        self.with("meta", &[number(1, REGISTER), number(2, what as u32)])
    }

    /// `what` is `value`.
    pub(super) fn equals(self, what: Meta, value: &[u8]) -> Self {
        self.load(what).compare(true, value)
    }

    /// `what` is not `value`.
    pub(super) fn differs(self, what: Meta, value: &[u8]) -> Self {
        self.load(what).compare(false, value)
    }

    /// The octets from `offset` on are `value`.
    pub(super) fn has(self, base: Base, offset: u32, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let attributes = [
            number(1, REGISTER),
            number(2, base as u32),
            number(3, offset),
            number(4, length),
        ];
        self.with("payload", &attributes).compare(true, value)
    }

    /// The address is one of this machine's.
    pub(super) fn of_this_machine(self, which: Address) -> Self {
        /// `NFT_FIB_RESULT_ADDRTYPE`.
        const ADDRESS_TYPE: u32 = 3;
        let attributes = [
            number(1, REGISTER),
            number(2, ADDRESS_TYPE),
            number(3, which as u32),
        ];
        self.with("fib", &attributes)
            .compare(true, &LOCAL.to_ne_bytes())
    }

    fn put(self, register: u32, data: DefaultNla) -> Self {
        self.with("immediate", &[number(1, register), nested(2, &[data])])
    }

    /// Makes `what` to be `value`.
    pub(super) fn set(self, what: Meta, value: &[u8]) -> Self {
        self.put(REGISTER, DefaultNla::new(1, value.to_vec()))
            .with("meta", &[number(2, what as u32), number(3, REGISTER)])
    }

    /// The values one behind the other, each filled up to four octets, are in the set: each is so many octets
    /// of the packet from an offset on.
    pub(super) fn among(self, set: &str, values: &[(Base, u32, u32)]) -> Self {
        let mut rule = self;
        let mut register = REGISTER;
        for &(base, offset, length) in values {
            let attributes = [
                number(1, register),
                number(2, base as u32),
                number(3, offset),
                number(4, length),
            ];
            rule = rule.with("payload", &attributes);
            register = register.saturating_add(length.div_ceil(4));
        }
        // NFTA_LOOKUP_SET and NFTA_LOOKUP_SREG.
        rule.with("lookup", &[text(1, set), number(2, REGISTER)])
    }

    fn decide(self, verdict: u32) -> Self {
        // NFTA_DATA_VERDICT and NFTA_VERDICT_CODE.
        self.put(VERDICT, nested(2, &[number(1, verdict)]))
    }

    /// Lets it go its way.
    pub(super) fn accept(self) -> Self {
        self.decide(ACCEPT)
    }

    /// Lets it go nowhere.
    pub(super) fn drop(self) -> Self {
        self.decide(DROP)
    }

    /// Sends it out by the interface of that index.
    pub(super) fn send_out_by(self, interface: u32) -> Self {
        self.put(
            REGISTER,
            DefaultNla::new(1, interface.to_ne_bytes().to_vec()),
        )
        .with("fwd", &[number(1, REGISTER)])
    }
}

/// Changes that are made at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    family: u8,
    messages: Vec<(Message, u16)>,
}

impl Batch {
    /// Changes of tables for single interfaces.
    pub(super) const fn of_interfaces() -> Self {
        Self {
            family: NETDEV,
            messages: Vec::new(),
        }
    }

    /// Changes of tables for both versions of IP.
    pub(super) const fn of_ip() -> Self {
        Self {
            family: INET,
            messages: Vec::new(),
        }
    }

    fn add(&mut self, kind: u16, flags: u16, attributes: &[DefaultNla]) {
        let message = Message::new(SUBSYSTEM << 8 | kind, self.family, 0, attributes);
        self.messages.push((message, flags));
    }

    /// Makes a table, which must not exist, and which nobody else can change.
    pub(super) fn add_table(&mut self, table: &str) {
        let attributes = [text(1, table), number(2, OWNED)];
        self.add(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, &attributes);
    }

    /// The same, but it stays until it is removed.
    pub(super) fn add_lasting_table(&mut self, table: &str) {
        self.add(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, &[text(1, table)]);
    }

    /// Removes a table with all that is in it.
    pub(super) fn remove_table(&mut self, table: &str) {
        self.add(DEL_TABLE, 0, &[text(1, table)]);
    }

    /// Makes a set of keys of so many octets; `id` tells it from others of the batch.
    pub(super) fn add_set(&mut self, table: &str, set: &str, octets: u32, id: u32) {
        // NFTA_SET_TABLE, _NAME, _KEY_LEN and _ID.
        let attributes = [
            text(1, table),
            text(2, set),
            number(5, octets),
            number(10, id),
        ];
        self.add(NEW_SET, NLM_F_CREATE | NLM_F_EXCL, &attributes);
    }

    /// Puts keys into a set.
    pub(super) fn fill_set(&mut self, table: &str, set: &str, keys: &[Vec<u8>]) {
        let element = |key: &Vec<u8>| {
            // NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY and NFTA_DATA_VALUE.
            let value = DefaultNla::new(1, key.clone());
            nested(1, &[nested(1, &[value])])
        };
        let elements: Vec<_> = keys.iter().map(element).collect();
        let attributes = [text(1, table), text(2, set), nested(3, &elements)];
        self.add(NEW_SET_ELEMENTS, NLM_F_CREATE, &attributes);
    }

    /// Makes a chain for what is forwarded; those of lower priority see it first.
    pub(super) fn add_forward_chain(&mut self, table: &str, chain: &str, priority: i32) {
        /// `NF_INET_FORWARD`.
        const FORWARD: u32 = 2;
        let priority = DefaultNla::new(2, priority.to_be_bytes().to_vec());
        let attributes = [
            text(1, table),
            text(3, chain),
            nested(4, &[number(1, FORWARD), priority]),
            text(7, "filter"),
        ];
        self.add(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, &attributes);
    }

    /// Makes a chain for what passes an interface; those of lower priority see it first.
    pub(super) fn add_chain(
        &mut self,
        table: &str,
        chain: &str,
        (interface, hook): (&str, Hook),
        priority: i32,
    ) {
        let hook = match hook {
            Hook::Ingress => 0,
            Hook::Egress => 1,
        };
        let priority = DefaultNla::new(2, priority.to_be_bytes().to_vec());
        let attributes = [
            text(1, table),
            text(3, chain),
            nested(4, &[number(1, hook), priority, text(3, interface)]),
            text(7, "filter"),
        ];
        self.add(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, &attributes);
    }

    /// Appends a rule to a chain.
    pub(super) fn add_rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        let attributes = [text(1, table), text(2, chain), nested(4, &rule.expressions)];
        self.add(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, &attributes);
    }

    /// Removes a chain with all of its rules.
    pub(super) fn remove_chain(&mut self, table: &str, chain: &str) {
        self.add(DEL_CHAIN, 0, &[text(1, table), text(3, chain)]);
    }
}

/// A message of netfilter's, or whatever comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    kind: u16,
    body: Vec<u8>,
}

impl Message {
    fn new(kind: u16, family: u8, resource: u16, attributes: &[DefaultNla]) -> Self {
        // struct nfgenmsg
        let [high, low] = resource.to_be_bytes();
        let mut body = vec![family, 0, high, low];
        body.extend(octets(&attributes));
        Self { kind, body }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            body: payload.to_vec(),
        })
    }
}

/// A socket to netfilter, in the network namespace it was opened in. The tables that it has made end
/// with it.
pub(super) struct Nftables {
    socket: Socket,
    sequence: u32,
}

impl core::fmt::Debug for Nftables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nftables").finish_non_exhaustive()
    }
}

impl Nftables {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Makes all changes of a batch, or, on an error, none.
    pub(super) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let frame = |kind| (Message::new(kind, 0, SUBSYSTEM, &[]), 0);
        let mut messages = vec![frame(BATCH_BEGIN)];
        messages.extend(batch.messages);
        if let Some((_, flags)) = messages.last_mut() {
            // An error of any of them comes anyway, and before this.
            *flags |= NLM_F_ACK;
        }
        messages.push(frame(BATCH_END));
        let first = self.sequence.wrapping_add(1);
        let mut octets = Vec::new();
        for (message, flags) in messages {
            self.sequence = self.sequence.wrapping_add(1);
            let payload = NetlinkPayload::InnerMessage(message);
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
            message.header.flags = NLM_F_REQUEST | flags;
            message.header.sequence_number = self.sequence;
            message.finalize();
            let mut one = vec![0; message.buffer_len()];
            message.serialize(&mut one);
            octets.extend(one);
        }
        self.socket.send(&octets, 0)?;
        self.outcome(first)
    }

    /// What has become of a batch whose first message had that number.
    fn outcome(&self, first: u32) -> io::Result<()> {
        loop {
            let datagram = match self.socket.recv_from_full() {
                Ok((datagram, _)) => datagram,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let message = NetlinkMessage::<Message>::deserialize(&datagram)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let behind = message.header.sequence_number.wrapping_sub(first);
            let is_ours = behind <= self.sequence.wrapping_sub(first);
            match message.payload {
                NetlinkPayload::Error(error) if is_ours => {
                    return match error.code {
                        None => Ok(()),
                        Some(_) => Err(error.to_io()),
                    };
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute as it is on the wire.
    fn wire(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut octets = length.to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn a_rule_is_written_as_the_kernel_reads_it() {
        let mut batch = Batch::of_interfaces();
        let rule = Rule::new().equals(Meta::L4Protocol, &[6]).send_out_by(7);
        batch.add_rule("tab", "c", &rule);
        let (message, flags) = &batch.messages[0];
        assert_eq!(message.kind, 0x0a06);
        assert_eq!(*flags, NLM_F_CREATE | NLM_F_APPEND);

        const NESTED: u16 = 0x8000;
        let expression = |name: &[u8], attributes: &[Vec<u8>]| {
            let data = wire(2 | NESTED, &attributes.concat());
            wire(1 | NESTED, &[wire(1, name), data].concat())
        };
        let big = |kind, number: u8| wire(kind, &[0, 0, 0, number]);
        let value = |value: &[u8]| wire(1, value);
        let expressions = [
            expression(b"meta\0", &[big(1, 8), big(2, 16)]),
            expression(
                b"cmp\0",
                &[big(1, 8), big(2, 0), wire(3 | NESTED, &value(&[6]))],
            ),
            expression(
                b"immediate\0",
                &[big(1, 8), wire(2 | NESTED, &value(&7_u32.to_ne_bytes()))],
            ),
            expression(b"fwd\0", &[big(1, 8)]),
        ];
        let expected = [
            vec![5, 0, 0, 0],
            wire(1, b"tab\0"),
            wire(2, b"c\0"),
            wire(4 | NESTED, &expressions.concat()),
        ];
        assert_eq!(message.body, expected.concat());
    }
}
