//! The kernel's settings under `/proc/sys/net`: what must hold, and putting back what was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::SteerError;
use super::name::InterfaceName;
use super::{Family, Plan};

const ROOT: &str = "/proc/sys/net";

/// One setting, what it was and what we have made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    /// Below `/proc/sys/net`.
    path: String,
    before: String,
    set: String,
}

impl Setting {
    /// What was changed, as `sysctl` names it, what it was and what it is.
    pub(super) fn told(&self) -> [String; 3] {
        let name = format!("net/{}", self.path);
        [name, self.before.clone(), self.set.clone()]
    }
}

/// Keeps IPv6 off an interface of ours, which takes that setting with it when it goes.
pub(super) fn keep_ipv6_off(interface: &InterfaceName) -> Result<(), SteerError> {
    if !available(Family::Ipv6) {
        return Ok(());
    }
    let path = Path::new(ROOT).join(of_interface(Family::Ipv6, interface, "disable_ipv6"));
    fs::write(&path, "1").map_err(|error| SteerError::Sysctl(path, error))
}

/// Whether the kernel speaks this family at all.
pub(super) fn available(family: Family) -> bool {
    Path::new(ROOT).join(family.directory()).exists()
}

/// What has to be changed for `plan`, with the present values.
///
/// # Errors
///
/// [`SteerError::ForwardingOff`] when forwarding is off and the plan may not switch it on.
pub(super) fn changes(plan: &Plan) -> Result<Vec<Setting>, SteerError> {
    let mut changes = Vec::new();
    if plan.steers(Family::Ipv4) {
        // The kernel looks at the interface that a packet came in on, not at `ip_forward` itself.
        for interface in [&plan.inner, &plan.outer] {
            let path = of_interface(Family::Ipv4, interface, "forwarding");
            if read(&path)?.as_deref() == Some("1") {
                continue;
            }
            if !plan.set_forwarding {
                // Where it is on as a whole, writing that once more changes no interface.
                let sysctl = match read("ipv4/ip_forward")?.as_deref() {
                    Some("1") => format!("net/{path}"),
                    _ => "net.ipv4.ip_forward".to_owned(),
                };
                return Err(SteerError::ForwardingOff {
                    family: "IPv4",
                    interface: interface.to_string(),
                    sysctl,
                });
            }
            change(&mut changes, path, "1")?;
        }
    }
    if plan.steers(Family::Ipv6) {
        let all = format!("{}/conf/all/forwarding", Family::Ipv6.directory());
        if read(&all)?.as_deref() != Some("1") {
            if !plan.set_forwarding {
                return Err(SteerError::ForwardingOff {
                    family: "IPv6",
                    interface: "all interfaces".to_owned(),
                    sysctl: "net.ipv6.conf.all.forwarding".to_owned(),
                });
            }
            // Writing `all` overwrites every interface's own value, both ways: `all` comes first,
            // so that each gets its own back behind it.
            record(&mut changes, all, "1")?;
            for name in configured(Family::Ipv6)? {
                let path = format!("{}/conf/{name}/forwarding", Family::Ipv6.directory());
                record(&mut changes, path, "1")?;
            }
        }
    }
    for device in [&plan.inner_device, &plan.outer_device] {
        for_device(&mut changes, plan, device)?;
    }
    Ok(changes)
}

/// The settings of one of our TUN devices.
fn for_device(
    changes: &mut Vec<Setting>,
    plan: &Plan,
    device: &InterfaceName,
) -> Result<(), SteerError> {
    if plan.steers(Family::Ipv4) {
        let everywhere = read("ipv4/conf/all/rp_filter")?;
        let v4 = |key| of_interface(Family::Ipv4, device, key);
        // What the engine writes counts as received here, and has to go on.
        change(changes, v4("forwarding"), "1")?;
        // Senders are routed by way of the real interfaces, so a strict filter would drop them.
        // The kernel takes the larger of `all` and ours: where `all` filters, loose (2) is the
        // least that can be had without changing it.
        let filter = match everywhere.as_deref() {
            None | Some("0") => "0",
            Some(_) => "2",
        };
        change(changes, v4("rp_filter"), filter)?;
    }
    if plan.steers(Family::Ipv6) {
        let v6 = |key| of_interface(Family::Ipv6, device, key);
        // Without IPv6 on the device nothing that the engine writes would be taken.
        change(changes, v6("disable_ipv6"), "0")?;
        // Nobody but the engine is at the other end: no address of our own (which would be
        // announced by neighbour and multicast messages), no solicitations, no belief in answers.
        change(changes, v6("addr_gen_mode"), "1")?;
        change(changes, v6("router_solicitations"), "0")?;
        change(changes, v6("accept_ra"), "0")?;
    } else if available(Family::Ipv6) {
        // Keeps the kernel from sending IPv6 into a device that takes none.
        change(
            changes,
            of_interface(Family::Ipv6, device, "disable_ipv6"),
            "1",
        )?;
    }
    Ok(())
}

