//! A run as a packet script: see [`crate::script`] for the format.

use core::fmt::Write as _;

use localack_core::{Controller, Port, Verdict};

use super::host::{FIRST_STAMP, Host};
use super::operation::{Setup, controller};
use super::world::index;
use crate::laws::Origin;
use crate::packet::{Decoded, Flags, Packet};

/// The lines of a run, and a digest of what leaves.
#[derive(Clone, Debug)]
pub(super) struct Script {
    text: String,
    /// Nothing is written: nobody will read it.
    muted: bool,
    /// The handshake is one line of its own.
    quiet: bool,
    at_ms: Option<i64>,
    pub(super) digest: u64,
}

impl Script {
    pub(super) fn new(setup: &Setup, muted: bool) -> Self {
        let mut script = Self {
            text: String::new(),
            muted,
            quiet: true,
            at_ms: None,
            digest: 0,
        };
        if !muted {
            script.text = head(setup);
        }
        script
    }

    pub(super) fn begin(&mut self) {
        self.quiet = false;
    }

    /// What was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    const fn silent(&self) -> bool {
        self.muted || self.quiet
    }

    fn line(&mut self, at_ms: i64, words: &str) {
        if self.silent() {
            return;
        }
        if self.at_ms.is_some_and(|before| before < at_ms) {
            writeln!(self.text, "{at_ms:>6} tick").expect("to a string");
        }
        self.at_ms = Some(at_ms);
        writeln!(self.text, "{at_ms:>6} {words}").expect("to a string");
    }

    /// A line of the script that is no packet.
    pub(super) fn action(&mut self, at_ms: i64, words: &str) {
        self.line(at_ms, words);
    }

    /// Something that a script cannot say.
    pub(super) fn note(&mut self, at_ms: i64, words: &str) {
        if !self.silent() {
            writeln!(self.text, "# {at_ms:>4} {words}").expect("to a string");
        }
    }

    pub(super) fn event(&mut self, words: &str) {
        if !self.silent() {
            writeln!(self.text, "#      {words}").expect("to a string");
        }
    }

    pub(super) fn arrival(&mut self, at_ms: i64, port: Port, came: &Decoded, hosts: &[Host; 2]) {
        if self.silent() {
            return;
        }
        let from = &hosts[index(port)];
        let mut words = format!("{} {}", side(port), describe(&came.packet, from, hosts));
        if !came.checksum_ok {
            words.push_str(" badsum");
        }
        self.line(at_ms, &words);
    }

    /// The engine's verdict, and whether it counts for the digest.
    pub(super) fn verdict(&mut self, verdict: Verdict, counts: bool) {
        let (kind, reason) = match verdict {
            Verdict::Pass(reason) => (0, reason.number()),
            Verdict::Forward => (1, 0),
            Verdict::Absorb(reason) => (2, reason.number()),
            Verdict::Drop(reason) => (3, reason.number()),
        };
        if counts {
            self.digests([kind, reason.into()]);
        }
        if !self.silent() {
            writeln!(self.text, "#      {verdict:?}").expect("to a string");
        }
    }

    pub(super) fn departure(
        &mut self,
        port: Port,
        origin: Origin,
        leaves: &Decoded,
        hosts: &[Host; 2],
    ) {
        let (from, to) = (&hosts[index(port.other())], &hosts[index(port)]);
        let packet = &leaves.packet;
        // A first SYN echoes no timestamp: zero, wherever clocks begin.
        if leaves.checksum_ok && !self.quiet && !packet.flags.has(Flags::SYN) {
            self.digest_of(packet, from, to);
        }
        if !self.silent() {
            let words = describe(packet, from, hosts);
            let origin = match origin {
                Origin::Made(kind) => kind.slug(),
                Origin::Edited => "edited",
                Origin::Passed(reason) => reason.slug(),
            };
            writeln!(self.text, "#      >{} {words}   [{origin}]", side(port))
                .expect("to a string");
        }
    }

    fn digest_of(&mut self, packet: &Packet, from: &Host, to: &Host) {
        let (value, echo) = packet
            .options
            .timestamps
            .unwrap_or((from.stamp_offset, to.stamp_offset));
        let ack = if packet.flags.has(Flags::ACK) {
            packet.ack.wrapping_sub(to.isn)
        } else {
            0
        };
        self.digests([
            packet.flags.0.into(),
            packet.seq.wrapping_sub(from.isn),
            packet.payload_len(),
            ack,
            packet.window.into(),
            value.wrapping_sub(from.stamp_offset),
            echo.wrapping_sub(to.stamp_offset),
        ]);
        for &(left, right) in &packet.options.sack {
            self.digests([left.wrapping_sub(to.isn), right.wrapping_sub(to.isn)]);
        }
    }

    fn digests<const N: usize>(&mut self, numbers: [u32; N]) {
        for number in numbers {
            let mixed = (self.digest ^ u64::from(number)).wrapping_mul(0x0000_0100_0000_01b3);
            self.digest = mixed ^ mixed >> 29;
        }
    }
}

