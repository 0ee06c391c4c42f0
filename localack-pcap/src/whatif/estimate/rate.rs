//! The rate of the bottleneck, from trains of packets or of acknowledgements.
//!
//! Whatever left a full bottleneck is spaced by it, and so are the acknowledgements of it. So the
//! progress of the stream is looked at twice: as it passes the capture point, and as it is
//! acknowledged. Each gives delivery rates over many short stretches; the highest rate that many of
//! them agree on is the bottleneck's, or, before the bottleneck, the sender's own line: the lower of
//! the two counts.
//!
//! A stretch spans ten milliseconds and a dozen segments at least without a long pause, and counts
//! octets after its first event. So it does not matter whether an event stands for one packet, or for a
//! super-segment that an offload has put together (GRO, TSO), or for an acknowledgement of many.
//!
//! A sender that loses much never fills its path, and then most stretches tell how little it sends. So where
//! packets did not queue, stretches are looked for that the path drew out: their data passed the capture point
//! in less time than its acknowledgements took. Only a bottleneck does that, and it does it to the
//! bursts of slow start and to those after a loss. If too few such stretches agree, the rate that was found is
//! a lower bound, and said to be one.

use super::{Confidence, Estimate, side_records};
use crate::ranges::RangeSet;
use crate::whatif::trace::{Side, Trace};

/// Microseconds that a stretch spans, the longest first; and at least.
const SPANS: [i64; 4] = [80_000, 40_000, 20_000, SPAN];
const SPAN: i64 = 10_000;
/// So many long stretches are enough.
const MANY: usize = 150;
/// Segments that a stretch spans at least.
const SEGMENTS: i64 = 12;
/// Events in a stretch, at least.
const EVENTS: usize = 4;
/// With more of them it is not looked for pauses.
const MOST_EVENTS: usize = 256;
/// What a stretch must have at least where there is none of the usual size.
const FEW_SEGMENTS: i64 = 6;
/// Stretches agree if they differ by less than this factor.
const AGREE: f64 = 1.12;
/// So many stretches must agree, and this part of how many agree on any other rate: more where packets
/// queued most of the time, for then most stretches tell the rate.
const SUPPORT: usize = 6;
const FAR_FEWER: usize = 3;
const FAR_FEWER_IDLE: usize = 30;

/// Stretches that the path drew out may be shorter: that they are drawn out speaks for them.
const DRAWN_OUT_SPAN: i64 = 3_000;
const DRAWN_OUT_SEGMENTS: i64 = 8;
/// The share of the time on this side of the bottleneck, at most.
const DRAWN_OUT: f64 = 0.8;

/// One of so many of them may be faster than the bottleneck, at most.
const FASTER: usize = 5;

/// A rate, and whether the path's may be higher.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rate: Estimate,
    pub(super) is_lower_bound: bool,
}

/// What else is known of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// The path's round trip in microseconds.
    pub(super) rtt_us: i64,
    /// Whether packets queued most of the time.
    pub(super) is_queued: bool,
}

/// Progress of a stream: when, and octets until then.
type Event = (i64, i64);

/// Estimates the rate toward the receiver of `sender`'s data, in Mbit/s of IP packets; `flow` says
/// what else is known.
pub(super) fn estimate(trace: &Trace, sender: Side, flow: Flow) -> Option<Found> {
    let mss = i64::from(trace.segment_size());
    let passing = passing(trace, sender);
    let acknowledged = acknowledged(trace, sender);
    let found = [
        (peak(&passing, mss, flow), "packets"),
        (peak(&acknowledged, mss, flow), "acknowledgements"),
    ];
    let headers = 1.0 + f64::from(trace.header_size()) / f64::from(trace.segment_size());
    // Whatever the trains say, the whole stream came at its average.
    let average = average(&passing).unwrap_or(0.0);
    let (peak, name) = found
        .into_iter()
        .filter_map(|(peak, name)| peak.map(|peak| (peak, name)))
        .min_by(|one, other| one.0.rate.total_cmp(&other.0.rate))?;
    let rate = peak.rate.max(average);
    let found = |rate: f64, how: String, confidence: Confidence, is_lower_bound: bool| Found {
        rate: Estimate {
            value: rate * headers * 8.0,
            how,
            confidence,
        },
        is_lower_bound,
    };
    let agree = |peak: Peak| format!("{} of {} stretches agree", peak.agreeing, peak.stretches);
    let trains = format!("trains of {name}: {}", agree(peak));
    if flow.is_queued {
        return Some(found(rate, trains, peak.confidence(), false));
    }
    Some(match drawn_out(&passing, &acknowledged, mss) {
        Some(burst) if burst.rate > rate => {
            let how = format!("bursts that the path drew out: {}", agree(burst));
            found(burst.rate, how, burst.confidence(), false)
        }
        Some(_) => found(rate, trains, peak.confidence(), false),
        None => {
            let how =
                format!("{trains}, but nothing shows that they filled the path: at least so much");
            found(rate, how, Confidence::Low, true)
        }
    })
}

