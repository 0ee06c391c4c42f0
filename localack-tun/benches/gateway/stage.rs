//! A path with or without the gateway on it, and a transfer over it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use localack_tun::clock::Clock;
use localack_tun::netns;
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::Scratch;
use crate::gateway::{FAMILIES, Gateway, PATIENCE, Site};
use crate::program::Running;
use crate::satellite::Satellite;

/// Settings that leave enough room for everything that is measured.
pub(crate) const ROOM: &str = "[engine]\nflows = 1000\nbuffer = \"128mib\"\nnetworks = 100\n\
                               [control]\nsocket = \"off\"\n";

/// Client, gateway and server.
pub(crate) struct Stage {
    // In the order in which they have to go.
    run: Option<Running>,
    _config: Option<Scratch>,
    _link: Option<Satellite>,
    gateway: Gateway,
    pub(crate) server: IpAddr,
    /// In the gateway's place.
    proxy: Option<Proxy>,
}

/// A proxy that splits connections: `haproxy`, which moves octets from socket to socket without looking at
/// them (`splice(2)`), killed at the end.
struct Proxy {
    child: Child,
    _config: Scratch,
}

impl Proxy {
    /// Where clients connect to, and where the server listens.
    const PORT: u16 = 5001;
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stage {
    /// `settings` of the program, or a kernel that forwards; `link`: an emulated path, or a cable.
    pub(crate) fn new(name: &str, link: Option<&str>, settings: Option<&str>) -> Self {
        let mut gateway = Gateway::new(name);
        gateway.close_devices();
        let (link, outer, server) = match link {
            Some(link) => (
                Some(Satellite::start(&gateway, link)),
                "sat0",
                Satellite::SERVERS[0],
            ),
            None => (None, "out0", FAMILIES[0].server),
        };
        let config = settings.map(|settings| {
            let config = Scratch::new(&format!("{name}.toml"));
            fs::write(&config.0, settings).unwrap();
            config
        });
        let run = config
            .as_ref()
            .map(|config| Running::start_between(&gateway, ["in0", outer], name, config, ""));
        let stage = Self {
            run,
            _config: config,
            _link: link,
            gateway,
            server: server.parse().unwrap(),
            proxy: None,
        };
        // Each transfer is as the first one.
        for site in [Site::Client, Site::Server] {
            stage.set(site, "tcp_no_metrics_save", "1");
        }
        stage
    }

    /// The same over a cable with a splicing proxy at the gateway; none if there is no such program.
    pub(crate) fn behind_a_proxy(name: &str) -> Option<Self> {
        let mut stage = Self::new(name, None, None);
        let config = Scratch::new(&format!("{name}.haproxy"));
        let (port, server) = (Proxy::PORT, stage.server);
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n \
             timeout server 60s\n option splice-request\n option splice-response\n\
             listen all\n bind {}:{port}\n server one {server}:{port}\n",
            FAMILIES[0].gateway_inner
        );
        fs::write(&config.0, text).unwrap();
        let started = netns::within(stage.name(Site::Gateway), || {
            Command::new("haproxy")
                .args(["-db", "-f"])
                .arg(&config.0)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        });
        let child = started.unwrap().ok()?;
        stage.proxy = Some(Proxy {
            child,
            _config: config,
        });
        let address = (FAMILIES[0].gateway_inner, Proxy::PORT);
        let clock = Clock::start();
        while netns::within(stage.name(Site::Client), || TcpStream::connect(address))
            .unwrap()
            .is_err()
        {
            assert!(clock.now() < PATIENCE, "the proxy does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Some(stage)
    }

    /// Keeps the packets of a connection in their order, as network cards do. A veth puts what each
    /// processor sends into a queue of that processor's, and they overtake each other. With GRO it has one
    /// queue for all; without `ethtool`, RPS does it too, but interrupts another processor for each packet.
    pub(crate) fn keep_order(&self) {
        let processors = thread::available_parallelism().unwrap().get();
        let mask = u64::MAX >> (64 - processors.clamp(1, 32));
        for (site, device) in [
            (Site::Client, "eth0"),
            (Site::Gateway, "in0"),
            (Site::Gateway, "out0"),
            (Site::Server, "eth0"),
        ] {
            let queue = format!("/sys/class/net/{device}/queues/rx-0/rps_cpus");
            let order = format!("ethtool -K {device} gro on 2>&- || echo {mask:x} > {queue}");
            let name = self.name(site);
            let mut command = Command::new("ip");
            let done = command.args(["netns", "exec", name, "sh", "-c", &order]);
            assert!(done.status().unwrap().success(), "{order}");
        }
    }

    /// Lets the server offer a large window from the start.
    pub(crate) fn widen_receiver(&self) {
        self.set(Site::Server, "tcp_rmem", "4096 33554432 33554432");
    }

    fn set(&self, site: Site, name: &str, value: &str) {
        let path = format!("/proc/sys/net/ipv4/{name}");
        netns::within(self.gateway.name(site), || fs::write(path, value))
            .unwrap()
            .unwrap();
    }

    /// The process of the program or the proxy; none if the kernel alone forwards.
    pub(crate) fn process(&self) -> Option<u32> {
        let run = self.run.as_ref().map(Running::pid);
        run.or_else(|| self.proxy.as_ref().map(|proxy| proxy.child.id()))
    }

    /// The process of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.process().unwrap()
    }

    fn listen(&self) -> TcpListener {
        let port = self.proxy.as_ref().map_or(0, |_| Proxy::PORT);
        let any = SocketAddr::from((self.server, port));
        let listen = || TcpListener::bind(any).unwrap();
        netns::within(self.gateway.name(Site::Server), listen).unwrap()
    }

    /// The namespace of a site.
    pub(crate) fn name(&self, site: Site) -> &str {
        self.gateway.name(site)
    }

    /// Uploads so many octets over a new connection; the time from the first SYN to the last octet's
    /// arrival.
    pub(crate) fn upload(&self, octets: usize, sndbuf: Option<usize>) -> Duration {
        let listener = self.listen();
        let address = match &self.proxy {
            None => listener.local_addr().unwrap(),
            Some(_) => SocketAddr::from((
                FAMILIES[0].gateway_inner.parse::<IpAddr>().unwrap(),
                Proxy::PORT,
            )),
        };
        let make = || {
            Socket::new(
                Domain::for_address(address),
                Type::STREAM,
                Some(Protocol::TCP),
            )
        };
        let socket = netns::within(self.name(Site::Client), make)
            .unwrap()
            .unwrap();
        // The usual sender, whatever this kernel's is.
        socket.set_tcp_congestion(b"cubic").unwrap();
        if let Some(sndbuf) = sndbuf {
            socket.set_send_buffer_size(sndbuf).unwrap();
        }
        let clock = Clock::start();
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                socket.connect(&address.into()).unwrap();
                let mut stream: TcpStream = socket.into();
                let piece = vec![0x5a; 256 << 10];
                let mut left = octets;
                while left > 0 {
                    let some = left.min(piece.len());
                    stream.write_all(&piece[..some]).unwrap();
                    left -= some;
                }
                stream.shutdown(Shutdown::Write).unwrap();
                stream
            });
            let (mut stream, _) = listener.accept().unwrap();
            let (mut room, mut left) = (vec![0; 256 << 10], octets);
            while left > 0 {
                let some = stream.read(&mut room).unwrap();
                assert!(some > 0, "{left} octets are missing");
                left -= some;
            }
            let took = clock.now();
            drop((stream, sender.join().unwrap()));
            took
        })
    }
}

/// Octets of payload in a packet of 1500 octets.
pub(crate) const PAYLOAD: f64 = 1448.0;

/// The seconds that an upload takes at least: the handshake, its packets at the path's rate, and half a
/// round trip.
pub(crate) fn least(rtt: Duration, mbit: f64, octets: usize) -> f64 {
    1.5 * rtt.as_secs_f64() + on_the_line(mbit, octets)
}

/// The seconds that its packets need at the path's rate.
pub(crate) fn on_the_line(mbit: f64, octets: usize) -> f64 {
    octets as f64 * (1500.0 / PAYLOAD) * 8.0 / (mbit * 1e6)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Tells a figure and its bar; whether it is missed.
pub(crate) fn judge(name: &str, value: f64, bar: Option<f64>, more: &str) -> usize {
    let missed = bar.is_some_and(|bar| value < bar);
    let bar = bar.map_or_else(String::new, |bar| format!(">= {bar:.2}"));
    let mark = if missed { "MISSED" } else { "" };
    println!("{name:<58} {value:>7.3} {bar:>8} {mark:<6} {more}");
    usize::from(missed)
}
