//! What `etherparse` takes to parse a packet and to add it up.

use core::hint::black_box;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use localack_core::Port;

use crate::load::cases::BATCH;
use crate::load::{Case, Frame, Line, OUTER_FIRST, PAYLOAD, Say};

/// Full segments, parsed and verified. A unit is one of them.
#[derive(Debug)]
pub(super) struct Etherparse {
    frames: Vec<Frame>,
    right: u32,
}

impl Etherparse {
    /// As many frames as in a batch.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            frames: Frame::ring(BATCH, PAYLOAD),
            right: 0,
        }
    }
}

/// Whether a packet is a TCP segment with a right checksum.
fn is_right(packet: &[u8]) -> bool {
    let Ok(sliced) = SlicedPacket::from_ip(packet) else {
        return false;
    };
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
        (&sliced.net, &sliced.transport)
    else {
        return false;
    };
    let header = ip.header();
    let sum = tcp.calc_checksum_ipv4(header.source(), header.destination());
    sum.is_ok_and(|sum| sum == tcp.checksum())
}

impl Case for Etherparse {
    fn prepare(&mut self) {
        for frame in &mut self.frames {
            frame.write(Port::Inner, Line(0), Say::ack(1, OUTER_FIRST));
        }
    }

    fn run(&mut self) -> u32 {
        self.right = 0;
        for frame in &mut self.frames {
            self.right += u32::from(is_right(black_box(frame.packet())));
        }
        BATCH as u32
    }

    fn check(&mut self) -> Result<(), String> {
        if self.right == BATCH as u32 {
            Ok(())
        } else {
            Err(format!(
                "etherparse takes {} of {BATCH} packets",
                self.right
            ))
        }
    }
}
