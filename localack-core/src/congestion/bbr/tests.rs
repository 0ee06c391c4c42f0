#![allow(clippy::arithmetic_side_effects)]

mod bounds;
mod events;
mod path;
mod pipe;
mod resume;
mod steps;

use super::*;
