//! A path in virtual time: a bottleneck with a drop-tail queue, random loss behind it, flows with
//! round trips of their own. Senders never repeat an octet: what is lost is just not delivered.

use std::collections::{BTreeSet, VecDeque};
use std::vec::Vec;

use super::*;
use crate::congestion::{Controller, ControllerState};
use crate::recovery::delivery::{Delivery, Sent};
use crate::seq::SeqNum;

/// Payload octets of every packet.
pub(super) const MSS: u32 = 1000;
const MS: u64 = 1_000_000;
/// Packets that must arrive behind one until it counts as lost.
const DUP_THRESH: u64 = 3;

/// The same numbers for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.next() % 1_000_000 < per_mille * 1000
    }
}

/// What the application hands over.
#[derive(Clone, Copy)]
pub(super) enum Supply {
    Endless,
    /// So many packets at once, every so many milliseconds.
    Bursts(u64, u64),
    Nothing,
}

struct Packet {
    sent: Sent,
    is_outstanding: bool,
}

pub(super) struct Flow {
    pub(super) state: ControllerState,
    pub(super) delivery: Delivery,
    pub(super) rtt_ms: u64,
    pub(super) supply: Supply,
    next_burst: u64,
    waiting: u64,
    packets: VecDeque<Packet>,
    first: u64,
    in_flight: u32,
    recover: Option<u64>,
    pace_at: u64,
    pub(super) sacks: bool,
    srtt_us: Option<u32>,
    min_rtt_us: Option<u32>,
    progress_at: u64,
    pub(super) delivered: u64,
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// Phases and when they began, in milliseconds.
    pub(super) walk: Vec<(u64, Phase)>,
}

impl Flow {
    pub(super) fn bbr(&self) -> Bbr {
        Bbr::load(&self.state.words)
    }

    /// When a phase began for the first time at or after `ms`.
    pub(super) fn first(&self, phase: Phase, ms: u64) -> Option<u64> {
        let mut walk = self.walk.iter();
        walk.find(|(at, then)| *at >= ms && *then == phase)
            .map(|(at, _)| *at)
    }

    /// The phases from `ms` on.
    pub(super) fn walk_from(&self, ms: u64) -> Vec<Phase> {
        let walk = self.walk.iter();
        walk.filter(|(at, _)| *at >= ms)
            .map(|(_, phase)| *phase)
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ack(usize, u64),
    Send(usize),
    Timer(usize),
}

pub(super) struct Pipe {
    /// In nanoseconds, as all times here are unless they say otherwise.
    pub(super) now: u64,
    /// Octets per second of the bottleneck, octets of its queue.
    pub(super) rate: u64,
    pub(super) buffer: u64,
    /// Random loss in thousandths of the packets.
    pub(super) loss: u64,
    /// Acknowledgements are held back until the next multiple of so many milliseconds.
    pub(super) aggregate_ms: u64,
    /// Marks packets that meet so long a queue, in octets, instead of dropping any.
    pub(super) mark_above: Option<u64>,
    busy_until: u64,
    pub(super) random: Random,
    events: BTreeSet<(u64, Event)>,
    marked: BTreeSet<(usize, u64)>,
    pub(super) flows: Vec<Flow>,
    /// The longest queue since it was last taken, in octets.
    pub(super) longest_queue: u64,
}

impl Pipe {
    pub(super) fn new(mbit: u64, buffer: u64) -> Self {
        Self {
            now: 0,
            rate: mbit * 125_000,
            buffer,
            loss: 0,
            aggregate_ms: 0,
            mark_above: None,
            busy_until: 0,
            random: Random(7),
            events: BTreeSet::new(),
            marked: BTreeSet::new(),
            flows: Vec::new(),
            longest_queue: 0,
        }
    }

    /// A flow that begins now; its handshake measured the path.
    pub(super) fn join(&mut self, rtt_ms: u64) -> usize {
        let mut state = ControllerState::EMPTY;
        let start = Start {
            now: self.instant(),
            mss: 1000,
            initial_segments: 10,
            rtt_us: Some(u32::try_from(rtt_ms * 1000).unwrap()),
        };
        state.nominate(Controller::Bbr);
        state.on_established(&start);
        self.flows.push(Flow {
            state,
            delivery: Delivery::EMPTY,
            rtt_ms,
            supply: Supply::Endless,
            next_burst: self.now,
            waiting: 0,
            packets: VecDeque::new(),
            first: 0,
            in_flight: 0,
            recover: None,
            pace_at: 0,
            sacks: true,
            srtt_us: None,
            min_rtt_us: None,
            progress_at: self.now,
            delivered: 0,
            sent: 0,
            lost: 0,
            walk: std::vec![(self.now / MS, Phase::Startup)],
        });
        let id = self.flows.len() - 1;
        self.events.insert((self.now, Event::Send(id)));
        id
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now / 1000)
    }

