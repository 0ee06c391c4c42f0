//! Which connections a policy is for.

use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::str::FromStr;

use ipnet::IpNet;
use localack_core::Port;

use super::reader::{Reader, Section};
use super::value::{Fault, Value, integer, list, string, text, whole};
use super::words::{nearest, side};

/// What a connection must have in common with a policy. Everything that is given must hold; of a
/// list one element is enough, and an empty list asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Match {
    /// Networks of the end on the inner side.
    pub inner: Vec<IpNet>,
    /// Networks of the end on the outer side.
    pub outer: Vec<IpNet>,
    /// Networks of the end that opened the connection.
    pub source: Vec<IpNet>,
    /// Networks of the end that it was opened to.
    pub destination: Vec<IpNet>,
    /// TCP ports of the end on the inner side.
    pub inner_port: Vec<PortRange>,
    /// TCP ports of the end on the outer side.
    pub outer_port: Vec<PortRange>,
    /// TCP ports of the end that opened the connection.
    pub source_port: Vec<PortRange>,
    /// TCP ports of the end that it was opened to.
    pub destination_port: Vec<PortRange>,
    /// The side that opened the connection.
    pub from: Option<Port>,
    /// Differentiated-services code points of the SYN.
    pub dscp: Vec<Dscp>,
}

/// The keys of a policy that are read here.
#[cfg(test)]
pub(super) const KEYS: [&str; 10] = [
    "inner",
    "outer",
    "source",
    "destination",
    "inner_port",
    "outer_port",
    "source_port",
    "destination_port",
    "from",
    "dscp",
];

impl Match {
    /// Reads the keys of a policy that say which connections it is for.
    pub(super) fn read(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Self {
        let mut matches = Self::default();
        for (key, place) in [
            ("inner", &mut matches.inner),
            ("outer", &mut matches.outer),
            ("source", &mut matches.source),
            ("destination", &mut matches.destination),
        ] {
            section.read_into(reader, key, place, list(text(prefix)));
        }
        for (key, place) in [
            ("inner_port", &mut matches.inner_port),
            ("outer_port", &mut matches.outer_port),
            ("source_port", &mut matches.source_port),
            ("destination_port", &mut matches.destination_port),
        ] {
            section.read_into(reader, key, place, ports);
        }
        let from = |value: &Value<'_>| text(side)(value).map(Some);
        section.read_into(reader, "from", &mut matches.from, from);
        section.read_into(reader, "dscp", &mut matches.dscp, list(dscp));
        matches
    }
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not an address with a length.
    #[error("{0:?} is not a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"")]
    Shape(String),
    /// The address has bits beyond the length.
    #[error("{0:?} has bits beyond its prefix; the network is {1:?}")]
    Host(String, String),
}

/// Reads a network such as `192.0.2.0/24`, or an address, which is a network of its own.
///
/// # Errors
/// [`PrefixError`].
pub fn prefix(text: &str) -> Result<IpNet, PrefixError> {
    let text = text.trim();
    let host = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text
        .parse::<IpNet>()
        .or_else(|_| host())
        .map_err(|_| PrefixError::Shape(text.to_owned()))?;
    if network == network.trunc() {
        Ok(network)
    } else {
        let network = network.trunc().to_string();
        Err(PrefixError::Host(text.to_owned(), network))
    }
}

/// TCP ports, from the first to the last, 1 to 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    const ALL: RangeInclusive<u16> = 1..=u16::MAX;

    /// The ports of a range, unless it is empty or has port 0.
    #[must_use]
    pub fn new(ports: RangeInclusive<u16>) -> Option<Self> {
        let (first, last) = ports.into_inner();
        (first > 0 && first <= last).then_some(Self { first, last })
    }

