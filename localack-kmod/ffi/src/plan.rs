//! How lent memory is divided.
#![forbid(unsafe_code)]

use localack_core::Geometry;

use crate::abi::{LOCALACK_ABI, Settings};
use crate::rules::Rules;

/// Octets of a block: a full segment of Ethernet and a little more.
pub(crate) const BLOCK: usize = 1536;
/// Where the parts of lent memory begin: at cache lines.
pub(crate) const ALIGNMENT: usize = 64;

/// How lent memory is divided.
pub(crate) struct Plan {
    /// Where the rules and the engine's storage begin, and where that ends.
    pub(crate) rules: usize,
    pub(crate) storage: usize,
    pub(crate) end: usize,
    pub(crate) geometry: Geometry,
}

/// For a handle of type `H`; `None` if the settings make no sense.
pub(crate) fn plan<H>(settings: &Settings) -> Option<Plan> {
    let flows = usize::try_from(settings.flows).ok()?;
    if settings.abi != LOCALACK_ABI || flows == 0 {
        return None;
    }
    let blocks = usize::try_from(settings.buffer).ok()?.checked_div(BLOCK)?;
    let geometry = Geometry {
        flows,
        index: flows.checked_mul(2)?.checked_next_power_of_two()?,
        blocks,
        arena: blocks.checked_mul(BLOCK)?,
        paths: usize::try_from(settings.paths).ok()?,
    };
    let rules = size_of::<H>().checked_next_multiple_of(ALIGNMENT)?;
    let storage = rules
        .checked_add(size_of::<Rules>())?
        .checked_next_multiple_of(ALIGNMENT)?;
    let end = storage.checked_add(geometry.octets()?)?;
    Some(Plan {
        rules,
        storage,
        end,
        geometry,
    })
}
