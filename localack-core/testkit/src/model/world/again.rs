//! Another connection on the same addresses and ports: after the first has ended, or because a host has
//! started anew and knows nothing of it (rule H7.6).

use localack_core::Port;

use super::{Checked, World, index};
use crate::model::account::Ledger;
use crate::model::host::{Host, State};

/// From an initial sequence number to that of the next connection, inner first (RFC 9293 section 3.4.1).
const NEXT_ISNS: [u32; 2] = [0x0123_4567, 0x0234_5678];
/// Octets that each host sends on the other connection.
const OCTETS: i64 = 2_000;

impl World<'_> {
    /// A host starts anew: it knows nothing of the connection, and wants another one.
    pub(super) fn reboots(&mut self, from: Port) {
        if self.again || Port::BOTH.map(|port| self.hosts[index(port)].state) != [State::Alive; 2] {
            return;
        }
        (self.doomed, self.again) = (true, true);
        self.note(&format!("the host on {from:?} starts anew"));
        self.hosts[index(from)].state = State::Rebooted;
        self.calls(from);
    }

    /// A host that has started anew sends its SYN, once more.
    pub(super) fn calls(&mut self, from: Port) {
        let at_ms = self.at_ms();
        let syn = self.another(from).syn(false, at_ms);
        self.posts(from, [syn]);
    }

    /// What a host is on its next connection.
    fn another(&self, port: Port) -> Host {
        let mut setup = self.setup;
        for (isn, next) in setup.isns.iter_mut().zip(NEXT_ISNS) {
            *isn = isn.wrapping_add(next);
        }
        setup.third_lost = false;
        let old = &self.hosts[index(port)];
        let mut host = Host::new(port, &setup);
        // Its clock goes on, and a script counts from where it began.
        (host.stamp_offset, host.names) = (old.stamp_offset, old.names);
        host
    }

    /// Whether another connection can begin: nobody is there who knows the old one and waits.
    pub(super) fn may_begin_again(&self) -> bool {
        let free = |host: &Host| host.is_done() || host.state != State::Alive;
        self.again && self.hosts.iter().all(free)
    }

    /// Another connection begins, and carries octets in both directions.
    pub(super) fn begins_again(&mut self) -> Checked {
        self.note("another connection");
        let rebooted = |&port: &Port| self.hosts[index(port)].state == State::Rebooted;
        let client = Port::BOTH.into_iter().find(rebooted);
        let client = client.unwrap_or(self.setup.client());
        self.setup.outer_opens = client == Port::Outer;
        self.setup.third_lost = false;
        self.again = false;
        self.hosts = Port::BOTH.map(|port| self.another(port));
        self.ledgers = Port::BOTH.map(|port| Ledger::new(port, &self.setup));
        self.flow = None;
        (self.soft, self.disturbed) = ([false; 2], [false; 4]);
        (self.forgot, self.doomed) = (false, false);
        self.shakes_hands(self.at_ms() + 1)?;
        for port in Port::BOTH {
            let host = &mut self.hosts[index(port)];
            (host.written, host.closed) = (OCTETS, true);
        }
        Ok(())
    }
}
