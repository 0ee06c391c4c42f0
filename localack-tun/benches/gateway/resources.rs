//! What the gateway takes: processor time and memory.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use localack_core::{BlockSlot, EngineHead, FlowSlot, IndexSlot, PathSlot};
use localack_tun::clock::Clock;
use localack_tun::config::{Geometry, Settings};
use localack_tun::netns;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Scratch, ip};
use crate::gateway::Site;
use crate::stage::{ROOM, Stage, judge, median};

/// Clock ticks of /proc/PID/stat in a second.
const TICKS: f64 = 100.0;

/// Processor time that a process has taken, in seconds.
fn processor_time(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = text.rsplit_once(") ").unwrap();
    let mut fields = fields
        .split(' ')
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap());
    (fields.next().unwrap() + fields.next().unwrap()) / TICKS
}

/// Processor time that the machine has spent, in seconds.
fn spent_by_all() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let line = text.lines().next().unwrap();
    let fields: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map(|n| n.parse().unwrap())
        .collect();
    // Everything but idle and waiting for disks, each once: guests are in user time already.
    (fields[..8].iter().sum::<f64>() - fields[3] - fields[4]) / TICKS
}

/// Goodput without an emulated path.
pub(crate) fn veth(runs: usize) -> usize {
    const OCTETS: usize = 4_000_000_000;
    // One connection's data is not held back by the room that it may take.
    let text = format!("{ROOM}[default]\nbuffer = \"32mib\"\n");
    let served = Stage::new("v0", None, Some(&text));
    let cubic = Stage::new("v1", None, Some(&format!("{text}controller = \"cubic\"\n")));
    let bypass = Stage::new("v2", None, Some(&format!("{text}service = \"bypass\"\n")));
    let plain = Stage::new("v3", None, None);
    let proxy = Stage::behind_a_proxy("v4");
    let mut stages = vec![
        ("bbr", &served),
        ("cubic", &cubic),
        ("bypass", &bypass),
        ("plain forwarding", &plain),
    ];
    match &proxy {
        Some(proxy) => stages.push(("haproxy, splicing", proxy)),
        None => println!("veth: there is no haproxy to compare with"),
    }
    for (_, stage) in &stages {
        stage.keep_order();
    }
    let mut rates = vec![Vec::new(); stages.len()];
    let mut costs = vec![Vec::new(); stages.len()];
    let mut own = vec![Vec::new(); stages.len()];
    for _ in 0..runs {
        for (n, (_, stage)) in stages.iter().enumerate() {
            let of_program = || stage.process().map_or(0.0, processor_time);
            let before = (spent_by_all(), of_program());
            let took = stage.upload(OCTETS, None).as_secs_f64();
            rates[n].push(OCTETS as f64 * 8.0 / took / 1e9);
            costs[n].push((spent_by_all() - before.0) / (OCTETS as f64 / 1e9));
            own[n].push((of_program() - before.1) / (OCTETS as f64 / 1e9));
        }
    }
    let [rates, costs, own] =
        [rates, costs, own].map(|figures| figures.into_iter().map(median).collect::<Vec<_>>());
    let mut missed = 0;
    for (n, (name, _)) in stages.iter().enumerate() {
        let more = format!(
            "processor seconds per GB: machine {:.2}, program {:.2}; {:.2} of plain",
            costs[n],
            own[n],
            rates[n] / rates[3]
        );
        let bar = (n < 2).then_some(6.5);
        missed += judge(
            &format!("veth, one queue, Gbit/s: {name}"),
            rates[n],
            bar,
            &more,
        );
    }
    for (n, (name, _)) in stages.iter().enumerate().take(2) {
        let name = format!("veth, one queue: {name} beside plain");
        missed += judge(&name, rates[n] / rates[3], Some(0.4), "");
    }
    missed
}

/// What the program calls the system for.
const CALLS: [(&str, &str); 6] = [
    (
        "readv",
        "takes a packet from a device, or finds that there is none",
    ),
    ("writev", "gives a packet to a device"),
    ("ppoll", "waits for packets or a time"),
    ("write", "wakes a thread, or the log"),
    ("read", "takes what has woken it"),
    ("futex", "hands something to another thread"),
];

/// The program's calls of the system for each packet that it takes or gives.
pub(crate) fn syscalls(_: usize) -> usize {
    const OCTETS: usize = 2_000_000_000;
    let stage = Stage::new(
        "s",
        None,
        Some(&format!("{ROOM}[default]\nbuffer = \"32mib\"\n")),
    );
    stage.keep_order();
    stage.upload(OCTETS / 10, None);
    let traced = Scratch::new("strace");
    let strace = Command::new("strace")
        .args(["-c", "-f", "-p", &stage.pid().to_string(), "-o"])
        .arg(&traced.0)
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut strace) = strace else {
        println!("syscalls: there is no strace");
        return 0;
    };
    thread::sleep(Duration::from_secs(1));
    let before = packets(&stage);
    stage.upload(OCTETS, None);
    let packets = packets(&stage) - before;
    let pid = Pid::from_raw(strace.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    strace.wait().unwrap();
    println!(
        "syscalls: {packets:.0} packets in and out for {} MB, {:.0} octets each",
        OCTETS / 1_000_000,
        OCTETS as f64 * 2.0 / packets
    );
    for line in fs::read_to_string(&traced.0).unwrap().lines() {
        // Percent, seconds, microseconds a call, calls, errors if there were any, and its name.
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(name), Some(Ok(calls))) = (
            fields.last(),
            fields.get(3).map(|calls| calls.parse::<f64>()),
        ) else {
            continue;
        };
        let failed = if fields.len() == 6 { fields[4] } else { "0" };
        let purpose = CALLS.iter().find(|(call, _)| call == name);
        println!(
            "  {name:<12} {calls:>9} calls, {failed:>7} without effect, {:.3} a packet: {}",
            calls / packets,
            purpose.map_or("", |(_, purpose)| purpose)
        );
    }
    0
}

