//! Inputs worth starting from, made here so that nobody has to guess what is in the corpora.
//!
//! `cargo run -p localack-fuzz --example write_seeds` writes them to `fuzz/corpus`.

use localack_testkit::packet::{Flags, IpFields, Layout, Options, Packet, packet_too_big};

use crate::operation::{Operation, Setup, Shape};

/// The seeds of a target: name and octets.
///
/// # Panics
/// If there is no such target.
#[must_use]
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "wire_parse" => packets(),
        "options" => option_lists(),
        "rewrite" => edits(),
        "ingest" => lives(),
        "model" => crate::model::lives(),
        "attach" => crate::attach::seeds(),
        "pcap_reader" => crate::captures::captures(),
        _ => panic!("no target is called {target}"),
    }
}

fn named<T>(seeds: impl IntoIterator<Item = (&'static str, T)>) -> Vec<(String, T)> {
    seeds
        .into_iter()
        .map(|(name, seed)| (name.to_owned(), seed))
        .collect()
}

/// A data segment between two documentation addresses.
fn packet(v6: bool, options: Options) -> Packet {
    let address =
        |v4: &str, v6_form: &str| if v6 { v6_form } else { v4 }.parse().expect("a literal");
    Packet {
        source: address("192.0.2.1:40000", "[2001:db8:1::1]:40000"),
        destination: address("203.0.113.1:443", "[2001:db8:2::1]:443"),
        ip: IpFields::default(),
        flags: Flags::ACK | Flags::PSH,
        seq: 0xffff_ff00,
        ack: 7,
        window: 501,
        urgent: 0,
        options,
        payload: b"an odd number".to_vec(),
    }
}

/// Options as a busy receiver sends them.
fn sack_and_timestamps() -> Options {
    Options {
        timestamps: Some((0x0102_0304, 0x0506_0708)),
        sack: vec![(1000, 2000), (3000, 4000)],
        ..Options::default()
    }
}

fn packets() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (v6, version) in [(false, "v4"), (true, "v6")] {
        let plain = packet(v6, Options::default());
        let rich = packet(v6, sack_and_timestamps());
        let mut optional = plain.clone();
        optional.ip.options = vec![1; 8];
        let mut fragment = plain.clone();
        fragment.ip.more_fragments = true;
        let mut too_long = rich.encode(Layout::Odd);
        too_long.extend([0; 6]);
        let mut corrupt = rich.encode(Layout::Aligned);
        *corrupt.last_mut().expect("a payload") ^= 1;
        let mut cut = plain.encode(Layout::Aligned);
        cut.truncate(cut.len() - 5);
        for (name, octets) in [
            ("plain", plain.encode(Layout::Aligned)),
            ("options", rich.encode(Layout::Aligned)),
            ("padding-and-odd-options", too_long),
            ("corrupt", corrupt),
            ("cut", cut),
            ("ip-options", optional.encode(Layout::Aligned)),
            ("fragment", fragment.encode(Layout::Aligned)),
            ("packet-too-big", packet_too_big(&plain, 1280)),
        ] {
            seeds.push((format!("{version}-{name}"), octets));
        }
    }
    let mut extended = packet(true, Options::default()).encode(Layout::Aligned);
    // A destination options header of one unit before TCP.
    let (next, unit) = (extended[6], [6, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(next, 6);
    extended[6] = 60;
    extended.splice(40..40, unit);
    let length = u16::try_from(extended.len() - 40).expect("short");
    extended[4..6].copy_from_slice(&length.to_be_bytes());
    seeds.push(("v6-destination-options".to_owned(), extended));
    seeds
}

fn option_lists() -> Vec<(String, Vec<u8>)> {
    let syn = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some((1, 0)),
        ..Options::default()
    };
    named([
        ("syn", syn.encode(Layout::Aligned)),
        ("sack", sack_and_timestamps().encode(Layout::Aligned)),
        ("odd", sack_and_timestamps().encode(Layout::Odd)),
        (
            "unknown-before-sack",
            [&[1, 1, 253, 4, 9, 9][..], &[5, 10, 0, 0, 0, 1, 0, 0, 0, 9]].concat(),
        ),
        ("repeated", vec![3, 3, 1, 3, 3, 2]),
        ("end-then-more", vec![0, 2, 4, 5, 0xb4]),
        ("length-zero", vec![8, 0, 1, 1]),
        ("length-one", vec![8, 1, 1, 1]),
        ("too-long", vec![8, 11, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("kind-alone", vec![1, 1, 1, 8]),
        ("signed", [&[19, 18][..], &[7; 16], &[30, 4, 0, 0]].concat()),
    ])
}

fn edits() -> Vec<(String, Vec<u8>)> {
    let edit =
        |what: u8, a: u32, b: u32| [&[what][..], &a.to_be_bytes(), &b.to_be_bytes()].concat();
    let all = [
        edit(0, 0xffff_fff0, 0),
        edit(1, 0x0001_0000, 0),
        edit(2, 0xffff, 0),
        edit(3, 9, 0),
        edit(4, 0x1102, 0),
        edit(5, 0xdead_beef, 0),
        edit(6, 0, 0),
        edit(7 | 1 << 3, 5000, 4000),
        edit(7, 0, 0),
        edit(7 | 5 << 3, 0xffff_0000, 400),
    ];
    let mut seeds = Vec::new();
    for (v6, version) in [(false, "v4"), (true, "v6")] {
        for (layout, place) in [(Layout::Aligned, "even"), (Layout::Odd, "odd")] {
            for (bit, kind) in [(0, "full"), (0x80, "partial")] {
                let count = u8::try_from(all.len()).expect("ten");
                let mut octets = vec![bit | count];
                octets.extend(all.concat());
                octets.extend(packet(v6, sack_and_timestamps()).encode(layout));
                seeds.push((format!("{version}-{place}-{kind}"), octets));
            }
        }
    }
    seeds
}

/// A segment of the inner host that is its next one but for `shape`.
const fn inner(shape: Shape) -> Operation {
    Operation::Segment {
        outer: false,
        checksum: 0,
        shape,
    }
}

/// A segment of the outer host.
const fn outer(shape: Shape) -> Operation {
    Operation::Segment {
        outer: true,
        checksum: 0,
        shape,
    }
}

pub(crate) fn data() -> Shape {
    Shape::default()
}

pub(crate) fn ack() -> Shape {
    Shape {
        payload: Some(0),
        ..Shape::default()
    }
}

pub(crate) fn flagged(flags: Flags) -> Shape {
    Shape {
        flags: Some(u8::try_from(flags.0).expect("eight bits")),
        ..ack()
    }
}

const fn wait(log: u8) -> Operation {
    Operation::Wait {
        log,
        steps: 0,
        jump: false,
    }
}

/// Short lives, each in several set-ups.
fn lives() -> Vec<(String, Vec<u8>)> {
    let fin = || flagged(Flags::FIN | Flags::ACK);
    let transfer = || {
        vec![
            inner(data()),
            outer(ack()),
            inner(data()),
            inner(data()),
            outer(ack()),
        ]
    };
    let stories: Vec<(&str, Vec<Operation>)> = vec![
        (
            "transfer-and-close",
            [
                transfer(),
                vec![inner(fin()), outer(fin()), inner(ack()), wait(20)],
            ]
            .concat(),
        ),
        (
            "loss-and-timeout",
            [
                transfer(),
                vec![
                    inner(data()),
                    inner(data()),
                    outer(Shape {
                        ack: Some(-2000),
                        sack: vec![(1000, 1000)],
                        ..ack()
                    }),
                    wait(22),
                    wait(22),
                    outer(ack()),
                ],
            ]
            .concat(),
        ),
        (
            "gap-and-overlap",
            [
                transfer(),
                vec![
                    inner(Shape {
                        seq: Some(1000),
                        ..data()
                    }),
                    inner(Shape {
                        seq: Some(500),
                        ..data()
                    }),
                    inner(data()),
                    inner(Shape {
                        seq: Some(-1000),
                        ..data()
                    }),
                    outer(ack()),
                ],
            ]
            .concat(),
        ),
        (
            "closed-window-and-probe",
            [
                transfer(),
                vec![
                    outer(Shape {
                        window: Some(0),
                        ..ack()
                    }),
                    inner(data()),
                    inner(data()),
                    inner(Shape {
                        seq: Some(-1),
                        payload: Some(1),
                        ..ack()
                    }),
                    wait(23),
                    outer(Shape {
                        window: Some(60_000),
                        ..ack()
                    }),
                    wait(20),
                ],
            ]
            .concat(),
        ),
        (
            "reset-with-debt",
            [
                transfer(),
                vec![
                    inner(data()),
                    inner(flagged(Flags::RST)),
                    wait(22),
                    outer(ack()),
                    inner(data()),
                ],
            ]
            .concat(),
        ),
        (
            "reset-by-receiver",
            [
                transfer(),
                vec![
                    outer(data()),
                    outer(flagged(Flags::RST | Flags::ACK)),
                    inner(ack()),
                    wait(24),
                ],
            ]
            .concat(),
        ),
        (
            "demote-and-promote",
            [
                transfer(),
                vec![
                    inner(data()),
                    Operation::Service(false, false),
                    inner(data()),
                    outer(ack()),
                    wait(24),
                    Operation::Service(false, true),
                    inner(data()),
                    outer(ack()),
                    inner(data()),
                ],
            ]
            .concat(),
        ),
        (
            "full-sink-and-drain",
            [
                transfer(),
                vec![
                    Operation::Full(6),
                    inner(data()),
                    inner(data()),
                    wait(21),
                    Operation::Drain,
                    inner(data()),
                    outer(ack()),
                    wait(24),
                ],
            ]
            .concat(),
        ),
        (
            "packet-too-big",
            [
                transfer(),
                vec![
                    inner(data()),
                    Operation::TooBig(false, 600),
                    wait(22),
                    outer(ack()),
                ],
            ]
            .concat(),
        ),
        (
            "damage-and-noise",
            [
                transfer(),
                vec![
                    inner(Shape {
                        damage: vec![(50, 1)],
                        ..data()
                    }),
                    outer(Shape {
                        damage: vec![(33, 0x10)],
                        ..ack()
                    }),
                    Operation::Octets(true, vec![0x45; 40]),
                    inner(data()),
                    Operation::Backwards,
                    inner(data()),
                ],
            ]
            .concat(),
        ),
        (
            "nobody-answers",
            [
                transfer(),
                vec![
                    inner(data()),
                    inner(data()),
                    Operation::Wait {
                        log: 29,
                        steps: 1,
                        jump: false,
                    },
                    inner(data()),
                    Operation::Wait {
                        log: 30,
                        steps: 3,
                        jump: true,
                    },
                    outer(ack()),
                ],
            ]
            .concat(),
        ),
        (
            "filled-and-emptied",
            [
                transfer(),
                vec![inner(data()); 40],
                vec![wait(20)],
                vec![outer(ack()); 12],
                vec![wait(16), wait(18), outer(ack())],
            ]
            .concat(),
        ),
        (
            "words-behind-a-closed-window",
            [
                transfer(),
                vec![
                    outer(Shape {
                        window: Some(0),
                        ..data()
                    }),
                    inner(data()),
                    outer(Shape {
                        window: Some(0),
                        ..ack()
                    }),
                    inner(data()),
                    wait(24),
                ],
            ]
            .concat(),
        ),
        (
            "out-of-place",
            [
                transfer(),
                vec![
                    inner(Shape {
                        seq: Some(400),
                        ..flagged(Flags::RST)
                    }),
                    outer(Shape {
                        seq: Some(400),
                        ..flagged(Flags::RST)
                    }),
                    outer(Shape {
                        seq: Some(30_000),
                        ..flagged(Flags::RST)
                    }),
                    inner(Shape {
                        seq: Some(32_000),
                        ..data()
                    }),
                    inner(Shape {
                        ack: Some(30_000),
                        ..data()
                    }),
                    inner(Shape {
                        clock: Some(-2_000),
                        ..data()
                    }),
                    outer(Shape {
                        ack: Some(32_000),
                        ..ack()
                    }),
                    inner(flagged(Flags::PSH)),
                    inner(flagged(Flags::SYN)),
                    outer(ack()),
                    inner(Shape {
                        seq: Some(-1),
                        ..ack()
                    }),
                    wait(20),
                ],
            ]
            .concat(),
        ),
        (
            "both-ways",
            vec![
                outer(data()),
                inner(data()),
                outer(data()),
                inner(data()),
                wait(18),
                inner(ack()),
                outer(ack()),
                inner(flagged(Flags::ACK | Flags::URG)),
                outer(data()),
            ],
        ),
    ];
    let linux = Setup::TIMESTAMPS | Setup::SACK | Setup::SCALE;
    let setups = [
        (
            "sack-only",
            Setup {
                bits: Setup::SACK,
                isn: 0,
            },
        ),
        (
            "linux",
            Setup {
                bits: linux,
                isn: 3,
            },
        ),
        (
            "bare-wrap",
            Setup {
                bits: Setup::EARLY | Setup::TIGHT,
                isn: 250,
            },
        ),
        (
            "both-v6",
            Setup {
                bits: linux | Setup::BOTH | Setup::V6 | Setup::OUTER_CLIENT,
                isn: 255,
            },
        ),
    ];
    let mut seeds = Vec::new();
    for (name, story) in &stories {
        for (kind, setup) in setups {
            let mut octets = vec![setup.bits, setup.isn];
            for operation in story {
                operation.write(&mut octets);
            }
            seeds.push((format!("{name}-{kind}"), octets));
        }
    }
    seeds
}