    /// The first and the last port.
    #[must_use]
    pub const fn bounds(self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// Why a text is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port or a range such as \"8000-8100\", within 1 to 65535")]
pub struct PortError(String);

impl FromStr for PortRange {
    type Err = PortError;

    /// Reads `443` or `8000-8100`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().ok();
        number(first)
            .zip(number(last))
            .and_then(|(first, last)| Self::new(first..=last))
            .ok_or_else(|| PortError(text.trim().to_owned()))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Reads `443`, `"8000-8100"`, `"80, 443"`, or a list of these.
fn ports(value: &Value<'_>) -> Result<Vec<PortRange>, Fault> {
    let one = |value: &Value<'_>| {
        if integer(value).is_some() {
            let port = whole(PortRange::ALL)(value)?;
            return Ok(vec![PortRange {
                first: port,
                last: port,
            }]);
        }
        let text = string(value, "a port or a range of ports")?;
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|error: PortError| Fault::new(value, error))
    };
    list(one)(value).map(|lists| lists.concat())
}

/// A differentiated-services code point, 0 to 63 (RFC 2474).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dscp(u8);

impl Dscp {
    /// Names of the registered code points (RFC 2474, 2597, 3246, 5865, 8622).
    const NAMES: [(&'static str, u8); 23] = [
        ("cs0", 0),
        ("le", 1),
        ("cs1", 8),
        ("af11", 10),
        ("af12", 12),
        ("af13", 14),
        ("cs2", 16),
        ("af21", 18),
        ("af22", 20),
        ("af23", 22),
        ("cs3", 24),
        ("af31", 26),
        ("af32", 28),
        ("af33", 30),
        ("cs4", 32),
        ("af41", 34),
        ("af42", 36),
        ("af43", 38),
        ("cs5", 40),
        ("voice-admit", 44),
        ("ef", 46),
        ("cs6", 48),
        ("cs7", 56),
    ];

    /// The code point with this number, 0 to 63.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 64 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The code point in a packet's differentiated-services and ECN octet.
    #[must_use]
    pub const fn of_traffic_class(octet: u8) -> Self {
        Self(octet >> 2)
    }

    /// Its number, 0 to 63.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Why a text is not a code point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a code point: 0 to 63, or a name such as \"ef\" or \"af41\"{hint}")]
pub struct DscpError {
    given: String,
    hint: String,
}

impl FromStr for Dscp {
    type Err = DscpError;

    /// Reads a number, or a name such as `ef`, `af41`, `cs1`, `le`, in any case; `be` and `default`
    /// stand for 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = text.trim().to_ascii_lowercase();
        if matches!(given.as_str(), "be" | "default") {
            return Ok(Self(0));
        }
        let named = Self::NAMES.iter().find(|(name, _)| *name == given);
        named
            .map(|(_, number)| *number)
            .or_else(|| given.parse().ok())
            .and_then(Self::new)
            .ok_or_else(|| DscpError {
                hint: nearest(&given, Self::NAMES.map(|(name, _)| name))
                    .map(|name| format!("; did you mean {name:?}?"))
                    .unwrap_or_default(),
                given: text.to_owned(),
            })
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

fn dscp(value: &Value<'_>) -> Result<Dscp, Fault> {
    if integer(value).is_some() {
        return whole(0..=63)(value).map(Dscp);
    }
    let text = string(value, "a code point")?;
    text.parse().map_err(|error| Fault::new(value, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_its_own() {
        assert_eq!(prefix("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(prefix("2001:db8::1").unwrap().prefix_len(), 128);
        assert_eq!(prefix(" 0.0.0.0/0 ").unwrap().to_string(), "0.0.0.0/0");
    }

    #[test]
    fn a_network_has_no_bits_of_a_host() {
        assert_eq!(
            prefix("10.1.2.3/8").unwrap_err().to_string(),
            "\"10.1.2.3/8\" has bits beyond its prefix; the network is \"10.0.0.0/8\""
        );
        for text in ["10.0.0.0/33", "10/8", "", "lan", "::/129"] {
            assert_eq!(prefix(text), Err(PrefixError::Shape(text.into())));
        }
    }

    #[test]
    fn ports_are_single_or_ranges() {
        let bounds = |text: &str| text.parse().map(PortRange::bounds);
        assert_eq!(bounds("443"), Ok((443, 443)));
        assert_eq!(bounds(" 8000 - 8100 "), Ok((8000, 8100)));
        for text in ["0", "0-5", "8100-8000", "65536", "http", "1-2-3", ""] {
            assert_eq!(bounds(text), Err(PortError(text.into())), "{text}");
        }
        for text in ["443", "8000-8100"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn code_points_have_the_names_of_their_rfcs() {
        let number = |text: &str| text.parse().map(Dscp::number);
        for class in 1..=4 {
            for drop in 1..=3 {
                // RFC 2597: the class in the upper three bits, the precedence in the next two.
                let name = format!("AF{class}{drop}");
                assert_eq!(number(&name), Ok(class << 3 | drop << 1), "{name}");
            }
        }
        for class in 0..8 {
            assert_eq!(number(&format!("cs{class}")), Ok(class << 3));
        }
        assert_eq!((number("EF"), number("voice-admit")), (Ok(46), Ok(44)));
        assert_eq!((number("le"), number("be")), (Ok(1), Ok(0)));
        assert_eq!(Dscp::of_traffic_class(0xb9).to_string(), "ef");
    }

    #[test]
    fn every_code_point_reads_back() {
        for number in 0..64 {
            let dscp = Dscp::new(number).unwrap();
            assert_eq!(dscp.to_string().parse(), Ok(dscp));
        }
        assert_eq!(Dscp::new(64), None);
        assert_eq!(
            "af44".parse::<Dscp>().unwrap_err().to_string(),
            "\"af44\" is not a code point: 0 to 63, or a name such as \"ef\" or \"af41\"; did you \
             mean \"af41\"?"
        );
        assert!("64".parse::<Dscp>().is_err());
    }
}
