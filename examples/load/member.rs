//! One client under load: receives everything in its conversation, and may send, with a bounded number of
//! messages unfinished.
//!
//! Frames are searched, not parsed: the program shares the host with the server that it measures. That is
//! right because it only reads fields in front of or behind texts of its own, which contain no quotes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until};

use super::connection::{Connection, Target};
use super::order::{Acknowledged, Order, Place};

/// One delivery in so many is timed.
const TIMED: u64 = 8;
/// How long a sender is quiet for each of its unfinished messages when the server asks it to slow down: so that
/// all of them, refused again, stay below the refusals after which a connection is closed.
const PAUSE: Duration = Duration::from_millis(150);

/// Times from sending, in microseconds.
#[derive(Debug)]
pub(crate) struct Latencies(Mutex<Histogram<u64>>);

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Histogram::new_with_bounds(1, 600_000_000, 3)?)))
    }

    fn record(&self, micros: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }

    /// The time that so many percent did not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(histogram.value_at_percentile(percent))
    }
}

/// What all members have in common.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) target: Target,
    pub(crate) begins: Instant,
    pub(crate) ends: Instant,
    /// What follows the time in each content.
    pub(crate) filler: String,
    pub(crate) acknowledgements: Latencies,
    pub(crate) deliveries: Latencies,
}

impl Measure {
    fn micros(&self) -> u64 {
        u64::try_from(self.begins.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// When a sender sends, if not as soon as it may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// When the next message is due.
    pub(crate) next: Instant,
    /// How long after it the one after that is.
    pub(crate) every: Duration,
}

/// A member of a conversation under load.
#[derive(Debug)]
pub(crate) struct Member {
    measure: Arc<Measure>,
    place: Arc<Place>,
    order: Order,
    sending: Option<Sending>,
    /// Requests that leave together.
    outgoing: Vec<String>,
}

/// The sending half of a member.
#[derive(Debug)]
struct Sending {
    /// Distinguishes its messages from those of other senders of the same user.
    number: u32,
    slots: Vec<Slot>,
    sent: u64,
    acknowledged: Acknowledged,
    /// Slots that have not finished.
    live: usize,
    /// Slots that wait for the end of the pause.
    waiting: Vec<Waiting>,
    resumes: Option<Instant>,
    pace: Option<Pace>,
    /// Slots that wait for the next message to be due.
    free: Vec<usize>,
}

/// One unfinished message. Its index is the `request_id`.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    message: u64,
    sent_at_micros: u64,
}

/// What a slot does when the pause is over.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    /// It sends its message again.
    Again(usize),
    /// It sends its next message.
    Next(usize),
}

impl Member {
    /// A member that only receives if `window` is 0.
    pub(crate) fn new(measure: Arc<Measure>, place: Arc<Place>, number: u32, window: u32) -> Self {
        let slots = vec![Slot::default(); window as usize];
        let sending = (window > 0).then(|| Sending {
            number,
            live: slots.len(),
            slots,
            sent: 0,
            acknowledged: Acknowledged::default(),
            waiting: Vec::new(),
            resumes: None,
            pace: None,
            free: Vec::new(),
        });
        let order = Order::behind(place.base);
        Self { measure, place, order, sending, outgoing: Vec::new() }
    }

    /// Sends at its times, if it sends.
    pub(crate) fn at_pace(mut self, pace: Pace) -> Self {
        if let Some(sending) = &mut self.sending {
            sending.pace = Some(pace);
        }
        self
    }

    /// Takes part until everything is delivered; answers how many messages were.
    pub(crate) async fn run(mut self, mut connection: Connection) -> anyhow::Result<u64> {
        for slot in 0..self.sending.as_ref().map_or(0, |sending| sending.slots.len()) {
            self.next_message(slot);
        }
        loop {
            if !self.outgoing.is_empty() {
                connection.send_all(&mut self.outgoing).await?;
            }
            self.retire_sender();
            let head = self.place.head();
            if head == Some(self.order.last()) {
                connection.close().await;
                return Ok(self.order.last() - self.place.base);
            }
            let resumes = self.sending.as_ref().and_then(|sending| sending.resumes);
            let due = self.sending.as_ref().and_then(Sending::due);
            tokio::select! {
                frame = connection.next() => {
                    self.take(&frame?)?;
                    while let Some(frame) = connection.ready() {
                        self.take(&frame?)?;
                    }
                }
                () = sleep_until(resumes.unwrap_or(self.measure.ends)), if resumes.is_some() => self.resume(),
                () = sleep_until(due.unwrap_or(self.measure.ends)), if due.is_some() => self.send_due(),
                () = self.place.finished(), if head.is_none() => {}
            }
        }
    }

    /// A sender without unfinished messages only receives from now on.
    fn retire_sender(&mut self) {
        if let Some(sending) = self.sending.take_if(|sending| sending.live == 0) {
            self.place.sender_finished(sending.acknowledged);
        }
    }

