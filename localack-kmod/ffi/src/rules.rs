//! Which connections are served, and how: a list of rules, the first of which counts.
#![forbid(unsafe_code)]

use localack_core::{Admit, FlowConfig, FlowKey, Policy, Port, SynInfo};

use crate::abi::{LOCALACK_MOST_RULES, Rule, Serving};
use crate::convert::{flow_config, is_in};

/// The rules at work. Lies in lent memory; all zeroes leaves every connection alone.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Rules {
    rules: [Rule; LOCALACK_MOST_RULES],
    count: usize,
    rest: Serving,
}

impl Rules {
    /// How connections are served that no rule matches; `false`, and no change, if a number means nothing.
    pub(crate) fn serve_rest(&mut self, serving: &Serving) -> bool {
        let known = flow_config(serving).is_some();
        if known {
            self.rest = *serving;
        }
        known
    }

    /// Lets these rules hold for new connections instead of those before; `false`, and no change, if there are
    /// too many or one of them means nothing.
    pub(crate) fn replace(&mut self, rules: &[Rule]) -> bool {
        let sound = rules.iter().all(is_sound);
        let Some(cells) = self.rules.get_mut(..rules.len()).filter(|_| sound) else {
            return false;
        };
        cells.copy_from_slice(rules);
        self.count = rules.len();
        true
    }

    fn serving(&self, key: &FlowKey) -> &Serving {
        self.rules
            .iter()
            .take(self.count)
            .find(|rule| matches(rule, key))
            .map_or(&self.rest, |rule| &rule.serving)
    }
}

fn is_sound(rule: &Rule) -> bool {
    let most = match rule.version {
        0 => 0,
        4 => 32,
        6 => 128,
        _ => return false,
    };
    let ordered = |[low, high]: [u16; 2]| low <= high;
    rule.inner_bits <= most
        && rule.outer_bits <= most
        && ordered(rule.inner_ports)
        && ordered(rule.outer_ports)
        && flow_config(&rule.serving).is_some()
}

fn matches(rule: &Rule, key: &FlowKey) -> bool {
    let version = if key.inner().is_ipv4() { 4 } else { 6 };
    let within = |[low, high]: [u16; 2], port| (low..=high).contains(&port);
    (rule.version == 0 || rule.version == version)
        && within(rule.inner_ports, key.inner_port())
        && within(rule.outer_ports, key.outer_port())
        && is_in(key.inner(), &rule.inner, rule.inner_bits)
        && is_in(key.outer(), &rule.outer, rule.outer_bits)
}

impl Policy for Rules {
    fn admit(&mut self, key: &FlowKey, _: Port, _: &SynInfo) -> Admit {
        let serving = self.serving(key);
        match flow_config(serving) {
            Some(config) if serving.adopt != 0 => Admit::Adopt(config),
            Some(FlowConfig { .. }) | None => Admit::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    fn key(inner: [u8; 4], outer_port: u16) -> FlowKey {
        FlowKey::new(inner.into(), 50_000, [192, 0, 2, 1].into(), outer_port, 0)
    }

    fn rules() -> Box<Rules> {
        Box::new(Rules {
            rules: [Rule::default(); LOCALACK_MOST_RULES],
            count: 0,
            rest: Serving::default(),
        })
    }

    fn rule(network: [u8; 4], bits: u8, ports: [u16; 2], mark: u32) -> Rule {
        let mut inner = [0; 16];
        inner[..4].copy_from_slice(&network);
        Rule {
            version: 4,
            inner,
            inner_bits: bits,
            inner_ports: [0, u16::MAX],
            outer_ports: ports,
            serving: Serving {
                adopt: 1,
                buffer_limit: mark,
                ..Serving::default()
            },
            ..Rule::default()
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut rules = rules();
        assert!(rules.replace(&[
            rule([10, 1, 0, 0], 16, [80, 90], 1),
            rule([10, 0, 0, 0], 8, [0, u16::MAX], 2),
        ]));
        for (inner, port, mark) in [
            ([10, 1, 2, 3], 80, 1),
            ([10, 1, 2, 3], 90, 1),
            ([10, 1, 2, 3], 91, 2),
            ([10, 2, 2, 3], 80, 2),
            ([11, 1, 2, 3], 80, 0),
        ] {
            assert_eq!(rules.serving(&key(inner, port)).buffer_limit, mark);
        }
        assert!(rules.replace(&[]));
        assert_eq!(rules.serving(&key([10, 1, 2, 3], 80)).adopt, 0);
    }

    #[test]
    fn what_means_nothing_changes_nothing() {
        let mut rules = rules();
        let good = rule([10, 0, 0, 0], 8, [0, 9], 7);
        assert!(rules.replace(&[good]));
        for bad in [
            Rule { version: 5, ..good },
            Rule {
                inner_bits: 33,
                ..good
            },
            Rule {
                outer_ports: [9, 8],
                ..good
            },
            Rule {
                serving: Serving {
                    controller: 9,
                    ..good.serving
                },
                ..good
            },
            Rule {
                serving: Serving {
                    ack_delay_us: 10_001,
                    ..good.serving
                },
                ..good
            },
        ] {
            assert!(!rules.replace(&[good, bad]), "{bad:?}");
        }
        assert!(!rules.replace(&[good; LOCALACK_MOST_RULES + 1]));
        assert_eq!(rules.count, 1);
        assert!(!rules.serve_rest(&Serving {
            inner_to_outer: 3,
            ..Serving::default()
        }));
    }

    #[test]
    fn networks_have_edges() {
        let six = "2001:db8:0:8000::".parse().unwrap();
        let net = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
        assert!(is_in(six, &net("2001:db8::"), 48));
        assert!(!is_in(six, &net("2001:db8::"), 49));
        assert!(is_in(six, &net("2001:db8:0:8000::"), 128));
        assert!(is_in([1, 2, 3, 4].into(), &[9; 16], 0));
        assert!(!is_in([1, 2, 3, 4].into(), &[1; 16], 64));
    }
}
