//! An engine between two devices, and the loop that keeps it going.

use core::time::Duration;
use std::os::fd::{AsFd, BorrowedFd};

use localack_core::{Config, ConfigError, Counters, Engine, Instant, Policy, Poll, Port, Verdict};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tun_rs::SyncDevice;

use super::frame::{self, FRAME_HEADER};
use super::hops;
use super::memory::Memory;
use super::outlet::{DeviceCounters, Outlet, Sent};
use crate::clock::Clock;

/// The longest packet, in octets.
const LONGEST_PACKET: usize = 65_535;
/// Packets taken from one device before the other has its turn.
const BURST: usize = 64;
/// Packets that one call of the engine's `poll` may send.
const BUDGET: usize = 64;
/// Calls of `poll` before the devices have their turn again.
const MOST_POLLS: usize = 16;
/// How soon a sink that was full is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A device is gone.
    #[error("the device of the {0} side is gone")]
    Gone(&'static str),
    /// The kernel says something else.
    #[error("cannot wait for packets: {0}")]
    Wait(#[source] Errno),
}

/// An engine and its two devices.
pub(super) struct Worker<'m, P> {
    engine: Engine<'m, P>,
    outlet: Outlet,
    clock: Clock,
    packet: Vec<u8>,
}

impl<'m, P: Policy> Worker<'m, P> {
    pub(super) fn new(
        memory: &'m mut Memory,
        config: Config,
        policy: P,
        devices: [SyncDevice; 2],
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            engine: Engine::new(memory.storage(), config, policy)?,
            outlet: Outlet::new(devices),
            clock,
            packet: vec![0; LONGEST_PACKET],
        })
    }

    fn now(&self) -> Instant {
        let micros = self.clock.now().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(super) fn counters(&self) -> (Counters, DeviceCounters) {
        (*self.engine.counters(), self.outlet.counters)
    }

    /// Carries packets until `stop` becomes readable.
    pub(super) fn run(&mut self, stop: BorrowedFd<'_>) -> Result<(), WorkerError> {
        loop {
            let wait = self.settle();
            let ready = self.wait(wait, stop)?;
            if ready.stop {
                return Ok(());
            }
            for (port, ready) in [(Port::Inner, ready.inner), (Port::Outer, ready.outer)] {
                if ready {
                    self.take_in(port)?;
                }
            }
        }
    }

    /// Does what is due. How long nothing will be; `None`: until a packet comes.
    fn settle(&mut self) -> Option<Duration> {
        for _ in 0..MOST_POLLS {
            let now = self.now();
            match self.engine.poll(now, BUDGET, &mut self.outlet) {
                Poll::More => {}
                Poll::Blocked => return Some(RETRY),
                Poll::Idle => {
                    let due = self.engine.next_deadline()?;
                    return Some(due.since(now));
                }
            }
        }
        Some(Duration::ZERO)
    }

    fn wait(&self, wait: Option<Duration>, stop: BorrowedFd<'_>) -> Result<Ready, WorkerError> {
        let mut fds = [
            PollFd::new(self.outlet.fd(Port::Inner), PollFlags::POLLIN),
            PollFd::new(self.outlet.fd(Port::Outer), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        let wait = wait.map(TimeSpec::from_duration);
        match ppoll(&mut fds, wait, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(WorkerError::Wait(error)),
        }
        let [inner, outer, stop] = fds.map(|fd| fd.any().unwrap_or(false));
        Ok(Ready { inner, outer, stop })
    }

    /// Takes in what waits at a device, up to a burst.
    fn take_in(&mut self, port: Port) -> Result<(), WorkerError> {
        for _ in 0..BURST {
            let mut header = [0; FRAME_HEADER];
            let length = match self.outlet.receive(port, &mut header, &mut self.packet) {
                Ok(length) => length,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(_) => {
                    let side = match port {
                        Port::Inner => "inner",
                        Port::Outer => "outer",
                    };
                    return Err(WorkerError::Gone(side));
                }
            };
            let now = self.now();
            let packet = self.packet.get_mut(..length).unwrap_or_default();
            let goes_on = match frame::meta(&header) {
                Some(meta) => {
                    let outlet = &mut self.outlet;
                    match self.engine.ingest(port, now, packet, meta, outlet) {
                        Verdict::Pass(_) | Verdict::Forward => true,
                        Verdict::Absorb(_) | Verdict::Drop(_) => false,
                    }
                }
                None => {
                    self.outlet.counters.odd = self.outlet.counters.odd.saturating_add(1);
                    true
                }
            };
            if goes_on {
                hops::give_back(packet);
                let _: Sent = self.outlet.pass(port.other(), &header, packet);
            }
        }
        Ok(())
    }
}

/// What a wait has brought.
struct Ready {
    inner: bool,
    outer: bool,
    stop: bool,
}
