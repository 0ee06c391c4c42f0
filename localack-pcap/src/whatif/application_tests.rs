//! Captures made by hand. The client is 5 ms, the server 45 ms away from the capture point (halves of
//! the round trips of 10 and 90 ms).

use super::*;

const MSS: u32 = 1000;

/// What an application does: (after, wait in milliseconds, octets), and whether it closes.
type Steps = (Vec<(u64, u128, u64)>, bool);

/// A capture with a handshake, that began at 0.
struct Tape(Trace);

impl Tape {
    fn new() -> Self {
        let mut syn = crate::dissect::Options::default();
        syn.mss = Some(1000);
        let address = |last| (core::net::IpAddr::from([192, 0, 2, last]), 1000);
        let mut tape = Self(Trace {
            ends: [address(1), address(2)],
            records: Vec::new(),
            syn: [Some(syn); 2],
            octets: [0; 2],
            complete_handshake: true,
            cut: false,
        });
        tape.add(0, Side::Client, 0, 0, None, Flags::SYN);
        let syn_ack = Flags::SYN.with(Flags::ACK);
        tape.add(90, Side::Server, 0, 0, Some(0), syn_ack);
        tape.add(100, Side::Client, 0, 0, Some(0), Flags::ACK);
        tape
    }

    fn add(&mut self, ms: i64, from: Side, start: i64, len: u32, ack: Option<i64>, flags: Flags) {
        let octets = &mut self.0.octets[from as usize];
        *octets = (*octets).max((start + i64::from(len)).unsigned_abs());
        self.0.records.push(Record {
            at: ms * 1000,
            from,
            start,
            len,
            ack,
            window: 60_000,
            flags,
            stamps: None,
            sack: Vec::new(),
        });
    }

    fn client(&mut self, ms: i64, start: i64, len: u32, ack: i64) -> &mut Self {
        self.add(ms, Side::Client, start, len, Some(ack), Flags::ACK);
        self
    }

    fn server(&mut self, ms: i64, start: i64, len: u32, ack: i64) -> &mut Self {
        self.add(ms, Side::Server, start, len, Some(ack), Flags::ACK);
        self
    }

    fn fin(&mut self, ms: i64, from: Side, start: i64, ack: i64) -> &mut Self {
        let flags = Flags::FIN.with(Flags::ACK);
        self.add(ms, from, start, 0, Some(ack), flags);
        self
    }

    fn scripts(&self) -> [Steps; 2] {
        let round_trips = RoundTrips::of(&self.0);
        assert_eq!(round_trips.micros(Side::Client), 10_000);
        assert_eq!(round_trips.micros(Side::Server), 90_000);
        reconstruct(&self.0, &round_trips).scripts.map(|script| {
            let steps = script.steps.iter();
            let steps = steps.map(|step| (step.after, step.wait.as_millis(), step.octets));
            (steps.collect(), script.closes)
        })
    }
}

#[test]
fn an_answer_depends_on_its_question_and_a_pause_is_the_applications() {
    let mut tape = Tape::new();
    tape.client(100, 0, 200, 0);
    // The server thinks for 30 ms.
    tape.server(220, 0, 500, 200);
    // The client thinks for 400 ms before the second question, and the server for none.
    tape.client(230, 200, 0, 500).client(630, 200, 100, 500);
    tape.server(720, 500, 700, 300).client(730, 300, 0, 1200);
    tape.fin(730, Side::Client, 300, 1200)
        .fin(820, Side::Server, 1200, 301);
    let [client, server] = tape.scripts();
    assert_eq!(
        client,
        (vec![(0, 0, 200), (500, 400, 100), (1200, 0, 0)], true)
    );
    assert_eq!(server, (vec![(200, 30, 500), (300, 0, 700)], true));
}

#[test]
fn what_the_network_holds_up_is_one_write() {
    let mut tape = Tape::new();
    // Two segments, and after each acknowledgement two more.
    let (mut at, mut sent) = (100, 0);
    for _ in 0..5 {
        tape.client(at, sent, MSS, 0)
            .client(at, sent + 1000, MSS, 0);
        sent += 2000;
        tape.server(at + 90, 0, 0, sent);
        at += 100;
    }
    let [client, server] = tape.scripts();
    assert_eq!(client, (vec![(0, 0, 10_000)], false));
    assert_eq!(server, (vec![], false));
}

#[test]
fn what_comes_late_with_room_in_the_network_is_another_write() {
    let mut tape = Tape::new();
    for number in 0..8 {
        tape.client(100, number * 1000, MSS, 0);
    }
    tape.server(190, 0, 0, 8000);
    // A quarter of a second after everything was acknowledged; then once more with some in flight.
    tape.client(450, 8000, MSS, 0).client(500, 9000, 300, 0);
    tape.server(540, 0, 0, 9000).server(590, 0, 0, 9300);
    let [client, _] = tape.scripts();
    let expected = vec![(0, 0, 8000), (0, 350, 1000), (0, 50, 300)];
    assert_eq!(client.0, expected);
}

#[test]
fn repetitions_write_nothing() {
    let mut tape = Tape::new();
    tape.client(100, 0, MSS, 0).client(100, 1000, MSS, 0);
    tape.server(190, 0, 0, 0).client(400, 0, MSS, 0);
    tape.server(490, 0, 0, 2000);
    let [client, _] = tape.scripts();
    assert_eq!(client.0, [(0, 0, 2000)]);
}

#[test]
fn the_time_ends_when_the_last_octet_has_arrived() {
    let mut tape = Tape::new();
    tape.client(100, 0, MSS, 0).server(190, 0, 0, 1000);
    let round_trips = RoundTrips::of(&tape.0);
    // The SYN left 5 ms before it was captured, the data took 45 ms.
    let took = reconstruct(&tape.0, &round_trips).took_us;
    assert_eq!(took, 5_000 + 190_000 - 45_000);
}

#[test]
fn hostile_numbers_are_survived() {
    let mut tape = Tape::new();
    let far = 1 << 33;
    tape.client(100, -far, MSS, far).client(101, far, MSS, -far);
    tape.server(102, far, 0, far).server(103, -5, 1, 7);
    let round_trips = RoundTrips::of(&tape.0);
    let _ = reconstruct(&tape.0, &round_trips);
    for number in 0..10_000 {
        let at = 200 + number * 500;
        tape.client(at, far + 1000 + number, 1, number);
        tape.server(at + 100, number, 1, far + 1001 + number);
    }
    let application = reconstruct(&tape.0, &round_trips);
    assert!(
        application
            .scripts
            .iter()
            .all(|script| script.steps.len() <= MOST_STEPS)
    );
}