const fn side(port: Port) -> &'static str {
    match port {
        Port::Inner => "I",
        Port::Outer => "O",
    }
}

fn head(setup: &Setup) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    let served = match setup.served {
        [true, false] => "local-ack",
        [false, true] => "reverse",
        [true, true] => "both",
        [false, false] => "bypass",
    };
    let proof = if setup.early || setup.outer_opens {
        "proven"
    } else {
        "unproven"
    };
    let controller = match controller(setup.controller) {
        Controller::Reno => "reno".to_owned(),
        Controller::Bbr => "bbr".to_owned(),
        Controller::Provisioned(provision) => provision.rate.to_string(),
        _ => "cubic".to_owned(),
    };
    let shift = setup
        .shift
        .map_or("off".to_owned(), |shift| shift.to_string());
    let stamps = if setup.timestamps {
        format!("S.ts {FIRST_STAMP} R.ts {FIRST_STAMP}")
    } else {
        "ts off".to_owned()
    };
    let [s, r] = setup.isns;
    let [s_room, r_room] = setup.room;
    format!(
        "setup {served} {proof} client {} ip {} mss {} shift {shift} sack {} {stamps}\n\
         setup S.isn {s} R.isn {r} S.w {s_room} R.w {r_room} blocks {} ack_delay {}\n\
         setup controller {controller} pacing {} give_up 100\n\
         {}handshake\n",
        if setup.outer_opens { "R" } else { "S" },
        if setup.v6 { "v6" } else { "v4" },
        setup.mss,
        on(setup.sack),
        setup.blocks,
        if setup.lazy { 10 } else { 0 },
        on(setup.paced),
        match (setup.ecn, setup.outer_opens) {
            (false, _) => "",
            (true, true) => "setup R.flags EC S.flags E\n",
            (true, false) => "setup S.flags EC R.flags E\n",
        },
    )
}

/// A packet that `from` sends, or seems to send, in the notation of scripts: numbers count from the
/// initial ones.
fn describe(packet: &Packet, from: &Host, hosts: &[Host; 2]) -> String {
    let peer = &hosts[index(from.port.other())];
    let own = |number: u32| i64::from(number.wrapping_sub(from.names.0).cast_signed());
    let theirs = |number: u32| i64::from(number.wrapping_sub(peer.names.0).cast_signed());
    let seq = own(packet.seq);
    let mut text = format!("{} ", packet.flags);
    if packet.payload.is_empty() {
        write!(text, "seq {seq}").expect("to a string");
    } else {
        write!(text, "{seq}:{}", seq + i64::from(packet.payload_len())).expect("to a string");
    }
    if packet.flags.has(Flags::ACK) {
        write!(text, " ack {}", theirs(packet.ack)).expect("to a string");
    }
    write!(text, " w{}", packet.window).expect("to a string");
    if packet.flags.has(Flags::URG) {
        write!(text, " up {}", packet.urgent).expect("to a string");
    }
    if packet.ip.traffic_class & 3 != 0 {
        write!(text, " ecn {}", packet.ip.traffic_class & 3).expect("to a string");
    }
    match packet.options.timestamps {
        Some((value, echo)) => {
            let value = value.wrapping_sub(from.names.1).cast_signed();
            let echo = echo.wrapping_sub(peer.names.1).cast_signed();
            write!(text, " ts {value} tsecr {echo}").expect("to a string");
        }
        None if from.setup.timestamps => text.push_str(" nots"),
        None => {}
    }
    if !packet.options.sack.is_empty() {
        text.push_str(" sack");
    }
    for &(left, right) in &packet.options.sack {
        write!(text, " {}:{}", theirs(left), theirs(right)).expect("to a string");
    }
    text
}
