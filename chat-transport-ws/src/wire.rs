//! One socket: bytes in through the decoder, frames out of one buffer. Nothing here
//! waits; the buffers exist only while there is something in them.
//!
//! This is the only place that writes. A server's frames are not masked, so a frame is
//! its header and its text, copied once into the bytes of the next write.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chat_core::hub::{DisconnectReason, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{self, CloseFrame, FrameHeader};

use crate::Config;
use crate::decoder::Decoder;

/// Bytes taken from the socket with one read.
const READ_BYTES: usize = 4 * 1_024;

/// Unsent bytes at which nothing more is read: a client that sends pings and does not read its pongs.
const OUTPUT_BYTES: usize = 256 * 1_024;

/// Bytes of the longest header of a frame that is sent.
const HEADER_BYTES: usize = 10;

#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    decoder: Decoder,
    output: Vec<u8>,
    written: usize,
    blocked_since: Option<Instant>,
    heard: bool,
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, config: &Config) -> Self {
        Self {
            stream,
            decoder: Decoder::new(config, OUTPUT_BYTES),
            output: Vec::new(),
            written: 0,
            blocked_since: None,
            heard: false,
            broken: false,
        }
    }

    /// The next text message of those that were read; `None` when more must be read.
    ///
    /// # Errors
    /// Why the connection has to be closed. Nothing may be read after that.
    pub(crate) fn next_message(&mut self) -> Result<Option<Utf8Bytes>, DisconnectReason> {
        self.decoder.next(&mut self.output)
    }

    /// Writes what can be written and, if `reading`, reads what can be read. Ready when everything was written
    /// that was not before, or something was read. Cancel safe: what was done is kept.
    ///
    /// # Errors
    /// The socket is at its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<io::Result<()>> {
        let mut progress = false;
        if self.has_output() {
            progress = self.poll_flush(cx)?.is_ready();
        }
        if reading && self.decoder.is_drained() && self.output.len() < OUTPUT_BYTES {
            progress |= self.poll_read(cx)?.is_ready();
        }
        if progress { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Writes all that is to be sent.
    ///
    /// # Errors
    /// The socket is at its end.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broke(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.blocked_since = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broke(error))),
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.output = Vec::new();
                self.written = 0;
                self.blocked_since = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broke(error))),
            Poll::Pending => {
                self.blocked_since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
        }
    }

    /// Whether there are bytes that the socket has not taken.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Since when the socket takes no bytes; `None` while it does or none are to be sent.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Whether anything came from the client since the last ping.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard
    }

    /// Whether the socket is at its end: there is nobody to tell anything.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Adds text frames to what is to be sent; answers how many bytes they have.
    pub(crate) fn push(&mut self, frames: &[Frame]) -> usize {
        let before = self.output.len();
        self.output.reserve(frames.iter().map(|frame| HEADER_BYTES + frame.len()).sum());
        for frame in frames {
            let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
            header.format(frame.len() as u64, &mut self.output).expect("a vector takes every write");
            self.output.extend_from_slice(frame.bytes());
        }
        self.output.len() - before
    }

    /// Adds a ping, and listens for an answer to it.
    pub(crate) fn push_ping(&mut self) {
        self.heard = false;
        let header = FrameHeader { opcode: OpCode::Control(Control::Ping), ..FrameHeader::default() };
        header.format(0, &mut self.output).expect("a vector takes every write");
    }

    /// Adds a close frame; nothing may be added after it.
    pub(crate) fn push_close(&mut self, code: u16, text: &'static str) {
        let close = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(text) };
        frame::Frame::close(Some(close)).format(&mut self.output).expect("a vector takes every write");
    }

    /// Sends the rest and an end of stream, then waits for the client's end of stream. Whoever drops a socket
    /// with unread bytes makes the kernel take back what was sent last.
    ///
    /// # Errors
    /// The socket is at its end.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        std::future::poll_fn(|cx| self.poll_discard(cx)).await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(|error| self.broke(error))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(self.broke(io::ErrorKind::UnexpectedEof.into())));
        }
        self.decoder.put(buffer.filled());
        self.heard = true;
        Poll::Ready(Ok(()))
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut buffer = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn broke(&mut self, error: io::Error) -> io::Error {
        self.broken = true;
        error
    }
}
