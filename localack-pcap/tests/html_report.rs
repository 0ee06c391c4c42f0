//! The HTML report: what is in it, and that nothing in a capture can break it.

mod common;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::*;
use localack_pcap::html::{Content, Page};
use localack_pcap::replay::{Options, replay_watched};
use localack_pcap::report::Sort;
use localack_pcap::source::Source;
use localack_pcap::trace::{FlowTrace, Traces};
use program::{PROGRAM, program, stderr};
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

/// The page about a capture, made by the program.
fn page_of(capture: &[u8]) -> (String, Output) {
    let folder = tempfile::tempdir().unwrap();
    let [input, html] = ["in.pcap", "out.html"].map(|name| folder.path().join(name));
    fs::write(&input, capture).unwrap();
    let output = program(
        &[
            "report",
            input.to_str().unwrap(),
            "--html",
            html.to_str().unwrap(),
        ],
        b"",
    );
    (fs::read_to_string(html).unwrap_or_default(), output)
}

fn parse(html: &str) -> Html {
    let document = Html::parse_document(html);
    assert!(document.errors.is_empty(), "{:?}", document.errors);
    document
}

fn select<'d>(document: &'d Html, selector: &str) -> Vec<ElementRef<'d>> {
    document
        .select(&Selector::parse(selector).unwrap())
        .collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().trim().to_owned()
}

/// The number behind a cell.
fn number(cell: ElementRef<'_>) -> Option<u64> {
    cell.attr("data-v").map(|value| value.parse().unwrap())
}

fn sample() -> (Html, Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (html, svg) = (folder.path().join("out.html"), folder.path().join("svg"));
    let output = program(
        &[
            "report",
            "--html",
            html.to_str().unwrap(),
            "--svg",
            svg.to_str().unwrap(),
        ],
        b"",
    );
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    assert_eq!(output.stdout, b"");
    let json = program(&["replay", "--json"], b"").stdout;
    let document = parse(&fs::read_to_string(html).unwrap());
    (document, serde_json::from_slice(&json).unwrap(), folder)
}

#[test]
fn every_flow_is_there_with_the_figures_of_the_json_form() {
    let (document, json, _) = sample();
    let rows = select(&document, "#flows tbody tr");
    let flows = json["flows"].as_array().unwrap();
    assert_eq!((rows.len(), flows.len()), (7, 7));
    for (at, flow) in flows.iter().enumerate() {
        let place = (at + 1).to_string();
        let row = rows
            .iter()
            .find(|row| row.attr("data-flow") == Some(&place))
            .unwrap();
        let cells: Vec<_> = row.child_elements().collect();
        let directions =
            ["client_to_server", "server_to_client"].map(|name| &flow["directions"][name]);
        let figure = |name: &str| directions.map(|direction| direction[name].as_u64().unwrap());
        let sum = |name| Some(figure(name).iter().sum::<u64>());
        assert_eq!(
            [text(cells[1]), text(cells[2])],
            ["client", "server"].map(|end| flow[end].as_str().unwrap().to_owned())
        );
        assert_eq!(text(cells[3]), flow["reason"].as_str().unwrap_or("yes"));
        assert_eq!(number(cells[4]), sum("unique_payload_bytes"));
        assert_eq!(number(cells[5]), sum("packets"));
        assert_eq!(number(cells[6]), sum("retransmitted_packets"));
        assert_eq!(number(cells[7]), sum("local_acks"));
        assert_eq!(
            number(cells[8]),
            figure("peak_custody_bytes").into_iter().max()
        );
        let medians =
            directions.map(|direction| direction["ack_wait_us"]["captured"]["p50"].as_u64());
        assert!(medians.contains(&number(cells[9])), "{medians:?}");
        let saved: u64 = directions
            .iter()
            .map(|direction| {
                let total = |of: &str| direction["ack_wait_us"][of]["total"].as_u64().unwrap();
                total("captured").saturating_sub(total("engine"))
            })
            .sum();
        let adopted = flow["adopted"].as_bool().unwrap();
        assert_eq!(number(cells[11]), adopted.then_some(saved));
    }
}

