//! The report for people.

use std::io::{self, Write};

use console::Style;

use super::units::{bytes, count, time, time_or_dash};
use super::{AckWait, DirectionFigures, Flow, Report, WaitFigures};

/// How the text is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Columns of the terminal.
    pub width: usize,
    /// Conversations shown.
    pub top: usize,
    /// Their order.
    pub sort: Sort,
}

/// The order of conversations in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Most payload first.
    Bytes,
    /// Most packets first.
    Packets,
    /// Longest wait in the capture first.
    Wait,
    /// Most waiting saved by the engine first.
    Saved,
    /// In the order of their first packets.
    Start,
}

/// Writes the report about the capture called `name`.
///
/// # Errors
/// Those of `out`.
pub fn write_text(
    out: &mut dyn Write,
    name: &str,
    report: &Report,
    layout: Layout,
) -> io::Result<()> {
    let mut page = Page {
        out,
        width: layout.width.max(40),
    };
    page.totals(name, report)?;
    let mut flows: Vec<_> = report.flows.iter().enumerate().collect();
    flows.sort_by_key(|(_, flow)| core::cmp::Reverse(rank(flow, layout.sort)));
    for (index, flow) in flows.iter().take(layout.top) {
        page.flow(*index, flow)?;
    }
    let hidden = flows.len().saturating_sub(layout.top);
    if hidden > 0 {
        let flows = count(hidden as u64, "more conversation");
        page.paragraph("", &format!("({flows}: see --top and --sort)"))?;
        writeln!(page.out)?;
    }
    page.verdicts(report)?;
    page.invariants(report)
}

/// What puts a conversation before others.
pub(super) fn rank(flow: &Flow, sort: Sort) -> u64 {
    let sum = |figure: fn(&DirectionFigures) -> u64| flow.both().into_iter().map(figure).sum();
    match sort {
        Sort::Bytes => sum(|direction| direction.payload_bytes),
        Sort::Packets => sum(|direction| direction.packets),
        Sort::Wait => sum(|direction| direction.ack_wait_us.captured.total),
        Sort::Saved => sum(|direction| saved(&direction.ack_wait_us)),
        Sort::Start => 0,
    }
}

pub(crate) fn saved(wait: &AckWait) -> u64 {
    wait.captured.total.saturating_sub(wait.engine.total)
}

/// Where the text goes, and how wide it may be.
struct Page<'o> {
    out: &'o mut dyn Write,
    width: usize,
}