    fn take(&mut self, frame: &str) -> anyhow::Result<()> {
        if frame.starts_with(r#"{"success":"#) {
            return self.take_reply(frame);
        }
        if frame.starts_with(r#"{"action":"new_"#) {
            let seq = number_behind(frame, r#""seq":"#).context("a message without a number")?;
            if self.order.take(seq)? && seq % TIMED == 0 {
                let sent = number_behind(frame, r#""content":""#).context("a message of somebody else")?;
                self.measure.deliveries.record(self.measure.micros().saturating_sub(sent));
            }
            return Ok(());
        }
        if let Some(seq) = number_behind(frame, r#""seq":"#) {
            ensure!(!self.order.take(seq)?, "somebody else changed the conversation: {frame}");
        }
        Ok(())
    }

    fn take_reply(&mut self, reply: &str) -> anyhow::Result<()> {
        let sending = self.sending.as_mut().context("a reply to nothing")?;
        let slot = number_behind(reply, r#""request_id":"#).context("a reply to nothing")?;
        let slot = usize::try_from(slot)?;
        let message = sending.slots.get(slot).context("a reply to nothing")?;
        if reply.starts_with(r#"{"success":true"#) {
            let seq = number_behind(reply, r#""seq":"#).context("an acknowledgement without a number")?;
            sending.acknowledged.add(seq);
            let latency = self.measure.micros().saturating_sub(message.sent_at_micros);
            self.measure.acknowledgements.record(latency);
            self.next_message(slot);
            return Ok(());
        }
        let Some(pause_ms) = number_behind(reply, r#""retry_after_ms":"#) else {
            bail!("a message was refused: {reply}");
        };
        self.measure.target.refused();
        let pause =
            Duration::from_millis(pause_ms).max(PAUSE.saturating_mul(u32::try_from(sending.slots.len())?));
        let resumes = Instant::now() + pause;
        sending.resumes = Some(sending.resumes.map_or(resumes, |before| before.max(resumes)));
        sending.waiting.push(Waiting::Again(slot));
        Ok(())
    }

    /// Sends what is due, as long as slots are free.
    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(sending) = &mut self.sending
            && let (Some(pace), None) = (&mut sending.pace, sending.resumes)
            && (pace.next <= now || pace.next >= self.measure.ends)
            && let Some(slot) = sending.free.pop()
        {
            if pace.next >= self.measure.ends {
                sending.live -= 1;
                continue;
            }
            let due_micros = pace.next.saturating_duration_since(self.measure.begins).as_micros();
            pace.next += pace.every;
            let sent_at_micros = u64::try_from(due_micros).unwrap_or(u64::MAX);
            sending.slots[slot] = Slot { message: sending.sent, sent_at_micros };
            sending.sent += 1;
            self.send(slot);
        }
    }

    /// Sends the next message in `slot`, which is free; during a pause later, after the end never.
    fn next_message(&mut self, slot: usize) {
        let (now, now_micros) = (Instant::now(), self.measure.micros());
        let Some(sending) = &mut self.sending else { return };
        if sending.pace.is_some() && sending.resumes.is_none() {
            sending.free.push(slot);
            self.send_due();
        } else if now >= self.measure.ends {
            sending.live -= 1;
        } else if sending.resumes.is_some() {
            sending.waiting.push(Waiting::Next(slot));
        } else {
            sending.slots[slot] = Slot { message: sending.sent, sent_at_micros: now_micros };
            sending.sent += 1;
            self.send(slot);
        }
    }

    fn send(&mut self, slot: usize) {
        let Some(Sending { number, slots, .. }) = &self.sending else { return };
        let Slot { message, sent_at_micros } = slots[slot];
        let (request, filler) = (&self.place.request, &self.measure.filler);
        self.outgoing.push(format!(
            r#"{request},"request_id":{slot},"client_id":"{number}-{message}","content":"{sent_at_micros:012} {filler}"}}"#
        ));
    }

    /// Ends a pause.
    fn resume(&mut self) {
        let Some(sending) = &mut self.sending else { return };
        sending.resumes = None;
        for waiting in std::mem::take(&mut sending.waiting) {
            match waiting {
                Waiting::Again(slot) => self.send(slot),
                Waiting::Next(slot) => self.next_message(slot),
            }
        }
    }
}

impl Sending {
    /// When something is to be done about the next message; never without a pace, or while all slots are taken.
    fn due(&self) -> Option<Instant> {
        let pace = self.pace.filter(|_| !self.free.is_empty() && self.resumes.is_none())?;
        Some(pace.next)
    }
}

/// The number that follows `key`.
fn number_behind(text: &str, key: &str) -> Option<u64> {
    let digits = text[text.find(key)? + key.len()..].bytes().take_while(u8::is_ascii_digit);
    let mut found = None;
    for digit in digits {
        found = Some(found.unwrap_or(0_u64).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_their_names() {
        let frame = r#"{"action":"new_room_message","seq":42,"content":"000000000123 xx"}"#;
        assert_eq!(number_behind(frame, r#""seq":"#), Some(42));
        assert_eq!(number_behind(frame, r#""content":""#), Some(123));
        assert_eq!(number_behind(frame, r#""retry_after_ms":"#), None);
        assert_eq!(number_behind(r#"{"seq":null}"#, r#""seq":"#), None);
        assert_eq!(number_behind(r#"{"seq":99999999999999999999}"#, r#""seq":"#), None);
    }
}
