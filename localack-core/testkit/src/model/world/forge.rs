//! What a stranger sends who guesses (RFC 5961).

use localack_core::{DirectionMode, Port};

use super::{Checked, Claim, Parcel, World, index};
use crate::model::host::State;
use crate::model::operation::{Aim, Forgery};
use crate::packet::{Flags, Layout};

/// Octets of forged data.
const OCTETS: i64 = 50;
/// A number that is so far from the right one is outside all windows.
const FAR: u32 = 1 << 24;

impl World<'_> {
    /// A stranger sends something in the name of the host on `from`.
    pub(super) fn forges(&mut self, from: Port, what: Forgery, seq: Aim, ack: Aim) -> Checked {
        let (own, peer) = (&self.hosts[index(from)], &self.hosts[index(from.other())]);
        let far_seq = matches!(seq, Aim::Anywhere(_));
        let right_ack = own.rcv;
        let mut packet = own.imagine(own.nxt, 0, self.at_ms());
        packet.seq = aimed(packet.seq, seq);
        // Whoever hits one of two numbers may do harm; nobody hits both.
        packet.ack = match (what, ack) {
            (Forgery::Data | Forgery::Ack, Aim::Near(_)) if !far_seq => {
                aimed(packet.ack, Aim::Anywhere(u32::from(packet.window)))
            }
            (_, Aim::Near(near)) => own
                .peers_number(right_ack)
                .wrapping_sub(near.unsigned_abs().into()),
            (_, ack) => aimed(packet.ack, ack),
        };
        let mut harmless = far_seq || matches!(what, Forgery::Data | Forgery::Ack);
        match what {
            Forgery::Reset => {
                packet.flags = Flags::RST;
                packet.options.timestamps = None;
                let guess = peer.peers_position(packet.seq);
                let ledger = &self.ledgers[index(from)];
                let reported = peer.early.iter().map(|(_, end)| end);
                let promised = ledger.promised.iter().map(|(_, end)| end);
                // What the engine has in order is its RCV.NXT, whatever of it is acknowledged.
                let known = [peer.rcv, ledger.told, ledger.acked, ledger.stored];
                let exact = known.into_iter().chain([own.nxt, own.una]);
                if exact
                    .chain(reported)
                    .chain(promised)
                    .any(|seq| (seq - guess).abs() < 2)
                {
                    return Ok(());
                }
                let served = self.modes().by_source[index(from)];
                let watched = served.is_none_or(|mode| {
                    matches!(mode, DirectionMode::Bypass | DirectionMode::Snoop)
                });
                // Close to the right number it may be meant (rule H8.4).
                self.doomed |= watched && !far_seq;
            }
            Forgery::Syn => {
                packet.flags = Flags::SYN;
                packet.options.timestamps = None;
                packet.options.mss = Some(1000);
                harmless = false;
            }
            Forgery::Data => packet.payload = vec![b'Y'; usize::try_from(OCTETS).expect("few")],
            Forgery::Ack => {}
        }
        if peer.state != State::Alive || own.state != State::Alive {
            harmless = false;
        }
        self.note("a stranger sends");
        let parcel = Parcel {
            octets: packet.encode(Layout::Aligned),
            foreign: true,
            made: false,
        };
        let claim = if harmless { Claim::Inert } else { Claim::None };
        self.arrives(from, &parcel, claim)
    }
}

fn aimed(right: u32, aim: Aim) -> u32 {
    match aim {
        Aim::Near(near) => right.wrapping_add_signed(near.into()),
        Aim::Anywhere(number) => right
            .wrapping_add(FAR)
            .wrapping_add(number % (u32::MAX - 2 * FAR)),
    }
}
