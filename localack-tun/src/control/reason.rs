//! Why a direction is or is not acknowledged early, with a number that stays.

use localack_core::{DemoteCause, DirectionInfo, DirectionMode, FlowState, PassReason};

use super::flow::{MODES, mode_number, serves};
use super::protocol::{Reason, ReasonGroup};

/// Why a direction of a flow in this state is served as it is; `cause` is why early acknowledgement
/// ended last, if somebody remembers.
pub(super) fn of(state: FlowState, info: &DirectionInfo, cause: Option<DemoteCause>) -> Reason {
    match state {
        FlowState::SynSeen | FlowState::SynAckSeen => return pass(PassReason::Handshake),
        FlowState::Open => {}
        _ => return pass(PassReason::Reset),
    }
    match (info.mode, cause) {
        (DirectionMode::Bypass, None | Some(DemoteCause::Request)) if !serves(info.service) => {
            pass(PassReason::BypassService)
        }
        (DirectionMode::Bypass | DirectionMode::Draining, Some(cause)) => demoted(cause),
        (mode, _) => of_mode(mode),
    }
}

/// Why early acknowledgement ended.
pub(super) fn demoted(cause: DemoteCause) -> Reason {
    let (name, text) = match cause {
        DemoteCause::Request => (
            "request",
            "an operator or a policy asked for another service",
        ),
        DemoteCause::Urgent => ("urgent", "urgent data cannot be kept in order"),
        DemoteCause::UnknownOption => ("unknown-option", "a TCP option that cannot be kept"),
        DemoteCause::WentRound => ("went-round", "octets went round the gateway"),
        DemoteCause::Asymmetric => ("asymmetric", "the other direction does not pass here"),
        DemoteCause::DfClear => ("df-clear", "the sender allows fragmentation"),
        DemoteCause::PoolLow => ("pool-low", "the memory for octets in custody is short"),
        _ => ("unknown", "for a reason that this version has no words for"),
    };
    Reason {
        group: ReasonGroup::Demote,
        number: cause as u8,
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

/// What the direction is doing, as a reason.
pub(super) fn of_mode(mode: DirectionMode) -> Reason {
    let text = match mode {
        DirectionMode::StoreAndForward => "the receiver has not yet shown that it is there",
        DirectionMode::LocalAck => "acknowledged at once",
        DirectionMode::Snoop => "copies answer losses on the receiver's side",
        DirectionMode::Draining => "handed back: what was acknowledged is still being delivered",
        _ => "to be served, but handed back for the time being",
    };
    let number = mode_number(mode);
    Reason {
        group: ReasonGroup::Mode,
        number: u8::try_from(number).unwrap_or(u8::MAX),
        name: MODES.get(number).copied().unwrap_or_default().to_owned(),
        text: text.to_owned(),
    }
}

/// Why packets pass.
pub(crate) fn pass(reason: PassReason) -> Reason {
    Reason {
        group: ReasonGroup::Pass,
        number: reason.number(),
        name: reason.slug().to_owned(),
        text: pass_text(reason).to_owned(),
    }
}

/// A sentence about a reason.
pub(crate) const fn pass_text(reason: PassReason) -> &'static str {
    match reason {
        PassReason::NotIp => "neither IPv4 nor IPv6",
        PassReason::Truncated => "shorter than its headers say",
        PassReason::Malformed => "headers or options contradict themselves",
        PassReason::Fragment => "an IP fragment",
        PassReason::Jumbo => "longer than IP can say",
        PassReason::Ipsec => "protected by IPsec",
        PassReason::Tunnel => "inside a tunnel",
        PassReason::OtherProtocol => "not TCP",
        PassReason::Icmp => "ICMP that concerns no flow",
        PassReason::Handshake => "the handshake is under way",
        PassReason::MidStream => "the beginning of the connection was not seen",
        PassReason::Policy => "a policy leaves the connection alone",
        PassReason::TableFull => "no room for more flows",
        PassReason::PoolFull => "no memory to promise the connection",
        PassReason::Authenticated => "authenticated by MD5 or TCP-AO",
        PassReason::NegotiatedOption => {
            "the ends agreed on an option that the engine does not speak"
        }
        PassReason::AccurateEcn => "the ends agreed on accurate ECN",
        PassReason::UnusualHandshake => "not the usual handshake",
        PassReason::IpOptions => "IPv4 options or IPv6 extension headers",
        PassReason::DfClear => "the sender allows fragmentation",
        PassReason::WrongPort => "came from the wrong side",
        PassReason::BadChecksum => "its checksum is wrong",
        PassReason::Unacceptable => "outside of what its receiver accepts",
        PassReason::Untouched => "nothing to change",
        PassReason::BypassService => "a policy or an operator wants it to pass",
        PassReason::Reset => "the connection was reset",
        PassReason::Draining => "the gateway is handing everything back",
        _ => "see the counters",
    }
}
