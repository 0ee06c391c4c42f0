//! The two devices of an engine, and what goes out of them.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use localack_core::{Event, Instant, Port, Sink, SinkFull, Transmit};
use nix::errno::Errno;
use nix::sys::uio::{readv, writev};
use tun_rs::SyncDevice;

use super::ethernet::{Lead, Leads, MOST_LEAD};
use super::frame::{self, FRAME_HEADER};
use super::held_back::HeldBack;
use super::hops;
use super::journal::Reporter;
use super::replica::Outcome;

/// Most pieces of one packet: what the kernel is told, the headers and blocks of the pool.
const MOST_PIECES: usize = 64;
/// Room for the headers of IP and TCP.
const MOST_HEADERS: usize = 128;

/// What became of a packet that was to go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The kernel has it.
    Yes,
    /// The kernel has no room, or the device is down: later perhaps.
    Full,
    /// The kernel will never take it.
    Refused,
}

/// What the devices did not take or give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceCounters {
    /// Packets that could not be sent because the kernel had no room or a device was down.
    pub full: u64,
    /// Packets that the kernel would not take.
    pub refused: u64,
    /// Packets that came in without a sensible account of their state, and went on as they were.
    pub odd: u64,
    /// Packets that came in at one queue and were handed over to the engine of another.
    pub handed_over: u64,
    /// Packets that were dropped because the engine of another queue did not keep up.
    pub not_handed_over: u64,
}

/// Devices with offloads: the inner side's and the outer side's.
pub(super) struct Outlet {
    devices: [SyncDevice; 2],
    pub(super) counters: DeviceCounters,
    reporter: Option<Reporter>,
    /// Where the devices carry frames of Ethernet.
    pub(super) leads: Option<Leads>,
    /// Whether the kernel takes a hop for forwarding a packet to here, and another.
    pub(super) routed: bool,
    gather: Vec<u8>,
    /// What becomes of the engine's packets, where a standby is told.
    pub(super) outcome: Option<Outcome>,
    /// What waits for a standby's word, where that is waited for, or for the end of the engine's work.
    pub(super) held_back: Option<HeldBack>,
}

impl Outlet {
    pub(super) fn new(
        devices: [SyncDevice; 2],
        reporter: Option<Reporter>,
        leads: Option<Leads>,
        routed: bool,
    ) -> Self {
        Self {
            devices,
            leads,
            routed,
            counters: DeviceCounters::default(),
            reporter,
            // What it takes is known: a super-segment and its headers.
            outcome: None,
            held_back: None,
            gather: Vec::with_capacity(usize::from(u16::MAX) + FRAME_HEADER + MOST_LEAD),
        }
    }

    fn device(&self, port: Port) -> &SyncDevice {
        let [inner, outer] = &self.devices;
        match port {
            Port::Inner => inner,
            Port::Outer => outer,
        }
    }

