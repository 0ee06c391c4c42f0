//! The three-way handshake.

use localack_core::Instant;

use super::clock::{MILLISECOND, SECOND, after, since};
use super::fault::FaultKind;
use super::host::{Life, LinuxHost};
use super::position::{FIRST_OCTET, ORIGIN, Space};
use crate::packet::{Flags, Options, Packet};

/// How often a SYN is tried (`tcp_syn_retries` with the linear ones, at least).
const MOST_TRIES: u32 = 10;
/// How often a SYN-ACK is sent (`tcp_synack_retries`, and once).
const MOST_ANSWERS: u32 = 6;
/// Retransmissions of a SYN a second apart before the interval doubles
/// (`tcp_syn_linear_timeouts`).
const LINEAR: u32 = 4;

/// What is only of interest until the connection is established.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshake {
    /// When the SYN or SYN-ACK is due.
    pub(super) timer: Option<Instant>,
    pub(super) tries: u32,
    pub(super) sent_at: Option<Instant>,
    /// The first and the last TSval of SYNs or SYN-ACKs, if several.
    pub(super) told_stamps: Option<[u32; 2]>,
    /// What the peer's SYN offered.
    pub(super) offered: Options,
    /// Whether the peer's SYN offered ECN.
    pub(super) ecn: bool,
    /// The SYN-ACK was acknowledged, but that made no connection.
    pub(super) acked: bool,
    /// For which sequence number of a SYN a cookie was made, and the MSS that it stands for.
    pub(super) cookie: Option<(u32, u16)>,
    /// The application did something that the next poll must look at.
    pub(super) read_now: bool,
}

impl Handshake {
    /// How often the SYN-ACK was due once more.
    pub(super) const fn repeats(&self) -> u32 {
        self.tries.saturating_sub(1)
    }
}

impl LinuxHost {
    /// Sends a SYN or SYN-ACK, again if need be.
    pub(super) fn handshake_timer(&mut self, now: Instant) {
        self.handshake.timer = None;
        if !matches!(self.life, Life::SynSent | Life::SynReceived) {
            return;
        }
        let answers = self.life == Life::SynReceived;
        if answers && self.handshake.tries >= MOST_ANSWERS {
            // Nothing is left of it: who comes late finds no connection.
            self.life = Life::Listening;
            return;
        }
        if self.handshake.tries >= MOST_TRIES {
            self.faults.segment = None;
            self.faults.add(now, FaultKind::GaveUp);
            self.life = Life::Dead;
            return;
        }
        self.handshake.tries += 1;
        let doublings = match self.life {
            Life::SynSent => self.handshake.tries.saturating_sub(1 + LINEAR),
            _ => self.handshake.tries - 1,
        };
        self.handshake.timer = Some(after(now, SECOND << doublings));
        if !answers || self.repeats_syn_ack() {
            self.handshake.sent_at = Some(now);
            self.send_syn(now);
        }
    }

    pub(super) fn send_syn(&mut self, now: Instant) {
        let answers = self.life == Life::SynReceived;
        let (config, offered) = (&self.config, &self.handshake.offered);
        let both = |own: bool, theirs: bool| own && (theirs || !answers);
        let scale = config.offered_scale();
        let options = Options {
            mss: Some(config.advertised_mss()),
            window_scale: scale.filter(|_| !answers || offered.window_scale.is_some()),
            sack_permitted: both(config.sack, offered.sack_permitted),
            timestamps: both(config.timestamps, offered.timestamps.is_some())
                .then(|| (self.syn_ack_stamp(now), self.stamps.echo())),
            ..Options::default()
        };
        if let Some((value, _)) = options.timestamps {
            let [first, _] = self.handshake.told_stamps.unwrap_or([value; 2]);
            self.handshake.told_stamps = Some([first, value]);
        }
        let mut flags = Flags::SYN;
        if answers {
            flags = flags | Flags::ACK;
            if config.ecn && self.handshake.ecn {
                flags = flags | Flags::ECE;
            }
        } else if config.ecn && self.handshake.tries <= 1 {
            flags = flags | Flags::ECE | Flags::CWR;
        }
        let window = self.receiver.window.first_field();
        self.send_packet(flags, ORIGIN, window, options, Vec::new(), false);
    }