/// Packets that have gone through the program's devices, in and out.
fn packets(stage: &Stage) -> f64 {
    let device = |name| {
        let text = ip(&format!(
            "-n {} -s -j link show {name}",
            stage.name(Site::Gateway)
        ));
        let links: serde_json::Value = serde_json::from_str(&text).unwrap();
        let count = |way: &str| links[0]["stats64"][way]["packets"].as_f64().unwrap();
        count("rx") + count("tx")
    };
    device("lak-in") + device("lak-out")
}

/// What the settings say, in octets.
fn said(geometry: &Geometry) -> u64 {
    let parts = [
        size_of::<EngineHead>(),
        geometry.flows * size_of::<FlowSlot>(),
        geometry.index * size_of::<IndexSlot>(),
        geometry.blocks * size_of::<BlockSlot>(),
        geometry.paths * size_of::<PathSlot>(),
        geometry.arena,
    ];
    parts.into_iter().sum::<usize>() as u64
}

/// Resident memory of a process, in octets.
fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// Resident memory beside what the settings say, before and after a transfer.
pub(crate) fn memory(_: usize) -> usize {
    let mut above = Vec::new();
    for (flows, mib) in [(1000, 64_u64), (65_536, 64), (1000, 256), (65_536, 256)] {
        let text = format!(
            "[engine]\nflows = {flows}\nbuffer = \"{mib}mib\"\nnetworks = 1000\n\
             [control]\nsocket = \"off\"\n"
        );
        let said = said(&Settings::parse(&text).unwrap().engine.per_queue());
        let stage = Stage::new("m", None, Some(&text));
        let at_first = resident(stage.pid());
        for _ in 0..20 {
            stage.upload(20_000_000, None);
        }
        let later = resident(stage.pid());
        above.push(later as f64 - said as f64);
        println!(
            "memory of {flows} flows, {mib} MiB: settings {:.1} MiB, resident {:.1} at first, {:.1} MiB later",
            said as f64 / 1048576.0,
            at_first as f64 / 1048576.0,
            later as f64 / 1048576.0
        );
    }
    let most = above.iter().copied().fold(f64::MIN, f64::max);
    let least = above.iter().copied().fold(f64::MAX, f64::min);
    let difference = (most - least) / 1048576.0;
    println!(
        "above the settings: {:.1} to {:.1} MiB",
        least / 1048576.0,
        most / 1048576.0
    );
    // The same for all settings, to within two MiB.
    judge(
        "memory, MiB of 2 that the constant may differ",
        2.0 - difference,
        Some(0.0),
        "",
    )
}

/// Processor time for connections that say nothing.
pub(crate) fn idle(_: usize) -> usize {
    const WAIT: u64 = 20;
    // A process may have so many files open, two for each connection, so there are several.
    const EACH: usize = 5000;
    const HOLDERS: usize = 20;
    let text = ROOM
        .replace("flows = 1000", "flows = 131072")
        .replace("128mib", "512mib");
    let stage = Stage::new("i", None, Some(&text));
    let mut holders: Vec<_> = (0..HOLDERS)
        .map(|_| {
            let mut holder = Command::new(env::current_exe().unwrap())
                .args(["--hold", stage.name(Site::Client), stage.name(Site::Server)])
                .arg(stage.server.to_string())
                .arg(EACH.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut ready = [0];
            holder
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut ready)
                .unwrap();
            holder
        })
        .collect();
    thread::sleep(Duration::from_secs(2));
    let (before, clock) = (processor_time(stage.pid()), Clock::start());
    thread::sleep(Duration::from_secs(WAIT));
    let share = (processor_time(stage.pid()) - before) / clock.now().as_secs_f64();
    for holder in &mut holders {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
    println!(
        "{} idle connections: {:.3} % of a processor",
        EACH * HOLDERS,
        share * 100.0
    );
    let left = 0.1 - share * 100.0;
    judge("idle, percent of 0.1 % that is left", left, Some(0.0), "")
}

/// Opens so many connections from one namespace to an address in another, says so, and holds them until
/// its input ends.
pub(crate) fn hold(arguments: &[String]) {
    let [client, server, address, number] = arguments else {
        panic!("two namespaces, an address and a number");
    };
    let number: usize = number.parse().unwrap();
    let any = SocketAddr::from((address.parse::<IpAddr>().unwrap(), 0));
    let listener = netns::within(server, || TcpListener::bind(any))
        .unwrap()
        .unwrap();
    let address = listener.local_addr().unwrap();
    let connections: Vec<[TcpStream; 2]> = netns::within(client, || {
        let connect = |_| {
            let mut near = TcpStream::connect(address).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            // Each is served.
            near.write_all(&[1; 100]).unwrap();
            far.read_exact(&mut [0; 100]).unwrap();
            [near, far]
        };
        (0..number).map(connect).collect()
    })
    .unwrap();
    println!("{} connections", connections.len());
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
