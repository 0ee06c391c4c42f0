//! What leaves an engine for C: packets and news.

use core::ffi::c_void;

use localack_core::{Event, Instant, Sink, SinkFull, Transmit};

use crate::abi::{Callbacks, PacketInfo, Part};
use crate::convert::{news, side};

/// A packet that the engine wants sent, for the time of the callback that gets it.
#[expect(
    missing_debug_implementations,
    reason = "C looks at it through functions"
)]
pub struct Packet<'p> {
    pub(crate) info: PacketInfo,
    pub(crate) next: &'p mut dyn FnMut() -> Part,
}

/// Calls C.
#[derive(Debug)]
pub(crate) struct Output {
    callbacks: Callbacks,
    transmit: unsafe extern "C" fn(*mut c_void, *mut Packet<'_>) -> bool,
}

impl Output {
    /// `None` if there is nobody to take packets.
    pub(crate) fn new(callbacks: Callbacks) -> Option<Self> {
        let transmit = callbacks.transmit?;
        Some(Self {
            callbacks,
            transmit,
        })
    }
}

/// No part.
const NONE: Part = Part {
    data: core::ptr::null(),
    length: 0,
};

impl Sink for Output {
    fn transmit(&mut self, packet: Transmit<'_>) -> Result<(), SinkFull> {
        let length = |octets: usize| u32::try_from(octets).unwrap_or(u32::MAX);
        let info = PacketInfo {
            side: side(packet.port()),
            kind: packet.kind().number(),
            gso_size: packet.gso_size(),
            headers: length(packet.header().len()),
            length: length(packet.wire_len()),
            link: packet.link().0,
            flow: packet.flow().to_bits(),
        };
        let mut parts = packet.slices();
        let mut next = || {
            parts.next().map_or(NONE, |part| Part {
                data: part.as_ptr(),
                length: part.len(),
            })
        };
        let mut packet = Packet {
            info,
            next: &mut next,
        };
        // SAFETY: whoever gave the callback and its context promised that they can be called so as long as the
        // engine lives. The packet outlives the call.
        let taken = unsafe { (self.transmit)(self.callbacks.context, &raw mut packet) };
        if taken { Ok(()) } else { Err(SinkFull) }
    }

    fn event(&mut self, now: Instant, event: Event) {
        if let Some(callback) = self.callbacks.news {
            let news = news(event);
            // SAFETY: as above.
            unsafe { callback(self.callbacks.context, now.as_micros(), &raw const news) };
        }
    }
}
