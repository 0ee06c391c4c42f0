//! Replays packet captures through the `localack` TCP local-acknowledgement engine and reports what
//! the engine would have done.
//!
//! The library is what the program `localack-pcap` is made of: read a capture ([`source`]), find the
//! TCP in it ([`link`], [`dissect`]), count it ([`conversation`]), replay it ([`replay`](mod@replay)),
//! and report ([`report`]). Beside a replay someone may watch ([`replay::Watch`]): [`trace`] keeps what
//! conversations looked like over time, [`plot`] draws it, [`html`] makes a page of it; [`size`] looks at
//! how much the engine holds.
//!
//! ```
//! use localack_pcap::replay::{Options, replay};
//! use localack_pcap::source::Source;
//!
//! let mut capture = Source::new(localack_pcap::sample::SAMPLE)?;
//! let report = replay(&mut capture, &Options::default(), None, &mut |_octets_read| ())?;
//! let upload = &report.flows[0].directions.client_to_server;
//! assert!(upload.ack_wait_us.engine.p50 < upload.ack_wait_us.captured.p50);
//! assert_eq!(report.invariants.violations, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a replay is, and is not
//! It is open loop. The captured sender did not react to the local acknowledgements, the captured
//! receiver acknowledges what it got in the capture, and the engine in between is real. So the
//! report tells exactly what the engine makes of each packet, and how long the sender would have
//! waited for each acknowledgement; it does not tell how much faster a transfer would have been.
//! What is in custody when the capture ends stays there.
//!
//! # Ports, ends and services
//! In a replay the client (the sender of the SYN, or else of the first packet) is on the engine's
//! inner port, the server on the outer one. Which end counts as *inner*, so that its data is served,
//! is another question: by default the end whose handshake round trip is the shorter one, since
//! there the data's sender is the one who waits ([`replay::Inner`]). Round trips are measured at the
//! third ACK from the last SYN and the last SYN-ACK; if they are equal, the client is inner.
//!
//! # Time
//! The engine lives in virtual time made from the capture's time stamps ([`clock`]): it stands still
//! where they run backwards, and where they leap by more than a day. Timers fire when they are due.
//!
//! # The JSON form, `localack-replay/1`
//! [`report::Report`] and the types it is made of document every field; the names in the JSON are
//! theirs. All counts are integers. In short:
//!
//! - `schema`: `"localack-replay/1"`.
//! - `input`: `packets`, `truncated`, `undecoded`, `undecoded_reasons`, `format`, `link_types`,
//!   `duration_us`, `clock_jumps`, `cut_at_offset` (null unless the file is damaged).
//! - `tcp`: `packets`, `conversations`, `complete_handshakes`, `bad_checksums`, `fragments`.
//! - `flows[]`, one per conversation in the order of first packets: `client`, `server`
//!   (`ip:port` or `[v6]:port`), `adopted`, `reason` (null, or a slug of
//!   [`localack_core::PassReason`]), `complete_handshake`, `inner` (`"client"`, `"server"` or null),
//!   `directions` with `client_to_server` and `server_to_client`. Each direction tells of the data
//!   of one sender: `packets`, `payload_bytes`, `unique_payload_bytes`, `pure_acks`,
//!   `retransmitted_packets` are the captured ones *it sent*; `local_acks` (acknowledgements of
//!   whatever kind that the engine made *for it*), `absorbed_acks` (the receiver's, not passed on),
//!   `rewritten` (its packets that were edited), `engine_retransmissions`, `custody_segments`,
//!   `peak_custody_bytes`, `cut_packets`, `approximate`, and
//!   `ack_wait_us{captured{count,p50,p99,total},engine{...}}`, percentiles null where empty.
//! - `counters`: `pass`, `absorb`, `drop`, `transmit`, `engine` with every counter of the engine by
//!   its slug, zeroes included, and `replay`.
//! - `invariants`: `checked`, `violations`, and the first violations in words, `described`.
//!
//! # How it counts
//! Figures are counted from the captured packets, apart from what the engine makes of them, as
//! Wireshark does by default. A conversation is its TCP stream. `unique_payload_bytes` is the size
//! of the union of the sequence ranges, from the initial sequence number + 1 up where the SYN was
//! captured. A packet counts as retransmitted if an octet of its payload, its SYN or its FIN was
//! captured before, keep-alives excepted; Wireshark judges retransmissions by time, so that figure
//! may differ. TCP inside tunnels counts, TCP quoted inside ICMP does not.
//!
//! Waits run from a data packet's first capture to the first acknowledgement that covers it: in the
//! capture, and among what leaves the engine for the sender.
//!
//! # What if
//! [`whatif`] closes the loop: it reconstructs what the captured applications did, estimates their path, and
//! plays both again in virtual time without an engine and with one.
//!
//! # Memory
//! The two engines get what [`replay::Options`] says, once, and the copy of captured octets that
//! custody is compared with takes no more than that again. The reader has one buffer of a mebibyte,
//! more only for a larger block; fragments take 64 MiB at the very most. Each conversation has a
//! bounded amount: up to 1024 ranges of sequence space, 8192 waiting packets and two small
//! histograms a direction, and far less unless it needs them. What is drawn of conversations is bounded,
//! too: see [`trace`].
//!
//! # What is checked
//! Beside every replay ([`replay::Checker`]): nothing is acknowledged that was not captured before;
//! every octet the engine sends is the captured one; an edited checksum is right exactly if its
//! source was, and that of a packet made by the engine always; custody fits the memory lent; a
//! second engine fed the same packets does the same. The program ends with exit code 3 if a check
//! fails.

pub mod annotate;
pub mod bytes;
pub mod cli;
pub mod clock;
pub mod conversation;
mod digest;
pub mod dissect;
pub mod html;
pub mod link;
pub mod output;
pub mod plot;
pub mod ranges;
pub mod replay;
pub mod report;
pub mod sample;
pub mod size;
pub mod source;
pub mod trace;
pub mod waits;
pub mod whatif;
