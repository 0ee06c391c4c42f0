//! Whole flows over a modelled path.

use std::vec::Vec;

use super::pipe::{Flow, MSS, Pipe, Supply};
use super::*;

/// 20 Mbit/s and 50 ms: 125 packets.
const MBIT: u64 = 20;
const RTT_MS: u64 = 50;
const BDP: u64 = MBIT * 125 * RTT_MS;

/// A lone flow that has run for so many milliseconds.
fn lone(buffer: u64, ms: u64) -> Pipe {
    let mut pipe = Pipe::new(MBIT, buffer);
    pipe.join(RTT_MS);
    pipe.run(ms);
    pipe
}

fn only(pipe: &Pipe) -> &Flow {
    &pipe.flows[0]
}

/// What was delivered as a share of the limit, in thousandths.
fn share(octets: u64, pipe: &Pipe, ms: u64) -> u64 {
    octets * 1_000_000 / (pipe.rate * ms * (1000 - pipe.loss) / 1000)
}

/// Goes on until the only flow is in a phase.
fn until(pipe: &mut Pipe, phase: Phase) {
    let deadline = pipe.now / 1_000_000 + 20_000;
    pipe.run_until(deadline, |pipe| only(pipe).bbr().phase == phase);
    assert_eq!(only(pipe).bbr().phase, phase, "{:?}", only(pipe).walk);
}

/// Jain's index in thousandths.
fn jain(shares: &[u64]) -> u64 {
    let (mut sum, mut squares) = (0, 0);
    for share in shares.iter().map(|octets| octets / 1000) {
        sum += share;
        squares += share * share;
    }
    1000 * sum * sum / (squares * u64::try_from(shares.len()).unwrap())
}

#[test]
fn bbr_5_3_the_states_follow_each_other() {
    use Phase::{Cruise, Down, Drain, Refill, Startup, Up};
    let pipe = lone(4 * BDP, 9000);
    let walk: Vec<Phase> = only(&pipe).walk_from(0);
    let expected = [
        Startup, Drain, Cruise, Refill, Up, Down, Cruise, Refill, Up, Down, Cruise,
    ];
    // Drain leaves no queue, so that the first DOWN ends with the acknowledgement that began it.
    let seen: Vec<Phase> = walk.iter().copied().take(expected.len()).collect();
    assert_eq!(seen, expected, "{:?}", only(&pipe).walk);
    let walk = &only(&pipe).walk;
    let lasted = |index: usize| walk[index + 1].0 - walk[index].0;
    assert!(
        (RTT_MS..=RTT_MS + 5).contains(&lasted(3)),
        "REFILL is one round"
    );
    let cycle = walk[7].0 - walk[5].0;
    assert!((2000..=3001).contains(&cycle), "{cycle} ms without a probe");
}

#[test]
fn bbr_5_3_1_startup_finds_the_bandwidth_in_few_rounds() {
    for (mbit, rtt_ms) in [(10, 20), (20, 50), (50, 100)] {
        let bdp = mbit * 125 * rtt_ms;
        let mut pipe = Pipe::new(mbit, 4 * bdp);
        pipe.join(rtt_ms);
        until(&mut pipe, Phase::Drain);
        let bw = u64::from(only(&pipe).bbr().best_bw());
        assert!(
            bw * 100 >= pipe.rate * 98 && bw <= pipe.rate,
            "{bw} of {}",
            pipe.rate
        );
        // log2(BDP / initial window), three rounds of a plateau whose queue doubles the round trip,
        // and some to hear of it.
        let doublings = (bdp / (10 * u64::from(MSS))).max(1).ilog2() + 1;
        let most = (u64::from(doublings) + 2 * 3 + 4) * rtt_ms;
        assert!(
            pipe.now / 1_000_000 <= most,
            "{} ms of {most}",
            pipe.now / 1_000_000
        );
        assert!(
            pipe.longest_queue <= bdp + bdp / 4,
            "{} of {bdp}",
            pipe.longest_queue
        );
    }
}

