//! A gateway with the real program in it, and connections through it.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use localack_tun::clock::Clock;
use localack_tun::control::Client;
use localack_tun::control::protocol::{Answer, FlowEntry, Request};
use localack_tun::netns;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::{Scratch, ip};
use crate::content::{receive, send};
use crate::gateway::{FAMILIES, Gateway, PATIENCE, Site};
use crate::program::{Running, program};
use crate::satellite::Satellite;

/// Data from both sides is acknowledged early.
pub(crate) const BOTH_WAYS: &str = "[default]\nouter_to_inner = \"local-ack\"\n";

/// A number for a stream that no other has.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A client, a gateway and a server, and the program in the gateway if it was started.
pub(crate) struct World {
    // In the order in which they have to go.
    run: Option<Running>,
    /// Those that were killed, whose files the next ones have taken over.
    killed: Vec<Running>,
    link: Option<Satellite>,
    gateway: Gateway,
    config: Scratch,
    socket: Scratch,
    kept: Scratch,
    test: String,
    sides: [&'static str; 2],
    /// The server's addresses, one of each IP version.
    pub(crate) servers: [IpAddr; 2],
}

impl World {
    /// A world in which the gateway only forwards.
    pub(crate) fn bare(test: &str, settings: &str) -> Self {
        let test = format!("k{test}");
        let mut gateway = Gateway::new(&test);
        gateway.close_devices();
        let (config, socket) = (
            Scratch::new(&format!("{test}.toml")),
            Scratch::new(&format!("{test}.sock")),
        );
        let path = socket.0.display();
        let text = format!(
            "[engine]\nflows = 1000\nbuffer = \"64mib\"\nnetworks = 100\n\
             [control]\nsocket = \"{path}\"\n[log]\nlevel = \"debug\"\n{settings}"
        );
        fs::write(&config.0, text).unwrap();
        Self {
            run: None,
            killed: Vec::new(),
            link: None,
            gateway,
            config,
            socket,
            kept: Scratch::new(&format!("{test}.kept")),
            test,
            sides: ["in0", "out0"],
            servers: FAMILIES.map(|family| family.server.parse().unwrap()),
        }
    }

    /// A world with a local network on either side of the program.
    pub(crate) fn new(test: &str, settings: &str) -> Self {
        Self::bare(test, settings).started()
    }

    /// A world in which an emulated link leads to the server.
    pub(crate) fn over(test: &str, link: &str, settings: &str) -> Self {
        Self::bare_over(test, link, settings).started()
    }

    /// The same, and the gateway only forwards.
    pub(crate) fn bare_over(test: &str, link: &str, settings: &str) -> Self {
        let mut world = Self::bare(test, settings);
        world.link = Some(Satellite::start(&world.gateway, link));
        world.sides[1] = "sat0";
        world.servers = Satellite::SERVERS.map(|server| server.parse().unwrap());
        world
    }

    /// Has the program keep its connections in a file, for a successor to find within `hold`.
    pub(crate) fn that_keeps(self, hold: &str) -> Self {
        let text = fs::read_to_string(&self.config.0).unwrap();
        let kept = self.kept.0.display();
        let lines = format!("[engine]\nstate = \"{kept}\"\nhold = \"{hold}\"\n");
        fs::write(&self.config.0, text.replace("[engine]\n", &lines)).unwrap();
        self
    }

    /// The same in a file of this name.
    pub(crate) fn that_keeps_in(mut self, file: PathBuf, hold: &str) -> Self {
        self.kept = Scratch(file);
        self.that_keeps(hold)
    }