/// The rate of stretches that took longer to be acknowledged than to pass the capture point, if enough agree.
fn drawn_out(passing: &[Event], acknowledged: &[Event], mss: i64) -> Option<Peak> {
    let passed = |octets: i64| {
        let at = passing.partition_point(|event| event.1 < octets);
        passing.get(at).map(|event| event.0)
    };
    let drawn = |&(first, last): &(Event, Event)| {
        let time = passed(first.1).zip(passed(last.1));
        time.is_some_and(|(begin, end)| {
            ((end - begin) as f64) < (last.0 - first.0) as f64 * DRAWN_OUT
        })
    };
    let stretches = stretches(acknowledged, DRAWN_OUT_SEGMENTS * mss, DRAWN_OUT_SPAN);
    let rates: Vec<f64> = stretches
        .iter()
        .filter(|both| drawn(both))
        .map(rate)
        .collect();
    let flow = Flow {
        rtt_us: 0,
        is_queued: true,
    };
    let peak = (!rates.is_empty()).then(|| agreed(rates.clone(), true, flow))?;
    // Nothing passes a bottleneck faster; a few acknowledgements may have come together.
    let faster = rates.iter().filter(|&&rate| rate > peak.rate * AGREE);
    let is_top = faster.count() * FASTER <= rates.len();
    (peak.agreeing >= SUPPORT && is_top).then_some(peak)
}

/// Distinct octets as they pass the capture point.
fn passing(trace: &Trace, sender: Side) -> Vec<Event> {
    let mut known = RangeSet::default();
    let mut octets = 0;
    let mut events = Vec::new();
    for record in side_records(trace, sender).filter(|record| record.len > 0) {
        octets += known.insert(record.start, record.end()) as i64;
        events.push((record.at, octets));
    }
    thin(events)
}

/// Octets as they are acknowledged, selectively or not.
fn acknowledged(trace: &Trace, sender: Side) -> Vec<Event> {
    let most = side_records(trace, sender).map(|record| record.end()).max();
    let most = most.unwrap_or(0);
    let mut known = RangeSet::default();
    let mut octets = 0;
    let mut events = Vec::new();
    for record in side_records(trace, sender.other()) {
        let ack = record.ack.unwrap_or(0).min(most);
        octets += known.insert(0, ack) as i64;
        for &(left, right) in &record.sack {
            octets += known.insert(left.max(0), right.min(most)) as i64;
        }
        events.push((record.at, octets));
    }
    thin(events)
}

/// Events that make progress; of several at one time the last one.
fn thin(events: Vec<Event>) -> Vec<Event> {
    let mut kept: Vec<Event> = Vec::new();
    for event in events {
        match kept.last_mut() {
            Some(last) if last.1 >= event.1 => {}
            Some(last) if last.0 == event.0 => *last = event,
            _ => kept.push(event),
        }
    }
    kept
}

/// Octets per microsecond from the first event to the last one.
fn average(events: &[Event]) -> Option<f64> {
    let (first, last) = (events.first()?, events.last()?);
    let time = last.0 - first.0;
    (time >= SPAN).then(|| (last.1 - first.1) as f64 / time as f64)
}

/// The highest rate that many stretches agree on, in octets per microsecond.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Peak {
    rate: f64,
    agreeing: usize,
    stretches: usize,
    /// Whether stretches of the usual size were found.
    usual: bool,
}

