//! What a receiver's host gets and says, from a capture beside it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use localack_core::wire::{Flags, Parsed, Segment, parse_headers};
use localack_tun::netns;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// How long a reader waits before it looks whether it should stop.
const GLANCE: u16 = 50;
/// Headers of IP and TCP with all options.
const HEADERS: usize = 128;

/// A window that a receiver has offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Offer {
    /// When it left the receiver, in seconds since the SYN had come to it.
    pub(crate) at: f64,
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
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        let ended = Arc::<AtomicBool>::default();
        let end = Arc::clone(&ended);
        let reader = thread::spawn(move || {
            let mut offers = Offers::default();
            while !end.load(Ordering::Relaxed) {
                let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                poll(&mut wanted, PollTimeout::from(GLANCE)).unwrap();
                while let Some((at, octets)) = next(&socket) {
                    if let Parsed::Tcp(seg) = parse_headers(&octets) {
                        offers.take(at, &seg);
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

/// The beginning of the next packet, and when the kernel had it.
fn next(socket: &OwnedFd) -> Option<(Duration, Vec<u8>)> {
    let mut room = vec![0; HEADERS];
    let mut pieces = [IoSliceMut::new(&mut room)];
    let mut space = nix::cmsg_space!(TimeSpec);
    let fd = socket.as_raw_fd();
    let message = recvmsg::<()>(fd, &mut pieces, Some(&mut space), MsgFlags::empty()).ok()?;
    let octets = message.bytes;
    let at = message.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    let at = at.unwrap();
    room.truncate(octets);
    Some((at, room))
}

/// What is known of the connection whose SYN came first.
#[derive(Default)]
struct Offers {
    /// When the SYN came, the sender's port and its first octet's number.
    begun: Option<(Duration, u16, u32)>,
    shift: u8,
    taken: Vec<Offer>,
}

impl Offers {
    fn take(&mut self, at: Duration, seg: &Segment) {
        let is_syn = seg.flags.contains(Flags::SYN);
        let Some((begun, port, first)) = self.begun else {
            if is_syn && !seg.flags.contains(Flags::ACK) {
                self.begun = Some((at, seg.src_port, seg.seq.raw().wrapping_add(1)));
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
            at: at.saturating_sub(begun).as_secs_f64(),
            acknowledged,
            edge: acknowledged + window,
        });
    }
}
