//! Two TUN devices joined by an emulated link.

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tun_rs::SyncDevice;

use crate::capture::Capture;
use crate::clock::Clock;
use crate::link::{Link, LinkCounters};

/// Room for the longest IP packet a device can hand over, in octets.
const LONGEST_PACKET: usize = 65_535;

/// Packets read from one device before the other, and due packets, get their turn.
const BURST: usize = 64;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    LeftToRight,
    RightToLeft,
}

/// When an emulation ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// How long packets are carried.
    pub duration: Option<Duration>,
    /// How many packets are taken in, both ways together; what is under way then still arrives.
    pub packets: Option<u64>,
}

impl Limits {
    fn out_of_time(&self, now: Duration) -> bool {
        self.duration.is_some_and(|duration| now >= duration)
    }
}

/// One device and the link that leads away from it.
struct Side {
    device: SyncDevice,
    outbound: Link,
    /// Packets the device would not take, for example because it had been set down.
    refused: u64,
}

/// Two devices and the link between them. See [`Emulation::run`].
pub struct Emulation<W: Write> {
    left: Side,
    right: Side,
    clock: Clock,
    capture: Option<Capture<W>>,
}

impl<W: Write> fmt::Debug for Emulation<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulation")
            .field("left_to_right", self.left.outbound.counters())
            .field("right_to_left", self.right.outbound.counters())
            .finish_non_exhaustive()
    }
}

impl<W: Write> Emulation<W> {
    /// Joins `left` and `right`, both non-blocking, by a link with one set of settings each way.
    ///
    /// With a `capture`, every packet that the left device sends or receives is written to it: a
    /// capture beside the left end, before the link takes anything away.
    pub fn new(
        left: SyncDevice,
        right: SyncDevice,
        left_to_right: Link,
        right_to_left: Link,
        capture: Option<Capture<W>>,
    ) -> Self {
        let side = |device, outbound| Side {
            device,
            outbound,
            refused: 0,
        };
        Self {
            left: side(left, left_to_right),
            right: side(right, right_to_left),
            clock: Clock::start(),
            capture,
        }
    }

    /// Carries packets until a limit is reached or `stop` becomes readable, then finishes the
    /// capture and says what has been done.
    ///
    /// # Errors
    ///
    /// When a device is gone or the capture cannot be written.
    pub fn run(mut self, limits: Limits, stop: BorrowedFd<'_>) -> Result<Report, RunError> {
        let mut buffer = vec![0; LONGEST_PACKET];
        loop {
            self.deliver_due(Way::LeftToRight)?;
            self.deliver_due(Way::RightToLeft)?;
            let accepts = limits.packets.is_none_or(|most| self.taken_in() < most);
            let idle = self.left.outbound.held() == 0 && self.right.outbound.held() == 0;
            if limits.out_of_time(self.clock.now()) || (!accepts && idle) {
                break;
            }
            let ready = self.wait(limits, accepts, stop)?;
            if ready.stop {
                break;
            }
            if ready.left {
                self.take_in(Way::LeftToRight, limits, &mut buffer)?;
            }
            if ready.right {
                self.take_in(Way::RightToLeft, limits, &mut buffer)?;
            }
        }
        self.finish()
    }

    fn finish(self) -> Result<Report, RunError> {
        if let Some(capture) = self.capture {
            capture.finish().map_err(RunError::Capture)?;
        }
        let direction = |from: &Side, to: &Side| DirectionReport {
            link: *from.outbound.counters(),
            refused: to.refused,
            held: from.outbound.held(),
        };
        Ok(Report {
            left_to_right: direction(&self.left, &self.right),
            right_to_left: direction(&self.right, &self.left),
        })
    }

    fn taken_in(&self) -> u64 {
        let packets = |side: &Side| side.outbound.counters().packets_in;
        packets(&self.left).saturating_add(packets(&self.right))
    }

