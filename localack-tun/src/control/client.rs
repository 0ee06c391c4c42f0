//! The other end of the control socket, and of the kernel module's device.

use core::time::Duration;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::device::Device;
use super::kernel;
use super::lines::{Line, Lines};
use super::protocol::{
    Answer, ErrorCode, ErrorEntry, LONGEST_ANSWER, Outcome, Question, Reply, Request, VERSION,
};

/// Where the kernel module answers.
pub const KERNEL_DEVICE: &str = "/dev/localack";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("{}: no gateway answers ({error})", path.display())]
    NoGateway {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The socket is another user's.
    #[error("{}: only the user of the gateway may speak to it", .0.display())]
    NotPermitted(PathBuf),
    /// There is no such device.
    #[error(
        "{}: no kernel module answers ({error}); is localack.ko loaded?",
        path.display()
    )]
    NoModule {
        /// The device.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The device is root's.
    #[error("{}: only root may speak to the kernel module", .0.display())]
    OnlyRoot(PathBuf),
    /// The connection broke off, or the answer took too long.
    #[error("the gateway does not answer: {0}")]
    Broken(#[source] io::Error),
    /// What came is no answer.
    #[error("what the gateway answers cannot be understood: {0}")]
    Nonsense(String),
    /// The gateway says no.
    #[error("{}", .0.message)]
    Refused(ErrorEntry),
}

/// How a line gets to whoever answers it, and the answer back.
pub(super) trait Transport: core::fmt::Debug + Send {
    /// Sends a line with its end, and waits for the one that answers it, which comes without.
    ///
    /// # Errors
    /// [`ClientError::Broken`] and [`ClientError::Nonsense`].
    fn exchange(&mut self, line: &[u8]) -> Result<Vec<u8>, ClientError>;
}

impl Transport for Lines<UnixStream> {
    fn exchange(&mut self, line: &[u8]) -> Result<Vec<u8>, ClientError> {
        let sent = self.stream_mut().write_all(line);
        // Who was refused at the door could not listen; why stands in what came.
        match (self.next(), sent) {
            (Ok(Line::Whole(reply)), _) => Ok(reply),
            (Ok(Line::TooLong), _) => Err(ClientError::Nonsense("too long".to_owned())),
            (_, Err(error)) | (Err(error), Ok(())) => Err(ClientError::Broken(error)),
            (Ok(Line::End), Ok(())) => {
                Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }
}

/// A connection to a gateway, or to the kernel module.
#[derive(Debug)]
pub struct Client {
    way: Box<dyn Transport>,
    /// The kernel answers: policies are made into rules here.
    is_kernel: bool,
    /// The number of the last question.
    asked: u64,
}

impl Client {
    /// Connects to the gateway that listens at `path`.
    ///
    /// # Errors
    /// [`ClientError::NoGateway`] and [`ClientError::NotPermitted`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotPermitted(path.to_owned()),
            _ => ClientError::NoGateway {
                path: path.to_owned(),
                error,
            },
        })?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).map_err(ClientError::Broken)?;
        }
        Ok(Self {
            way: Box::new(Lines::new(stream, LONGEST_ANSWER)),
            is_kernel: false,
            asked: 0,
        })
    }

    /// Opens the device of the kernel module, which is usually [`KERNEL_DEVICE`].
    ///
    /// # Errors
    /// [`ClientError::NoModule`] and [`ClientError::OnlyRoot`].
    pub fn kernel(path: &Path) -> Result<Self, ClientError> {
        Ok(Self::of_device(Device::open(path)?))
    }

    pub(super) fn of_device(device: Device) -> Self {
        Self {
            way: Box::new(device),
            is_kernel: true,
            asked: 0,
        }
    }

    /// Asks, and waits for the answer, at most some seconds.
    ///
    /// # Errors
    /// [`ClientError`]; after any but [`ClientError::Refused`] the connection is of no use.
    pub fn ask(&mut self, request: Request) -> Result<Answer, ClientError> {
        if self.is_kernel {
            kernel::ask(self, request)
        } else {
            self.exchange(request)
        }
    }

    /// Asks in the words `Q`, and understands those of `A`.
    pub(super) fn exchange<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: Q,
    ) -> Result<A, ClientError> {
        self.asked = self.asked.wrapping_add(1);
        let question = Question {
            v: VERSION,
            id: Some(self.asked),
            request,
        };
        let nonsense = |error: serde_json::Error| ClientError::Nonsense(error.to_string());
        let mut line = serde_json::to_vec(&question).map_err(nonsense)?;
        line.push(b'\n');
        let reply = self.way.exchange(&line)?;
        let reply: Reply<A> = serde_json::from_slice(&reply).map_err(nonsense)?;
        match reply.outcome {
            Outcome::Error(error) => Err(ClientError::Refused(error)),
            Outcome::Answer(_) if reply.id != Some(self.asked) => Err(ClientError::Nonsense(
                "the answer to another question".to_owned(),
            )),
            Outcome::Answer(answer) => Ok(*answer),
        }
    }
}

impl ClientError {
    /// The code of a refusal.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }
}
