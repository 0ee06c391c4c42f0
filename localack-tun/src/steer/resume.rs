//! Steering that outlives its process: devices that stay, and rules that are taken over as they are.
//!
//! While nobody reads from a device that has stayed, the kernel drops what is steered to it. So nothing gets
//! around a connection with octets in custody, and its hosts send again what is lost until somebody goes on.

use std::path::Path;

use super::state::StateFile;
use super::{
    Family, InterfaceName, Plan, SteerError, Steering, hold, links, open, rules, survey, sysctl,
};

impl Steering {
    /// Takes over the steering that an ended process has left in force, without a moment in which a packet goes
    /// another way; where it is not what `plan` says, or there is none, undoes what there is and installs the
    /// plan. Connections that are held back ([`super::hold()`]) are so until that is in force: at no moment do
    /// they pass by plain forwarding.
    ///
    /// # Errors
    ///
    /// As of [`Steering::install`]; what was left in force stays then, if it was.
    pub fn resume(plan: &Plan, state_file: &Path) -> Result<Self, SteerError> {
        let mut netlink = open()?;
        let detours = survey(&mut netlink, plan)?;
        let Some(file) = StateFile::take_over(state_file)? else {
            return Self::install_anew(plan, state_file, None);
        };
        let mut in_force = true;
        for family in Family::ALL
            .into_iter()
            .filter(|family| sysctl::available(*family))
        {
            let wanted = if plan.steers(family) {
                &detours[..]
            } else {
                &[]
            };
            in_force &= rules::are_in_force(&mut netlink, family, plan.priority, wanted)?;
        }
        if in_force {
            return Ok(Self {
                state: Some(file.renew()?),
            });
        }
        Self::install_anew(plan, state_file, Some(file))
    }

    fn install_anew(
        plan: &Plan,
        state_file: &Path,
        old: Option<StateFile>,
    ) -> Result<Self, SteerError> {
        super::undo_steering(old)?;
        let steering = Self::install(plan, state_file)?;
        // Only now: what passes without an engine while octets are in custody, the engine makes nothing of.
        hold::release();
        Ok(steering)
    }
}

impl Steering {
    /// Leaves all of it in force, for [`Self::resume`].
    pub fn leave(mut self) {
        self.state = None;
    }
}

/// Removes a TUN device that was to stay, if it is there.
///
/// # Errors
///
/// [`SteerError`] if it is another device, or the kernel refuses.
pub fn remove_device(name: &InterfaceName) -> Result<(), SteerError> {
    let mut netlink = open()?;
    links::remove_device(&mut netlink, name)
}