#[test]
fn bbr_5_3_2_drain_empties_the_queue_within_two_rounds() {
    let mut pipe = lone(4 * BDP, 0);
    until(&mut pipe, Phase::Drain);
    let began = pipe.now / 1_000_000;
    assert!(pipe.queue() > BDP / 2);
    until(&mut pipe, Phase::Cruise);
    assert!(pipe.now / 1_000_000 <= began + 4 * RTT_MS);
    assert!(pipe.queue() < BDP / 8, "{}", pipe.queue());
}

#[test]
fn bbr_5_3_3_no_queue_stands_and_the_link_is_full() {
    let mut pipe = lone(4 * BDP, 3000);
    pipe.longest_queue = 0;
    let delivered = pipe.run(30_000)[0];
    assert!(share(delivered, &pipe, 30_000) >= 980);
    assert!(
        pipe.longest_queue <= BDP / 2,
        "{} of {BDP}",
        pipe.longest_queue
    );
    assert_eq!(only(&pipe).lost, 0);
    for _ in 0..5 {
        until(&mut pipe, Phase::Refill);
        assert!(
            pipe.queue() <= BDP / 16,
            "the cruise leaves {}",
            pipe.queue()
        );
        until(&mut pipe, Phase::Down);
    }
}

#[test]
fn bbr_5_3_1_3_losses_end_startup_on_a_shallow_buffer() {
    let mut pipe = lone(BDP / 20, 0);
    until(&mut pipe, Phase::Drain);
    let bbr = only(&pipe).bbr();
    assert!(bbr.full_bw_count < 3, "not the plateau: {bbr:?}");
    let bound = u64::from(bbr.inflight_longterm);
    assert!(
        (BDP * 8 / 10..=BDP * 12 / 10).contains(&bound),
        "{bound} of {BDP}"
    );
    assert_eq!(bbr.undo, Undo::Startup);
}

#[test]
fn bbr_5_3_1_3_random_losses_do_not_end_startup() {
    let mut pipe = Pipe::new(MBIT, 4 * BDP);
    pipe.loss = 30;
    pipe.join(RTT_MS);
    until(&mut pipe, Phase::Drain);
    let bw = u64::from(only(&pipe).bbr().best_bw());
    assert!(bw * 100 >= pipe.rate * 93, "{bw} of {}", pipe.rate);
}

#[test]
fn bbr_5_3_4_probe_rtt_comes_five_seconds_after_the_last_short_round_trip() {
    let mut pipe = lone(4 * BDP, 10_000);
    pipe.flows[0].rtt_ms = 80;
    let began = pipe.now / 1_000_000;
    until(&mut pipe, Phase::ProbeRtt);
    let entered = pipe.now / 1_000_000 - began;
    assert!((5000..5200).contains(&entered), "after {entered} ms");
    let bbr = only(&pipe).bbr();
    assert_eq!(bbr.min_rtt_us, 50_000, "still the old minimum");
    let most = u64::from(bbr.bw()) * u64::from(bbr.min_rtt_us) / 1_000_000 / 2;
    assert!(u64::from(only(&pipe).state.cwnd()) <= most);
    until(&mut pipe, Phase::Cruise);
    let lasted = pipe.now / 1_000_000 - began - entered;
    // Half a BDP must leave first; then 200 ms pass.
    assert!((200..200 + 3 * 80).contains(&lasted), "{lasted} ms");
    pipe.run(6000);
    let min_rtt_us = only(&pipe).bbr().min_rtt_us;
    assert!((80_000..81_000).contains(&min_rtt_us), "{min_rtt_us} us");
    let delivered = pipe.run(10_000)[0];
    assert!(share(delivered, &pipe, 10_000) >= 960);
}

#[test]
fn bbr_5_3_4_a_flow_without_a_queue_is_spared_probe_rtt() {
    let pipe = lone(4 * BDP, 60_000);
    assert_eq!(only(&pipe).first(Phase::ProbeRtt, 0), None);
}

#[test]
fn bbr_5_3_3_a_faster_link_is_used_within_seconds() {
    for mbit in [2 * MBIT, 10 * MBIT] {
        let mut pipe = lone(10 * BDP, 10_000);
        pipe.set_mbit(mbit);
        pipe.run(4500);
        let delivered = pipe.run(2000)[0];
        assert!(
            share(delivered, &pipe, 2000) >= 970,
            "{mbit} Mbit/s: {delivered}"
        );
    }
}