impl Peak {
    const fn confidence(&self) -> Confidence {
        match self.agreeing {
            40.. if self.usual => Confidence::High,
            SUPPORT.. if self.usual => Confidence::Medium,
            _ => Confidence::Low,
        }
    }
}

/// The longest stretches of which there are enough serve best: a machine that is held up for a moment
/// tells of many packets at once. But they must be well below the round trip, or else they tell how much is
/// sent in each.
fn peak(events: &[Event], mss: i64, flow: Flow) -> Option<Peak> {
    for span in SPANS {
        let least = span == SPAN;
        if !least && (3 * span > flow.rtt_us || !flow.is_queued) {
            continue;
        }
        let usual = rates(events, SEGMENTS * mss, span);
        if usual.len() >= if least { SUPPORT } else { MANY } {
            return Some(agreed(usual, true, flow));
        }
    }
    let few = rates(events, FEW_SEGMENTS * mss, 1);
    (!few.is_empty()).then(|| agreed(few, false, flow))
}

/// Whether a stretch is of one piece: no pause takes half of it.
fn is_dense(events: &[Event]) -> bool {
    let time = events.last().map_or(0, |last| last.0) - events.first().map_or(0, |first| first.0);
    let gaps = events.windows(2).map(|pair| pair[1].0 - pair[0].0);
    events.len() > MOST_EVENTS || gaps.max().is_some_and(|gap| 2 * gap < time)
}

/// The rates of all dense stretches of at least so many octets and microseconds.
fn rates(events: &[Event], octets: i64, micros: i64) -> Vec<f64> {
    stretches(events, octets, micros).iter().map(rate).collect()
}

fn rate((first, last): &(Event, Event)) -> f64 {
    (last.1 - first.1) as f64 / (last.0 - first.0) as f64
}

/// The first and the last event of each.
fn stretches(events: &[Event], octets: i64, micros: i64) -> Vec<(Event, Event)> {
    let mut found = Vec::new();
    let mut end = 0;
    for (start, first) in events.iter().enumerate() {
        end = end.max(start);
        let reaches = |at: usize| {
            events.get(at).map(|last| {
                last.1 - first.1 >= octets && last.0 - first.0 >= micros && at - start + 1 >= EVENTS
            })
        };
        loop {
            match reaches(end) {
                None => return found,
                Some(false) => end += 1,
                Some(true) => break,
            }
        }
        if !is_dense(&events[start..=end]) {
            continue;
        }
        found.push((*first, events[end]));
    }
    found
}

