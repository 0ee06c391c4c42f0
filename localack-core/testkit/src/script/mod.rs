//! Packet scripts: which packet arrives when, and what must leave.
//!
//! A script is a text of lines. `S` is the sender of the data under test, on the inner port unless
//! the setup says otherwise; `R` is its receiver. `I` packets arrive from S and `O` packets from R;
//! `>O` packets leave toward R and `>I` packets toward S. `#` begins a comment.
//!
//! ```text
//! setup local-ack mss 1000 R.w 4001 rtt 100     what the connection is like
//! handshake                                     SYN, SYN-ACK and ACK; each must pass verbatim
//! -10 I 1..10001 => absorb; >O 1..4001; ...     S sends ten segments at -10 ms
//!   0 O P. 1:501 ack 1  => forward; >I P. 1:501 ack 10001
//!   1 I . 10001 ack 501 => >O . seq 4001 ack 501
//! ```
//!
//! **Numbers** are relative: sequence numbers to the ISN of the side they belong to (the first
//! octet is 1), TSvals to an offset of their host. Each script runs in many variants: IPv4 and
//! IPv6, ISNs and timestamp offsets low and just below 2^32, and where the setup allows it with and
//! without timestamps, SACK and window scaling and with either end as the client. A script that names
//! SACK blocks means hosts that know SACK; one that names a window (a field, `edge` or `E`) has it in
//! octets, with shift 0 or no option; in any other windows may be scaled. In a number's place may stand `M` (first
//! octet S has not sent), `L` (highest ACK told to S), `E` (right edge offered to S), `A` (highest
//! ACK from R), `N` (first number not emitted to R), `X` (first number of R's not emitted to S),
//! `P` (highest ACK from S), each with `+n` or `-n`; they are taken from the packets seen, not from
//! the engine.
//!
//! **Setup** (one or more lines): `local-ack`, `both`, `bypass` or `reverse` (R to S only) chooses
//! the services; `proven` (default: R is the client, or S is and custody begins after the handshake), `unproven`
//! (S is the client), `client S|R`; `inner R` swaps the ports; `mss n` octets of payload per
//! segment; `shift n|off`, `ts on|off|either`, `sack on|off|either` what both SYNs offer (`either`
//! unless said, and several shifts), with `S.` or `R.` in front for one; `S.w n`, `R.w n` first window fields; `S.ts n` first TSval,
//! `S.isn n`; `rtt n` of R in ms; `buffer n`, `debt_floor n`, `queue_floor n`, `ack_delay n`,
//! `controller reno|cubic|bbr` or `controller n` for a vouched rate of `n` octets per second,
//! `pacing on`; `give_up n` s, `mtu n`, `blocks n`, `flows n`, `reserved n`, `df allow`; `laws off`.
//!
//! **Packets**: flags (`S F R P U E C A`, `.` for ACK), then a sequence number `n`, range `a:b` or
//! series of full segments `a..b`, `ack n`, `wN` (the field), `ts n`, `tsecr n`, `sack a:b c:d`,
//! `len n`, `data 'A'` (a fill; the default depends on each octet's number), `up n`. What an
//! arriving packet leaves out is what its host last said. Also, for arriving packets: `badsum`,
//! `frag`, `df0`, `ipopt`, `odd` (options at odd offsets), `opt HEX`, `nots`, `partial`, `verified`,
//! `ttl n`, `tos n`, `ecn n` (the ECN field alone, 0 to 3); and `I raw HEX`, `O ptb mtu n seq n [len n]`
//! (packet-too-big about a segment of S's; with `I`, of R's).
//!
//! **Outcomes** after `=>`, separated by `;`, may go on in lines that begin with `=>` or `;`: a
//! verdict (`pass slug`, `forward`, `absorb slug`, `drop slug`; the slug may be left out), packets,
//! `event NAME ..`, `nothing`, and `...` which allows further packets; without it none may leave.
//! An expected packet is compared only in what it names (with flags: all of them, PSH if named;
//! without: no SYN, RST or FIN); numbers may be `any`, `>=n` or `<=n`; `edge n` is ACK + window. `dsack a:b` is
//! the first block, `sack none` no block. `>O same` is the packet that came in, bit for bit. In
//! front may stand `maybe`, `not`, `last`, `first`, `each`. `>O a..b` is any series of segments
//! that carries exactly these octets in order, `>O a..b fin` with a FIN at its end.
//!
//! **Other lines**: `tick` lets time pass and takes all that timers sent since the line before (at
//! a packet's line nothing may have been sent before it); `check [R->S] name value ..` looks at
//! `FlowInfo` and counters; `demote`, `promote` (`R->S`), `drain`, `give-up`, `sink full|open|n` (takes n
//! packets, and is full then). A line of `---` begins another script in the same file.

mod matching;
mod model;
mod names;
mod notation;
mod parse;
mod run;
mod side;
mod trace;
mod variant;

pub use model::Script;
pub use parse::ParseError;
pub use run::Failure;
pub use variant::Variant;

use run::Reign;
use trace::Trace;

impl Script {
    /// Runs the script in all its variants, each with one engine, and with an engine for each line that
    /// takes over the memory of the one before; answers how many variants there were.
    ///
    /// # Errors
    /// The first variant that does not go as the script says.
    pub fn run(&self) -> Result<usize, Box<Failure>> {
        let variants = Variant::all(self);
        for variant in &variants {
            for reign in [Reign::Long, Reign::Short] {
                run::run(self, variant, reign, Trace::default())?;
            }
        }
        Ok(variants.len())
    }
}

/// Runs the scripts of `text` like [`check`], each in one variant of `every`, and gives `take` a trace of
/// each run: the calls of the engine and what they did, which a small machine can repeat
/// (`examples/cortex-m`). `turn` says which of the variants: other ones for each script.
///
/// # Panics
/// If anything goes otherwise than a script says.
pub fn record(text: &str, every: usize, turn: &mut usize, take: &mut dyn FnMut(Vec<u8>)) {
    for script in text.split("\n---") {
        let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
        let variants = Variant::all(&script);
        let every = every.clamp(1, variants.len());
        for variant in variants.iter().skip(*turn % every).step_by(every) {
            let trace = run::run(&script, variant, Reign::Long, Trace::wanted());
            take(trace.unwrap_or_else(|failure| panic!("{failure}")));
        }
        *turn += 1;
    }
}

/// Parses and runs `text` in all variants; lines of `---` separate scripts.
///
/// # Panics
/// With the lines, what they expected and what left, if anything goes otherwise.
#[track_caller]
pub fn check(text: &str) {
    let mut above = String::new();
    let mut failures = String::new();
    for part in text.split("\n---") {
        let script = format!("{above}{part}");
        let script = Script::parse(&script).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            !script.steps.is_empty(),
            "a script without steps proves nothing"
        );
        if let Err(failure) = script.run() {
            failures.push_str(&failure.to_string());
        }
        // Blank lines in place of what was before keep the line numbers right.
        above.extend(part.chars().filter(|&letter| letter == '\n'));
        above.push('\n');
    }
    assert!(failures.is_empty(), "{failures}");
}
