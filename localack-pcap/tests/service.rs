//! What the engine does for a sender, as the report tells it.

mod common;

use common::*;
use localack_core::{Controller, Service};
use localack_pcap::replay::{Inner, Options};

const RTT: u64 = 560_000;

/// A download, captured beside the server: the client is far away.
fn download() -> Vec<u8> {
    let connection = Connection::v4();
    let mut frames = vec![
        (0, connection.up(0, 0, SYN, 0).ip()),
        (100, connection.down(0, 1, SYN | ACK, 0).ip()),
        (100 + RTT, connection.up(1, 1, ACK, 0).ip()),
        (200 + RTT, connection.up(1, 1, ACK | PSH, 50).ip()),
    ];
    frames.extend((0..30).map(|n| {
        (
            300 + RTT + u64::from(n) * 10,
            connection.down(1 + n * 1000, 51, ACK, 1000).ip(),
        )
    }));
    frames.extend((0..30).map(|n| {
        (
            300 + 2 * RTT + u64::from(n) * 10,
            connection.up(51, 1001 + n * 1000, ACK, 0).ip(),
        )
    }));
    plain(101, &frames)
}

#[test]
fn an_upload_over_a_long_path_is_acknowledged_at_once() {
    for connection in [Connection::v4(), Connection::v6()] {
        let report = run(plain(101, &connection.upload(30, RTT)));
        let flow = &report.flows[0];
        assert_eq!(
            (flow.adopted, flow.reason, flow.inner),
            (true, None, Some("client"))
        );
        let up = &flow.directions.client_to_server;
        assert_eq!(up.ack_wait_us.captured.p50, Some(RTT));
        assert_eq!(
            (up.ack_wait_us.engine.p50, up.ack_wait_us.engine.count),
            (Some(0), 30)
        );
        // The first segment had to prove that the server is there.
        assert_eq!(
            (up.ack_wait_us.engine.p99, up.ack_wait_us.engine.total),
            (Some(RTT), RTT)
        );
        assert!(up.local_acks >= 29 && up.absorbed_acks >= 28, "{up:?}");
        assert_eq!(up.peak_custody_bytes, 29_000);
        assert_eq!(flow.directions.server_to_client.local_acks, 0);
    }
}

#[test]
fn the_end_with_the_shorter_handshake_is_inner() {
    let report = run(download());
    let flow = &report.flows[0];
    assert_eq!(flow.inner, Some("server"));
    let down = &flow.directions.server_to_client;
    assert!(down.local_acks > 0);
    assert_eq!(down.ack_wait_us.captured.p50, Some(RTT));
    assert_eq!(down.ack_wait_us.engine.p50, Some(0));
    assert_eq!(flow.directions.client_to_server.local_acks, 0);
}

#[test]
fn networks_decide_at_the_syn() {
    let with = |networks: &[&str]| {
        let networks = networks
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let options = Options {
            inner: Inner::Networks(networks),
            ..Options::default()
        };
        run_with(plain(101, &Connection::v4().upload(30, RTT)), &options)
    };
    let client = with(&["10.0.0.0/8"]);
    assert_eq!(client.flows[0].inner, Some("client"));
    assert!(client.flows[0].directions.client_to_server.local_acks > 0);
    let server = with(&["172.16.0.0/12", "192.0.2.0/24"]);
    assert_eq!(
        (server.flows[0].adopted, server.flows[0].inner),
        (true, Some("server"))
    );
    assert_eq!(server.flows[0].directions.client_to_server.local_acks, 0);
    let neither = with(&["172.16.0.0/12"]);
    assert_eq!(
        (neither.flows[0].adopted, neither.flows[0].reason),
        (false, Some("policy"))
    );
}

#[test]
fn both_directions_can_be_served() {
    let connection = Connection::v4();
    let mut frames = connection.upload(30, RTT);
    let begin = frames.last().unwrap().0 + 1000;
    for n in 0..10 {
        let at = begin + u64::from(n) * 200;
        frames.push((at, connection.down(1 + n * 1000, 30_001, ACK, 1000).ip()));
        frames.push((
            at + 100,
            connection.up(30_001, 1001 + n * 1000, ACK, 0).ip(),
        ));
    }
    let with = |both_directions| {
        let options = Options {
            both_directions,
            ..Options::default()
        };
        let report = run_with(plain(101, &frames), &options);
        report.flows[0].both().map(|direction| direction.local_acks)
    };
    let (one, both) = (with(false), with(true));
    assert!(one[0] > 0 && one[1] == 0, "{one:?}");
    assert!(both[0] > 0 && both[1] >= 10, "{both:?}");
}