/// The highest rate on which enough of `rates` agree, and not far fewer than on any other; or else the
/// median of the faster half.
fn agreed(mut rates: Vec<f64>, usual: bool, flow: Flow) -> Peak {
    rates.sort_unstable_by(|one, other| other.total_cmp(one));
    let stretches = rates.len();
    let mut end = 0;
    let mut groups: Vec<(usize, usize)> = Vec::with_capacity(stretches);
    for (start, &rate) in rates.iter().enumerate() {
        while rates.get(end).is_some_and(|&other| other * AGREE >= rate) {
            end += 1;
        }
        groups.push((start, end - start));
    }
    let most = groups.iter().map(|group| group.1).max().unwrap_or(0);
    let part = if flow.is_queued {
        FAR_FEWER
    } else {
        FAR_FEWER_IDLE
    };
    let needed = SUPPORT.max(most / part);
    if let Some(first) = groups.iter().position(|group| group.1 >= needed) {
        // The group that is largest near there: its middle is the rate.
        let limit = rates[first] / AGREE;
        let near = groups[first..]
            .iter()
            .take_while(|&&(start, _)| rates[start] >= limit);
        let &(start, size) = near.max_by_key(|group| group.1).unwrap_or(&groups[first]);
        return Peak {
            rate: rates[start + size / 2],
            agreeing: size,
            stretches,
            usual,
        };
    }
    Peak {
        rate: rates[stretches / 4],
        agreeing: 1,
        stretches,
        usual: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: i64 = 1448;
    const FLOW: Flow = Flow {
        rtt_us: 100_000,
        is_queued: true,
    };

    /// Trains of `packets`, `gap` microseconds apart, every `period`.
    fn trains(trains: i64, packets: i64, gap: i64, period: i64) -> Vec<Event> {
        let all = (0..trains).flat_map(|train| (0..packets).map(move |packet| (train, packet)));
        all.map(|(train, packet)| {
            let octets = (train * packets + packet + 1) * MSS;
            (train * period + packet * gap, octets)
        })
        .collect()
    }

    #[test]
    fn the_spacing_within_trains_is_the_rate() {
        // 1448 octets in 500 us, in trains of 30 packets every 100 ms.
        let peak = peak(&trains(20, 30, 500, 100_000), MSS, FLOW).unwrap();
        assert!(
            (peak.rate / (1448.0 / 500.0) - 1.0).abs() < 0.01,
            "{peak:?}"
        );
        assert_eq!(peak.confidence(), Confidence::High);
    }

    #[test]
    fn events_that_stand_for_many_packets_give_the_same() {
        // As an offload would put them together: up to 16 packets, at the time of the last one.
        let packets = trains(4, 400, 500, 1_000_000);
        let merged: Vec<Event> = packets
            .iter()
            .enumerate()
            .filter(|(number, _)| number * 7 % 16 > 9 || number % 16 == 15)
            .map(|(_, &event)| event)
            .collect();
        let peak = peak(&merged, MSS, FLOW).unwrap();
        assert!(
            (peak.rate / (1448.0 / 500.0) - 1.0).abs() < 0.03,
            "{peak:?}"
        );
    }

    #[test]
    fn bursts_that_the_path_draws_out_tell_its_rate() {
        // Bursts of 20 packets, 50 us apart, leave the bottleneck 500 us apart.
        let sent = trains(2, 20, 50, 100_000);
        let delayed = |events: Vec<Event>| -> Vec<Event> {
            events
                .into_iter()
                .map(|(at, octets)| (at + 40_000, octets))
                .collect()
        };
        let back = delayed(trains(2, 20, 500, 100_000));
        let peak = drawn_out(&sent, &back, MSS).unwrap();
        assert!(
            (peak.rate / (1448.0 / 500.0) - 1.0).abs() < 0.01,
            "{peak:?}"
        );
        // What comes back as it was sent tells of the sender only; nor do acknowledgements that
        // were put together.
        let slow = trains(2, 20, 500, 100_000);
        assert_eq!(drawn_out(&slow, &delayed(slow.clone()), MSS), None);
        assert_eq!(drawn_out(&slow, &delayed(sent), MSS), None);
    }

    #[test]
    fn what_many_bursts_exceed_is_no_bottleneck() {
        // Each burst comes back at another rate, and the slowest is the only one that several have.
        let mut back = Vec::new();
        for (burst, gap) in (0..).zip([200, 240, 290, 350, 420, 900, 900, 900]) {
            back.extend((0..20).map(|packet| {
                let octets = (burst * 20 + packet + 1) * MSS;
                (burst * 100_000 + packet * gap + 40_000, octets)
            }));
        }
        let sent = trains(8, 20, 50, 100_000);
        assert_eq!(drawn_out(&sent, &back, MSS), None);
        // Alone it would be one.
        let slowest: Vec<Event> = back.split_off(100);
        assert!(drawn_out(&sent, &slowest, MSS).is_some());
    }

    #[test]
    fn a_few_compressed_stretches_do_not_count() {
        let mut events = trains(1, 2000, 500, 0);
        // Twice, everything is held back for 20 ms.
        for held in [300..340, 900..940] {
            let release = events[held.end].0;
            for event in &mut events[held] {
                event.0 = release;
            }
        }
        let peak = peak(&thin(events), MSS, FLOW).unwrap();
        assert!(
            (peak.rate / (1448.0 / 500.0) - 1.0).abs() < 0.02,
            "{peak:?}"
        );
    }

    #[test]
    fn little_gives_little_confidence_or_nothing() {
        let peak_of = |events: Vec<Event>| peak(&events, MSS, FLOW);
        assert_eq!(peak_of(Vec::new()), None);
        assert_eq!(peak_of(trains(1, 3, 500, 0)), None);
        let peak = peak_of(trains(1, 10, 500, 0)).unwrap();
        assert_eq!(peak.confidence(), Confidence::Low);
        assert!(
            (peak.rate / (1448.0 / 500.0) - 1.0).abs() < 0.01,
            "{peak:?}"
        );
    }
}
