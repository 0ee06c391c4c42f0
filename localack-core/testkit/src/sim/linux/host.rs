//! The host: what a test sees of it, and its turns in the network.

use core::time::Duration;

use localack_core::Instant;

use super::application::{Application, Write};
use super::config::LinuxConfig;
use super::content::Content;
use super::fault::{Fault, FaultKind, Faults};
use super::handshake::Handshake;
use super::position::{FIRST_OCTET, Space};
use super::receive::Receiver;
use super::send::Sender;
use super::send::source::Source;
use super::stamps::Stamps;
use super::stats::LinuxStats;
use super::watch::Watch;
use crate::sim::Endpoint;

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Waits for a SYN.
    Listening,
    /// Has sent a SYN.
    SynSent,
    /// Has answered a SYN.
    SynReceived,
    /// Established, or on its way to the end.
    Open,
    /// Reset, or given up.
    Dead,
}

/// A host with one connection, whose TCP behaves as that of Linux where goodput and strictness depend
/// on it: it measures goodput, and notices whatever its peer, or a box on the way, does wrong.
///
/// What it receives it reads at once, unless told otherwise; what it sends is said by
/// [`Self::send_total`] or [`Self::send_endless`]. A host that was told neither sends nothing and
/// closes when its peer has closed.
#[derive(Clone, Debug)]
pub struct LinuxHost {
    pub(super) config: LinuxConfig,
    pub(super) life: Life,
    pub(super) handshake: Handshake,
    /// Sequence spaces: this host's and its peer's.
    pub(super) own: Space,
    pub(super) theirs: Space,
    pub(super) peer_isn: u32,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) stamps: Stamps,
    pub(super) watch: Watch,
    pub(super) faults: Faults,
    /// Shifts of the peer's windows and of its own, if both offered one.
    pub(super) peer_scale: u8,
    pub(super) content: Content,
    /// CE was seen, and is to be echoed until CWR.
    pub(super) echo_congestion: bool,
    /// When the last answer to an unacceptable segment left.
    pub(super) last_challenge: Option<Instant>,
    application: Option<Application>,
    pub(super) outgoing: Vec<Vec<u8>>,
    finished_at: Option<Instant>,
}

impl LinuxHost {
    /// A host that opens the connection when it is first polled.
    #[must_use]
    pub fn connect(config: LinuxConfig) -> Self {
        let mut host = Self::new(config, [1, 2]);
        host.life = Life::SynSent;
        host.handshake.timer = Some(Instant::ZERO);
        host
    }

    /// A host that waits for its peer to open the connection.
    #[must_use]
    pub fn listen(config: LinuxConfig) -> Self {
        Self::new(config, [2, 1])
    }

    fn new(config: LinuxConfig, keys: [u64; 2]) -> Self {
        let [content, expected] = keys.map(Content::Pattern);
        let content = config.content.clone().unwrap_or(content);
        let expected = config.expected.clone().unwrap_or(expected);
        Self {
            life: Life::Listening,
            handshake: Handshake::default(),
            own: Space::new(config.isn),
            theirs: Space::default(),
            peer_isn: 0,
            sender: Sender::new(&config),
            receiver: Receiver::new(&config, expected, config.advertised_mss().into()),
            stamps: Stamps::new(config.timestamp_offset),
            watch: Watch::default(),
            faults: Faults::default(),
            peer_scale: 0,
            content,
            echo_congestion: false,
            last_challenge: None,
            application: None,
            outgoing: Vec::new(),
            finished_at: None,
            config,
        }
    }

    /// The same host, but it opens the connection at `at`.
    #[must_use]
    pub const fn connecting_at(mut self, at: Instant) -> Self {
        self.handshake.timer = Some(at);
        self
    }

    /// The same host, whose application writes without end.
    #[must_use]
    pub const fn send_endless(mut self) -> Self {
        self.sender.source = Source::Endless;
        self
    }

    /// The same host, whose application writes `octets` octets and closes.
    #[must_use]
    pub const fn send_total(mut self, octets: u64) -> Self {
        self.sender.source = Source::Total(octets);
        self
    }

    /// The same host, whose application writes what `steps` say, one after the other, and then closes if
    /// `closes`; if not, it never does.
    #[must_use]
    pub fn send_scripted(mut self, steps: impl IntoIterator<Item = Write>, closes: bool) -> Self {
        self.sender.source = Source::Written {
            octets: 0,
            closed: false,
        };
        self.application = Some(Application::new(steps, closes));
        self
    }

    /// The same host, whose application reads `octets_per_second` at most; `None`: all at once.
    #[must_use]
    pub const fn read_rate(mut self, octets_per_second: Option<u64>) -> Self {
        self.receiver.reader.rate = octets_per_second;
        self
    }

    /// Lets the application stop reading, or read again. Takes effect when the host is next polled.
    pub const fn pause_reading(&mut self, paused: bool) {
        self.receiver.reader.paused = paused;
        self.handshake.read_now = true;
    }

