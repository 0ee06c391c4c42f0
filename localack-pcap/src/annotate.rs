//! The annotated capture: what went in and out of both ports of the engine.
//!
//! Interface "inner" shows every packet on the client's side of the engine and "outer" every
//! packet on the server's side, as a capture there would have: a packet that passes appears on
//! both. Each packet that the engine made, edited or kept has a comment.

use core::time::Duration;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use localack_core::{AbsorbReason, Port, TransmitKind, Verdict, wire};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

/// Writes an annotated capture.
pub struct Annotator {
    writer: PcapNgWriter<BufWriter<File>>,
}

/// A captured packet.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'p> {
    /// The port by which it arrived.
    pub port: Port,
    /// When, since the capture's epoch.
    pub time: Duration,
    /// What was stored of it.
    pub octets: &'p [u8],
    /// Octets it had on the wire.
    pub wire_len: usize,
}

impl core::fmt::Debug for Annotator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Annotator").finish_non_exhaustive()
    }
}

impl Annotator {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let writer = PcapNgWriter::new(BufWriter::new(File::create(path)?)).map_err(io_error)?;
        let mut annotator = Self { writer };
        for name in ["inner", "outer"] {
            annotator.interface(name).map_err(io_error)?;
        }
        Ok(annotator)
    }

    fn interface(&mut self, name: &'static str) -> Result<(), PcapError> {
        /// Time stamps in nanoseconds.
        const RESOLUTION: u8 = 9;
        let mut block = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        block.options = vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
            InterfaceDescriptionOption::IfTsResol(RESOLUTION),
        ];
        self.writer.write_pcapng_block(block).map(drop)
    }

    /// A captured packet, and what became of it; `edited` is how it left if it was changed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn captured(
        &mut self,
        packet: &Captured<'_>,
        verdict: Verdict,
        edited: Option<&[u8]>,
    ) -> io::Result<()> {
        let fate = match verdict {
            Verdict::Pass(_) | Verdict::Forward => None,
            Verdict::Absorb(reason) => Some(format!("localack: absorbed: {}", why(reason))),
            Verdict::Drop(reason) => Some(format!("localack: discarded: {}", reason.slug())),
        };
        let leaves = fate.is_none();
        self.write(
            packet.port,
            packet.time,
            packet.octets,
            packet.wire_len,
            fate,
        )?;
        if !leaves {
            return Ok(());
        }
        let comment = edited.map(|octets| changes(packet.octets, octets));
        let octets = edited.unwrap_or(packet.octets);
        self.write(
            packet.port.other(),
            packet.time,
            octets,
            packet.wire_len,
            comment,
        )
    }

    /// A packet that the engine made.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn made(
        &mut self,
        port: Port,
        time: Duration,
        kind: TransmitKind,
        octets: &[u8],
    ) -> io::Result<()> {
        let comment = format!("localack: made by the engine: {}", purpose(kind));
        self.write(port, time, octets, octets.len(), Some(comment))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(self) -> io::Result<()> {
        self.writer
            .into_inner()
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    }

    fn write(
        &mut self,
        port: Port,
        time: Duration,
        octets: &[u8],
        wire_len: usize,
        comment: Option<String>,
    ) -> io::Result<()> {
        let block = EnhancedPacketBlock {
            interface_id: u32::from(port == Port::Outer),
            timestamp: time,
            original_len: u32::try_from(wire_len).unwrap_or(u32::MAX),
            data: Cow::Borrowed(octets),
            options: comment
                .into_iter()
                .map(|text| EnhancedPacketOption::Comment(text.into()))
                .collect(),
        };
        self.writer
            .write_pcapng_block(block)
            .map(drop)
            .map_err(io_error)
    }
}

/// Why a packet was not sent on, in words.
fn why(reason: AbsorbReason) -> &'static str {
    match reason {
        AbsorbReason::Stored => "its data is in custody and will be sent from there",
        AbsorbReason::Duplicate => "it repeats what the engine holds or the receiver has",
        AbsorbReason::Acknowledgement => "the engine has acknowledged this before it",
        AbsorbReason::WindowProbe => "the engine has answered this window probe",
        AbsorbReason::Keepalive => "the answer to this keep-alive waits for the peer",
        AbsorbReason::DuplicateFin => "the first FIN is on its way",
        AbsorbReason::ResetHeld => "what was acknowledged is delivered before this reset",
        AbsorbReason::NoMemory => "there was no memory to take it, and it was not acknowledged",
        other => other.slug(),
    }
}

/// What a packet of a kind is for, in words.
fn purpose(kind: TransmitKind) -> &'static str {
    match kind {
        TransmitKind::LocalAck => "local acknowledgement of data now in custody",
        TransmitKind::DuplicateAck => "acknowledgement repeated: duplicate, gap or probe",
        TransmitKind::WindowUpdate => "the offered window has grown",
        TransmitKind::Data => "data from custody, sent for the first time",
        TransmitKind::Retransmission => "data from custody, sent again",
        TransmitKind::WindowProbe => "one octet to probe a closed window",
        TransmitKind::AckRelay => "the sender's acknowledgement, ahead of its data",
        TransmitKind::Challenge => "challenge to an inexact reset",
        TransmitKind::Reset => "reset",
        other => other.slug(),
    }
}

/// What was edited in a packet.
fn changes(before: &[u8], after: &[u8]) -> String {
    let read = |octets| match wire::parse_headers(octets) {
        wire::Parsed::Tcp(segment) => Some(segment),
        _ => None,
    };
    let Some((before, after)) = read(before).zip(read(after)) else {
        return "localack: rewritten".to_owned();
    };
    let mut list = Vec::new();
    let mut note = |field: &str, before: u32, after: u32| {
        if before != after {
            list.push(format!("{field} {before} -> {after}"));
        }
    };
    note("seq", before.seq.raw(), after.seq.raw());
    note("ack", before.ack.raw(), after.ack.raw());
    note("window", before.window.into(), after.window.into());
    if let Some((old, new)) = before.options.timestamps.zip(after.options.timestamps) {
        note("TSval", old.val, new.val);
        note("TSecr", old.ecr, new.ecr);
    }
    if before.options.sack != after.options.sack {
        list.push("SACK blocks replaced".to_owned());
    }
    if before.flags != after.flags {
        list.push("flags".to_owned());
    }
    format!(
        "localack: rewritten to agree with the local acknowledgements: {}",
        list.join(", ")
    )
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
