//! What an operator says and sees: `localack-tun ctl`, metrics and `localack-tun top`, with the real
//! program.
//!
//! A gateway needs root and iproute2. Without them these tests say so and pass, unless
//! `LOCALACK_REQUIRE_ROOT=1` turns that into a failure.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
mod common;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/program.rs"]
mod program;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Scratch, privileged};
use gateway::{Connection, FAMILIES, Gateway, PATIENCE};
use localack_tun::clock::Clock;
use localack_tun::config::{Settings, time};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use program::Running;
use serde_json::Value;

/// Runs `ctl` with these arguments; its exit code, standard output and standard error.
fn ctl(socket: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
        .args(["ctl".as_ref(), "--socket".as_ref(), socket.as_os_str()])
        .args(arguments)
        .output()
        .unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What `ctl` prints when all is well.
fn said(socket: &Path, arguments: &[&str]) -> String {
    let (code, out, errors) = ctl(socket, arguments);
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

fn json(socket: &Path, arguments: &[&str]) -> Value {
    let text = said(socket, &[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Exchanges octets over a connection as long as `work` lasts.
fn during_a_transfer(connection: &Connection, work: impl FnOnce()) {
    struct Ender<'a>(&'a AtomicBool);
    impl Drop for Ender<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ender = Ender(&ended);
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                connection.exchange(300_000);
            }
        });
        work();
    });
}

