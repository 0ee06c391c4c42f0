//! The fuzz target [`localack_fuzz::rewrite`].
#![cfg_attr(fuzzing, no_main)]

localack_fuzz::target!(localack_fuzz::rewrite);
