//! Ports of bridges: what can be set of one, and where it belongs while it is away.

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::error::SteerError;
use super::links::{self, Link};
use super::netlink::Netlink;

/// The settings of a port of a bridge that can be set; `None` if it is no port of one.
pub(super) fn settings_in(infos: &[LinkInfo]) -> Option<Vec<PortSetting>> {
    infos.iter().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(all)) => {
            Some(all.iter().filter_map(PortSetting::of).collect())
        }
        _ => None,
    })
}

/// A setting of a port as the kernel writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortSetting {
    /// `IFLA_BRPORT_*`.
    kind: u16,
    value: Vec<u8>,
}

impl PortSetting {
    /// What an operator may have set. The rest is what the bridge has made of it, or learned.
    fn of(attribute: &InfoBridgePort) -> Option<Self> {
        use InfoBridgePort as P;
        match attribute {
            P::Priority(_)
            | P::HairpinMode(_)
            | P::Guard(_)
            | P::Protect(_)
            | P::FastLeave(_)
            | P::Learning(_)
            | P::UnicastFlood(_)
            | P::ProxyARP(_)
            | P::ProxyARPWifi(_)
            | P::MulticastRouter(_)
            | P::MulticastFlood(_)
            | P::MulticastToUnicast(_)
            | P::BroadcastFlood(_)
            | P::GroupFwdMask(_)
            | P::NeighSupress(_)
            | P::Isolated(_)
            | P::Locked(_) => {}
            _ => return None,
        }
        let mut value = vec![0; attribute.value_len()];
        attribute.emit_value(&mut value);
        let kind = attribute.kind();
        Some(Self { kind, value })
    }

    fn attribute(&self) -> InfoBridgePort {
        InfoBridgePort::Other(DefaultNla::new(self.kind, self.value.clone()))
    }
}

/// A port that was taken from its bridge, as the state file knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) name: String,
    /// Its bridge.
    pub(super) bridge: String,
    /// The bridge that it is in meanwhile.
    pub(super) cable: String,
    pub(super) settings: Vec<PortSetting>,
}

impl Port {
    /// Puts it back. Whatever has gone, or was moved by somebody else, is left as it is.
    pub(super) fn give_back(&self, netlink: &mut Netlink) -> Result<(), SteerError> {
        let mut index = |name: &str| -> Result<Option<Link>, SteerError> {
            let Ok(name) = name.parse() else {
                return Ok(None);
            };
            match links::ask(netlink, &name) {
                Ok(message) => Ok(Some(Link::of(&message))),
                Err(SteerError::NoInterface(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (port, bridge, cable) = (
            index(&self.name)?,
            index(&self.bridge)?,
            index(&self.cable)?,
        );
        let cable = cable.map(|link| link.index);
        if let (Some(port), Some(bridge)) = (port, bridge)
            && (port.master.is_none() || port.master == cable)
        {
            set_master(netlink, port.index, bridge.index)?;
            set_port(netlink, port.index, &self.settings)?;
        }
        if let Some(cable) = cable {
            let mut message = LinkMessage::default();
            message.header.index = cable;
            netlink
                .request(RouteNetlinkMessage::DelLink(message), 0)
                .map_err(|error| SteerError::kernel("removing a bridge", error))?;
        }
        Ok(())
    }
}

pub(super) fn set_port(
    netlink: &mut Netlink,
    port: u32,
    settings: &[PortSetting],
) -> Result<(), SteerError> {
    // One by one: what one kernel does not let be set need not keep others from being set.
    for setting in settings {
        let set = set_attributes(netlink, port, vec![setting.attribute()]);
        match set {
            Err(SteerError::Kernel(_, error)) if is_not_for_setting(&error) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn is_not_for_setting(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EINVAL | Errno::EOPNOTSUPP)
    )
}

pub(super) fn set_attributes(
    netlink: &mut Netlink,
    port: u32,
    attributes: Vec<InfoBridgePort>,
) -> Result<(), SteerError> {
    let mut message = LinkMessage::default();
    message.header.index = port;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(attributes)),
    ]));
    netlink
        .request(RouteNetlinkMessage::NewLink(message), 0)
        .map(drop)
        .map_err(|error| SteerError::kernel("setting up a port of a bridge", error))
}

pub(super) fn set_master(netlink: &mut Netlink, port: u32, bridge: u32) -> Result<(), SteerError> {
    let mut message = LinkMessage::default();
    message.header.index = port;
    message.attributes.push(LinkAttribute::Controller(bridge));
    change(netlink, message, "moving a port to another bridge")
}

pub(super) fn change(
    netlink: &mut Netlink,
    message: LinkMessage,
    what: &'static str,
) -> Result<(), SteerError> {
    netlink
        .request(RouteNetlinkMessage::SetLink(message), 0)
        .map(drop)
        .map_err(|error| SteerError::kernel(what, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_kept_as_it_was_written_and_the_rest_is_not() {
        let attributes = [
            InfoBridgePort::Isolated(true),
            InfoBridgePort::PortNumber(7),
            InfoBridgePort::GroupFwdMask(0x4000),
            InfoBridgePort::HoldTimer(9),
        ];
        let kept: Vec<_> = attributes.iter().filter_map(PortSetting::of).collect();
        assert_eq!(kept.len(), 2);
        for (setting, attribute) in kept.iter().zip([&attributes[0], &attributes[2]]) {
            let again = setting.attribute();
            let mut octets = vec![0; again.value_len()];
            again.emit_value(&mut octets);
            assert_eq!(again.kind(), attribute.kind());
            assert_eq!(octets, setting.value);
        }
        assert_eq!(kept[0].value, [1]);
        let text = toml::to_string(&kept[1]).unwrap();
        assert_eq!(toml::from_str::<PortSetting>(&text).unwrap(), kept[1]);
    }
}
