//! Follows the boundaries of incoming frames: tungstenite bounds the bytes of a
//! message but not its fragments, of which empty ones cost nothing but time.
//!
//! Trusts nothing and decodes nothing else; whether a frame is valid is tungstenite's
//! business.

use thiserror::Error;

/// Counts the fragments of the message that is coming in.
#[derive(Debug)]
pub(crate) struct Fragments {
    limit: usize,
    count: usize,
    /// A data frame was not the last of its message.
    open: bool,
    payload_left: u64,
    header: [u8; 10],
    header_length: usize,
}

/// A message has more fragments than allowed.
#[derive(Debug, Error)]
#[error("too many fragments")]
pub(crate) struct TooManyFragments;

impl Fragments {
    /// At most `limit` fragments per message; 0 is off.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Self { limit, count: 0, open: false, payload_left: 0, header: [0; 10], header_length: 0 }
    }

    /// Whether the bytes so far end with a whole message.
    pub(crate) fn between_messages(&self) -> bool {
        !self.open && self.payload_left == 0 && self.header_length == 0
    }

    /// Follows the next bytes.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), TooManyFragments> {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skipped =
                    usize::try_from(self.payload_left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.payload_left -= skipped as u64;
                bytes = &bytes[skipped..];
            } else {
                self.header[self.header_length] = first;
                self.header_length += 1;
                bytes = rest;
                if let Some(payload) = self.payload() {
                    self.begin(payload)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes after the length in the header that was read, once that is whole: the mask and the payload.
    fn payload(&self) -> Option<u64> {
        let header = &self.header[..self.header_length];
        let [_, second, length @ ..] = header else { return None };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let payload = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(length.try_into().ok()?)),
            127 => u64::from_be_bytes(length.try_into().ok()?),
            short => u64::from(short),
        };
        Some(payload.saturating_add(mask))
    }

    fn begin(&mut self, payload: u64) -> Result<(), TooManyFragments> {
        self.header_length = 0;
        self.payload_left = payload;
        let (is_last, is_control) = (self.header[0] & 0x80 != 0, self.header[0] & 0x08 != 0);
        if is_control {
            return Ok(());
        }
        self.count = if self.open { self.count + 1 } else { 1 };
        self.open = !is_last;
        if self.count > self.limit { Err(TooManyFragments) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..=125 => frame.push(0x80 | length as u8),
            126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + 4 + length, 0xff);
        frame
    }

    #[test]
    fn boundaries_are_found_for_every_kind_of_length_and_any_division_of_the_bytes() {
        for length in LENGTHS {
            let mut bytes = frame(0x01, length);
            bytes.extend(frame(0x89, 3));
            bytes.extend(frame(0x80, length));
            for step in [1, 2, 3, 7, 1_000, bytes.len()] {
                let mut fragments = Fragments::new(2);
                let (last, before) = bytes.split_last().unwrap();
                for part in before.chunks(step) {
                    fragments.follow(part).unwrap();
                }
                assert!(!fragments.between_messages());
                fragments.follow(&[*last]).unwrap();
                assert!(fragments.between_messages(), "{length} in steps of {step}");
            }
        }
    }

    #[test]
    fn only_data_frames_count_and_every_message_starts_anew() {
        let mut fragments = Fragments::new(3);
        for _ in 0..10 {
            for first in [0x01, 0x89, 0x00, 0x8a, 0x80] {
                fragments.follow(&frame(first, 0)).unwrap();
            }
        }
        fragments.follow(&frame(0x01, 0)).unwrap();
        fragments.follow(&frame(0x00, 0)).unwrap();
        fragments.follow(&frame(0x00, 1)).unwrap();
        assert!(fragments.follow(&frame(0x80, 1)).is_err());
    }
}