impl Page<'_> {
    fn totals(&mut self, name: &str, report: &Report) -> io::Result<()> {
        let (input, tcp) = (&report.input, &report.tcp);
        writeln!(self.out, "{}", Style::new().bold().apply_to(name))?;
        self.paragraph(
            "  ",
            &format!(
                "{} in {}, {}, {}; {} TCP in {}, {}",
                count(input.packets, "packet"),
                time(input.duration_us),
                input.format,
                input.link_types.join(" and "),
                tcp.packets,
                count(tcp.conversations, "conversation"),
                count(tcp.complete_handshakes, "complete handshake"),
            ),
        )?;
        let notes = [
            (input.truncated, "cut short in the capture"),
            (input.undecoded, "not decoded"),
            (tcp.bad_checksums, "with a wrong checksum"),
            (tcp.fragments, "in fragments"),
        ];
        let notes: Vec<_> = notes
            .iter()
            .filter(|note| note.0 > 0)
            .map(|note| format!("{} {}", note.0, note.1))
            .collect();
        if !notes.is_empty() {
            self.paragraph("  ", &format!("Packets {}", notes.join(", ")))?;
        }
        if input.clock_jumps > 0 {
            let jumps = count(input.clock_jumps, "time");
            self.paragraph(
                "  ",
                &format!("The capture's clock was set {jumps}; the replay's went on"),
            )?;
        }
        let cut: u64 = report
            .flows
            .iter()
            .flat_map(Flow::both)
            .map(|direction| direction.cut_packets)
            .sum();
        if cut > 0 {
            self.paragraph(
                "  ",
                &format!(
                    "{} could not be taken into custody: the capture holds only their headers",
                    count(cut, "data packet")
                ),
            )?;
        }
        self.paragraph(
            "  ",
            "Open loop: the captured senders did not react to the local acknowledgements.",
        )?;
        writeln!(self.out)
    }

    fn flow(&mut self, index: usize, flow: &Flow) -> io::Result<()> {
        let title = format!("{} {} -> {}", index + 1, flow.client, flow.server);
        writeln!(self.out, "{}", Style::new().bold().apply_to(title))?;
        let handshake = if flow.complete_handshake {
            ""
        } else {
            "; its handshake is not complete"
        };
        match (flow.reason, flow.inner) {
            (None, Some(inner)) => {
                self.paragraph("  ", &format!("adopted; the {inner} is the inner end"))?;
            }
            (None, None) => self.paragraph("  ", "adopted")?,
            (Some(reason), _) => {
                let reason = Style::new().yellow().apply_to(reason);
                writeln!(self.out, "  left alone: {reason}{handshake}")?;
            }
        }
        let ends = [("client to server", 0), ("server to client", 1)];
        for (name, at) in ends {
            let direction = flow.both()[at];
            if direction.packets > 0 {
                self.direction(name, direction, flow.adopted)?;
            }
        }
        writeln!(self.out)
    }

    fn direction(
        &mut self,
        name: &str,
        direction: &DirectionFigures,
        adopted: bool,
    ) -> io::Result<()> {
        let approximate = if direction.approximate {
            " at least"
        } else {
            ""
        };
        self.paragraph(
            "    ",
            &format!(
                "{name}: {}{approximate} in {}, {} repeated, {}",
                bytes(direction.unique_payload_bytes),
                count(direction.packets, "packet"),
                direction.retransmitted_packets,
                count(direction.pure_acks, "pure ACK"),
            ),
        )?;
        let done = [
            (direction.local_acks, "local ACKs"),
            (direction.absorbed_acks, "remote ACKs absorbed"),
            (direction.rewritten, "segments rewritten"),
            (direction.custody_segments, "sent from custody"),
            (
                direction.engine_retransmissions,
                "retransmitted by the engine",
            ),
        ];
        let mut done: Vec<_> = done
            .iter()
            .filter(|work| work.0 > 0)
            .map(|work| format!("{} {}", work.0, work.1))
            .collect();
        if direction.peak_custody_bytes > 0 {
            done.push(format!(
                "{} in custody at most",
                bytes(direction.peak_custody_bytes)
            ));
        }
        if adopted && !done.is_empty() {
            self.paragraph("      ", &done.join(", "))?;
        }
        if direction.ack_wait_us.captured.count > 0 {
            self.wait("waited for ACKs", &direction.ack_wait_us.captured, false)?;
            if adopted {
                let better = saved(&direction.ack_wait_us) > 0;
                self.wait("with the engine", &direction.ack_wait_us.engine, better)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, name: &str, wait: &WaitFigures, better: bool) -> io::Result<()> {
        let style = if better {
            Style::new().green()
        } else {
            Style::new()
        };
        let line = format!(
            "      {name:15}  p50 {:>9}  p99 {:>9}  total {:>9}",
            time_or_dash(wait.p50),
            time_or_dash(wait.p99),
            time(wait.total),
        );
        writeln!(self.out, "{}", style.apply_to(line))
    }

    fn verdicts(&mut self, report: &Report) -> io::Result<()> {
        for (group, title) in [
            ("pass", "Passed"),
            ("absorb", "Absorbed"),
            ("drop", "Dropped"),
            ("transmit", "Made"),
            ("engine", "Counted"),
        ] {
            let reasons = report.counters.get(group).into_iter().flatten();
            let mut reasons: Vec<_> = reasons.filter(|(_, count)| **count > 0).collect();
            reasons.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
            if reasons.is_empty() {
                continue;
            }
            let list: Vec<_> = reasons
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            self.paragraph("", &format!("{title}: {}", list.join(", ")))?;
        }
        Ok(())
    }

    fn invariants(&mut self, report: &Report) -> io::Result<()> {
        let Some(invariants) = Some(&report.invariants).filter(|found| found.violations > 0) else {
            let checked = report.invariants.checked;
            return self.paragraph("", &format!("Invariants: {checked} checks, no violation"));
        };
        let style = Style::new().red().bold();
        let line = format!(
            "Invariants: {} of {} checks failed",
            invariants.violations, invariants.checked
        );
        writeln!(self.out, "{}", style.apply_to(line))
    }

    /// Writes text broken at spaces, each line indented.
    fn paragraph(&mut self, indent: &str, text: &str) -> io::Result<()> {
        let mut used = 0;
        for word in text.split(' ') {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > self.width {
                writeln!(self.out)?;
                used = 0;
            }
            if used == 0 {
                write!(self.out, "{indent}{word}")?;
                used = indent.len() + length;
            } else {
                write!(self.out, " {word}")?;
                used += 1 + length;
            }
        }
        writeln!(self.out)
    }
}
