//! The fuzz target [`localack_fuzz::wire_parse`].
#![cfg_attr(fuzzing, no_main)]

localack_fuzz::target!(localack_fuzz::wire_parse);
