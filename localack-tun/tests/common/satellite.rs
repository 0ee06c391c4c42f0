//! An emulated link from the gateway to the server, besides the one that is there.

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use localack_tun::clock::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::ip;
use crate::gateway::{Gateway, Site};

/// How long it may take to write the rest of a capture.
const ENDING: Duration = Duration::from_secs(5);

/// `localack-tun emulate` between two devices `sat0`, ended with it.
pub(crate) struct Satellite(Child);

impl Satellite {
    /// Addresses of the server at the far end, one of each IP version.
    pub(crate) const SERVERS: [&str; 2] = ["203.0.113.130", "2001:db8:5::2"];

    /// Starts a link with these settings of `emulate`. From now on the server answers over it.
    pub(crate) fn start(gateway: &Gateway, settings: &str) -> Self {
        let (gate, server) = (gateway.name(Site::Gateway), gateway.name(Site::Server));
        let mut child = Command::new(env!("CARGO_BIN_EXE_localack-tun"))
            .args(["emulate", "--left", &format!("sat0@{gate}")])
            .args(["--right", &format!("sat0@{server}")])
            .args(settings.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready"), "{ready}");
        let link = Self(child);
        for (namespace, host) in [(gate, 1), (server, 2)] {
            ip(&format!(
                "-n {namespace} addr add 203.0.113.{}/30 dev sat0",
                128 + host
            ));
            ip(&format!(
                "-n {namespace} addr add 2001:db8:5::{host}/64 dev sat0 nodad"
            ));
        }
        ip(&format!(
            "-n {server} route replace default via 203.0.113.129"
        ));
        ip(&format!(
            "-n {server} -6 route replace default via 2001:db8:5::1"
        ));
        link
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        // As a signal ends it, so that a capture is whole.
        if let Ok(process) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        }
        let clock = Clock::start();
        while clock.now() < ENDING && matches!(self.0.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
