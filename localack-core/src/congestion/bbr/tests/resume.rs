//! What Careful Resume (RFC 9959) tells the model.

use super::events::{MSS, RTT_US, Told};
use super::*;
use crate::congestion::{Controller, ControllerState};

/// What an earlier flow could use, in octets a second: four initial windows in a round trip.
const EARLIER: u32 = 400_000;

/// Flows that another controller serves, which the model's answers must leave alone.
fn served_by_others() -> [ControllerState; 3] {
    let vouched = Controller::provisioned(EARLIER);
    [Controller::Reno, Controller::Cubic, vouched].map(|controller| {
        let mut told = Told::new(Some(RTT_US));
        let start = Start {
            now: told.now(),
            mss: 1000,
            initial_segments: 10,
            rtt_us: Some(RTT_US),
        };
        told.state.choose(controller, &start);
        told.state
    })
}

#[test]
fn rfc9959_3_3_the_jump_counts_as_measured_as_long_as_nothing_is() {
    let mut told = Told::new(Some(RTT_US));
    told.state.jump(40 * MSS, EARLIER);
    assert_eq!(told.state.cwnd(), 40 * MSS);
    assert_eq!(told.state.pacing_rate(None), Some(EARLIER));
    assert_eq!(told.bbr().best_bw(), EARLIER);
    // What is known to be faster stays.
    let mut told = Told::cruising();
    let before = told.bbr();
    told.state.jump(40 * MSS, EARLIER);
    assert_eq!((told.state.cwnd(), told.bbr()), (40 * MSS, before));
    for mut state in served_by_others() {
        let mut expected = state;
        expected.set_cwnd(40 * MSS);
        state.jump(40 * MSS, EARLIER);
        assert_eq!(state, expected);
    }
}

#[test]
fn rfc9959_3_4_a_jump_that_is_confirmed_ends_the_search() {
    let mut told = Told::new(Some(RTT_US));
    let now = told.now();
    told.state.confirm_jump(now, EARLIER);
    let bbr = told.bbr();
    assert_eq!((bbr.phase, bbr.best_bw()), (Phase::Cruise, EARLIER));
    assert!(bbr.full_bw_reached);
    // Where the flow has found out more by itself, that counts.
    let mut told = Told::cruising();
    let before = told.state;
    told.state.confirm_jump(told.now(), 2 * EARLIER);
    assert_eq!(told.state, before);
    for mut state in served_by_others() {
        let before = state;
        state.confirm_jump(now, EARLIER);
        assert_eq!(state, before);
    }
}

#[test]
fn rfc9959_3_5_a_retreat_drains_what_the_jump_has_queued() {
    let mut told = Told::new(Some(RTT_US));
    told.state.jump(40 * MSS, EARLIER);
    told.round(10 * MSS, 30 * MSS);
    told.state.retreat(5 * MSS);
    let bbr = told.bbr();
    assert_eq!(
        (told.state.cwnd(), told.state.ssthresh()),
        (5 * MSS, 5 * MSS)
    );
    assert_eq!((bbr.phase, bbr.best_bw()), (Phase::Drain, bbr.bw_latest));
    assert!(bbr.bw_latest < EARLIER && bbr.full_bw_reached);
    for mut state in served_by_others() {
        let kind = state.controller();
        state.retreat(5 * MSS);
        assert_eq!(state.controller(), kind, "its words are its own");
    }
}

#[test]
fn rfc9959_3_5_the_threshold_after_a_retreat_is_two_segments_at_least() {
    let mut told = Told::new(Some(RTT_US));
    for (threshold, ssthresh) in [(30 * MSS, 30 * MSS), (MSS, 2 * MSS)] {
        told.state.end_retreat(threshold);
        assert_eq!(told.state.ssthresh(), ssthresh);
    }
}

#[test]
fn rfc9959_3_5_only_losses_by_chance_let_the_search_go_on() {
    let after = |lost: u32, change: fn(&mut Bbr)| {
        let mut told = Told::new(Some(RTT_US));
        told.round(10 * MSS, 10 * MSS);
        told.state.retreat(5 * MSS);
        told.set(change);
        told.lost = lost;
        let news = told.news(100 * MSS, 100 * MSS, RTT_US);
        told.state.search_on(&news);
        (told.bbr().phase, told.bbr().full_bw_reached)
    };
    let searches = (Phase::Startup, false);
    let drains = (Phase::Drain, true);
    assert_eq!(after(MSS, |_| ()), searches, "one in a hundred");
    assert_eq!(after(30 * MSS, |_| ()), drains, "three in ten");
    assert_eq!(after(MSS, |bbr| bbr.is_marked = true), drains, "a mark");
    let no_sack = after(MSS, |bbr| bbr.loss_is_blind = true);
    assert_eq!(no_sack, drains, "the receiver does not tell what is lost");
    for mut state in served_by_others() {
        let before = state;
        let news = Told::new(Some(RTT_US)).news(100 * MSS, 100 * MSS, RTT_US);
        state.search_on(&news);
        assert_eq!(state, before);
    }
}

#[test]
fn bbr_5_3_1_a_flow_starts_until_the_path_is_full() {
    assert!(Told::new(Some(RTT_US)).state.is_starting());
    assert!(!Told::cruising().state.is_starting());
}
