//! The fuzz target [`localack_fuzz::pcap_reader`].
#![cfg_attr(fuzzing, no_main)]

localack_fuzz::target!(localack_fuzz::pcap_reader);
