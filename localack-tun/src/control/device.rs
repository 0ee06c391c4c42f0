//! The kernel module's end of the conversation: a device that takes a request in one call, and then gives its answer.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::client::{ClientError, Transport};
use super::lines::{Line, Lines};
use super::protocol::LONGEST_ANSWER;

/// An open device.
#[derive(Debug)]
pub(super) struct Device {
    lines: Lines<File>,
}

impl Device {
    /// Opens the device at `path`.
    ///
    /// # Errors
    /// [`ClientError::NoModule`] and [`ClientError::OnlyRoot`].
    pub(super) fn open(path: &Path) -> Result<Self, ClientError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::OnlyRoot(path.to_owned()),
            _ => ClientError::NoModule {
                path: path.to_owned(),
                error,
            },
        })?;
        Ok(Self::of(file))
    }

    pub(super) const fn of(file: File) -> Self {
        Self {
            lines: Lines::new(file, LONGEST_ANSWER),
        }
    }
}

impl Transport for Device {
    fn exchange(&mut self, line: &[u8]) -> Result<Vec<u8>, ClientError> {
        // Each call is a request of its own, so there is no second one for a rest.
        match self.lines.stream_mut().write(line) {
            Ok(octets) if octets == line.len() => {}
            Ok(_) => return Err(ClientError::Broken(io::ErrorKind::WriteZero.into())),
            // Either of them: the device does not say which.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => {
                let message = "the request or its answer is longer than the kernel module takes";
                return Err(ClientError::Nonsense(message.to_owned()));
            }
            Err(error) => return Err(ClientError::Broken(error)),
        }
        match self.lines.next().map_err(ClientError::Broken)? {
            Line::Whole(reply) => Ok(reply),
            Line::TooLong => Err(ClientError::Nonsense("too long".to_owned())),
            Line::End => Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}
