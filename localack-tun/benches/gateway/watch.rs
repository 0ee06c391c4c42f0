//! What a receiver's host gets and says, from a capture beside it.

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use localack_core::wire::{Flags, Parsed, Segment, parse_headers};
use localack_tun::netns;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

/// How long a reader waits before it looks whether it should stop.
const GLANCE: u16 = 50;
/// Room for the headers of IP and TCP with all options; what is behind them is not looked at.
const HEADERS: usize = 128;

/// A window that a receiver has offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Offer {
    /// Octets that it acknowledged.
    pub(crate) acknowledged: u64,
    /// How far its sender may go then, in octets from the beginning of the stream.
    pub(crate) edge: u64,
}

/// Takes down what the receiver of one upload offers.
pub(crate) struct Watch {
    ended: Arc<AtomicBool>,
    reader: JoinHandle<Vec<Offer>>,
}

impl Watch {
    /// Watches in a namespace, whose host is the receiver, until it is asked.
    pub(crate) fn start(namespace: &str) -> Self {
        let socket = netns::within(namespace, || {
            socket(
                AddressFamily::Packet,
                SockType::Datagram,
                SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )
        })
        .unwrap()
        .unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).unwrap();
        let ended = Arc::<AtomicBool>::default();
        let end = Arc::clone(&ended);
        let reader = thread::spawn(move || {
            let mut offers = Offers::default();
            while !end.load(Ordering::Relaxed) {
                let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                poll(&mut wanted, PollTimeout::from(GLANCE)).unwrap();
                let mut room = [0; HEADERS];
                while let Ok(octets) = recv(socket.as_raw_fd(), &mut room, MsgFlags::empty()) {
                    if let Parsed::Tcp(seg) = parse_headers(&room[..octets]) {
                        offers.take(&seg);
                    }
                }
            }
            offers.taken
        });
        Self { ended, reader }
    }

    /// What was offered, in its order.
    pub(crate) fn offers(self) -> Vec<Offer> {
        self.ended.store(true, Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

/// What is known of the connection whose SYN came first.
#[derive(Default)]
struct Offers {
    /// The sender's port and its first octet's number.
    begun: Option<(u16, u32)>,
    shift: u8,
    taken: Vec<Offer>,
}

impl Offers {
    fn take(&mut self, seg: &Segment) {
        let is_syn = seg.flags.contains(Flags::SYN);
        let Some((port, first)) = self.begun else {
            if is_syn && !seg.flags.contains(Flags::ACK) {
                self.begun = Some((seg.src_port, seg.seq.raw().wrapping_add(1)));
            }
            return;
        };
        if seg.dst_port != port || !seg.flags.contains(Flags::ACK) {
            return;
        }
        let mut window = u64::from(seg.window);
        if is_syn {
            self.shift = seg.options.window_scale.unwrap_or(0).min(14);
        } else {
            window <<= self.shift;
        }
        let acknowledged = u64::from(seg.ack.raw().wrapping_sub(first));
        self.taken.push(Offer {
            acknowledged,
            edge: acknowledged + window,
        });
    }
}