#[test]
fn bbr_5_5_3_a_slower_link_is_not_overrun() {
    for mbit in [MBIT / 2, MBIT / 10] {
        let mut pipe = lone(BDP, 10_000);
        pipe.set_mbit(mbit);
        let (sent, lost) = (only(&pipe).sent, only(&pipe).lost);
        pipe.run(15_000);
        let bw = u64::from(only(&pipe).bbr().best_bw());
        assert!(bw * 100 <= pipe.rate * 103, "{bw} of {}", pipe.rate);
        let (sent, lost) = (only(&pipe).sent - sent, only(&pipe).lost - lost);
        assert!(
            lost / u64::from(MSS) * 100 <= sent * 15,
            "{lost} octets of {sent} packets"
        );
        let delivered = pipe.run(5000)[0];
        assert!(share(delivered, &pipe, 5000) >= 950);
    }
}

#[test]
fn bbr_flows_share_fairly() {
    for (flows, buffer, least) in [(2, BDP, 980), (10, BDP, 970)] {
        let mut pipe = Pipe::new(MBIT, buffer);
        for _ in 0..flows {
            pipe.join(RTT_MS);
            pipe.run(1000);
        }
        pipe.run(60_000);
        let shares = pipe.run(40_000);
        let fairness = jain(&shares);
        assert!(
            fairness >= least,
            "{flows} flows, buffer {buffer}: {shares:?}"
        );
        assert!(share(shares.iter().sum(), &pipe, 40_000) >= 950);
    }
}

#[test]
fn bbr_random_loss_costs_little_at_600_ms() {
    for (loss, least) in [(0, 930), (10, 920), (30, 880)] {
        let mut pipe = Pipe::new(MBIT, 600 * MBIT * 125);
        pipe.loss = loss;
        pipe.join(600);
        let delivered = pipe.run(120_000)[0];
        let got = share(delivered, &pipe, 120_000 - 900);
        assert!(got >= least, "{loss}/1000 lost: {got}/1000 of the limit");
    }
}

#[test]
fn bbr_random_loss_costs_little_at_50_ms() {
    for (loss, least) in [(10, 920), (30, 800)] {
        let mut pipe = Pipe::new(MBIT, BDP);
        pipe.loss = loss;
        pipe.join(RTT_MS);
        let delivered = pipe.run(60_000)[0];
        let got = share(delivered, &pipe, 60_000);
        assert!(got >= least, "{loss}/1000 lost: {got}/1000 of the limit");
    }
}

#[test]
fn bbr_a_policer_is_obeyed() {
    // Four packets of bucket and no queue.
    let mut pipe = lone(4 * u64::from(MSS), 10_000);
    let (sent, lost) = (only(&pipe).sent, only(&pipe).lost);
    let delivered = pipe.run(20_000)[0];
    let (sent, lost) = (only(&pipe).sent - sent, only(&pipe).lost - lost);
    assert!(
        lost / u64::from(MSS) * 100 <= sent * 5,
        "{lost} octets of {sent} packets"
    );
    assert!(share(delivered, &pipe, 20_000) >= 850, "{delivered}");
}

#[test]
fn bbr_5_5_4_samples_of_a_limited_application_do_not_lower_the_bandwidth() {
    let mut pipe = lone(4 * BDP, 10_000);
    let before = only(&pipe).bbr().best_bw();
    pipe.flows[0].supply = Supply::Bursts(5, 50);
    pipe.run(30_000);
    let bbr = only(&pipe).bbr();
    assert!(bbr.best_bw() >= before, "{} of {before}", bbr.best_bw());
    pipe.flows[0].supply = Supply::Endless;
    pipe.run(2 * RTT_MS);
    let delivered = pipe.run(1000)[0];
    assert!(share(delivered, &pipe, 1000) >= 950, "{delivered}");
}

#[test]
fn bbr_5_4_a_pause_stands_for_probe_rtt() {
    let mut pipe = lone(4 * BDP, 10_000);
    pipe.flows[0].supply = Supply::Nothing;
    pipe.run(8000);
    pipe.flows[0].supply = Supply::Bursts(1_000_000, 1_000_000);
    pipe.flows[0].rtt_ms = 80;
    let began = pipe.now / 1_000_000;
    pipe.wake(0);
    pipe.run(80 * 3);
    assert!(only(&pipe).bbr().pacing_rate > 0);
    assert_eq!(
        only(&pipe).first(Phase::ProbeRtt, began),
        None,
        "{:?}",
        only(&pipe).walk
    );
    assert!(!only(&pipe).bbr().idle_restart);
}

