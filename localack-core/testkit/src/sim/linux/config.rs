//! How a host is set up.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::content::Content;
use super::listen::Listening;

/// Which congestion control a host uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinuxCongestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
}

/// Settings of a [`LinuxHost`](super::LinuxHost); the defaults are those of Linux 6.x on Ethernet.
#[derive(Clone, Debug)]
pub struct LinuxConfig {
    /// Its own address and port.
    pub own: SocketAddr,
    /// Its peer's; both of one family.
    pub peer: SocketAddr,
    /// Largest IP packet in octets; the MSS follows from it.
    pub mtu: u16,
    /// Most payload octets that are unacknowledged and queued (`tcp_wmem[2]`).
    pub send_buffer: usize,
    /// To what the receive buffer may grow (`tcp_rmem[2]`), in octets; half of it is window.
    pub receive_buffer_max: usize,
    /// The receive buffer it starts with (`tcp_rmem[1]`), in octets; half of it is window.
    pub receive_buffer: usize,
    /// Whether timestamps are offered and accepted (RFC 7323).
    pub timestamps: bool,
    /// Where the timestamp clock, which ticks in milliseconds, starts.
    pub timestamp_offset: u32,
    /// Whether selective acknowledgements are offered and accepted (RFC 2018).
    pub sack: bool,
    /// `None`: window scaling is not offered. Otherwise the least shift, 0 ..= 14; more is offered
    /// if `receive_buffer_max` needs it.
    pub window_scale: Option<u8>,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_window_segments: u32,
    /// Congestion control.
    pub congestion: LinuxCongestion,
    /// Whether slow start may end before a loss does it (HyStart++, RFC 9406).
    pub hystart: bool,
    /// Whether slow start may end as that of Linux's CUBIC does, by trains of acknowledgements or longer
    /// round trips; apart from `hystart`.
    pub classic_hystart: bool,
    /// Whether packets are spread over the round trip; Linux does so with the `fq` scheduler.
    pub paced: bool,
    /// Whether ECN is offered and accepted (RFC 3168).
    pub ecn: bool,
    /// Initial sequence number.
    pub isn: u32,
    /// Whether acknowledgements may be delayed.
    pub delayed_ack: bool,
    /// Whether it refuses, and holds against its peer, what any of Linux, FreeBSD and smoltcp refuses,
    /// instead of what Linux does.
    pub strict: bool,
    /// How it makes connections of what others send, if it listens.
    pub listening: Listening,
    /// What it sends; `None`: the pattern of its role.
    pub content: Option<Content>,
    /// What it must receive; `None`: the pattern of its peer's role.
    pub expected: Option<Content>,
}

impl Default for LinuxConfig {
    fn default() -> Self {
        let address = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        Self {
            own: SocketAddr::new(address(10), 40_000),
            peer: SocketAddr::new(address(20), 443),
            mtu: 1500,
            send_buffer: 4 << 20,
            receive_buffer_max: 6 << 20,
            receive_buffer: 128 << 10,
            timestamps: true,
            timestamp_offset: 0x4c1e_a70b,
            sack: true,
            window_scale: Some(0),
            initial_window_segments: 10,
            congestion: LinuxCongestion::Cubic,
            hystart: false,
            classic_hystart: false,
            paced: false,
            ecn: false,
            isn: 0x2f6b_3d15,
            delayed_ack: true,
            strict: false,
            listening: Listening::default(),
            content: None,
            expected: None,
        }
    }
}

impl LinuxConfig {
    /// The defaults for an oracle: see [`Self::strict`].
    #[must_use]
    pub fn strict() -> Self {
        Self {
            strict: true,
            ..Self::default()
        }
    }

    /// The same settings for the other end: addresses are exchanged, numbers start elsewhere.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self {
            own: self.peer,
            peer: self.own,
            isn: self.isn.rotate_left(13) ^ 0x5bd1_e995,
            timestamp_offset: self.timestamp_offset.rotate_left(17) ^ 0x27d4_eb2f,
            content: self.expected.clone(),
            expected: self.content.clone(),
            ..self.clone()
        }
    }

    /// Octets of the IP and TCP headers without options.
    pub(super) const fn header(&self) -> u32 {
        if self.own.is_ipv4() { 40 } else { 60 }
    }

    /// The MSS that is announced.
    pub(super) fn advertised_mss(&self) -> u16 {
        let header = u16::try_from(self.header()).expect("short");
        self.mtu.saturating_sub(header)
    }

    /// The shift that is offered: the largest window must fit 16 bits.
    pub(super) fn offered_scale(&self) -> Option<u8> {
        let least = self.window_scale?;
        let largest = self.receive_buffer_max.max(self.receive_buffer);
        let needed = largest.max(1).ilog2().saturating_sub(15);
        Some(least.max(u8::try_from(needed).unwrap_or(14)).min(14))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offered_scale_follows_the_largest_buffer() {
        let scale = |least, largest| {
            LinuxConfig {
                window_scale: least,
                receive_buffer_max: largest,
                receive_buffer: 1000,
                ..LinuxConfig::default()
            }
            .offered_scale()
        };
        assert_eq!(scale(Some(0), 6 << 20), Some(7));
        assert_eq!(scale(Some(0), 64 << 20), Some(11));
        assert_eq!(scale(Some(9), 6 << 20), Some(9));
        assert_eq!(scale(Some(0), 60_000), Some(0));
        assert_eq!(scale(Some(0), 1 << 34), Some(14));
        assert_eq!(scale(None, 6 << 20), None);
    }
}
