//! The fuzz target [`localack_fuzz::attach`].
#![cfg_attr(fuzzing, no_main)]

localack_fuzz::target!(localack_fuzz::attach);
