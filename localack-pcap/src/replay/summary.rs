//! From a finished replay to its report.

use std::collections::BTreeMap;

use localack_core::Port;

use super::tally::Tally;
use super::{Replay, ReplayError};
use crate::conversation::{Conversation, End};
use crate::report::{
    AckWait, DirectionFigures, Directions, Flow, Input, Invariants, Report, SCHEMA, Tcp, endpoint,
};
use crate::source::Source;

impl Replay<'_> {
    /// Ends the replay: what is in custody stays there, since no more packets come.
    pub(super) fn finish(mut self, source: &Source) -> Result<Report, ReplayError> {
        if let Some(annotator) = self.annotator.take() {
            annotator.finish()?;
        }
        for (index, tally) in self.tallies.iter().enumerate() {
            self.watch.ended(index, tally.endings());
        }
        let conversations = self.conversations.all();
        let flows = conversations
            .iter()
            .zip(&self.tallies)
            .map(|(conversation, tally)| flow(conversation, tally));
        Ok(Report {
            schema: SCHEMA,
            input: self.input(source),
            tcp: Tcp {
                packets: self.conversations.packets(),
                conversations: conversations.len() as u64,
                complete_handshakes: self.conversations.complete_handshakes(),
                bad_checksums: self.conversations.bad_checksums(),
                fragments: self.input.fragments,
            },
            flows: flows.collect(),
            counters: self.counters(),
            invariants: Invariants {
                checked: self.checker.checked(),
                violations: self.checker.violations(),
                described: self
                    .checker
                    .described()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
        })
    }

    fn input(&self, source: &Source) -> Input {
        let cut = source.cut();
        Input {
            packets: self.input.packets,
            truncated: self.input.truncated,
            undecoded: self.input.undecoded.values().sum(),
            undecoded_reasons: self
                .input
                .undecoded
                .iter()
                .map(|(reason, &count)| (reason.slug(), count))
                .collect(),
            format: source.format().name(),
            link_types: self.input.links.keys().map(ToString::to_string).collect(),
            duration_us: self.clock.duration_us(),
            clock_jumps: self.clock.jumps(),
            cut_at_offset: cut.map(|cut| cut.offset),
            cut,
        }
    }

    fn counters(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let mut groups = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (group, name, count) in self.twins.first().counters().iter() {
            groups.entry(group).or_default().insert(name, count);
        }
        groups
            .entry("replay")
            .or_default()
            .insert("timers-given-up", self.timers_given_up);
        groups
    }
}

fn flow(conversation: &Conversation, tally: &Tally) -> Flow {
    let (client, server) = (conversation.client(), conversation.client().other());
    let packets = End::BOTH
        .into_iter()
        .map(|end| conversation.sent(end).packets)
        .sum();
    Flow {
        client: endpoint(conversation.endpoint(client)),
        server: endpoint(conversation.endpoint(server)),
        adopted: tally.adopted,
        reason: tally.reason(packets),
        complete_handshake: conversation.complete_handshake(),
        inner: tally.inner.map(|port| {
            if port == Port::Inner {
                "client"
            } else {
                "server"
            }
        }),
        directions: Directions {
            client_to_server: direction(conversation, tally, client),
            server_to_client: direction(conversation, tally, server),
        },
    }
}

fn direction(conversation: &Conversation, tally: &Tally, sender: End) -> DirectionFigures {
    let (sent, work) = (conversation.sent(sender), tally.direction(sender));
    DirectionFigures {
        packets: sent.packets,
        payload_bytes: sent.payload_bytes,
        unique_payload_bytes: sent.unique_payload_bytes,
        pure_acks: sent.pure_acks,
        retransmitted_packets: sent.retransmitted_packets,
        local_acks: work.local_acks,
        absorbed_acks: work.absorbed_acks,
        rewritten: work.rewritten,
        engine_retransmissions: work.engine_retransmissions,
        custody_segments: work.custody_segments,
        peak_custody_bytes: work.peak_custody.into(),
        cut_packets: work.cut_packets,
        approximate: sent.approximate,
        ack_wait_us: AckWait {
            captured: (&work.captured.waits).into(),
            engine: (&work.engine.waits).into(),
        },
    }
}
