//! From bytes to messages, with tungstenite's protocol machine but without its stream:
//! between messages a connection owns no buffer at all.

use std::io::{self, Read, Write};

use chat_core::hub::DisconnectReason;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::Config;
use crate::fragments::Fragments;

/// Bytes that the protocol machine takes at once. Small enough that allocating them for every message costs
/// less than keeping them for thousands of idle connections.
const CHUNK_BYTES: usize = 1_024;

/// Decodes what a client sends. Pongs and the answer to a close frame are encoded into the output on the way.
#[derive(Debug)]
pub(crate) struct Decoder {
    limits: Limits,
    /// There only while a message is incomplete or input is left.
    machine: Option<Box<WebSocketContext>>,
    fragments: Fragments,
    input: Vec<u8>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    message_bytes: usize,
    output_bytes: usize,
}

impl Decoder {
    /// A decoder with the limits of `config`; never has the machine to queue more than `output_bytes`.
    pub(crate) fn new(config: &Config, output_bytes: usize) -> Self {
        let limits = Limits { message_bytes: config.message_bytes, output_bytes };
        Self {
            limits,
            machine: None,
            fragments: Fragments::new(config.message_fragments),
            input: Vec::new(),
            taken: 0,
        }
    }

    /// Whether more bytes may be put in: what was put in before has all been decoded.
    pub(crate) fn is_drained(&self) -> bool {
        self.taken == self.input.len()
    }

    /// Puts in bytes from the socket. Only when the decoder is drained.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_drained(), "bytes would be lost");
        self.input = bytes.to_vec();
        self.taken = 0;
    }

    /// The next text message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// Why the connection has to be closed. Nothing may be decoded after that.
    pub(crate) fn next(&mut self, output: &mut Vec<u8>) -> Result<Option<Utf8Bytes>, DisconnectReason> {
        if self.is_drained() && self.machine.is_none() {
            return Ok(None);
        }
        let machine = self.machine.get_or_insert_with(|| Box::new(self.limits.machine()));
        let mut feed =
            Feed { input: &self.input, taken: &mut self.taken, fragments: &mut self.fragments, output };
        loop {
            match machine.read(&mut feed) {
                Ok(Message::Text(text)) => return Ok(Some(text)),
                Ok(Message::Binary(_)) => return Err(DisconnectReason::Binary),
                // Reading on makes the machine encode its answer.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(reason(&error)),
            }
        }
        self.input = Vec::new();
        self.taken = 0;
        if self.fragments.between_messages() {
            self.machine = None;
        }
        Ok(None)
    }
}

impl Limits {
    fn machine(self) -> WebSocketContext {
        let config = WebSocketConfig::default()
            .read_buffer_size(CHUNK_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(self.output_bytes)
            .max_message_size(Some(self.message_bytes))
            .max_frame_size(Some(self.message_bytes))
            .accept_unmasked_frames(false);
        WebSocketContext::new(Role::Server, Some(config))
    }
}

/// Why an error of the protocol machine ends the connection.
fn reason(error: &Error) -> DisconnectReason {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => DisconnectReason::ClientLeft,
        Error::Capacity(_) => DisconnectReason::TooBig,
        // The only error that `Feed` makes itself: too many fragments.
        Error::Io(_) => DisconnectReason::TooBig,
        Error::Utf8(_) => DisconnectReason::InvalidUtf8,
        _ => DisconnectReason::ProtocolError,
    }
}

/// What the protocol machine takes for its socket.
struct Feed<'a> {
    input: &'a [u8],
    taken: &'a mut usize,
    fragments: &'a mut Fragments,
    output: &'a mut Vec<u8>,
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.input.get(*self.taken..).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = &rest[..rest.len().min(buffer.len())];
        self.fragments.follow(bytes).map_err(io::Error::other)?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        *self.taken += bytes.len();
        Ok(bytes.len())
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