    pub(super) fn queue(&self) -> u64 {
        self.busy_until.saturating_sub(self.now) * self.rate / 1_000_000_000
    }

    /// The bottleneck changes; what is queued takes the new time.
    pub(super) fn set_mbit(&mut self, mbit: u64) {
        let queue = self.queue();
        self.rate = mbit * 125_000;
        self.busy_until = self.now + queue * 1_000_000_000 / self.rate;
    }

    /// The application of a flow has news.
    pub(super) fn wake(&mut self, id: usize) {
        self.flows[id].next_burst = self.now;
        self.events.insert((self.now, Event::Send(id)));
    }

    /// Lets so many milliseconds pass; octets that each flow delivered.
    pub(super) fn run(&mut self, ms: u64) -> Vec<u64> {
        self.run_until(self.now / MS + ms, |_| false)
    }

    /// Goes on until something holds or the time has come.
    pub(super) fn run_until(&mut self, ms: u64, mut done: impl FnMut(&Self) -> bool) -> Vec<u64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.delivered).collect();
        while let Some(&(at, _)) = self.events.first() {
            if at > ms * MS {
                break;
            }
            self.step();
            if done(self) {
                break;
            }
        }
        if !done(self) {
            self.now = self.now.max(ms * MS);
        }
        let delivered = self.flows.iter().zip(&before);
        delivered
            .map(|(flow, before)| flow.delivered - before)
            .collect()
    }

    fn step(&mut self) {
        let (at, event) = self.events.pop_first().unwrap();
        self.now = at;
        match event {
            Event::Ack(id, number) => {
                let mut numbers = std::vec![number];
                // What arrives together is acknowledged together.
                while let Some(&(next, Event::Ack(other, number))) = self.events.first() {
                    if next != at || other != id {
                        break;
                    }
                    self.events.pop_first();
                    numbers.push(number);
                }
                self.acknowledge(id, &numbers);
                self.send(id);
            }
            Event::Send(id) => self.send(id),
            Event::Timer(id) => self.look_at_timer(id),
        }
        let (now_ms, id) = (at / MS, event_flow(event));
        let flow = &mut self.flows[id];
        let phase = flow.bbr().phase;
        if flow.walk.last().unwrap().1 != phase {
            flow.walk.push((now_ms, phase));
        }
    }

    fn send(&mut self, id: usize) {
        let now = self.instant();
        loop {
            let flow = &mut self.flows[id];
            if let Supply::Bursts(packets, every_ms) = flow.supply {
                while flow.next_burst <= self.now {
                    flow.waiting += packets;
                    flow.next_burst += every_ms * MS;
                }
                self.events.insert((flow.next_burst, Event::Send(id)));
            }
            if flow.in_flight + MSS > flow.state.cwnd() {
                return;
            }
            let has_data = match flow.supply {
                Supply::Endless => true,
                Supply::Bursts(..) => flow.waiting > 0,
                Supply::Nothing => false,
            };
            if !has_data {
                flow.delivery.on_app_limited(flow.in_flight);
                return;
            }
            if flow.pace_at > self.now {
                self.events.insert((flow.pace_at, Event::Send(id)));
                return;
            }
            flow.waiting = flow.waiting.saturating_sub(1);
            let sent = flow.delivery.on_sent(now, MSS, flow.in_flight);
            let before = flow.in_flight;
            flow.in_flight += MSS;
            flow.sent += 1;
            flow.state.on_sent(&SentNow {
                now,
                octets: MSS,
                in_flight: before,
                app_limited: sent.flags & Sent::APP_LIMITED != 0,
            });
            if before == 0 {
                flow.progress_at = self.now;
            }
            if let Some(rate) = flow.state.pacing_rate(flow.srtt_us) {
                let gap = u64::from(MSS) * 1_000_000_000 / u64::from(rate);
                flow.pace_at = flow.pace_at.max(self.now) + gap;
            }
            let number = flow.first + u64::try_from(flow.packets.len()).unwrap();
            flow.packets.push_back(Packet {
                sent,
                is_outstanding: true,
            });
            let rtt = flow.rtt_ms * MS;
            if before == 0 {
                self.events.insert((self.now + 1000 * MS, Event::Timer(id)));
            }
            self.carry(id, number, rtt);
        }
    }

    fn carry(&mut self, id: usize, number: u64, rtt: u64) {
        let queue = self.queue();
        if queue + u64::from(MSS) > self.buffer {
            return;
        }
        if self.mark_above.is_some_and(|most| queue > most) {
            self.marked.insert((id, number));
        }
        self.longest_queue = self.longest_queue.max(queue);
        let takes = u64::from(MSS) * 1_000_000_000 / self.rate;
        self.busy_until = self.busy_until.max(self.now) + takes;
        if self.random.happens(self.loss) {
            return;
        }
        let mut at = self.busy_until + rtt;
        if self.aggregate_ms > 0 {
            at = at.next_multiple_of(self.aggregate_ms * MS);
        }
        self.events.insert((at, Event::Ack(id, number)));
    }

    fn acknowledge(&mut self, id: usize, numbers: &[u64]) {
        let (at, now) = (self.now, self.instant());
        let flow = &mut self.flows[id];
        let prior_in_flight = flow.in_flight;
        let mut newest: Option<Sent> = None;
        let mut delivered = 0;
        let mut is_marked = false;
        for &number in numbers {
            is_marked |= self.marked.remove(&(id, number));
            let Some(index) = number.checked_sub(flow.first) else {
                continue;
            };
            let packet = &mut flow.packets[usize::try_from(index).unwrap()];
            if packet.is_outstanding {
                packet.is_outstanding = false;
                flow.in_flight -= MSS;
                delivered += MSS;
                newest = Some(packet.sent);
            }
        }
        let highest = *numbers.last().unwrap();
        let rtt_us = newest.map(|sent| sent.at.age(now).max(1));
        if let Some(rtt_us) = rtt_us {
            flow.min_rtt_us = Some(flow.min_rtt_us.map_or(rtt_us, |least| least.min(rtt_us)));
            flow.srtt_us = Some(
                flow.srtt_us
                    .map_or(rtt_us, |srtt| srtt - srtt / 8 + rtt_us / 8),
            );
            flow.progress_at = at;
        }
        let rate = flow
            .delivery
            .on_delivered(now, delivered, newest.as_ref(), flow.min_rtt_us);
        flow.delivered += u64::from(delivered);
        let lost = Self::lose(flow, now, highest.saturating_sub(DUP_THRESH));
        let highest_sent = flow.first + u64::try_from(flow.packets.len()).unwrap();
        if (lost > 0 || is_marked) && flow.recover.is_none() {
            flow.recover = Some(highest_sent);
            flow.state.on_congestion(now, flow.in_flight);
        }
        while flow
            .packets
            .front()
            .is_some_and(|packet| !packet.is_outstanding)
        {
            flow.packets.pop_front();
            flow.first += 1;
        }
        if flow.recover.is_some_and(|recover| flow.first >= recover) {
            flow.recover = None;
            flow.state.on_recovery_exit();
        }
        flow.state.on_ack(&Ack {
            now,
            acked: delivered,
            delivered,
            lost,
            prior_in_flight,
            in_flight: flow.in_flight,
            rtt_us,
            srtt_us: flow.srtt_us,
            snd_una: SeqNum::ZERO,
            snd_nxt: SeqNum::ZERO,
            cwnd_limited: false,
            rate,
        });
    }

    /// Everything outstanding before a number is lost.
    fn lose(flow: &mut Flow, now: Instant, before: u64) -> u32 {
        let mut lost = 0;
        let count = usize::try_from(before.saturating_sub(flow.first)).unwrap_or(usize::MAX);
        for index in 0..count.min(flow.packets.len()) {
            let packet = &mut flow.packets[index];
            if !packet.is_outstanding {
                continue;
            }
            packet.is_outstanding = false;
            let sent = packet.sent;
            flow.in_flight -= MSS;
            flow.lost += u64::from(MSS);
            lost += MSS;
            let total = flow.delivery.on_lost(MSS);
            flow.state.on_lost(&LostNow {
                now,
                octets: MSS,
                tx_in_flight: sent.in_flight,
                lost_since_sent: total.wrapping_sub(sent.lost),
                is_app_limited: sent.flags & Sent::APP_LIMITED != 0,
                sack: flow.sacks,
            });
        }
        lost
    }

    fn look_at_timer(&mut self, id: usize) {
        let now = self.instant();
        let flow = &mut self.flows[id];
        let patience = u64::from(flow.srtt_us.unwrap_or(0)) * 3000;
        let due = flow.progress_at + patience.max(1000 * MS);
        if flow.in_flight == 0 {
            return;
        }
        if self.now < due {
            self.events.insert((due, Event::Timer(id)));
            return;
        }
        flow.progress_at = self.now;
        let in_flight = flow.in_flight;
        Self::lose(flow, now, u64::MAX);
        flow.state.on_timeout(now, in_flight);
        flow.recover = Some(flow.first + u64::try_from(flow.packets.len()).unwrap());
        self.send(id);
    }
}

fn event_flow(event: Event) -> usize {
    match event {
        Event::Ack(id, _) | Event::Send(id) | Event::Timer(id) => id,
    }
}
