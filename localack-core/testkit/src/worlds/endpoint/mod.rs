//! An abstract end of the connection: RFC 9293 with one retransmission timer, go-back repair, SACK as
//! a receiver, and a window that is never taken back. It is strict where real hosts differ (rules
//! H1.1b, H2.3, H2.4): what it accepts, they all accept.

mod input;
mod output;

use localack_core::Port;

use super::scope::{App, MSS, Scope};
use super::segment::Segment;
use crate::packet::Flags;

/// Retransmission time-out before any doubling, in microseconds.
const RTO_US: u64 = 300_000;
/// Most doublings.
const MOST_DOUBLINGS: u8 = 6;

/// Where an end is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Listen,
    SynSent,
    SynReceived,
    /// From ESTABLISHED to TIME-WAIT; the other fields say how far.
    Open,
    /// It closed after its peer and everything was acknowledged: no state is left.
    Closed,
    /// It has reset the connection itself.
    Aborted,
    /// It was reset.
    Reset,
    /// It has fallen silent for ever.
    Vanished,
}

/// One end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct End {
    pub(super) port: Port,
    pub(super) life: Life,
    /// Octets that the application has written.
    written: u32,
    /// Whether the application has closed.
    closed: bool,
    pub(super) snd_una: u32,
    pub(super) snd_nxt: u32,
    /// Right edge of the peer's window, and SND.WL1 and SND.WL2.
    wnd_edge: u32,
    wl1: u32,
    wl2: u32,
    max_window: u32,
    /// What lies before this was in flight at a time-out, and is repeated step by step.
    recover: u32,
    pub(super) rcv_nxt: u32,
    /// Ranges held out of order, the newest first.
    held: Vec<(u32, u32)>,
    /// The sequence number of the peer's FIN, if it was seen.
    peer_fin: Option<u32>,
    /// Whether the FIN was sent after the peer's had arrived (LAST-ACK rather than FIN-WAIT).
    passive: bool,
    /// Octets that the application has read.
    read: u32,
    /// Right edge of the window that was announced.
    edge: u32,
    /// When the timer expires, in microseconds.
    timer: Option<u64>,
    doublings: u8,
    /// TS.Recent, and the ACK last sent (RFC 7323 section 4.3).
    ts_recent: u32,
    last_ack_sent: u32,
}

/// What becomes of a step of an end.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Segments that it sends.
    pub(super) segments: Vec<Segment>,
    /// What it found that no network may do.
    pub(super) faults: Vec<String>,
}

impl End {
    /// The end on `port` before the connection.
    pub(super) fn new(port: Port, scope: &Scope) -> Self {
        let app = scope.app(port);
        Self {
            port,
            life: if scope.client == port {
                Life::SynSent
            } else {
                Life::Listen
            },
            written: if app.stepwise { 0 } else { app.octets() },
            closed: false,
            snd_una: 0,
            snd_nxt: 0,
            wnd_edge: 0,
            wl1: 0,
            wl2: 0,
            max_window: 0,
            recover: 0,
            rcv_nxt: 0,
            held: Vec::new(),
            peer_fin: None,
            passive: false,
            read: 0,
            edge: 1 + app.buffer(),
            timer: None,
            doublings: 0,
            ts_recent: 0,
            last_ack_sent: 0,
        }
    }

    /// The client begins.
    pub(super) fn connect(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        self.send_syn(now, scope, out);
    }

    /// The application writes its next segment.
    pub(super) fn write(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        self.written += MSS;
        self.push(now, scope, out);
    }

    pub(super) fn can_write(&self, app: &App) -> bool {
        self.life == Life::Open && !self.closed && self.written < app.octets()
    }

    /// The application closes its direction.
    pub(super) fn close(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        self.closed = true;
        self.push(now, scope, out);
    }

    pub(super) fn can_close(&self, app: &App) -> bool {
        self.life == Life::Open && app.closes && !self.closed && self.written == app.octets()
    }

    /// The application reads what has arrived.
    pub(super) fn read(&mut self, now: u64, scope: &Scope, out: &mut Output) {
        let before = self.edge;
        self.read = self.readable();
        self.raise_edge(scope.app(self.port));
        if self.edge > before {
            self.send_ack(now, scope, out);
        }
    }

    pub(super) fn can_read(&self) -> bool {
        self.life == Life::Open && self.readable() > self.read
    }

    /// The application resets the connection.
    pub(super) fn abort(&mut self, scope: &Scope, now: u64, out: &mut Output) {
        let segment = self.segment(now, scope, Flags::RST | Flags::ACK, self.snd_nxt, 0);
        out.segments.push(segment);
        self.life = Life::Aborted;
        self.timer = None;
    }

    pub(super) fn can_abort(&self, app: &App) -> bool {
        app.aborts && self.life == Life::Open
    }

    /// The host loses its power, or its link.
    pub(super) fn vanish(&mut self) {
        self.life = Life::Vanished;
        self.timer = None;
    }

    pub(super) fn can_vanish(&self, app: &App) -> bool {
        app.vanishes && self.life == Life::Open
    }

    /// Octets in order that the application may have.
    fn readable(&self) -> u32 {
        let fin = self.peer_fin.is_some_and(|fin| self.rcv_nxt > fin);
        self.rcv_nxt.saturating_sub(1 + u32::from(fin))
    }

    /// First number after all that the application has written, its FIN included.
    fn end(&self) -> u32 {
        1 + self.written + u32::from(self.closed)
    }

    /// Octets of the peer's data that have arrived in order.
    pub(super) fn delivered(&self) -> u32 {
        self.readable()
    }

    /// When its timer expires, in microseconds.
    pub(super) fn timer(&self) -> Option<u64> {
        self.timer
    }

    /// Whether all that the application wanted to say has been said and acknowledged.
    pub(super) fn has_said_all(&self, app: &App) -> bool {
        self.written == app.octets() && self.closed == app.closes && self.snd_una == self.end()
    }

    /// Whether all that the peer's application wants to say has arrived and was read.
    pub(super) fn has_heard_all(&self, peer: &App) -> bool {
        self.rcv_nxt == 1 + peer.octets() + u32::from(peer.closes) && !self.can_read()
    }

    /// Whether it would be in TIME-WAIT, if it has not been reset.
    fn has_parted(&self) -> bool {
        self.closed
            && self.snd_una == self.end()
            && self.peer_fin.is_some_and(|fin| self.rcv_nxt > fin)
    }

    /// Whether anything of it is unacknowledged or unsent, so that it will speak by itself.
    pub(super) fn has_more_to_say(&self) -> bool {
        self.snd_una < self.end()
    }
}