    /// A SYN for a listening host.
    pub(super) fn on_syn(&mut self, now: Instant, packet: &Packet) {
        self.learn(now, packet);
        if self.config.listening.cookies {
            self.offer_cookie(now, packet);
            return;
        }
        self.life = Life::SynReceived;
        self.handshake.tries = 0;
        self.handshake.told_stamps = None;
        self.handshake.acked = false;
        self.handshake_timer(now);
    }

    /// A segment for a host that has sent a SYN.
    pub(super) fn on_syn_ack(&mut self, now: Instant, packet: &Packet) {
        let flags = packet.flags;
        let acknowledges = packet.ack == self.own.wire(FIRST_OCTET);
        if self.config.strict && flags.has(Flags::ACK) && !acknowledges {
            // RFC 9293 section 3.10.7.3.
            self.faults.add(now, FaultKind::AckOfUnsent);
            self.refuse(packet);
        }
        if !flags.has(Flags::ACK) || !acknowledges {
            return; // A crossed SYN, or an answer to somebody else's.
        }
        if flags.has(Flags::RST) {
            self.faults.add(now, FaultKind::UnexpectedReset);
            self.life = Life::Dead;
            return;
        }
        if !flags.has(Flags::SYN) {
            if self.config.strict {
                self.faults.add(now, FaultKind::OutOfTurn);
            }
            return;
        }
        let stamped = packet.options.timestamps.filter(|_| self.config.timestamps);
        if stamped.is_some_and(|(_, echo)| self.stamps.age(now, echo).is_none()) {
            self.faults.add(now, FaultKind::EchoOfUnsent);
            if self.config.strict {
                self.refuse(packet);
                return;
            }
        }
        self.learn(now, packet);
        self.establish(now, packet);
        self.sender.wnd = packet.window.into();
        // The application learns of it only now: no data comes with this acknowledgement.
        self.send_ack(now);
    }

    /// The acknowledgement of a SYN-ACK.
    pub(super) fn on_third_ack(&mut self, now: Instant, packet: &Packet) {
        self.establish(now, packet);
        self.sender.wnd = u64::from(packet.window) << self.peer_scale;
    }

    /// What a SYN says about its sender.
    fn learn(&mut self, now: Instant, packet: &Packet) {
        self.peer_isn = packet.seq;
        self.theirs = Space::new(packet.seq);
        self.handshake.offered = packet.options.clone();
        let marks = Flags::ECE | Flags::CWR;
        self.handshake.ecn = if packet.flags.has(Flags::ACK) {
            packet.flags.has(Flags::ECE) && !packet.flags.has(Flags::CWR)
        } else {
            packet.flags.has(marks)
        };
        if let Some((value, _)) = packet.options.timestamps.filter(|_| self.config.timestamps) {
            self.stamps.take(now, value);
        }
    }

    /// The connection is established by `packet`, whose acknowledgement is for the SYN.
    fn establish(&mut self, now: Instant, packet: &Packet) {
        let (config, offered) = (&self.config, &self.handshake.offered);
        let sender = &mut self.sender;
        sender.stamps = config.timestamps && offered.timestamps.is_some();
        sender.sack = config.sack && offered.sack_permitted;
        self.receiver.sacks.enabled = sender.sack;
        sender.ecn = config.ecn && self.handshake.ecn;
        let stamp_octets = if sender.stamps { 12 } else { 0 };
        let theirs = offered.mss.unwrap_or(536).max(48);
        sender.mss = u32::from(theirs.min(config.advertised_mss())) - stamp_octets;
        let scale = config.offered_scale().zip(offered.window_scale);
        self.peer_scale = scale.map_or(0, |(_, theirs)| theirs.min(14));
        self.receiver
            .window
            .establish(now, FIRST_OCTET, scale.map(|(own, _)| own));
        sender.max_window = packet.window.into();
        sender.wl1 = ORIGIN;
        let measured = (self.handshake.tries == 1)
            .then_some(self.handshake.sent_at)
            .flatten()
            .map(|at| since(now, at));
        let echoed = packet.options.timestamps.filter(|_| sender.stamps);
        let echoed = echoed.and_then(|(_, echo)| self.stamps.age(now, echo));
        if let Some(rtt) = measured.or(echoed.map(|age| age.max(MILLISECOND))) {
            sender
                .rtt
                .sample(rtt, now.as_micros(), FIRST_OCTET, FIRST_OCTET);
        }
        if self.handshake.tries > 2 {
            sender.congestion.set(1); // RFC 6298 section 5.7, as Linux reads it.
        }
        self.handshake.timer = None;
        self.life = Life::Open;
    }
}
