//! The names of metrics and what they say.

/// What the engine counts, but for the reasons: its name there, the metric's name without `localack_`
/// and `_total`, whether it counts octets, and what it says.
pub(super) const ENGINE: &[(&str, &str, bool, &str)] = &[
    (
        "forwarded",
        "packets_forwarded",
        false,
        "Packets edited in place and sent on",
    ),
    (
        "sink-full",
        "sends_deferred",
        false,
        "Packets of the engine that a device had no room for at once",
    ),
    (
        "flows-adopted",
        "flows_adopted",
        false,
        "Connections that have got a slot",
    ),
    (
        "flows-refused",
        "flows_refused",
        false,
        "Connections left alone after a look at their handshake",
    ),
    (
        "handshakes-evicted",
        "handshakes_evicted",
        false,
        "Unfinished handshakes forgotten to make room",
    ),
    (
        "octets-lost",
        "lost",
        true,
        "Octets acknowledged to a sender that could not be delivered",
    ),
    (
        "conflicts",
        "retransmission_conflicts",
        false,
        "Retransmissions of senders that differ from the first copy",
    ),
    (
        "soft-drains",
        "soft_drains",
        false,
        "Hand-overs at which the offered window had to shrink",
    ),
    (
        "recoveries",
        "recoveries",
        false,
        "Reductions of a congestion window because of losses or marks",
    ),
    (
        "timeouts",
        "retransmission_timeouts",
        false,
        "Retransmission time-outs",
    ),
    (
        "tail-probes",
        "tail_loss_probes",
        false,
        "Tail loss probes sent",
    ),
    (
        "spurious-recoveries",
        "spurious_recoveries",
        false,
        "Recoveries and time-outs that were needless",
    ),
    (
        "path-probes",
        "path_probes",
        false,
        "Segments sent to learn whether a dead path has come back",
    ),
    (
        "resumptions",
        "resumptions",
        false,
        "Flows that began where an earlier one left off",
    ),
];

/// The counters that have reasons: the group, the metric's name, its label, and what it says.
pub(super) const REASONS: &[(&str, &str, &str, &str)] = &[
    (
        "pass",
        "packets_passed",
        "reason",
        "Packets passed untouched",
    ),
    (
        "absorb",
        "packets_absorbed",
        "reason",
        "Packets not sent on because their content is held or has done its work",
    ),
    ("drop", "packets_dropped", "reason", "Packets discarded"),
    (
        "transmit",
        "packets_sent",
        "kind",
        "Packets made by the engine",
    ),
    (
        "device",
        "device_events",
        "event",
        "Packets that a device did not take or give as it should",
    ),
];
