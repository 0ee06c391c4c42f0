//! Packet scripts: the cases of the protocol's rules, each as a text in `scripts/`.
//!
//! Every script runs for IPv4 and IPv6, with sequence numbers far from 2^32 and across it, and where
//! it leaves that open with and without timestamps, SACK and window scaling and with either end as the
//! client. The format is described at `localack_testkit::script`.

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
    /// H4.3, RFC 2883, invariant 10.
    t16_dsack_does_not_leak = "t16";
    /// H10.1, RFC 1191, RFC 5927, RFC 8201.
    t17_path_mtu = "t17";
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
    /// H13.3.
    h13_3_snoop = "h13_snoop";
    /// H13.3 without a store: RFC 3449 section 5.2.1, RFC 6691.
    services_that_are_arranged_with_others = "shaping";
    /// H9.2, H9.3, H4.6.
    t23_one_way_view = "t23";
    /// H11.3, RFC 3168.
    t24_ecn = "t24";
    /// H8.7, section 2.5.
    t25_receiver_vanishes = "t25";

    /// RFC 8985 section 6, RFC 6675.
    rfc8985_6_losses_by_time_and_order = "rack";
    /// RFC 8985 section 7.
    rfc8985_7_tail_loss_probes = "tlp";
    /// RFC 3522, RFC 4015, RFC 5682, RFC 3708, H3.5.
    rfc4015_needless_reductions_are_taken_back = "undo";
    /// RFC 3042.
    rfc3042_limited_transmit = "limited";
    /// H4.6, H12.1, invariants 1 and 26.
    lie_an_optimistic_ack_earns_no_window = "lie_optimistic_ack";
    /// H4.6.
    lie_a_sack_of_unsent_octets_marks_nothing = "lie_sack_of_unsent";
    /// H1.1, H2.8.
    lie_a_tail_probe_stays_inside_a_window_taken_back = "lie_tail_probe";
    /// H4.3, RFC 2883, RFC 3708.
    lie_a_sack_of_acknowledged_octets_takes_nothing_back = "lie_sack_of_acked";
    /// H2.8, RFC 9293 section 3.8.6.
    lie_a_shrinking_window_is_obeyed_and_survived = "lie_shrinking_window";
    /// RFC 3465, H12.1.
    lie_divided_acks_grow_the_window_by_octets = "lie_ack_division";
    /// H3.5, H3.9, RFC 7323 section 5.3.
    lie_timestamps_that_jump_free_nothing_and_measure_nothing = "lie_timestamps";
    /// RFC 5681 section 3.2, RFC 6582, H4.5.
    lie_duplicates_without_end_send_no_more_than_a_window = "lie_duplicate_flood";
    /// H10.1, RFC 4821, RFC 8899.
    h10_1_black_holes_and_probes_of_size = "blackhole";
    /// H11.2, H11.3, H5.10, RFC 3168.
    ecn_marks_echoes_and_answers = "ecn";

    /// H6.4, H6.1, invariant 17.
    closing_in_every_order = "close";
    /// H2.2, H2.5, H2.6, H2.8, H2.9.
    windows_and_probes = "window";
    /// RFC 6675, RFC 6582, RFC 6298, H4.5, H4.6, H5.1.
    loss_recovery = "recovery";
    /// H7.1 to H7.9, H9.3.
    handshakes = "handshake";
    /// H11.1, H11.2, H10.3, H5.8, H5.9.
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

    /// H5.3, H1.9, H4.6, invariant 14.
    h5_3_an_absurd_ack_of_the_sender_poisons_nothing = "regress_acks_absurd";
    /// H1.9, H3.2, H5.3, invariants 7 and 14.
    h1_9_an_absurd_ack_of_the_receiver_moves_neither_x_nor_its_clock = "regress_acks_of_receiver";
    /// H5.10, H6.1, invariants 15 and 17.
    h5_10_news_on_data_that_stays_reaches_its_reader_at_once = "regress_acks_relayed";
    /// H5.10, invariant 15.
    h5_10_sack_blocks_on_data_that_stays_reach_its_reader = "regress_acks_sack";
    /// H5.6, RFC 5681 section 4.2.
    h5_6_a_bare_fin_past_a_hole_is_answered = "regress_acks_bare_fin";
    /// H5.4, invariants 13 and 14.
    h5_4_a_broken_segment_without_ack_passes = "regress_acks_no_ack_flag";
    /// H1.1, H1.1b.
    h1_1_a_probe_that_fits_the_window_moves_n = "regress_acks_probe_taken";
    /// H2.4, H2.6.
    h2_4_a_probe_behind_a_closed_window_does_not_move_x = "regress_acks_receiver_probe";
    /// H2.4, H5.9.
    h2_4_a_segment_that_ends_its_service_moves_x = "regress_acks_unfit_both";
    /// H6.2, H12.3, invariant 26.
    h6_2_a_sender_with_a_short_timer_repeats_its_head_once_a_round_trip = "regress_acks_head_once";
    /// H8.2, section 2.5, invariant 21.
    h8_2_a_reset_while_draining_waits_for_all_octets = "regress_resets_while_draining";
    /// H8.4, H8.7, section 2.5, invariant 22.
    h8_4_a_suspected_reset_is_forgotten_or_told_to_both = "regress_resets_suspect";
    /// Section 2.5, RFC 5961 section 3.2.
    h8_1_an_old_sack_edge_makes_no_reset_exact = "regress_resets_sack_edges";
    /// H8.2, section 2.5, invariant 21.
    h8_2_a_reset_of_one_served_both_ways_waits_for_all_octets = "regress_resets_both_served";
    /// H8.2, section 2.5.
    h8_2_a_reset_does_not_wait_for_a_hole_that_nobody_fills = "regress_resets_with_hole";
    /// Section 2.5, RFC 5961 section 3.2.
    h8_2_a_reset_after_the_fin_counts_the_fin = "regress_resets_after_fin";
    /// H8.6, section 2.5.
    h8_6_a_duplicate_ack_does_not_suppress_a_challenge = "regress_resets_challenge";
    /// H2.2, H2.7.
    h2_2_a_window_opened_before_proof_reaches_the_sender = "regress_windows_before_proof";
    /// H2.1, H5.5, H5.6.
    h2_1_rounding_does_not_walk_the_edge_away = "regress_windows_rounding";
    /// H5.6, H6.1, H2.9: rounding of windows leaves nothing unacknowledged.
    h5_6_rounding_leaves_nothing_unacknowledged = "regress_windows_rounding_unacked";
    /// H2.1, H4.2: rounding of windows never ends an acknowledgement inside SACKed octets.
    h4_2_rounding_takes_no_sacked_octets_back = "regress_windows_rounding_sacked";
    /// H2.2, H2.7, H4.5, H5.6, H5.10, H8.4, H9.3.
    what_a_second_look_found = "regress_second_look";
    /// H2.2, H5.5, invariant 4.
    h2_2_what_the_receiver_offered_itself_finds_room = "regress_windows_offer_of_receiver";
    /// H9.1, invariant 18.
    h9_1_keepalives_of_a_half_closed_sender_go_end_to_end = "regress_keepalives_half_closed";
    /// H2.6, H9.1, invariant 18.
    h2_6_one_probe_after_a_reopening_is_answered_and_no_keepalive = "regress_keepalives_after_reopening";
    /// H12.3, H7.6, section 3.
    h12_3_nothing_is_adopted_after_drain = "regress_handshakes_drain";
    /// H4.5, H7.6, H7.7, invariant 22.
    h7_7_a_forged_syn_does_not_open_the_way_for_acks_for_life = "regress_handshakes_forged_syn";
    /// H7.6, H11.1, H13.1.
    h7_6_an_unservable_successor_ends_the_old_flow_loudly = "regress_handshakes_unservable_again";
    /// Invariant 22, RFC 9293 section 3.10.7.3.
    h7_7_only_the_right_reset_ends_a_handshake = "regress_handshakes_blind_reset";
    /// H3.3, invariant 7.
    h3_3_the_first_acks_are_not_older_than_the_third = "regress_handshakes_first_tsval";
    /// H4.2, invariant 9.
    h4_2_a_new_service_knows_nothing_of_what_was_held = "regress_services_stale_sack";
    /// H9.1.
    h9_1_a_keepalive_octet_after_two_hours_passes = "regress_ages_keepalive";
    /// H8.6.
    h8_6_limits_do_not_outlast_half_an_hour = "regress_ages_limits";
    /// H12.3.
    h12_3_a_promotion_long_after_a_demotion_is_not_held_back = "regress_ages_promotion";
    /// H12.1, RFC 5681 section 4.1.
    h12_1_the_window_restarts_after_an_idle_time_of_any_length = "regress_ages_idle_window";
    /// H9.8.
    h9_8_a_sack_promise_alone_holds_no_slot_for_ever = "regress_ages_idle_promise";
    /// H9.8, RFC 5382.
    h9_8_a_fin_shortens_the_life_of_a_silent_flow = "regress_ages_closing";
    /// H3.9, RFC 7323 section 5.5.
    h3_9_a_fast_timestamp_clock_may_wrap_in_silence = "regress_ages_fast_clock";
    /// H2.6.
    h2_6_the_answer_to_a_probe_waits_for_a_full_sink = "regress_memory_probe_answer";
    /// H8.7, H13.1.
    h8_7_the_resets_of_giving_up_wait_for_a_full_sink = "regress_memory_giving_up";
    h8_7_who_was_half_told_is_told_again = "regress_memory_half_told";
    /// H7.6, H7.7, H8.7, invariants 1, 11 and 22.
    h7_7_copies_of_the_handshake_lose_nothing_in_silence = "regress_handshakes_forged_pair";
    /// H7.3, section 2.2.
    h7_3_the_answer_to_a_repeated_syn_ack_opens_a_silent_clients_server = "regress_handshakes_third_ack";
    /// H4.6, H9.2, H9.3.
    h9_2_acks_for_what_went_round_reach_the_sender = "regress_acks_went_round_full";
    /// H6.4, H8.3.
    h8_3_what_follows_a_fin_past_a_full_window_counts = "regress_resets_fin_past_window";
    /// H2.3, H5.10, section 2.3, invariant 6.
    h5_10_a_relayed_ack_brings_its_own_window = "regress_windows_relayed";
    /// Section 3, H5.3.
    h5_3_a_window_offered_before_a_soft_hand_over_counts = "regress_windows_soft";
    /// H3.3, invariant 7.
    h3_3_what_went_by_before_a_hole_counts_once_it_is_filled = "regress_acks_tsval_island";
    /// Invariants 15 and 25.
    a_hand_over_forgets_no_acknowledgement = "regress_acks_forgotten";
    /// H4.2, invariants 9 and 25.
    h4_2_octets_sacked_before_no_hole_are_never_dropped = "regress_services_promise";
    /// Section 3, invariant 4.
    a_promotion_begins_at_the_largest_edge_seen = "regress_services_edge";
    /// Section 2.5, invariants 28 and 30.
    a_reset_that_goes_on_promises_nothing_new = "regress_resets_bare";
    /// Section 2.5, H7.6.
    h7_6_a_new_connection_is_not_buried_with_the_old_one = "regress_resets_new_syn";
    /// H1.9, invariant 14.
    h1_9_a_refused_segment_brings_no_acknowledgement = "regress_acks_old_segment";
    /// RFC 5681 section 4.2, section 3, H7.1, invariant 20.
    rfc5681_4_2_a_hole_is_reported_while_draining = "regress_services_hole";
    /// H9.1.
    h9_1_keepalives_that_cross_are_both_answered = "regress_keepalives_crossing";
    /// H1.9, H5.4, invariant 14; RFC 9293 section 3.8.3.
    h1_9_a_broken_syn_begins_nothing = "regress_handshakes_broken_syn";
    /// H4.3, RFC 2883 section 4.
    h4_3_copies_of_what_is_held_are_reported = "regress_acks_held_again";
    /// H1.5, H4.3, invariant 10.
    h4_3_a_hand_over_reports_no_copies = "regress_services_dsack";
    /// RFC 7661, RFC 5681 section 4.1, H12.1.
    h12_1_a_window_that_is_not_used_does_not_grow = "regress_window_unused";
    /// H8.7, promise 1.
    h8_7_what_is_owed_can_be_given_up_at_once = "give_up";
    /// H2.1, H2.2, invariant 4.
    h2_2_a_window_offered_before_the_third_ack_counts = "regress_windows_early";
    /// H3.3, invariant 7.
    h3_3_a_window_probe_may_have_brought_its_timestamp = "regress_acks_probe_stamp";
    /// H7.6, H7.7.
    h7_6_a_syn_that_came_to_nothing_may_come_again = "regress_handshakes_syn_again";
    /// H2.3, H5.10.
    h5_10_an_overtaken_window_offers_nothing_new = "regress_windows_overtaken";
    /// H1.1b, H2.11, H3.3, invariants 5 and 7.
    h2_11_who_overruns_a_window_is_heard_all_the_same = "regress_windows_overrun";
    /// H1.1b, H2.11.
    h2_11_nor_does_an_unserved_host_go_deaf_after_a_soft_hand_over = "regress_windows_overrun_unserved";
    /// H2.1, invariant 4.
    h2_1_the_edge_begins_with_the_third_ack = "regress_windows_third_ack";

    /// RFC 8985 section 7.4.2, RFC 3708 section 3.
    rfc8985_7_4_what_a_tail_probe_brings_about_counts_once = "review_probes";
    /// RFC 5682 section 3.1, RFC 6298 section 5.
    rfc6298_5_time_outs_are_undone_and_shortened_for_good_reasons = "review_timeouts";
    /// RFC 8985 section 6.2.
    rfc8985_6_2_order_is_forgotten_with_the_flight = "review_stamps";
    /// H10.1, RFC 8899 section 4.6, invariant 26.
    h10_1_a_probe_that_was_too_big_is_repaired_alone = "review_sizes";
    /// RFC 8985 section 6.2, RFC 6298 section 5.5.
    a_held_flow_that_waits_for_late_octets_goes_on = "review_held";
    /// RFC 5681 section 2, RFC 5682 section 3.1, RFC 6298 section 5, RFC 8985 section 7.4.2.
    rfc5681_2_what_is_no_duplicate_and_no_progress = "review_duplicates";
    /// RFC 2018 section 2, RFC 7323 section 3.2, RFC 3168 section 6.1.1.
    what_one_host_offers_alone_is_not_agreed_on = "regress_handshakes_one_sided";
    /// H9.1.
    h9_1_new_octets_behind_an_old_one_are_no_keepalive = "regress_keepalives_longer";
    /// H10.1, RFC 1191 section 5.
    h10_1_what_a_router_quotes_is_weighed = "regress_mtu_quotation";
    /// H2.5, RFC 7323 section 2.4.
    a_sender_is_offered_what_its_rate_allows = "regress_rate_limit";
    /// RFC 3449 section 5.2.1, RFC 2018 section 4.
    rfc3449_5_2_1_what_waits_says_nothing_new = "regress_thinning";
    /// H3.9, H5.3, H9.11, RFC 5961 section 5.2, RFC 7323 section 5.5.
    h5_3_what_is_very_old_is_told_from_what_is_not = "review_acceptance";
    /// H1.9, H2.1, RFC 9293 section 3.1.
    rfc9293_3_1_what_a_reset_says_stays_as_it_is = "review_edits";
    /// H2.3, H2.7, H5.10, H7.2, H13.3, RFC 3449 section 5.2.1, RFC 4015 section 3.
    h5_10_what_is_news_and_what_is_none = "review_feedback";
    /// H1.1b, H5.6, H6.1, H6.4.
    h6_1_a_fin_goes_on_as_it_came_where_it_may = "review_intake";
    /// RFC 5681 section 2, RFC 6582 section 3.2, RFC 6675 section 4, RFC 9293 section 3.10.4.
    rfc6675_4_what_counts_as_lost = "regress_losses_counted";
    /// RFC 8985 section 6.
    rfc8985_6_repairs_that_are_lost_are_missed_one_by_one = "regress_losses_again";
    /// RFC 8985 section 6.2.
    rfc8985_6_2_what_tells_of_reordering_and_what_does_not = "regress_reordering";
    /// RFC 6298 section 5, RFC 5682 sections 2.1 and 3.1, RFC 8985 section 7.4, RFC 4821 section 7.7, H7.2.
    rfc6298_5_what_a_time_out_leaves_behind = "regress_timeouts_again";
    /// RFC 5682 section 2.1, RFC 3522 section 3.2, RFC 4015 section 3.
    rfc5682_2_1_only_what_was_needless_is_taken_back = "regress_timeouts_undone";
    /// H13.3, RFC 2883 section 4.
    h13_3_news_passes_though_copies_are_kept = "regress_snoop_news";
    /// H9.2, RFC 8985 section 7.4.
    h9_2_what_is_held_behind_a_hole_that_went_round_is_sent = "regress_acks_hole_went_round";
    /// H5.6.
    h5_6_what_a_delayed_acknowledgement_waits_for = "regress_ack_delayed";
    /// H2.1, H4.5, H5.6, H6.3, H12.2, invariant 4.
    h2_1_what_a_sender_is_offered_while_it_sends = "regress_windows_sending";
    /// H1.1b, H5.7, H5.8, H12.1.
    h5_7_what_the_engines_segments_say = "regress_sent_segments";
    /// H2.8, RFC 1191 section 6.4, RFC 4821 section 7.4, RFC 8899 section 3.
    rfc4821_7_4_when_a_larger_size_is_tried = "regress_sizes_searched";
    /// RFC 5681 section 4.1, RFC 3168 section 6.1.2.
    rfc5681_4_1_windows_after_a_silence_and_after_a_mark = "regress_windows_idle";
    /// Section 3, H7.5.
    h7_5_a_handshake_that_crosses_another_or_carries_data = "regress_handshakes_early";
    /// H2.6, H2.11, H13.3, section 2.3.
    h2_11_what_is_not_served_passes_as_it_is = "regress_unserved";
    /// H2.6, H3.3, H4.3, H5.10, H7.1, H7.2, H7.6, H9.1.
    h5_10_each_end_hears_what_is_for_it = "regress_acks_in_turn";
    /// H8.2, H8.4, H9.3, section 2.5, RFC 5961 section 3.2.
    h8_2_resets_end_what_they_may_end = "regress_resets_told";
    /// H2.11, H4.2, H5.8, section 3.
    h5_8_services_begin_and_end_in_their_time = "regress_services_turns";
    /// RFC 8985 section 7, H7.2.
    rfc8985_7_a_rate_that_idles_sends_the_tail_twice = "regress_second_copies";
    /// RFC 1122 section 4.2.3.4, H6.1.
    rfc1122_4_2_3_4_small_segments_wait_for_a_reason = "regress_silly_window";
    /// H2.5, RFC 7323 section 2.4.
    rfc7323_2_4_a_doled_window_is_offered_and_never_taken_back = "regress_rate_doled";
    /// H13.3, RFC 5681 section 3.1, RFC 6298 section 3, RFC 8985 section 6.1.
    h13_3_copies_are_kept_repaired_and_let_go = "h13_copies";
    /// RFC 9293 section 3.8.6.1, RFC 8985 section 7, RFC 6298 section 5.5, H2.7, H2.9, H4.6, H6.2.
    rfc9293_3_8_6_1_what_is_waited_for_and_how_long = "review_patience";
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
