//! Writing packets to a pcap file.

use core::time::Duration;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};

/// The longest IP packet, in octets: the default snap length stores every packet whole.
pub const WHOLE_PACKETS: u32 = 65_535;

/// A pcap file of raw IP packets (`LINKTYPE_RAW`) with microsecond stamps.
pub struct Capture<W: Write> {
    writer: PcapWriter<W>,
    snaplen: u32,
}

impl Capture<BufWriter<File>> {
    /// Creates `path`, replacing a file that exists.
    ///
    /// At most `snaplen` octets of each packet are stored.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or its header not written.
    pub fn create(path: &Path, snaplen: u32) -> io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?), snaplen)
    }
}

impl<W: Write> Capture<W> {
    /// Begins a capture on `writer` by writing the file header.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn new(writer: W, snaplen: u32) -> io::Result<Self> {
        let header = PcapHeader {
            datalink: DataLink::RAW,
            snaplen,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(writer, header).map_err(into_io)?;
        Ok(Self { writer, snaplen })
    }

    /// Appends one IP packet that was seen at `stamp`, the time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// When the writer fails, or the packet or its stamp does not fit the format.
    pub fn write(&mut self, stamp: Duration, packet: &[u8]) -> io::Result<()> {
        let original = u32::try_from(packet.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "packet of 4 GiB or more"))?;
        let kept = usize::try_from(self.snaplen)
            .unwrap_or(usize::MAX)
            .min(packet.len());
        let (kept, _) = packet.split_at(kept);
        self.writer
            .write_packet(&PcapPacket::new(stamp, original, kept))
            .map_err(into_io)?;
        Ok(())
    }

    /// Ends the capture: everything written has reached the file when this returns.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn finish(self) -> io::Result<W> {
        let mut writer = self.writer.into_writer();
        writer.flush()?;
        Ok(writer)
    }
}

impl<W: Write> core::fmt::Debug for Capture<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Capture")
            .field("snaplen", &self.snaplen)
            .finish_non_exhaustive()
    }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcap::PcapReader;

    #[test]
    fn packets_come_back_with_their_stamp_and_true_length() {
        let mut capture = Capture::new(Vec::new(), 64).unwrap();
        let stamp = Duration::from_micros(1_700_000_000_123_456);
        capture.write(stamp, &[0x45; 40]).unwrap();
        capture
            .write(stamp + Duration::from_micros(7), &[0x60; 1500])
            .unwrap();
        let file = capture.finish().unwrap();

        // Raw records: the library's checked ones refuse packets that a snap length has cut.
        let mut reader = PcapReader::new(file.as_slice()).unwrap();
        assert_eq!(
            (reader.header().datalink, reader.header().snaplen),
            (DataLink::RAW, 64)
        );
        let short = reader.next_raw_packet().unwrap().unwrap();
        assert_eq!((short.ts_sec, short.ts_frac), (1_700_000_000, 123_456));
        assert_eq!((short.orig_len, short.data.len()), (40, 40));
        let cut = reader.next_raw_packet().unwrap().unwrap();
        assert_eq!((cut.ts_sec, cut.ts_frac), (1_700_000_000, 123_463));
        assert_eq!((cut.orig_len, cut.data.len()), (1500, 64));
        assert!(reader.next_raw_packet().is_none());
    }
}
