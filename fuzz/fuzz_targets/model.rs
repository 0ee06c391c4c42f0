//! The fuzz target [`localack_fuzz::model`].
#![cfg_attr(fuzzing, no_main)]

localack_fuzz::target!(localack_fuzz::model);