#[test]
fn bypass_follows_and_changes_nothing() {
    let options = Options {
        service: Service::Bypass,
        ..Options::default()
    };
    let report = run_with(plain(101, &Connection::v4().upload(30, RTT)), &options);
    assert!(report.flows[0].adopted);
    assert_eq!(report.counters["engine"]["forwarded"], 0);
    for group in ["absorb", "drop", "transmit"] {
        assert!(
            report.counters[group].values().all(|&count| count == 0),
            "{group}"
        );
    }
    let wait = &report.flows[0].directions.client_to_server.ack_wait_us;
    assert_eq!(
        (wait.engine.count, wait.engine.total),
        (wait.captured.count, wait.captured.total)
    );
}

#[test]
fn snoop_acknowledges_nothing_early() {
    let options = Options {
        service: Service::Snoop,
        ..Options::default()
    };
    let report = run_with(plain(101, &Connection::v4().upload(30, RTT)), &options);
    assert!(report.flows[0].adopted);
    let up = &report.flows[0].directions.client_to_server;
    assert_eq!((up.local_acks, up.unique_payload_bytes), (0, 30_000));
    let wait = &up.ack_wait_us;
    assert_eq!(wait.engine.count, wait.captured.count);
}

#[test]
fn the_controller_that_was_asked_for_sends_toward_the_receiver() {
    // A burst of 29 segments, all of them acknowledged a round trip later.
    let capture = plain(101, &Connection::v4().upload(30, RTT));
    let held_back_and_sent = |controller, pacing| {
        let options = Options {
            controller,
            pacing,
            ..Options::default()
        };
        let report = run_with(capture.clone(), &options);
        let up = &report.flows[0].directions.client_to_server;
        (report.counters["absorb"]["stored"], up.custody_segments)
    };
    // An initial window of 14,600 octets goes on as it comes (RFC 6928), or spaced out (rule H12.1). The one segment
    // before the burst has not used it, so it has not grown (RFC 7661).
    let (held_back, _) = held_back_and_sent(Controller::Reno, false);
    assert_eq!(held_back, 29 - 14);
    let (held_back, sent) = held_back_and_sent(Controller::Reno, true);
    assert!(held_back > 29 - 14 && sent > 5, "{held_back} {sent}");
    // The window of a vouched rate is that rate's, from the first octet on.
    let (held_back, _) = held_back_and_sent(Controller::provisioned(1 << 30), true);
    assert_eq!(held_back, 0);
    let (held_back, sent) = held_back_and_sent(Controller::provisioned(1_000), true);
    assert!(held_back > 20 && sent < 3, "{held_back} {sent}");
}

#[test]
fn custody_never_exceeds_what_was_lent() {
    for buffer in [8 << 10, 20_000, 64 << 10] {
        let options = Options {
            buffer,
            flows: 1,
            both_directions: true,
            ..Options::default()
        };
        let report = run_with(plain(101, &Connection::v4().upload(200, RTT)), &options);
        let up = &report.flows[0].directions.client_to_server;
        assert!(
            up.peak_custody_bytes <= buffer as u64,
            "{buffer}: {}",
            up.peak_custody_bytes
        );
        assert_eq!(up.unique_payload_bytes, 200_000);
    }
}

#[test]
fn more_connections_than_slots_pass() {
    let mut frames = Vec::new();
    for port in 0..8 {
        let mut connection = Connection::v4();
        connection.client.1 += port;
        frames.extend(
            connection
                .upload(4, RTT)
                .into_iter()
                .map(|(at, packet)| (at + u64::from(port), packet)),
        );
    }
    frames.sort_by_key(|frame| frame.0);
    let report = run_with(
        plain(101, &frames),
        &Options {
            flows: 2,
            ..Options::default()
        },
    );
    let adopted = report.flows.iter().filter(|flow| flow.adopted).count();
    assert!((1..=2).contains(&adopted), "{adopted}");
    assert!(
        report
            .flows
            .iter()
            .all(|flow| flow.adopted != flow.reason.is_some())
    );
}
