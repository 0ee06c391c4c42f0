//! TUN and TAP devices, opened in the namespace they belong to.

use core::fmt;
use core::str::FromStr;
use std::io;

use nix::errno::Errno;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::netns;

/// Packets the kernel queues for us while we are not scheduled. Far above the kernel's default
/// of 500: a drop here would be one that no link setting asked for.
const TX_QUEUE_LEN: u32 = 10_000;

/// Longest interface name the kernel takes, in octets (`IFNAMSIZ` less its terminator).
const NAME_MAX: usize = 15;

/// The name of a TUN device and the network namespace it lives in, written `NAME` or
/// `NAME@NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    name: String,
    namespace: Option<String>,
}

/// Why a text does not name an [`End`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// The device name is empty, too long, or has characters the kernel refuses.
    #[error("a device name has 1 to {NAME_MAX} characters and no '/', ':', '%' or space")]
    Name,
    /// The namespace is empty or not a plain file name.
    #[error("a namespace is a name as `ip netns list` prints it")]
    Namespace,
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, namespace) = match text.split_once('@') {
            Some((name, namespace)) => (name, Some(namespace)),
            None => (text, None),
        };
        let forbidden = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '%' | '\0');
        let special = |name: &str| name.is_empty() || name == "." || name == "..";
        if special(name) || name.len() > NAME_MAX || name.contains(forbidden) {
            return Err(EndError::Name);
        }
        if namespace.is_some_and(|name| special(name) || name.contains(['/', '\0'])) {
            return Err(EndError::Namespace);
        }
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}@{namespace}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why a TUN device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The process may not make network devices or enter the namespace.
    #[error("{0}: not permitted; CAP_NET_ADMIN, and CAP_SYS_ADMIN for a namespace, are needed")]
    NotPermitted(End),
    /// The namespace does not exist.
    #[error("{0}: no such network namespace (see `ip netns list`)")]
    NoNamespace(End),
    /// The kernel has no TUN driver.
    #[error("{0}: /dev/net/tun is missing; this kernel has no TUN driver")]
    NoDriver(End),
    /// Another program or another kind of device has the name.
    #[error("{0}: the name is taken")]
    NameTaken(End),
    /// Anything else the kernel says.
    #[error("{0}: {1}")]
    Other(End, #[source] io::Error),
}

/// Creates the TUN device of `end`, brings it up and makes it non-blocking.
///
/// It carries bare IP packets, without offloads: the kernel segments and checksums in software
/// what it hands over, so every packet is one that could be on a wire. The device disappears
/// when the value is dropped.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open(end: &End) -> Result<SyncDevice, OpenError> {
    within(end, || build(end, |builder| builder.offload(false)))
}

/// The same with offloads: before each packet stands what the kernel knows of it, super-segments come
/// and go whole, and no packet is too large for the device.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_with_offloads(end: &End) -> Result<SyncDevice, OpenError> {
    within(end, || build(end, with_offloads))
}

/// The same with several queues (`IFF_MULTI_QUEUE`), of which each has a value of its own; with one,
/// if `queues` is less than two.
///
/// The kernel chooses the queue by the hash of a packet's flow, or takes the one that the flow's
/// latest packet from here went into.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_queues(end: &End, queues: u16) -> Result<Vec<SyncDevice>, OpenError> {
    within(end, || {
        with_queues(
            build(end, |builder| {
                with_offloads(builder).multi_queue(queues > 1)
            })?,
            queues,
        )
    })
}

/// The same, but the device stays when its values are dropped or the process dies, and can be opened again.
/// Meanwhile the kernel drops what is sent to it.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_lasting_queues(end: &End, queues: u16) -> Result<Vec<SyncDevice>, OpenError> {
    let devices = open_queues(end, queues)?;
    if let Some(device) = devices.first() {
        device.persist().map_err(|error| device_error(end, error))?;
    }
    Ok(devices)
}

/// The same for a TAP device, which carries frames of Ethernet. It is not up yet.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_tap_queues(end: &End, queues: u16) -> Result<Vec<SyncDevice>, OpenError> {
    open_down(end, Layer::L2, queues)
}

/// The same for a TUN device that is not up yet, and has the usual MTU.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_tun_queues(end: &End, queues: u16) -> Result<Vec<SyncDevice>, OpenError> {
    open_down(end, Layer::L3, queues)
}

fn open_down(end: &End, layer: Layer, queues: u16) -> Result<Vec<SyncDevice>, OpenError> {
    within(end, || {
        with_queues(
            build(end, |builder| {
                let builder = builder.layer(layer).enable(false);
                builder.offload(true).multi_queue(queues > 1)
            })?,
            queues,
        )
    })
}

/// A device and as many queues of it as there are to be more.
fn with_queues(first: SyncDevice, queues: u16) -> io::Result<Vec<SyncDevice>> {
    let mut devices = Vec::with_capacity(queues.into());
    for _ in 1..queues {
        let queue = first.try_clone()?;
        queue.set_nonblocking(true)?;
        devices.push(queue);
    }
    devices.insert(0, first);
    Ok(devices)
}

fn with_offloads(builder: DeviceBuilder) -> DeviceBuilder {
    builder.offload(true).mtu(u16::MAX)
}

fn build(end: &End, kind: impl FnOnce(DeviceBuilder) -> DeviceBuilder) -> io::Result<SyncDevice> {
    let builder = DeviceBuilder::new()
        .name(&end.name)
        .tx_queue_len(TX_QUEUE_LEN)
        .packet_information(false);
    let device = kind(builder).build_sync()?;
    device.set_nonblocking(true)?;
    Ok(device)
}

/// Works in the namespace of `end`.
fn within<T: Send>(end: &End, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T, OpenError> {
    match &end.namespace {
        None => work(),
        Some(namespace) => {
            netns::within(namespace, work).map_err(|error| namespace_error(end, error))?
        }
    }
    .map_err(|error| device_error(end, error))
}

fn namespace_error(end: &End, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenError::NoNamespace(end.clone()),
        io::ErrorKind::PermissionDenied => OpenError::NotPermitted(end.clone()),
        _ => OpenError::Other(end.clone(), error),
    }
}

fn device_error(end: &End, error: io::Error) -> OpenError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => OpenError::NotPermitted(end.clone()),
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => OpenError::NoDriver(end.clone()),
        // EBUSY: another program's TUN. EINVAL: the name of a device that is no TUN.
        Some(Errno::EBUSY | Errno::EINVAL | Errno::EEXIST) => OpenError::NameTaken(end.clone()),
        _ => OpenError::Other(end.clone(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_names_with_an_optional_namespace() {
        for text in ["left", "left@box", "a", "fifteen-letters"] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
        for text in ["", ".", "sixteen-letters-", "a b", "a/b", "tun%d", "@box"] {
            assert_eq!(text.parse::<End>(), Err(EndError::Name), "{text:?}");
        }
        for text in ["left@", "left@..", "left@../x", "left@a/b"] {
            assert_eq!(text.parse::<End>(), Err(EndError::Namespace), "{text:?}");
        }
    }
}
