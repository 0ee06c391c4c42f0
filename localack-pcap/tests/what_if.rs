//! What-if on simulated captures, whose truth is known: a transfer is simulated and captured, what-if
//! is asked, and its answer is compared with the same transfer with an engine.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use localack_core::{Config, Controller, Engine, FlowConfig, Instant, PacketMeta, Port};
use localack_pcap::source::Source;
use localack_pcap::whatif::{ControllerChoice, FlowWhatIf, Options, Told, WhatIf, what_if};
use localack_testkit::memory::Memory;
use localack_testkit::sim::{
    BareBox, Delay, Links, LinuxConfig, LinuxHost, Loss, Middle, Path, Random, Rate, Wire, World,
    Write,
};

/// A path and a transfer over it.
#[derive(Debug, Clone, Copy)]
struct Case {
    rtt_ms: u64,
    rate_mbit: u64,
    /// Parts per million.
    loss: u32,
    octets: u64,
    /// Whether the receiver asks for it.
    download: bool,
    /// The part of the round trip between the sender and the capture point, in percent.
    capture_at: u64,
}

const CASE: Case = Case {
    rtt_ms: 100,
    rate_mbit: 20,
    loss: 0,
    octets: 1_000_000,
    download: false,
    capture_at: 0,
};

type Frames = Rc<RefCell<Vec<(u64, Vec<u8>)>>>;

/// A box that writes down what passes it.
#[derive(Debug)]
struct Tapped<M> {
    middle: M,
    frames: Frames,
}

impl<M: Middle> Middle for Tapped<M> {
    fn ingest(&mut self, now: Instant, port: Port, packet: Vec<u8>) -> Vec<(Port, Vec<u8>)> {
        let frame = (now.as_micros(), packet.clone());
        self.frames.borrow_mut().push(frame);
        self.middle.ingest(now, port, packet)
    }

    fn poll(&mut self, now: Instant) -> Vec<(Port, Vec<u8>)> {
        self.middle.poll(now)
    }

    fn next_at(&self) -> Option<Instant> {
        self.middle.next_at()
    }
}

impl Case {
    fn links(&self, near_pct: u64, seed: u64) -> Links {
        let product = self.rtt_ms * self.rate_mbit * 125;
        let rate = || Rate::new(self.rate_mbit * 125_000, product.max(96_000));
        let near = self.rtt_ms * 5 * near_pct;
        let far = Delay(Duration::from_micros(self.rtt_ms * 500 - near));
        let near = Delay(Duration::from_micros(near));
        let loss = Loss {
            ppm: self.loss,
            random: Random::new(seed),
        };
        Links {
            inner_up: Path::new().then(near),
            inner_down: Path::new().then(near),
            outer_up: Path::new().then(rate()).then(loss).then(far),
            outer_down: Path::new().then(rate()).then(far),
        }
    }

    fn hosts(&self) -> [LinuxHost; 2] {
        let config = LinuxConfig {
            classic_hystart: true,
            ..LinuxConfig::default()
        };
        let write = |after, octets| Write {
            after,
            wait: Duration::ZERO,
            octets,
        };
        if self.download {
            let request = [write(0, 300)];
            [
                LinuxHost::listen(config.clone()).send_scripted([write(300, self.octets)], true),
                LinuxHost::connect(config.mirrored()).send_scripted(request, true),
            ]
        } else {
            [
                LinuxHost::connect(config.clone()).send_total(self.octets),
                LinuxHost::listen(config.mirrored()),
            ]
        }
    }

    /// Runs it through `middle`; answers the seconds until the last octet has arrived.
    fn run<M: Middle>(&self, middle: M, near_pct: u64, seed: u64) -> f64 {
        let [sender, receiver] = self.hosts();
        let mut world = World::new(sender, receiver, middle, self.links(near_pct, seed));
        assert!(world.run(Duration::from_secs(3600)));
        let arrived = world.outer.received_at(self.octets).unwrap();
        arrived.as_micros() as f64 / 1e6
    }

