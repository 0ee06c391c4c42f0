//! Finding out what kind of file a stream of octets is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use pcap_parser::{LegacyPcapReader, PcapHeader, PcapNGReader, parse_pcap_header};

use super::pcapng::Interface;
use super::{BUFFER, Format, LinkType, Source};

/// Why a capture could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file has no octets.
    #[error("the file is empty")]
    Empty,
    /// The file begins like no capture.
    #[error("not a pcap or pcapng capture")]
    NotACapture,
    /// The file begins like a capture, but its header is cut off or contradicts itself.
    #[error("the capture's header is damaged")]
    BadHeader,
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::new(File::open(path)?)
    }

    /// Reads from any stream.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(mut input: impl Read + 'static) -> Result<Self, OpenError> {
        // A pipe may deliver a header in pieces, and the readers look at what the first read
        // gives: gather the beginning first.
        let mut head = Vec::new();
        input.by_ref().take(BUFFER as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Err(OpenError::Empty);
        }
        if head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            return Self::pcapng(io::Cursor::new(head).chain(input));
        }
        match parse_pcap_header(&head) {
            Ok((_, header)) => Self::pcap(&header, io::Cursor::new(head).chain(input)),
            Err(pcap_parser::nom::Err::Incomplete(_)) if has_pcap_magic(&head) => {
                Err(OpenError::BadHeader)
            }
            Err(_) => Err(OpenError::NotACapture),
        }
    }

    fn pcap(header: &PcapHeader, input: impl Read + 'static) -> Result<Self, OpenError> {
        let reader = LegacyPcapReader::new(BUFFER, input).map_err(|_| OpenError::BadHeader)?;
        // The upper bits of the field carry the length of a frame check sequence.
        let link = LinkType((header.network.0 & 0xffff) as u16);
        let nanoseconds = header.is_nanosecond_precision();
        let format = if nanoseconds {
            Format::PcapNanoseconds
        } else {
            Format::Pcap
        };
        Ok(Self::start(
            Box::new(reader),
            format,
            vec![Interface::legacy(link, nanoseconds)],
        ))
    }

    fn pcapng(input: impl Read + 'static) -> Result<Self, OpenError> {
        let reader = PcapNGReader::new(BUFFER, input).map_err(|_| OpenError::BadHeader)?;
        Ok(Self::start(Box::new(reader), Format::Pcapng, Vec::new()))
    }

    fn start(
        reader: Box<dyn pcap_parser::traits::PcapReaderIterator>,
        format: Format,
        interfaces: Vec<Interface>,
    ) -> Self {
        Self {
            reader,
            format,
            interfaces,
            section: 0,
            big_endian: false,
            pending: 0,
            capacity: BUFFER,
            cut: None,
            ended: false,
        }
    }
}

/// Whether a file too short for a header begins like a pcap file.
fn has_pcap_magic(head: &[u8]) -> bool {
    const MAGICS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34];
    head.first_chunk().is_some_and(|&magic| {
        MAGICS.contains(&u32::from_le_bytes(magic)) || MAGICS.contains(&u32::from_be_bytes(magic))
    })
}
