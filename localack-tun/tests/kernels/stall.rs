//! What can be told of a stream that stands still, at the moment when that is found out.

use core::fmt::Write as _;
use core::net::SocketAddr;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use localack_tun::control::Client;
use localack_tun::control::protocol::{Answer, Request};

use crate::content::Received;
use crate::gateway::Site;
use crate::world::World;

/// Where to look, also while the gateway is being started and killed by somebody else.
#[derive(Clone)]
pub(crate) struct Lookout {
    hosts: [String; 2],
    socket: PathBuf,
}

impl Lookout {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            hosts: [Site::Client, Site::Server].map(|site| world.name(site).to_owned()),
            socket: world.socket_name().into(),
        }
    }

    /// Says what is known of the connection that `end` is an end of, if whoever read there has lost patience.
    pub(crate) fn tell_of(&self, end: &TcpStream, received: &Received) {
        if received.error == Some(ErrorKind::WouldBlock) {
            eprintln!("a stream stands still: {received:?}\n{}", self.see(end));
        }
    }

    /// What the kernels at both ends and the gateway know of a connection.
    fn see(&self, end: &TcpStream) -> String {
        let (Ok(own), Ok(peer)) = (end.local_addr(), end.peer_addr()) else {
            return "it has no ends".to_owned();
        };
        let [port, other] = [own.port(), peer.port()];
        let which = format!(
            "( sport = {port} and dport = {other} ) or ( sport = {other} and dport = {port} )"
        );
        let mut seen = String::new();
        for host in &self.hosts {
            let sockets = Command::new("ip")
                .args(["netns", "exec", host, "ss", "-tinmo", &which])
                .output();
            let said = match sockets {
                Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
                Err(error) => error.to_string(),
            };
            let _ = writeln!(seen, "{host}: {said}");
        }
        let flow = self
            .ask([own, peer])
            .unwrap_or_else(|error| format!("nobody answers: {error}"));
        let _ = writeln!(seen, "gateway: {flow}");
        seen
    }

    fn ask(&self, ends: [SocketAddr; 2]) -> Result<String, Box<dyn core::error::Error>> {
        let mut client = Client::connect(&self.socket)?;
        let wanted = serde_json::from_str("{}")?;
        let Answer::Flows(list) = client.ask(Request::Flows(wanted))? else {
            return Ok("other than flows".to_owned());
        };
        let Answer::Stats(stats) = client.ask(Request::Stats)? else {
            return Ok("other than statistics".to_owned());
        };
        let mut seen = list
            .flows
            .iter()
            .find(|flow| ends.contains(&flow.inner) && ends.contains(&flow.outer))
            .map_or("no such flow".to_owned(), |flow| format!("{flow:?}"));
        for counter in stats.counters.iter().filter(|counter| counter.count > 0) {
            let _ = write!(
                seen,
                "\n{} {} {}",
                counter.group, counter.name, counter.count
            );
        }
        Ok(seen)
    }
}