    /// A capture of it without an engine, and the seconds it took.
    fn captured(&self, seed: u64) -> (Vec<u8>, f64) {
        let frames = Frames::default();
        let tapped = Tapped {
            middle: Wire,
            frames: frames.clone(),
        };
        let took = self.run(tapped, self.capture_at, seed);
        (pcap(&frames.borrow()), took)
    }

    /// The seconds it takes with an engine beside the sender.
    fn with_engine(&self, controller: Controller, seed: u64) -> f64 {
        let mut memory = Memory::new(4, 4096, 2048);
        let mut policy = FlowConfig::inner_local_ack();
        policy.controller = controller;
        policy.buffer_limit = 4 << 20;
        let mut config = Config::new([7, 11]);
        config.mtu = [1500; 2];
        let engine = Engine::new(memory.storage(), config, policy).unwrap();
        self.run(BareBox::new(engine, PacketMeta::default()), 0, seed)
    }

    fn median_with_engine(&self, controller: Controller) -> f64 {
        let seeds = if self.loss > 0 { 7 } else { 1 };
        median((0..seeds).map(|seed| self.with_engine(controller, 1000 + seed)))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A classic capture file of raw IP packets.
fn pcap(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for (at, packet) in frames {
        let length = packet.len() as u32;
        let micros = at + 1_700_000_000_000_000;
        for word in [
            (micros / 1_000_000) as u32,
            (micros % 1_000_000) as u32,
            length,
            length,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn ask(capture: Vec<u8>, options: &Options) -> WhatIf {
    let mut source = Source::new(std::io::Cursor::new(capture)).unwrap();
    what_if(&mut source, options, &mut |_| ())
}

fn only(answer: &WhatIf) -> &FlowWhatIf {
    assert_eq!((answer.flows.len(), answer.skipped.len()), (1, 0));
    &answer.flows[0]
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Whether `value` is `expected`, give or take a share of it.
fn near(value: f64, expected: f64, share: f64) -> bool {
    (value / expected - 1.0).abs() <= share
}

#[test]
fn what_was_simulated_is_reproduced_and_its_gain_foretold() {
    for rtt_ms in [20, 100, 300] {
        for (rate_mbit, loss) in [(5, 0), (20, 10_000), (50, 0)] {
            let case = Case {
                rtt_ms,
                rate_mbit,
                loss,
                octets: if loss > 0 { 600_000 } else { 1_000_000 },
                ..CASE
            };
            let (capture, took) = case.captured(3);
            let options = Options {
                controller: ControllerChoice::Bbr,
                seeds: 7,
                ..Options::default()
            };
            let answer = ask(capture, &options);
            let flow = only(&answer);
            let captured = seconds(flow.captured.completion_us);
            assert!(near(captured, took, 0.02), "{case:?}: {captured} {took}");
            let path = &flow.path;
            let estimates = [path.rtt_ms.value, path.rate_mbit.value, path.loss_pct.value];
            assert!(near(estimates[0], rtt_ms as f64, 0.05), "{case:?} {path:?}");
            assert!(
                near(estimates[1], rate_mbit as f64, 0.10),
                "{case:?} {path:?}"
            );
            let reproduced = seconds(flow.reproduced.median_us().unwrap());
            let with_engine = case.median_with_engine(Controller::Bbr);
            let foretold = seconds(flow.engine.median_us().unwrap());
            println!(
                "{rtt_ms} ms {rate_mbit} Mbit/s {loss} ppm: {took:.2} s, reproduced {reproduced:.2}; \
                 with an engine {with_engine:.2}, foretold {foretold:.2}; {estimates:?}"
            );
            // A single lossy run may be far from the median of many.
            let tolerance = if loss > 0 { 0.6 } else { 0.1 };
            assert!(near(reproduced, took, tolerance), "{case:?}");
            if loss == 0 {
                assert!(flow.trustworthy, "{case:?} {:?}", flow.notes);
                assert_eq!(path.loss_pct.value, 0.0, "{case:?} {path:?}");
            }
            let tolerance = if loss > 0 { 0.3 } else { 0.1 };
            assert!(near(foretold, with_engine, tolerance), "{case:?}");
        }
    }
}

#[test]
fn the_capture_point_may_be_anywhere() {
    for capture_at in [0, 30, 100] {
        let case = Case {
            capture_at,
            download: true,
            ..CASE
        };
        let (capture, took) = case.captured(5);
        let answer = ask(capture, &Options::default());
        let flow = only(&answer);
        assert_eq!(flow.data_sender, "server");
        assert_eq!(flow.octets, [300, case.octets]);
        assert_eq!(flow.bursts, [1, 1]);
        assert!(flow.think_us.iter().all(|&think| think < 5000), "{flow:?}");
        assert!(near(flow.path.rtt_ms.value, 100.0, 0.05), "{:?}", flow.path);
        let reproduced = seconds(flow.reproduced.median_us().unwrap());
        println!("{capture_at} %: {took} {reproduced} {:?}", flow.path);
        assert!(
            near(reproduced, took, 0.10),
            "{capture_at}: {took} {reproduced}"
        );
    }
}

#[test]
fn random_losses_are_told_from_those_of_a_full_queue() {
    let lossy = Case {
        loss: 10_000,
        octets: 2_500_000,
        ..CASE
    };
    let answer = ask(lossy.captured(9).0, &Options::default());
    let loss = only(&answer).path.loss_pct.value;
    // 17 of 1727 are expected.
    assert!((0.5..1.6).contains(&loss), "{loss}");
}

#[test]
fn a_path_that_is_never_filled_is_found_from_bursts_or_the_rate_is_a_lower_bound() {
    let case = Case {
        loss: 10_000,
        octets: 2_000_000,
        ..CASE
    };
    let options = Options {
        seeds: 1,
        ..Options::default()
    };
    let mut found = 0;
    for seed in 1..=8 {
        let answer = ask(case.captured(seed).0, &options);
        let flow = only(&answer);
        let path = &flow.path;
        let is_near = near(path.rate_mbit.value, 20.0, 0.15);
        assert!(is_near || path.rate_is_lower_bound, "{seed}: {path:?}");
        let said = flow.notes.iter().any(|note| note.contains("lower bound"));
        assert_eq!(said, path.rate_is_lower_bound);
        found += u32::from(is_near && !path.rate_is_lower_bound);
    }
    assert!(found >= 4, "only {found} of 8 rates were found");
    let answer = ask(Case { loss: 0, ..case }.captured(1).0, &options);
    assert!(!only(&answer).path.rate_is_lower_bound);
}

#[test]
fn the_callers_word_counts() {
    let options = Options {
        told: Told {
            rtt_ms: Some(50.0),
            rate_mbit: Some(10.0),
            loss_pct: Some(0.5),
        },
        seeds: 3,
        ..Options::default()
    };
    let answer = ask(CASE.captured(1).0, &options);
    let flow = only(&answer);
    let path = &flow.path;
    assert_eq!(
        [path.rtt_ms.value, path.rate_mbit.value, path.loss_pct.value],
        [50.0, 10.0, 0.5]
    );
    assert_eq!(flow.reproduced.runs, 3);
    assert!(!flow.trustworthy, "it was twice as fast");
}

#[test]
fn the_same_question_has_the_same_answer() {
    let (capture, _) = Case { loss: 5000, ..CASE }.captured(2);
    let options = Options {
        seeds: 3,
        ..Options::default()
    };
    let [one, other] =
        [(); 2].map(|()| serde_json::to_string(&ask(capture.clone(), &options)).unwrap());
    assert_eq!(one, other);
}