#[test]
fn the_page_says_what_it_is_about_and_what_it_is_not() {
    let (document, ..) = sample();
    let summary = text(select(&document, "#summary")[0]);
    for part in [
        "507 packets",
        "7 conversations",
        "adopted 5 of them",
        "Open loop.",
        "does not tell how much faster",
    ] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    let apart = text(select(&document, "#apart")[0]);
    assert!(
        apart.contains("negotiated-option") && apart.contains("MPTCP"),
        "{apart}"
    );
    assert_eq!(
        text(select(&document, "#reason-negotiated-option td")[0]),
        "15"
    );
    let engine = text(select(&document, "#engine")[0]);
    assert!(
        engine.contains("CUBIC") && engine.contains("16384"),
        "{engine}"
    );
}

#[test]
fn nothing_is_fetched() {
    let (document, ..) = sample();
    let policy = select(&document, "meta[http-equiv=Content-Security-Policy]");
    assert!(
        policy[0]
            .attr("content")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    for element in select(&document, "*") {
        for (name, value) in element.value().attrs() {
            let leads_out = matches!(
                name,
                "src" | "href" | "srcset" | "action" | "data" | "xlink:href"
            );
            assert!(
                !leads_out || value.starts_with('#') || value == "data:,",
                "{name}={value}"
            );
        }
    }
    for style in select(&document, "style") {
        assert!(!text(style).contains("url(") && !text(style).contains("@import"));
    }
}

#[test]
fn graphs_of_the_first_flow_show_all_there_is() {
    let (document, json, folder) = sample();
    let graph = "#plot-flow-1-up-sequence";
    for class in [
        "edge",
        "captured",
        "engine",
        "sack",
        "data",
        "delivered",
        "repeats",
        "resent",
    ] {
        let group = format!("{graph} .layer.{class} polyline");
        assert!(!select(&document, &group).is_empty(), "{class}");
    }
    let numbers = text(select(&document, &format!("{graph} script"))[0]);
    let numbers: Value = serde_json::from_str(&numbers).unwrap();
    let layer = |class: &str| {
        let layers = numbers["layers"].as_array().unwrap();
        layers.iter().find(|layer| layer["class"] == class).unwrap()["marks"]
            .as_array()
            .unwrap()
    };
    let upload = &json["flows"][0]["directions"]["client_to_server"];
    let last = |marks: &[Value]| {
        let ends = marks
            .iter()
            .map(|mark| mark.as_array().unwrap().last().unwrap().as_u64().unwrap());
        ends.max()
    };
    assert_eq!(last(layer("data")), upload["unique_payload_bytes"].as_u64());
    assert_eq!(
        layer("repeats").len() as u64,
        upload["retransmitted_packets"].as_u64().unwrap()
    );
    assert_eq!(
        layer("delivered").len() as u64,
        upload["custody_segments"].as_u64().unwrap()
    );
    assert_eq!(
        layer("resent").len() as u64,
        upload["engine_retransmissions"].as_u64().unwrap()
    );
    let mut files = 0;
    for file in fs::read_dir(folder.path().join("svg")).unwrap() {
        let svg = fs::read_to_string(file.unwrap().path()).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert!(
            document
                .descendants()
                .any(|node| node.has_tag_name("polyline"))
        );
        files += 1;
    }
    assert_eq!(files, select(&document, "figure.plot").len());
}

#[test]
fn names_and_contents_are_no_markup() {
    let folder = tempfile::tempdir().unwrap();
    let name = "<script>alert(1)<!--</title>\"><img src=x onerror='alert(2)'>&amp;.pcap"
        .replace('/', "\u{2044}");
    let (input, html) = (folder.path().join(&name), folder.path().join("out.html"));
    let hostile = b"</script></svg><img src=x>".repeat(30);
    let packets: Vec<_> = Connection::v4()
        .exchange()
        .into_iter()
        .map(|packet| {
            let length = packet.payload.len().min(hostile.len());
            packet.with(|packet| {
                packet.payload = [&hostile[..length], &packet.payload[length..]].concat();
            })
        })
        .collect();
    fs::write(&input, raw(&packets)).unwrap();
    let output = program(
        &[
            "report",
            input.to_str().unwrap(),
            "--html",
            html.to_str().unwrap(),
        ],
        b"",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = parse(&fs::read_to_string(html).unwrap());
    assert!(select(&document, "img, iframe, object, [onerror]").is_empty());
    for script in select(&document, "script") {
        assert!(!text(script).contains("alert"));
    }
    assert!(text(select(&document, "h1 + p")[0]).ends_with(&name));
    let plots = select(&document, "figure.plot script").len();
    assert_eq!(select(&document, "script").len(), plots + 1);
}

#[test]
fn captures_of_nothing_and_of_parts_have_pages_too() {
    let (html, output) = page_of(&raw(&[]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = parse(&html);
    assert!(text(select(&document, "#flows")[0]).contains("holds no TCP"));
    assert!(select(&document, "figure").is_empty());

    let whole = plain(101, &Connection::v4().upload(40, 50_000));
    let (html, output) = page_of(&whole[..whole.len() - 5]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("warning"));
    let document = parse(&html);
    assert!(text(select(&document, ".note.bad")[0]).contains("The capture is damaged"));

    let (html, output) = page_of(&raw(&Connection::v6().exchange()[3..]));
    assert_eq!(output.status.code(), Some(0));
    let document = parse(&html);
    assert!(text(select(&document, "#apart")[0]).contains("handshake is not in the capture"));
    assert!(!select(&document, "#plot-flow-1-up-sequence .layer.data polyline").is_empty());
    assert!(select(&document, "#plot-flow-1-up-sequence .layer.engine").is_empty());

    let (html, output) = page_of(b"no capture at all");
    assert_eq!((output.status.code(), html.as_str()), (Some(1), ""));
}

#[test]
fn wild_numbers_are_survived() {
    let connection = Connection::v4();
    let mut packets = connection.exchange();
    packets.insert(5, connection.down(1, 0x7fff_0000, ACK, 0));
    packets.insert(6, connection.up(0x4000_0000, 1, ACK, 500));
    packets.insert(
        7,
        connection
            .up(1_000, 1, ACK, 700)
            .with(|packet| packet.flags |= RST),
    );
    let (html, output) = page_of(&raw(&packets));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    parse(&html);
}

#[test]
fn the_input_is_not_overwritten_and_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.pcap");
    let capture = raw(&Connection::v4().exchange());
    fs::write(&input, &capture).unwrap();
    let input = input.to_str().unwrap();
    let output = program(&["report", input, "--html", input], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would overwrite"));
    assert_eq!(fs::read(input).unwrap(), capture);
    assert_eq!(program(&["report", input], b"").status.code(), Some(2));
    let missing = folder.path().join("missing/out.html");
    let output = program(&["report", input, "--html", missing.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot write"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_page() {
    let script = r#"
        set -e
        mount -t tmpfs -o size=64k tmpfs "$1"
        status=0
        "$2" report --html "$1/out.html" || status=$?
        ls -A "$1"
        exit "$status"
    "#;
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([
            folder.path(),
            Path::new(env!("CARGO_BIN_EXE_localack-pcap")),
        ])
        .output();
    let told = output.as_ref().map(stderr).unwrap_or_default();
    if !told.contains("localack-pcap:") {
        assert!(
            std::env::var_os("LOCALACK_REQUIRE_ROOT").is_none(),
            "cannot mount: {told}"
        );
        eprintln!("skipped: a file system of a known size needs root");
        return;
    }
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("out.html: No space left on device"), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn a_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("out.html");
    let mut child = Command::new(PROGRAM)
        .args([
            "report",
            "-",
            "--top",
            "1",
            "--html",
            html.to_str().unwrap(),
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let capture = plain(101, &Connection::v4().upload(40, 50_000));
    child.stdin.take().unwrap().write_all(&capture).unwrap();
    assert!(child.wait().unwrap().success());
    let document = parse(&fs::read_to_string(html).unwrap());
    assert!(text(select(&document, "h1 + p")[0]).ends_with("standard input"));
    assert_eq!(select(&document, ".flow").len(), 1);
}

/// Replays frames with traces of the first `top` conversations.
fn traced(frames: &[Timed], top: usize, sort: Sort) -> (Traces, String) {
    let mut source = Source::new(std::io::Cursor::new(plain(101, frames))).unwrap();
    let (options, mut traces) = (Options::default(), Traces::new(top, sort));
    let report = replay_watched(&mut source, &options, None, &mut traces, &mut |_| ()).unwrap();
    let content = Content {
        name: "made",
        report: &report,
        traces: &traces,
        options: &options,
        top,
        sort,
        what_if: None,
    };
    let html = Page::new(&content).unwrap().html;
    (traces, html)
}

/// Uploads side by side, the later ones larger.
fn many(count: u16) -> Vec<Timed> {
    let mut frames = Vec::new();
    for number in 0..count {
        let connection = Connection {
            client: ("10.1.0.1".parse().unwrap(), 10_000 + number),
            ..Connection::v4()
        };
        let upload = connection.upload(4 + u32::from(number) / 4, 20_000);
        frames.extend(
            upload
                .into_iter()
                .map(|(at, packet)| (at + u64::from(number) * 37, packet)),
        );
    }
    frames.sort_by_key(|frame| frame.0);
    frames
}

#[test]
fn memory_is_bounded_however_many_conversations_there_are() {
    let (traces, html) = traced(&many(200), 3, Sort::Bytes);
    assert!(traces.marks() <= Traces::places(3) * FlowTrace::MOST);
    let held = (0..200)
        .filter(|&index| traces.get(index).is_some())
        .count();
    assert_eq!(held, Traces::places(3));
    let document = parse(&html);
    assert_eq!(select(&document, "#flows tbody tr").len(), 200);
    let drawn = select(&document, ".flow");
    assert_eq!(drawn.len(), 3);
    for section in drawn {
        assert!(
            text(section).contains(":101"),
            "the largest are the last: {}",
            text(section)
        );
        assert!(section.select(&Selector::parse("figure").unwrap()).count() > 0);
    }
}

#[test]
fn the_first_conversations_keep_their_places_in_the_order_of_time() {
    let (traces, _) = traced(&many(120), 2, Sort::Start);
    assert!((0..Traces::places(2)).all(|index| traces.get(index).is_some_and(|trace| !trace.late)));
    let (traces, html) = traced(&many(3), 0, Sort::Bytes);
    assert_eq!((traces.marks(), html.contains("id=\"graphs\"")), (0, false));
}

#[test]
fn a_long_conversation_is_thinned_out_and_the_page_says_so() {
    let (traces, html) = traced(&Connection::v4().upload(12_000, 30_000), 1, Sort::Bytes);
    assert!(traces.marks() <= FlowTrace::MOST);
    let document = parse(&html);
    let notes = select(&document, "#plot-flow-1-up-sequence figcaption small");
    assert!(
        text(notes[0]).contains("marks are drawn"),
        "{}",
        text(notes[0])
    );
    let shapes = select(&document, "#plot-flow-1-up-sequence .layer.data polyline").len();
    assert!((500..=2000).contains(&shapes), "{shapes}");
}

/// The page about the sample with what is foretold, and the answer of the command that foretells.
fn foretold(more: &[&str]) -> (Html, Value) {
    let folder = tempfile::tempdir().unwrap();
    let [html, svg] = ["out.html", "svg"].map(|name| folder.path().join(name));
    let [page, plots] = [&html, &svg].map(|path| path.to_str().unwrap());
    let args = ["report", "--html", page, "--svg", plots, "--what-if"];
    let shared = ["--seeds", "3", "--top", "2"];
    let output = program(&[&args[..], &shared, more].concat(), b"");
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let document = parse(&fs::read_to_string(&html).unwrap());
    for figure in select(&document, ".what-if figure") {
        let name = figure.attr("id").unwrap().strip_prefix("plot-").unwrap();
        let svg = fs::read_to_string(svg.join(format!("{name}.svg"))).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
    }
    let more: Vec<_> = more
        .iter()
        .map(|word| {
            word.strip_prefix("--path-")
                .map_or((*word).to_owned(), |word| format!("--{word}"))
        })
        .collect();
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let json = program(&[&["what-if", "--json"], &shared[..], &more].concat(), b"").stdout;
    (document, serde_json::from_slice(&json).unwrap())
}

#[test]
fn what_is_foretold_is_what_the_command_foretells() {
    let (document, json) = foretold(&[]);
    let sections = select(&document, ".flow");
    let flows = json["flows"].as_array().unwrap();
    assert_eq!((sections.len(), flows.len()), (2, 2));
    for (section, flow) in sections.iter().zip(flows) {
        let inside = |selector: &str| -> Vec<ElementRef<'_>> {
            section
                .select(&Selector::parse(selector).unwrap())
                .collect()
        };
        assert!(text(inside("h3")[0]).contains(flow["client"].as_str().unwrap()));
        let mark = inside(".what-if .trust")[0].attr("data-trust");
        let trusted = flow["trustworthy"].as_bool().unwrap();
        assert_eq!(mark, Some(if trusted { "yes" } else { "no" }));
        let rows: Vec<Vec<_>> = inside(".what-if tbody tr")
            .into_iter()
            .map(|row| row.child_elements().collect())
            .collect();
        let of = |figure: &Value| Some(figure.as_u64().unwrap());
        assert_eq!(number(rows[0][1]), of(&flow["captured"]["completion_us"]));
        for (row, runs) in [(&rows[1], &flow["reproduced"]), (&rows[2], &flow["engine"])] {
            let times = &runs["completion_us"];
            assert_eq!(number(row[1]), of(&times["p50"]));
            let spread =
                ["data-from", "data-to"].map(|name| row[2].attr(name).unwrap().parse().ok());
            assert_eq!(spread, ["p10", "p90"].map(|name| of(&times[name])));
        }
        let custody = &flow["engine"]["peak_custody_octets"]["p90"];
        assert_eq!(number(rows[2][5]), of(custody));
        let notes: Vec<_> = inside(".what-if li").into_iter().map(text).collect();
        let told: Vec<_> = flow["notes"].as_array().unwrap().iter().collect();
        assert_eq!(serde_json::json!(notes), serde_json::json!(told));
        assert_eq!(inside(".what-if figure").len(), 2);
    }
    let summary = text(select(&document, "#what-if")[0]);
    assert!(
        summary.contains("Closed loop") && summary.contains("2 conversations"),
        "{summary}"
    );
}

#[test]
fn curves_of_what_is_foretold_end_where_its_figures_are() {
    let (document, json) = foretold(&[]);
    let flow = &json["flows"][0];
    let layers = |name: &str| -> Vec<Value> {
        let script = select(&document, &format!("#plot-flow-1-{name} script"));
        let numbers: Value = serde_json::from_str(&text(script[0])).unwrap();
        numbers["layers"].as_array().unwrap().clone()
    };
    let of = |layers: &[Value], class: &str| -> Vec<Value> {
        let layer = layers.iter().find(|layer| layer["class"] == class).unwrap();
        layer["marks"].as_array().unwrap().clone()
    };
    let completion = layers("completion");
    for (class, runs) in [
        ("reproduced", &flow["reproduced"]),
        ("engine", &flow["engine"]),
    ] {
        let times = &runs["completion_us"];
        let expected = [
            ("min", 0),
            ("p10", 1000),
            ("p50", 5000),
            ("p90", 9000),
            ("max", 10_000),
        ]
        .map(|(name, share)| serde_json::json!([times[name], share]));
        assert_eq!(of(&completion, class), expected);
    }
    let progress = layers("progress");
    let total = flow["octets"][0].as_u64().unwrap();
    for (class, took) in [
        ("captured", &flow["captured"]["completion_us"]),
        ("reproduced", &flow["reproduced"]["completion_us"]["p50"]),
        ("engine", &flow["engine"]["completion_us"]["p50"]),
    ] {
        let marks = of(&progress, class);
        let last = marks.last().unwrap();
        assert_eq!(last[1], total, "{class}");
        let (at, took) = (last[0].as_f64().unwrap(), took.as_f64().unwrap());
        // The few octets of the other direction arrive last.
        assert!(
            (0.85..1.001).contains(&(at / took)),
            "{class}: {at} of {took}"
        );
        assert!(
            marks
                .windows(2)
                .all(|pair| pair[0][1].as_u64() < pair[1][1].as_u64())
        );
    }
}

#[test]
fn what_is_known_of_the_path_is_used_for_what_is_foretold() {
    let told = [
        "--path-rtt",
        "100",
        "--path-rate",
        "10",
        "--path-loss",
        "0",
        "--place",
        "middle",
    ];
    let (document, json) = foretold(&told);
    let page = text(select(&document, ".what-if details")[0]);
    assert!(
        page.contains("100.00 ms") && page.contains("10.00 Mbit/s") && page.contains("told"),
        "{page}"
    );
    assert_eq!(json["settings"]["place"], "middle");
    assert!(text(select(&document, "#what-if")[0]).contains("in the middle"));
    let shown = select(&document, ".what-if tbody tr:nth-child(3) td")[0];
    let times = &json["flows"][0]["engine"]["completion_us"];
    assert_eq!(number(shown), times["p50"].as_u64());
}

#[test]
fn nothing_is_foretold_unless_it_is_asked_for() {
    let (document, ..) = sample();
    assert!(select(&document, ".what-if, #what-if").is_empty());
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("out.html");
    let html = html.to_str().unwrap();
    for (args, part) in [
        (&["--path-rtt", "100"][..], "--what-if"),
        (&["--place", "middle"], "--what-if"),
        (&["-", "--what-if"], "read only once"),
        (&["--what-if", "--path-loss", "51"], "50 percent"),
    ] {
        let output = program(&[&["report", "--html", html], args].concat(), b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert!(!Path::new(html).exists());
    }
}
