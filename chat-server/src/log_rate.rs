//! Bounds how many lines of the log strangers can cause: of each kind some in ten seconds, the rest as a number.
//!
//! Only refusals that cost their sender nothing are bounded; metrics count all of them.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The bounded kinds: what the field `event` of a line says.
const KINDS: [&str; 5] =
    ["host_refused", "login_throttled", "origin_refused", "registration_throttled", "request_head_refused"];
/// Lines of one kind in a window.
const LINES: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

static RATES: LazyLock<Rates> = LazyLock::new(Rates::default);

/// Keeps lines above the rate out of the log.
#[derive(Debug)]
pub(crate) struct LogRate;

impl<S: Subscriber> Layer<S> for LogRate {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        if event.metadata().fields().field("event").is_none() {
            return true;
        }
        let mut found = Kind(None);
        event.record(&mut found);
        found.0.is_none_or(|kind| RATES.admit(kind, Instant::now()))
    }
}

/// Logs how many lines were left out in windows that are over.
pub(crate) fn tell() {
    tell_of(RATES.over(Instant::now()));
}

/// Logs how many lines were left out and not told yet.
pub(crate) fn tell_all() {
    tell_of(RATES.over(Instant::now() + WINDOW));
}

fn tell_of(left_out: Vec<(&'static str, u64)>) {
    for (kind, lines) in left_out {
        tracing::warn!(kind, lines, "lines of this kind were left out of the log: there are too many");
    }
}

/// The bounded kind of an event, if it is of one.
struct Kind(Option<&'static str>);

impl Visit for Kind {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = KINDS.into_iter().find(|kind| *kind == value);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}

/// The windows, at most one of each kind.
#[derive(Debug, Default)]
struct Rates(Mutex<HashMap<&'static str, Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl Rates {
    /// Whether a line of this kind may be logged now.
    fn admit(&self, kind: &'static str, now: Instant) -> bool {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(kind).or_insert(Window { began: now, lines: 0, left_out: 0 });
        if now.saturating_duration_since(window.began) >= WINDOW {
            // What was left out is still to be told.
            *window = Window { began: now, lines: 0, ..*window };
        }
        let admitted = window.lines < LINES;
        if admitted {
            window.lines += 1;
        } else {
            window.left_out += 1;
        }
        admitted
    }

    /// Takes the numbers of lines that were left out in windows that are over at `now`.
    fn over(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = windows.iter_mut().filter(|(_, window)| {
            now.saturating_duration_since(window.began) >= WINDOW && window.left_out > 0
        });
        over.map(|(kind, window)| (*kind, std::mem::take(&mut window.left_out))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_143_a_kind_has_its_lines_in_each_window_and_the_rest_is_told() {
        let rates = Rates::default();
        let begin = Instant::now();
        let admitted = |kind, at, count| (0..count).filter(|_| rates.admit(kind, at)).count();
        assert_eq!(admitted("host_refused", begin, 100), LINES as usize);
        assert_eq!(admitted("origin_refused", begin, 3), 3, "another kind");
        assert_eq!(rates.over(begin), []);
        let later = begin + WINDOW;
        assert_eq!(admitted("host_refused", later, 21), LINES as usize);
        assert_eq!(rates.over(later + WINDOW), [("host_refused", 81)]);
        assert_eq!(rates.over(later + WINDOW), [], "told once");
    }
}