/// Refuses a plan that would make another interface drop what it forwards to ours.
pub(super) fn check_filters(plan: &Plan, addressed: &[String]) -> Result<(), SteerError> {
    let ours = [
        &plan.inner,
        &plan.outer,
        &plan.inner_device,
        &plan.outer_device,
    ];
    let everywhere = read("ipv4/conf/all/rp_filter")?;
    for name in addressed {
        if name == "lo" || ours.iter().any(|ours| ours.as_str() == name) {
            continue;
        }
        let key = |key| read(&format!("ipv4/conf/{name}/{key}"));
        // The larger of the two holds, and 1 is strict.
        let filter = key("rp_filter")?.max(everywhere.clone());
        if filter.as_deref() == Some("1") && key("forwarding")?.as_deref() == Some("1") {
            return Err(SteerError::StrictFilter(name.clone()));
        }
    }
    Ok(())
}

/// Makes the changes.
pub(super) fn apply(settings: &[Setting]) -> Result<(), SteerError> {
    for setting in settings {
        write(&setting.path, &setting.set)?;
    }
    Ok(())
}

/// Puts back what was, except for what somebody has changed since; returns how many.
pub(super) fn restore(settings: &[Setting]) -> Result<usize, SteerError> {
    // Looks at all before writing any: a value of `all` overwrites those of the interfaces.
    let mut ours = Vec::new();
    for setting in settings {
        // A device that has gone has taken its settings with it.
        if read(&setting.path)?.as_deref() == Some(setting.set.as_str()) {
            ours.push(setting);
        }
    }
    for setting in &ours {
        write(&setting.path, &setting.before)?;
    }
    Ok(ours.len())
}

/// Notes a setting that is to become `set`, unless it is that already or does not exist.
fn change(changes: &mut Vec<Setting>, path: String, set: &str) -> Result<(), SteerError> {
    match read(&path)? {
        Some(before) if before != set => record(changes, path, set),
        _ => Ok(()),
    }
}

fn record(changes: &mut Vec<Setting>, path: String, set: &str) -> Result<(), SteerError> {
    let noted = changes.iter().any(|setting| setting.path == path);
    if let Some(before) = read(&path)?
        && !noted
    {
        let set = set.to_owned();
        changes.push(Setting { path, before, set });
    }
    Ok(())
}

fn of_interface(family: Family, interface: &InterfaceName, key: &str) -> String {
    format!("{}/conf/{interface}/{key}", family.directory())
}

/// Everything that has settings of its own: the interfaces and `default`.
fn configured(family: Family) -> Result<Vec<String>, SteerError> {
    let directory = Path::new(ROOT).join(family.directory()).join("conf");
    let names = || -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&directory)?;
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .filter(|name| !matches!(name.as_deref(), Ok("all")))
            .collect()
    };
    names().map_err(|error| SteerError::Sysctl(directory.clone(), error))
}

fn read(path: &str) -> Result<Option<String>, SteerError> {
    let path = Path::new(ROOT).join(path);
    match fs::read_to_string(&path) {
        Ok(value) => Ok(Some(value.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // What `addr_gen_mode` says of an interface that IPv6 has just left.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(SteerError::Sysctl(path, error)),
    }
}

fn write(path: &str, value: &str) -> Result<(), SteerError> {
    let path: PathBuf = Path::new(ROOT).join(path);
    match fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SteerError::Sysctl(path, error)),
        Ok(()) => Ok(()),
    }
}
