//! What enters the long path.

use core::cell::Cell;
use std::rc::Rc;

use localack_core::wire::{Parsed, parse};
use localack_core::{Instant, SeqNum};
use localack_testkit::sim::{Exits, Node};

/// Payload octets of one connection that entered a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Reading {
    /// All of them.
    pub(super) sent: u64,
    /// Those that had not entered it before.
    pub(super) new: u64,
}

impl Reading {
    /// The share that was sent again.
    pub(super) fn retransmitted_share(self) -> f64 {
        let again = self.sent - self.new;
        again as f64 / self.sent.max(1) as f64
    }
}

/// Counts the data packets of whichever connection is the latest, and passes everything on.
#[derive(Debug, Default)]
pub(super) struct Meter {
    reading: Rc<Cell<Reading>>,
    /// Source port, and the end of what has been sent.
    connection: Option<(u16, SeqNum)>,
}

impl Meter {
    /// Where its counts can be read.
    pub(super) fn dial(&self) -> Rc<Cell<Reading>> {
        Rc::clone(&self.reading)
    }
}

impl Node for Meter {
    fn pass(&mut self, now: Instant, packet: Vec<u8>, exits: &mut Exits<'_>) {
        if let Parsed::Tcp(seg) = parse(&packet)
            && seg.has_payload()
        {
            let (end, mut reading) = match self.connection {
                Some((port, end)) if port == seg.src_port => (end, self.reading.get()),
                _ => (seg.seq, Reading::default()),
            };
            let new = seg.seq.advance(seg.payload_len).octets_past(end);
            reading.sent += u64::from(seg.payload_len);
            reading.new += u64::from(new);
            self.connection = Some((seg.src_port, end.advance(new)));
            self.reading.set(reading);
        }
        exits.onward(now, packet);
    }
}

#[cfg(test)]
mod tests {
    use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet};
    use localack_testkit::sim::Path;

    use super::*;

    fn segment(port: u16, seq: u32, payload: usize) -> Vec<u8> {
        let packet = Packet {
            source: format!("192.0.2.1:{port}").parse().unwrap(),
            destination: "192.0.2.2:80".parse().unwrap(),
            ip: IpFields::default(),
            flags: Flags::ACK,
            seq,
            ack: 1,
            window: 1,
            urgent: 0,
            options: Options::default(),
            payload: vec![0; payload],
        };
        packet.encode(Layout::Aligned)
    }

    #[test]
    fn what_was_sent_before_counts_as_sent_again() {
        let meter = Meter::default();
        let dial = meter.dial();
        let mut path = Path::new().then(meter);
        let mut read = |port, seq, payload| {
            path.send(Instant::ZERO, segment(port, seq, payload));
            assert!(path.receive(Instant::ZERO).is_some());
            (dial.get().sent, dial.get().new)
        };
        let start = u32::MAX - 99;
        assert_eq!(read(1, start, 0), (0, 0));
        assert_eq!(read(1, start, 200), (200, 200));
        assert_eq!(read(1, start, 200), (400, 200));
        assert_eq!(read(1, 50, 100), (500, 250));
        assert_eq!(read(1, 10, 20), (520, 250));
        assert_eq!(read(2, 900, 70), (70, 70));
        let share = Reading {
            sent: 400,
            new: 300,
        };
        assert!((share.retransmitted_share() - 0.25).abs() < 1e-12);
    }
}