    /// Changes what the program's settings will be when they are read again.
    pub(crate) fn rewrite_settings(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config.0).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&self.config.0, text.replace(from, to)).unwrap();
    }

    /// The file in which connections are kept.
    pub(crate) fn kept(&self) -> &Path {
        &self.kept.0
    }

    /// Everything about the gateway's routing.
    pub(crate) fn dump(&self) -> BTreeSet<String> {
        self.gateway.dump()
    }

    /// Puts the inner side on a VLAN, if the kernel can.
    pub(crate) fn with_a_vlan(mut self) -> Option<Self> {
        self.sides[0] = "in0.5";
        self.gateway.put_on_top("vlan id 5").then_some(self)
    }

    /// Puts a router between the gateway and the server, with routes of this MTU both ways.
    pub(crate) fn behind_a_router(mut self, mtu: u16) -> Self {
        let [router, server] = [Site::Third, Site::Server].map(|site| self.name(site).to_owned());
        ip(&format!(
            "link add name far0 netns {router} type veth peer name near0 netns {server}"
        ));
        ip(&format!("-n {router} link set far0 up"));
        ip(&format!("-n {server} link set near0 up"));
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            self.set(Site::Third, path, "1");
        }
        let hosts = [
            "203.0.113.145/30",
            "2001:db8:6::1/64",
            "203.0.113.146/30",
            "2001:db8:6::2/64",
        ];
        for (place, address) in hosts.into_iter().enumerate() {
            let (namespace, device) = if place < 2 {
                (&router, "far0")
            } else {
                (&server, "near0")
            };
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(&format!(
                "-n {namespace} addr add {address} dev {device} {nodad}"
            ));
        }
        for (family, (server_address, via)) in FAMILIES.iter().zip([
            ("203.0.113.146", "203.0.113.145"),
            ("2001:db8:6::2", "2001:db8:6::1"),
        ]) {
            ip(&format!("-n {server} route replace default via {via}"));
            let third = family.third;
            self.gateway
                .ip(&format!("route add {server_address} via {third}"));
            let (client, back) = (family.client, family.gateway_third);
            let exact = if third.contains(':') { 128 } else { 32 };
            ip(&format!(
                "-n {router} route add {server_address}/{exact} dev far0 mtu lock {mtu}"
            ));
            ip(&format!(
                "-n {router} route add {client}/{exact} via {back} mtu lock {mtu}"
            ));
        }
        self.sides[1] = "third0";
        self.servers = ["203.0.113.146", "2001:db8:6::2"].map(|server| server.parse().unwrap());
        self
    }

    /// Starts the program.
    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Starts the program, once more if it was stopped.
    pub(crate) fn start(&mut self) {
        let run = Running::start_between(&self.gateway, self.sides, &self.test, &self.config, "");
        self.run = Some(run);
    }

    /// Stops the program as systemd does, and sees that nothing was lost; its log.
    pub(crate) fn stop(&mut self) -> String {
        let log = self.end();
        assert!(log.contains("octets_lost=0"), "{log}");
        log
    }

    /// The same where something may have been lost before.
    pub(crate) fn end(&mut self) -> String {
        let run = self.run.take().unwrap();
        run.signal(Signal::SIGTERM);
        run.ended(0)
    }

    /// Kills the program; how to read what its watchdog says.
    pub(crate) fn kill(&mut self) -> &Running {
        let run = self.run.take().unwrap();
        run.signal(Signal::SIGKILL);
        run.died();
        self.killed.push(run);
        self.killed.last().unwrap()
    }

    /// What the program has logged.
    pub(crate) fn log(&self) -> String {
        self.run.as_ref().unwrap().log()
    }

    /// Asks or tells the program something.
    pub(crate) fn ask(&self, request: Request) -> Answer {
        let mut client = Client::connect(&self.socket.0).unwrap();
        client.ask(request).unwrap()
    }

    /// The same where it may refuse, and why.
    pub(crate) fn try_to_ask(&self, request: Request) -> Result<Answer, String> {
        let mut client = Client::connect(&self.socket.0).unwrap();
        client.ask(request).map_err(|error| error.to_string())
    }

    /// Runs the program to its end, with other arguments; its exit code and what it says.
    pub(crate) fn program(&self, arguments: &[&str]) -> (i32, String) {
        program(&self.gateway, arguments)
    }

    /// Starts the program where it cannot begin; its exit code and what it says.
    pub(crate) fn refused(&self) -> (i32, String) {
        let [inner, outer] = self.sides;
        let state = Scratch::new(&format!("{}.refused", self.test));
        let [config, state] = [&self.config, &state].map(|file| file.0.to_str().unwrap());
        let sides = ["--inner", inner, "--outer", outer];
        let files = ["--config", config, "--state", state];
        self.program(&[&["run"], &sides[..], &files[..]].concat())
    }

    /// Where the program listens for commands.
    pub(crate) fn socket_name(&self) -> &str {
        self.socket.0.to_str().unwrap()
    }

    /// Waits until the program has logged `text` so often; what it has logged by then.
    pub(crate) fn wait_for(&self, text: &str, times: usize) -> String {
        self.run.as_ref().unwrap().wait_for(text, times)
    }

    /// A counter of the program's.
    pub(crate) fn counter(&self, group: &str, name: &str) -> u64 {
        let Answer::Stats(stats) = self.ask(Request::Stats) else {
            panic!("other than statistics");
        };
        let counter = stats
            .counters
            .into_iter()
            .find(|counter| counter.group == group && counter.name == name);
        counter.unwrap_or_else(|| panic!("no {group} {name}")).count
    }

    /// The connections that the program follows.
    pub(crate) fn flows(&self) -> Vec<FlowEntry> {
        let wanted = serde_json::from_str("{}").unwrap();
        let Answer::Flows(list) = self.ask(Request::Flows(wanted)) else {
            panic!("other than flows");
        };
        list.flows
    }

    pub(crate) fn name(&self, site: Site) -> &str {
        self.gateway.name(site)
    }

    /// Works at a site.
    pub(crate) fn at<T: Send>(&self, site: Site, work: impl FnOnce() -> T + Send) -> T {
        netns::within(self.name(site), work).unwrap()
    }

    /// Changes a setting below /proc/sys/net of a site.
    pub(crate) fn set(&self, site: Site, path: &str, value: &str) {
        let path = Path::new("/proc/sys/net").join(path);
        self.at(site, || fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }

    /// Runs `ip -n SITE` for either IP version.
    pub(crate) fn ip_both(&self, site: Site, args: &str) {
        for version in ["-4", "-6"] {
            ip(&format!("-n {} {version} {args}", self.name(site)));
        }
    }

    /// A command at a site.
    pub(crate) fn command(&self, site: Site, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(site), program]);
        command
    }

    /// Drops whatever goes between the gateway and the server, and what the gateway has to say about it.
    pub(crate) fn cut_the_path(&self) {
        let outer = self.sides[1];
        for (priority, from) in [(1, outer), (2, "lak-out")] {
            self.ip_both(
                Site::Gateway,
                &format!("rule add priority {priority} iif {from} blackhole"),
            );
        }
    }

    /// Lets packets pass again.
    pub(crate) fn mend_the_path(&self) {
        for priority in [1, 2] {
            self.ip_both(Site::Gateway, &format!("rule del priority {priority}"));
        }
    }

    /// A socket at a site, of the kind that reaches `to`.
    pub(crate) fn socket(&self, site: Site, to: IpAddr) -> Socket {
        let domain = if to.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        self.at(site, || {
            Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
        })
        .unwrap()
    }

    pub(crate) fn listen(&self, server: IpAddr) -> TcpListener {
        // As many as come at once, or SYNs are dropped.
        let socket = self.socket(Site::Server, server);
        socket.bind(&SocketAddr::from((server, 0)).into()).unwrap();
        socket.listen(512).unwrap();
        socket.into()
    }

    /// Connects from the client, as the application sees it.
    pub(crate) fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.at(Site::Client, || TcpStream::connect(to))
    }

    /// The client's address of the same IP version.
    pub(crate) fn client(&self, server: IpAddr) -> IpAddr {
        let [v4, v6] = FAMILIES.map(|family| family.client.parse().unwrap());
        if server.is_ipv4() { v4 } else { v6 }
    }

    /// A connection that the server's host opens to the client's: that one's end, then this one's.
    pub(crate) fn connect_inward(&self, server: IpAddr) -> [TcpStream; 2] {
        let any = (self.client(server), 0);
        let listener = self.at(Site::Client, || TcpListener::bind(any)).unwrap();
        let address = listener.local_addr().unwrap();
        let near = self
            .at(Site::Server, || TcpStream::connect(address))
            .unwrap();
        let (far, _) = listener.accept().unwrap();
        patient([near, far])
    }

    /// Lets the gateway forward packets to an address, and nobody takes them.
    pub(crate) fn forward_into_nothing(&self, address: &str) {
        // A neighbour that there is not, at a hardware address that is nobody's.
        let (bare, _) = address.split_once('/').unwrap();
        self.gateway.ip(&format!("route add {address} dev out0"));
        self.gateway.ip(&format!(
            "neigh add {bare} lladdr 02:00:00:00:00:99 dev out0 nud permanent"
        ));
    }

    /// A connection: the client's end and the server's.
    pub(crate) fn connect(&self, server: IpAddr) -> [TcpStream; 2] {
        let listener = self.listen(server);
        let near = self.dial(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        patient([near, far])
    }
}

/// Whoever waits longer than [`PATIENCE`] for anything, waits in vain.
pub(crate) fn patient(ends: [TcpStream; 2]) -> [TcpStream; 2] {
    for stream in &ends {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    ends
}

/// Sends a stream from one end of a connection to the other and closes this way of it.
pub(crate) fn carry(from: &TcpStream, to: &TcpStream, octets: u64) {
    let number = number();
    thread::scope(|scope| {
        scope.spawn(|| {
            send(from, number, octets).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        receive(to).is_whole(number, octets);
    });
}

/// Sends streams both ways at once and closes both.
pub(crate) fn carry_both_ways([near, far]: &[TcpStream; 2], octets: u64) {
    thread::scope(|scope| {
        scope.spawn(|| carry(near, far, octets));
        scope.spawn(|| carry(far, near, octets));
    });
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