    pub(super) fn fd(&self, port: Port) -> BorrowedFd<'_> {
        self.device(port).as_fd()
    }

    /// The next packet that has come in by `port`, as octets of `packet`, and what the kernel says of it.
    pub(super) fn receive(
        &self,
        port: Port,
        header: &mut [u8; FRAME_HEADER],
        packet: &mut [u8],
    ) -> Result<usize, Errno> {
        let mut pieces = [IoSliceMut::new(header), IoSliceMut::new(packet)];
        let octets = readv(self.fd(port), &mut pieces)?;
        Ok(octets.saturating_sub(FRAME_HEADER))
    }

    /// Sends a packet of a host's on.
    pub(super) fn pass(&mut self, port: Port, header: &[u8; FRAME_HEADER], packet: &[u8]) -> Sent {
        let pieces = [IoSlice::new(header), IoSlice::new(packet)];
        let sent = match &mut self.held_back {
            Some(held_back) if !held_back.lets_pass() => taken(held_back.take(port, &pieces)),
            _ => judge(writev(self.fd(port), &pieces)),
        };
        self.count(sent);
        sent
    }

    /// Sends what has waited for no standby, or for one that has `confirmed` records now. Whether the kernel had
    /// no room for something.
    pub(super) fn release(&mut self, confirmed: u64) -> bool {
        let Some(mut held_back) = self.held_back.take() else {
            return false;
        };
        let mut is_full = false;
        while let Some(held) = held_back.ready(confirmed) {
            let sent = judge(writev(self.fd(held.port), &[IoSlice::new(&held.octets)]));
            self.count(sent);
            if sent == Sent::Full {
                is_full = true;
                break;
            }
            held_back.gone();
        }
        self.held_back = Some(held_back);
        is_full
    }

    const fn count(&mut self, sent: Sent) {
        match sent {
            Sent::Yes => {}
            Sent::Full => self.counters.full = self.counters.full.saturating_add(1),
            Sent::Refused => self.counters.refused = self.counters.refused.saturating_add(1),
        }
    }

    /// Writes a packet of the engine's in one piece after the other, or gathered if there are many.
    fn write(&mut self, frame: &[u8], lead: &[u8], headers: &[u8], packet: &Transmit<'_>) -> Sent {
        let before = [frame, lead, headers];
        let all = || {
            let before = before.into_iter().filter(|octets| !octets.is_empty());
            before.chain(packet.slices().skip(1))
        };
        let mut pieces = [IoSlice::new(&[]); MOST_PIECES];
        let mut count = 0;
        for (cell, octets) in pieces.iter_mut().zip(all()) {
            *cell = IoSlice::new(octets);
            count += 1;
        }
        let port = packet.port();
        if let (Some(held_back), true) = (&mut self.held_back, count < MOST_PIECES) {
            return taken(held_back.take(port, pieces.get(..count).unwrap_or_default()));
        }
        let [inner, outer] = &self.devices;
        let device = match port {
            Port::Inner => inner,
            Port::Outer => outer,
        };
        if count < MOST_PIECES {
            return judge(writev(device, pieces.get(..count).unwrap_or_default()));
        }
        self.gather.clear();
        for octets in all() {
            self.gather.extend_from_slice(octets);
        }
        let gathered = [IoSlice::new(&self.gather)];
        match &mut self.held_back {
            Some(held_back) => taken(held_back.take(port, &gathered)),
            None => judge(writev(device, &gathered)),
        }
    }
}

/// Whether there was room for it to wait.
const fn taken(is_taken: bool) -> Sent {
    if is_taken { Sent::Yes } else { Sent::Full }
}

fn judge(written: nix::Result<usize>) -> Sent {
    match written {
        Ok(_) => Sent::Yes,
        // EIO: the device is down.
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR | Errno::EIO) => {
            Sent::Full
        }
        Err(_) => Sent::Refused,
    }
}

impl Outlet {
    /// Sends a packet of the engine's.
    fn send(&mut self, packet: &Transmit<'_>) -> Result<(), SinkFull> {
        let mut room = [0; MOST_HEADERS];
        let given = packet.header();
        let Some(headers) = room.get_mut(..given.len()) else {
            self.count(Sent::Refused);
            return Ok(());
        };
        headers.copy_from_slice(given);
        let lead = match &self.leads {
            None => {
                if self.routed {
                    hops::give_back(headers);
                }
                None
            }
            Some(leads) => match leads.of(packet.flow(), packet.port()) {
                None => {
                    self.count(Sent::Refused);
                    return Ok(());
                }
                lead => lead,
            },
        };
        let lead = lead.as_ref().map_or(&[][..], Lead::octets);
        let frame = match packet.gso_size() {
            0 => Some(frame::PLAIN),
            gso_size => frame::to_be_cut(headers, lead.len(), gso_size),
        };
        let sent = match frame {
            Some(frame) => self.write(&frame, lead, headers, packet),
            None => Sent::Refused,
        };
        self.count(sent);
        match sent {
            Sent::Full => Err(SinkFull),
            // As if it was lost on the way: it will be repeated.
            Sent::Yes | Sent::Refused => Ok(()),
        }
    }
}

impl Sink for Outlet {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let sent = self.send(&packet);
        if let Some(outcome) = &mut self.outcome {
            outcome.note(sent.is_err());
        }
        sent
    }

    fn event(&mut self, _: Instant, event: Event) {
        if let Some(reporter) = &self.reporter {
            reporter.report(event);
        }
    }
}