    /// Ends an endless stream: what is in the send buffer is the rest, then FIN.
    pub fn finish(&mut self) {
        let sent = self.sender.nxt - FIRST_OCTET;
        if self.sender.source.fin().is_none() {
            self.sender.source = Source::Total(sent);
            self.handshake.read_now = true;
        }
    }

    /// Octets that arrived in order, whether read or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.receiver.octets()
    }

    /// When the first `octets` octets had arrived in order, if they have.
    #[must_use]
    pub fn received_at(&self, octets: u64) -> Option<Instant> {
        self.receiver.received_at(octets)
    }

    /// Octets that the peer has acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let end = self.sender.source.end();
        self.sender.una.min(end) - FIRST_OCTET
    }

    /// What the peer, or a box on the way, did wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults.all
    }

    /// The first fault that no network explains; see [`Fault::may_be_network`].
    #[must_use]
    pub fn grave_fault(&self) -> Option<&Fault> {
        self.faults.all.iter().find(|fault| !fault.may_be_network())
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &LinuxStats {
        &self.sender.stats
    }

    /// Congestion window and slow-start threshold in segments; the threshold is `u32::MAX` at first.
    #[must_use]
    pub const fn congestion_window(&self) -> (u32, u32) {
        let congestion = &self.sender.congestion;
        (congestion.cwnd, congestion.ssthresh)
    }

    /// The smoothed round-trip time.
    #[must_use]
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        self.sender.rtt.smoothed().map(Duration::from_micros)
    }

    /// Octets that may yet arrive within the window that was announced last.
    #[must_use]
    pub const fn receive_window(&self) -> u64 {
        self.receiver.window.left(self.receiver.rcv_nxt)
    }

    /// Payload octets of a full segment, once the handshake is over.
    #[must_use]
    pub const fn segment_size(&self) -> u32 {
        self.sender.mss
    }

    /// Whether the handshake is over and the connection was not reset.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.life == Life::Open
    }

    /// Whether both directions are closed and acknowledged.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed() && self.sender.source.is_over(self.sender.una)
    }

    /// When [`Endpoint::is_done`] became true.
    #[must_use]
    pub const fn finished_at(&self) -> Option<Instant> {
        self.finished_at
    }

    /// Lets a scripted application write what is due.
    fn write(&mut self, now: Instant) {
        let received = self.receiver.octets();
        if let (Some(application), Source::Written { octets, closed }) =
            (&mut self.application, &mut self.sender.source)
        {
            let (written, closes) = application.advance(now, received);
            *octets += written;
            *closed |= closes;
        }
    }

    /// When a scripted application writes next.
    fn next_write(&self) -> Option<Instant> {
        self.application.as_ref()?.next_at()
    }

    /// Everything that follows from a change: reading, sending, acknowledging.
    pub(super) fn work(&mut self, now: Instant) {
        if self.life == Life::Open {
            if self.receiver.read(now) {
                self.receiver.acks.now = true;
            }
            let closed = self.receiver.is_closed() && self.receiver.is_drained();
            if closed && self.sender.source == Source::Nothing {
                self.sender.source = Source::Total(0);
            }
            self.write(now);
            self.transmit(now);
            if self.sender.gave_up {
                self.faults.segment = None;
                self.faults.add(now, FaultKind::GaveUp);
                self.life = Life::Dead;
            }
        }
        if self.finished_at.is_none() && self.is_done() {
            self.finished_at = Some(now);
        }
    }
}

impl Endpoint for LinuxHost {
    fn receive(&mut self, now: Instant, packet: Vec<u8>) {
        self.input(now, &packet);
        self.work(now);
    }

    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.handshake.timer.is_some_and(|at| at <= now) {
            self.handshake_timer(now);
        }
        if self.life == Life::Open {
            let read = core::mem::take(&mut self.handshake.read_now)
                || self.receiver.next_read().is_some_and(|at| at <= now);
            let send = self.sender.on_timers(now);
            let owed = self.receiver.acks.on_timer(now);
            let write = self.next_write().is_some_and(|at| at <= now);
            if read || send || owed || write {
                self.work(now);
            }
        }
        core::mem::take(&mut self.outgoing)
    }

    fn next_at(&mut self, now: Instant) -> Option<Instant> {
        if !self.outgoing.is_empty() {
            return Some(now);
        }
        if self.life != Life::Open {
            return self.handshake.timer;
        }
        if self.handshake.read_now {
            return Some(now);
        }
        let timers = [
            self.sender.next_at(),
            self.receiver.next_read(),
            self.receiver.acks.next_at(),
            self.next_write(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Both directions are closed and acknowledged and all was read, or the connection is dead.
    fn is_done(&self) -> bool {
        self.life == Life::Dead || (self.is_closed() && self.receiver.is_drained())
    }
}
