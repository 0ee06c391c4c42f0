//! What reasons mean, for people.

use localack_core::PassReason;

/// The number of a reason, by its slug.
pub(super) fn number(slug: &str) -> Option<u8> {
    PassReason::ALL
        .iter()
        .find(|reason| reason.slug() == slug)
        .map(|reason| reason.number())
}

/// Why a conversation is left alone for this reason, in a sentence.
pub(super) fn explained(slug: &str) -> &'static str {
    let reason = PassReason::ALL.iter().find(|reason| reason.slug() == slug);
    let Some(reason) = reason else {
        return "The engine gives no other reason.";
    };
    match reason {
        PassReason::Handshake => "Its handshake was not completed in the capture.",
        PassReason::MidStream => {
            "Its handshake is not in the capture: without it nobody knows which options hold. A capture that begins \
             earlier would show more."
        }
        PassReason::Policy => "Neither end is in the networks that are to be served.",
        PassReason::TableFull => "The engine had no room for another flow: see --flows.",
        PassReason::PoolFull => "The engine had no memory to promise it: see --buffer.",
        PassReason::Authenticated => {
            "Its segments are signed (TCP-AO or MD5), and any edit would break them."
        }
        PassReason::NegotiatedOption => {
            "Both ends agreed on an option that the engine does not speak, such as MPTCP."
        }
        PassReason::AccurateEcn => {
            "Its ends negotiated accurate ECN, which a box in the middle would falsify."
        }
        PassReason::UnusualHandshake => {
            "Its handshake is not SYN, SYN-ACK, ACK: two SYNs crossed, for example."
        }
        PassReason::IpOptions => "Its packets have IPv4 options or IPv6 extension headers.",
        PassReason::DfClear => "Its packets may be fragmented, and the engine may not forbid it.",
        PassReason::WrongPort => "Its addresses and ports came from the other side than before.",
        PassReason::Tunnel => "It runs inside a tunnel.",
        PassReason::Fragment => "It came in IP fragments.",
        PassReason::Truncated => {
            "The capture holds only parts of its packets: a larger snap length would show more."
        }
        PassReason::Malformed => "Its headers contradict themselves.",
        PassReason::Jumbo => "Its packets are larger than their headers can say.",
        PassReason::BadChecksum => {
            "Its checksums are wrong; see --checksums if that is the capture's fault."
        }
        PassReason::Unacceptable => "Its numbers are none that its receiver would take.",
        PassReason::Reset => "It was reset before anything else happened.",
        PassReason::Draining => "The engine was handing its flows back.",
        _ => "It is no plain TCP over IPv4 or IPv6.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_number_and_words() {
        for reason in PassReason::ALL {
            assert_eq!(number(reason.slug()), Some(reason.number()));
            assert!(explained(reason.slug()).ends_with('.'));
        }
        assert_eq!(number("<script>"), None);
        assert_eq!(explained("<script>"), "The engine gives no other reason.");
    }
}