/// What a scrape gets.
fn metrics(gateway: &Gateway) -> String {
    gateway.within(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9180").unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

/// Asks again until the answer is right.
fn eventually(what: &str, mut is_right: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_right() {
        assert!(clock.now() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_operator_watches_and_steers_a_running_gateway() {
    if !privileged() {
        return;
    }
    let mut gateway = Gateway::new("operate");
    gateway.close_devices();
    let (config, socket) = (Scratch::new("operate.toml"), Scratch::new("operate.sock"));
    let text = format!(
        "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n[metrics]\nlisten = 9180\n\
         [control]\nsocket = {:?}\n",
        socket.0
    );
    fs::write(&config.0, text).unwrap();
    let run = Running::start(&gateway, "operate", &config, "");
    let socket = socket.0.as_path();
    assert_eq!(fs::symlink_metadata(socket).unwrap().mode() & 0o7777, 0o600);
    let connection = gateway.open_echo(FAMILIES[0].server);

    let status = said(socket, &["status"]);
    assert!(status.starts_with("state       running for "), "{status}");
    assert!(status.contains("inner in0, outer out0"), "{status}");

    let flow = || json(socket, &["flows", "--sort", "rate"])["flows"][0].clone();
    let reason = |flow: &Value| flow["inner_to_outer"]["reason"].clone();
    during_a_transfer(&connection, || {
        eventually("acknowledged early", || {
            let flow = flow();
            reason(&flow)["number"] == 2
                && flow["inner_to_outer"]["rate"].as_u64() > Some(0)
                && flow["inner_to_outer"]["acknowledged_early"].as_u64() > Some(0)
        });
        let table = said(socket, &["flows"]);
        assert!(table.contains("mode 2 local-ack"), "{table}");
        assert!(table.contains("pass 24 bypass-service"), "{table}");

        // A policy, from the standard input of a shell or a file, flips the live flow.
        let policy = "[[policy]]\nname = \"not-now\"\nservice = \"bypass\"\n";
        let set = said(socket, &["policy", "set", "--text", policy]);
        assert_eq!(set, "1 policies at work; 1 flows changed\n");
        eventually("bypassed", || reason(&flow())["number"] == 24);
        let list = said(socket, &["policy", "list"]);
        assert!(list.starts_with("# not-now: 0 new connections\n"), "{list}");
        let removed = json(socket, &["policy", "remove", "not-now"]);
        assert_eq!(removed["flows_changed"], 1, "{removed}");
        assert_eq!(json(socket, &["policy", "reload"])["policies"], 0);

        // One flow alone, by its id.
        let id = flow()["id"].as_str().unwrap().to_owned();
        let told = said(socket, &["flow", &id, "bypass"]);
        assert!(told.starts_with(&format!("{id} (192.0.2.2:")), "{told}");
    });

    // What the engine does by itself has its reason too: urgent data is not kept (rule H5.8).
    let urgent = gateway.open_echo(FAMILIES[1].server);
    urgent.exchange(300_000);
    let [near, _] = urgent.ends();
    send(near.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
    eventually("handed back", || {
        let flows = json(socket, &["flows"])["flows"].clone();
        let flows = flows.as_array().unwrap();
        let reasons: Vec<_> = flows.iter().map(reason).collect();
        reasons
            .iter()
            .any(|reason| reason["group"] == "demote" && reason["name"] == "urgent")
    });
    drop(urgent);

    let metrics = metrics(&gateway);
    for line in [
        "localack_flows_adopted_total 2",
        "localack_packets_absorbed_total{reason=\"stored\"}",
        "localack_lost_bytes_total 0",
        "localack_pool_size_bytes 67",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let stats = said(socket, &["stats"]);
    assert!(stats.contains("flows-adopted"), "{stats}");

    let mut top = Screen::start(socket);
    top.wait_for("in0 <> out0");
    top.press("q");
    top.ended();

    let (code, _, errors) = ctl(socket, &["flow", "0:999.1", "bypass"]);
    assert_eq!(
        (code, errors.as_str()),
        (1, "localack-tun: there is no such flow\n")
    );
    said(socket, &["drain"]);
    eventually("drained", || {
        json(socket, &["status"])["state"] == "drained"
    });
    connection.exchange(300_000);
    run.signal(Signal::SIGTERM);
    run.ended(0);
    let (code, _, errors) = ctl(socket, &["status"]);
    assert_eq!(code, 1);
    assert!(errors.contains("no gateway answers"), "{errors}");
}

/// `localack-tun top` in a terminal of 80 columns and 24 lines.
struct Screen {
    child: Child,
    master: File,
    slave: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    fn start(socket: &Path) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["top".as_ref(), "--socket".as_ref(), socket.as_os_str()])
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, to) = (master.try_clone().unwrap(), Arc::clone(&written));
        // It ends with the last descriptor of the other side.
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(octets @ 1..) = reader.read(&mut piece) {
                to.lock().unwrap().extend_from_slice(&piece[..octets]);
            }
        });
        Self {
            child,
            master,
            slave,
            written,
        }
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until this has been drawn in one piece.
    fn wait_for(&self, text: &str) {
        eventually(text, || self.written().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn is_cooked(&self) -> bool {
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Waits for its end, which is a good one, and sees that the terminal is as before.
    fn ended(&mut self) {
        let mut status = None;
        eventually("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{}", self.written());
        assert!(self.is_cooked());
        // The first screen, and its cursor, are back.
        self.wait_for("\x1b[?1049l");
        self.wait_for("\x1b[?25h");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_operator_arranges_services_while_traffic_flows() {
    if !privileged() {
        return;
    }
    let mut gateway = Gateway::new("arranger");
    gateway.close_devices();
    let (config, socket) = (Scratch::new("arranger.toml"), Scratch::new("arranger.sock"));
    let text = format!(
        "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n[metrics]\nlisten = 9180\n\
         [control]\nsocket = {:?}\n[[arrangement]]\nname = \"narrow\"\nmss_clamp = 1300\n",
        socket.0
    );
    fs::write(&config.0, &text).unwrap();
    let run = Running::start(&gateway, "arranger", &config, "");
    let socket = socket.0.as_path();
    let connection = gateway.open_echo(FAMILIES[0].server);
    let flow = || json(socket, &["flows"])["flows"][0].clone();
    during_a_transfer(&connection, || {
        let list = said(socket, &["arrangement", "list"]);
        assert_eq!(
            list,
            "# narrow: no policy; 0 directions of open flows\n  name = \"narrow\"\n  mss_clamp = 1300\n"
        );
        let radio = "[[arrangement]]\nname = \"radio\"\nservice = \"snoop\"\n";
        let set = said(socket, &["arrangement", "set", "--text", radio]);
        assert_eq!(set, "0 policies at work; 0 flows changed\n");
        let policy = "[[policy]]\nname = \"wireless\"\narrangement = \"radio\"\n";
        let set = said(socket, &["policy", "set", "--text", policy]);
        assert_eq!(set, "1 policies at work; 1 flows changed\n");
        let there = flow()["inner_to_outer"].clone();
        assert_eq!(
            (&there["service"], &there["arrangement"]),
            (&"snoop".into(), &"radio".into())
        );
        let table = said(socket, &["flows"]);
        assert!(
            table.contains("ARRANGED") && table.contains(" radio "),
            "{table}"
        );
        let metrics = metrics(&gateway);
        let line =
            "localack_arranged_directions{direction=\"inner_to_outer\",arrangement=\"radio\"} 1";
        assert!(metrics.contains(line), "{metrics}");

        // It stays as long as a policy names it.
        let (code, _, errors) = ctl(socket, &["arrangement", "remove", "radio"]);
        let expected = "localack-tun: the arrangement \"radio\" is named by wireless: change or remove that first\n";
        assert_eq!((code, errors.as_str()), (1, expected));
        let (code, _, errors) = ctl(
            socket,
            &["policy", "set", "--text", &policy.replace("radio", "raido")],
        );
        assert!(
            code == 1 && errors.contains("did you mean \"radio\"?"),
            "{errors}"
        );

        // One flow alone, by its id.
        let id = flow()["id"].as_str().unwrap().to_owned();
        let told = said(
            socket,
            &["flow", &id, "local-ack", "--arrangement", "narrow"],
        );
        assert!(
            told.ends_with(
                ": local-ack and arrangement narrow asked for inner to outer and outer to inner\n"
            ),
            "{told}"
        );
        let names = |flow: &Value| {
            ["inner_to_outer", "outer_to_inner"].map(|way| flow[way]["arrangement"].clone())
        };
        assert_eq!(names(&flow()), ["narrow", "narrow"]);

        // The file again, in which the one is another and the other is gone.
        fs::write(&config.0, text.replace("narrow", "tight")).unwrap();
        run.signal(Signal::SIGHUP);
        run.wait_for("the configuration was read again", 1);
        assert_eq!(names(&flow()), [Value::Null, Value::Null]);
        assert_eq!(flow()["inner_to_outer"]["service"], "local-ack");
        let list = json(socket, &["arrangement", "list"]);
        assert_eq!(list["arrangements"][0]["name"], "tight");
        assert_eq!(list["arrangements"].as_array().unwrap().len(), 1);
    });
    run.signal(Signal::SIGTERM);
    let log = run.ended(0);
    assert!(log.contains("octets_lost=0"), "{log}");
}

#[test]
fn the_terminal_is_given_back_at_a_key_and_at_a_signal() {
    let nowhere = Scratch::new("nowhere.sock");
    for signal in [
        None,
        Some(Signal::SIGTERM),
        Some(Signal::SIGHUP),
        Some(Signal::SIGINT),
    ] {
        let mut top = Screen::start(&nowhere.0);
        top.wait_for("\x1b[?1049h");
        // Without a gateway it says so and goes on trying.
        top.wait_for("no gateway answers");
        assert!(!top.is_cooked(), "keys come at once");
        match signal {
            None => top.press("q"),
            Some(signal) => {
                let pid = Pid::from_raw(top.child.id().try_into().unwrap());
                kill(pid, signal).unwrap();
            }
        }
        top.ended();
    }
}

#[test]
fn without_a_terminal_top_says_what_works() {
    let output = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
        .arg("top")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("ctl flows --watch"), "{errors}");
}

#[test]
fn ctl_refuses_bad_usage_and_tells_where_it_looked() {
    let nowhere = Scratch::new("nobody.sock");
    let (code, out, errors) = ctl(&nowhere.0, &["status"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        errors.contains("nobody.sock: no gateway answers"),
        "{errors}"
    );
    let (code, _, errors) = ctl(&nowhere.0, &["flow", "10.0.0.1:5", "x", "bypass"]);
    assert_eq!(code, 2, "{errors}");
    let (code, _, errors) = ctl(&nowhere.0, &["policy", "set", "/does/not/exist"]);
    assert_eq!(code, 1);
    assert!(errors.contains("/does/not/exist: "), "{errors}");
}

#[test]
fn the_unit_for_systemd_says_what_the_program_takes() {
    let unit = include_str!("../dist/localack-tun.service");
    let values = |key: &str| {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(key));
        lines
            .filter_map(|rest| rest.strip_prefix('='))
            .collect::<Vec<_>>()
    };
    for (key, program) in [("ExecStart", "run"), ("ExecStopPost", "cleanup")] {
        let [command] = values(key)[..] else {
            panic!("{key}");
        };
        let words: Vec<_> = command.split(' ').collect();
        assert_eq!(words[..2], ["/usr/bin/localack-tun", program]);
        // Whatever is not known is refused before there is help.
        let output = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(&words[1..])
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}");
    }
    assert_eq!(values("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    assert_eq!(values("CapabilityBoundingSet"), ["CAP_NET_ADMIN"]);
    let [patience] = values("TimeoutStopSec")[..] else {
        panic!("TimeoutStopSec");
    };
    let patience = time(patience).unwrap();
    assert!(patience > Settings::default().engine.drain_deadline);
}
