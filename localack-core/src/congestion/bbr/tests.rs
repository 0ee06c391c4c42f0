#![allow(clippy::arithmetic_side_effects)]

mod events;
mod path;
mod pipe;

use super::*;
