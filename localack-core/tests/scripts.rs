//! Packet scripts: the cases of the protocol's rules, each as a text in `scripts/`.
//!
//! Every script runs for IPv4 and IPv6, with sequence numbers far from 2^32 and across it, and where
//! it leaves that open with and without timestamps and with either end as the client. The format is
//! described at `localack_testkit::script`.

use localack_testkit::script::check;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)+) => {
        $($(#[$doc])* #[test] fn $name() { check(include_str!(concat!("scripts/", $file, ".script"))); })+
    };
}

scripts! {
    /// H1.1, H1.1b, H1.3.
    t01_seq_of_pure_ack_runs_past_the_window = "t01";
    /// H1.2, invariant 7.
    t02_tsval_black_hole = "t02";
    /// H1.3, H1.5, H1.6, H1.7, H4.6.
    t03_lagging_ack_of_the_receiver = "t03";
    /// H3.2, H3.3.
    t04_tsval_must_not_overtake_data = "t04";
    /// H6.1, H6.2, invariant 17.
    t05_fin_is_withheld = "t05";
    /// H9.9, H1.8, invariant 13.
    t06_wrap_and_odd_options = "t06";
    /// H8.2, section 2.5, invariant 21.
    t07_reset_from_the_sender_with_debt = "t07";
    /// H8.3, H9.10, invariant 21.
    t08_reset_from_the_receiver_both_served = "t08";
    /// H8.4, invariant 22.
    t09_blind_resets = "t09";
    /// H5.10, invariant 15.
    t10_ack_behind_a_closed_window = "t10";
    /// H2.6, H2.1, H2.5.
    t11_window_closes_and_its_update_is_lost = "t11";
    /// H2.1, invariant 4.
    t12_edge_rounding = "t12";
    /// H5.2, H5.1, H4.3, invariant 12.
    t13_conflicting_retransmission = "t13";
    /// H4.4, H3.4.
    t14_out_of_order = "t14";
    /// H4.1.
    t15_reneging_receiver = "t15";
    /// H7.1, H7.3, invariant 20.
    t18_third_ack_lost_beyond_the_engine = "t18";
    /// H3.6, H7.2.
    t19_syn_cookie = "t19";
    /// H7.6.
    t20_rebooted_sender_reuses_the_tuple = "t20";
    /// H9.1, invariant 18.
    t21_keepalive = "t21";
    /// Section 3, H2.11, invariant 25.
    t22_demotion = "t22";
    /// H9.2, H9.3, H4.6.
    t23_one_way_view = "t23";
    /// H8.7, section 2.5.
    t25_receiver_vanishes = "t25";

    /// H6.4, H6.1, invariant 17.
    closing_in_every_order = "close";
    /// H2.2, H2.5, H2.6, H2.8, H2.9.
    windows_and_probes = "window";
    /// RFC 6675, RFC 6582, RFC 6298, H4.5, H4.6, H5.1.
    loss_recovery = "recovery";
    /// H7.1 to H7.9, H9.3.
    handshakes = "handshake";
    /// H11.1, H11.2, H11.3, H10.3, H5.8, H5.9.
    refusals_and_demotions = "refusals";
    /// Invariants 14, 24 and 30, H5.4.
    what_passes_untouched = "pass";
    /// Section 3, H12.3, H4.2.
    services_change = "service";
    /// H5.5, H12.4, invariant 23.
    memory_and_sink_run_out = "memory";
    /// H10.1, H10.2.
    packet_too_big = "icmp";
    /// H5.3, H5.6, H5.7, H3.7, sections 2.1 to 2.3.
    acknowledgements_and_relaying = "ack";
    /// Section 2.5, H8.6, H8.8.
    resets = "reset";
}

/// A script that expects what does not happen fails: the runner is no rubber stamp.
#[test]
fn false_expectations_fail() {
    let start = "setup local-ack\nhandshake\n0 I 1:1001 ";
    for (outcome, problem) in [
        ("=> >I . ack 1001", "unexpected"),
        ("=> >I . ack 999; ...", "missing"),
        ("=> >O 1..1002; ...", "missing"),
        ("=> not >I ack 1001; ...", "forbidden"),
        ("=> each >I w0; ...", "not as"),
        ("=> nothing", "unexpected"),
        ("=> drop; ...", "the verdict is"),
        ("=> >O 1:1001 data 'A'; ...", "missing"),
        ("=> event closed; ...", "no event"),
        ("\n0 check debt 1", "debt is 1000"),
    ] {
        let text = format!("{start}{outcome}");
        let failure = std::panic::catch_unwind(|| check(&text)).expect_err(outcome);
        let said = failure.downcast_ref::<String>().map_or("", String::as_str);
        assert!(said.contains(problem), "{outcome} fails otherwise: {said}");
    }
}