#[test]
fn bbr_5_5_9_aggregated_acknowledgements_do_not_stall_the_flow() {
    let mut pipe = Pipe::new(MBIT, 8 * BDP);
    pipe.aggregate_ms = 40;
    pipe.join(10);
    pipe.run(5000);
    let bbr = only(&pipe).bbr();
    assert!(
        bbr.extra_acked.iter().any(|&octets| octets > 20_000),
        "{bbr:?}"
    );
    let delivered = pipe.run(20_000)[0];
    assert!(share(delivered, &pipe, 20_000) >= 950, "{delivered}");
}

#[test]
fn bbr_5_6_4_3_tiny_paths_keep_four_segments() {
    let mut pipe = Pipe::new(1, 20_000);
    pipe.join(1);
    pipe.run(5000);
    pipe.longest_queue = 0;
    let delivered = pipe.run(10_000)[0];
    assert!(share(delivered, &pipe, 10_000) >= 950);
    assert!(only(&pipe).state.cwnd() >= 4 * MSS);
    assert!(pipe.longest_queue <= 14_000, "{}", pipe.longest_queue);
}

#[test]
fn rfc3168_6_1_2_marks_are_heeded_like_losses() {
    let mut pipe = Pipe::new(MBIT, 100 * BDP);
    pipe.mark_above = Some(BDP / 4);
    pipe.join(RTT_MS);
    until(&mut pipe, Phase::Drain);
    assert!(only(&pipe).bbr().full_bw_count < 3, "the mark ends Startup");
    pipe.run(5000);
    pipe.longest_queue = 0;
    let delivered = pipe.run(20_000)[0];
    assert!(
        pipe.longest_queue <= BDP / 2,
        "{} of {BDP}",
        pipe.longest_queue
    );
    assert!(share(delivered, &pipe, 20_000) >= 900, "{delivered}");
}

#[test]
fn bbr_5_3_1_3_one_loss_counts_where_the_receiver_does_not_sack() {
    let mut pipe = Pipe::new(MBIT, BDP / 4);
    pipe.join(RTT_MS);
    pipe.flows[0].sacks = false;
    until(&mut pipe, Phase::Drain);
    assert!(only(&pipe).bbr().full_bw_count < 3);
    pipe.run(5000);
    let delivered = pipe.run(20_000)[0];
    assert!(share(delivered, &pipe, 20_000) >= 850, "{delivered}");
}

#[test]
fn bbr_an_outage_ends_with_the_old_rate() {
    let mut pipe = lone(4 * BDP, 10_000);
    pipe.loss = 1000;
    pipe.run(3000);
    assert_eq!(only(&pipe).state.cwnd(), MSS, "the loss window");
    pipe.loss = 0;
    pipe.run(5000);
    let delivered = pipe.run(5000)[0];
    assert!(share(delivered, &pipe, 5000) >= 950, "{delivered}");
}

#[test]
fn counters_and_clocks_may_wrap() {
    for short_of in [0, 3_000_000, 20_000_000] {
        let mut pipe = Pipe::new(MBIT, 4 * BDP);
        pipe.loss = 5;
        pipe.now = ((1 << 32) - short_of) * 1000;
        pipe.join(RTT_MS);
        // Twelve seconds until the octets wrap as well, and one until those lost do.
        let at = Instant::from_micros(pipe.now / 1000);
        let far = u32::MAX - 30_000_000;
        pipe.flows[0].delivery.on_delivered(at, far, None, None);
        pipe.flows[0].delivery.on_lost(u32::MAX - 12_000);
        let delivered = pipe.run(40_000)[0];
        let got = share(delivered, &pipe, 40_000);
        assert!(got >= 930, "{short_of} us before the wrap: {got}");
        let walk = only(&pipe).walk_from(0);
        let probes = walk.iter().filter(|phase| **phase == Phase::Up).count();
        assert!(
            (10..=20).contains(&probes),
            "{probes} probes: {:?}",
            only(&pipe).walk
        );
    }
}