    /// Sleeps until a device has a packet, a packet is due, time is up, or `stop` is readable.
    fn wait(&self, limits: Limits, accepts: bool, stop: BorrowedFd<'_>) -> Result<Ready, RunError> {
        let deadlines = [
            self.left.outbound.next_deadline(),
            self.right.outbound.next_deadline(),
            limits.duration,
        ];
        let wake = deadlines.into_iter().flatten().min();
        let timeout = wake.map(|at| TimeSpec::from(at.saturating_sub(self.clock.now())));
        let interest = if accepts {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        let mut fds = [
            PollFd::new(self.left.device.as_fd(), interest),
            PollFd::new(self.right.device.as_fd(), interest),
            PollFd::new(stop, PollFlags::POLLIN),
        ];
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(RunError::Wait(error.into())),
        }
        let [left, right, stop] = fds.map(|fd| fd.any().unwrap_or(false));
        Ok(Ready { left, right, stop })
    }

    /// Takes a bounded number of packets from the device the way begins at.
    fn take_in(&mut self, way: Way, limits: Limits, buffer: &mut [u8]) -> Result<(), RunError> {
        for _ in 0..BURST {
            if limits.packets.is_some_and(|most| self.taken_in() >= most) {
                break;
            }
            let side = match way {
                Way::LeftToRight => &mut self.left,
                Way::RightToLeft => &mut self.right,
            };
            let packet = match side.device.recv(buffer) {
                Ok(len) => buffer.get(..len).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RunError::Device(way.begins(), error)),
            };
            let now = self.clock.now();
            side.outbound.push(now, packet.to_vec());
            if way == Way::LeftToRight {
                record(&mut self.capture, &self.clock, now, packet)?;
            }
        }
        Ok(())
    }

    /// Hands every packet that is due to the device the way ends at.
    fn deliver_due(&mut self, way: Way) -> Result<(), RunError> {
        let (from, to) = match way {
            Way::LeftToRight => (&mut self.left, &mut self.right),
            Way::RightToLeft => (&mut self.right, &mut self.left),
        };
        // One reading of the clock for the round: packets that become due meanwhile wait for the
        // next, so a loaded machine still gets round to reading.
        let horizon = self.clock.now();
        while let Some(packet) = from.outbound.pop_due(horizon) {
            if way == Way::RightToLeft {
                record(&mut self.capture, &self.clock, self.clock.now(), &packet)?;
            }
            // A device that is down or a packet that corruption has made unreadable is no reason
            // to end the emulation: real networks drop such packets as well.
            if to.device.send(&packet).is_err() {
                to.refused += 1;
            }
        }
        Ok(())
    }
}

impl Way {
    fn begins(self) -> &'static str {
        match self {
            Self::LeftToRight => "left",
            Self::RightToLeft => "right",
        }
    }
}

fn record<W: Write>(
    capture: &mut Option<Capture<W>>,
    clock: &Clock,
    now: Duration,
    packet: &[u8],
) -> Result<(), RunError> {
    match capture {
        Some(capture) => capture
            .write(clock.stamp(now), packet)
            .map_err(RunError::Capture),
        None => Ok(()),
    }
}

/// Which descriptors had something to say.
struct Ready {
    left: bool,
    right: bool,
    stop: bool,
}

/// Why an emulation ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A device cannot be read any more.
    #[error("the {0} device is gone: {1}")]
    Device(&'static str, #[source] io::Error),
    /// The capture cannot be written.
    #[error("cannot write the capture: {0}")]
    Capture(#[source] io::Error),
    /// The kernel refuses to wait for the devices.
    #[error("cannot wait for packets: {0}")]
    Wait(#[source] io::Error),
}

/// What an emulation did, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// From the left device to the right one.
    pub left_to_right: DirectionReport,
    /// From the right device to the left one.
    pub right_to_left: DirectionReport,
}

/// What an emulation did one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectionReport {
    /// What the link did.
    pub link: LinkCounters,
    /// Packets that had crossed the link and that the receiving device would not take.
    pub refused: u64,
    /// Packets that were still under way at the end.
    pub held: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directions = [
            ("left to right", &self.left_to_right),
            ("right to left", &self.right_to_left),
        ];
        for (
            name,
            DirectionReport {
                link,
                refused,
                held,
            },
        ) in directions
        {
            writeln!(
                f,
                "{name}: {link}, refused by the device {refused}, still under way {held}"
            )?;
        }
        Ok(())
    }
}
