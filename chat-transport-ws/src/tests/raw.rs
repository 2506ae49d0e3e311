//! A client that writes and reads bytes, with no WebSocket library in between.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::tests::PATIENCE;

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8a;

/// A frame as a client sends it: masked.
pub(super) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let (payload, mask) = (payload.as_ref(), [0x12, 0x34, 0x56, 0x78]);
    let mut frame = head(first, 0x80, payload.len() as u64);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame that is not masked.
pub(super) fn unmasked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut frame = head(first, 0, payload.as_ref().len() as u64);
    frame.extend(payload.as_ref());
    frame
}

/// The first two bytes and the length of a frame.
pub(super) fn head(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask_bit | length as u8],
        126..=65_535 => [&[first, mask_bit | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, mask_bit | 127][..], &length.to_be_bytes()].concat(),
    }
}

pub(super) struct Raw<S> {
    pub(super) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends what the server may no longer want to read.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    pub(super) async fn send_text(&mut self, text: impl AsRef<[u8]>) {
        self.send(frame(TEXT, text)).await;
    }

    /// The next frame: its first byte and its payload; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            let read = timeout(PATIENCE * 30, self.stream.read_buf(&mut self.buffer)).await;
            match read.expect("waited in vain for a frame") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(super) async fn expect_text(&mut self, expected: &str) {
        let (first, payload) = self.next().await.expect("a frame");
        assert_eq!((first, String::from_utf8_lossy(&payload).as_ref()), (TEXT, expected));
    }

    /// Reads on to the close frame; its code and text.
    pub(super) async fn expect_close(&mut self) -> (u16, String) {
        loop {
            match self.next().await.expect("a close frame") {
                (CLOSE, payload) if payload.is_empty() => return (1005, String::new()),
                (CLOSE, payload) => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
                }
                _ => {}
            }
        }
    }

    fn parse(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, ..] = self.buffer[..] else { return None };
        assert!(second & 0x80 == 0, "a server does not mask");
        let (start, length) = match second {
            126 => (4, u64::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap())),
            short => (2, u64::from(short)),
        };
        let end = start + usize::try_from(length).unwrap();
        let payload = self.buffer.get(start..end)?.to_vec();
        self.buffer.advance(end);
        Some((first, payload))
    }
}
