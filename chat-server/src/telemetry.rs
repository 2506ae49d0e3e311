//! Logs, metrics and the panic hook of the process.
//!
//! An event of the log is one line, whatever its fields contain: control characters
//! are escaped, so that nobody can forge lines or command a terminal.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};
use crate::log_rate::{self, LogRate};
use crate::output;

/// Upper bounds of the histograms of durations.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of the histograms of sizes and counts.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];

/// Lines of the log that standard error did not take.
const LOST_LINES: &str = "chat_log_lines_dropped_total";

/// How often histograms are folded together.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to log to standard error, and logs panics. Without effect when a log exists.
///
/// Writing the log never fails and never waits, so that the panic hook cannot panic itself.
pub(crate) fn log(config: &Config) {
    let colours = config.log_format == LogFormat::Text && io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(config.log_level.to_env_filter())
        .with_ansi(colours)
        .log_internal_errors(false) // would be printed with a macro that panics
        .with_writer(Lines { colours });
    let outcome = match config.log_format {
        LogFormat::Text => log.finish().with(LogRate).try_init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(LogRate).try_init(),
    };
    drop(outcome); // there is a log already, which is as good
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "panicked: {message}");
    }));
}

/// Begins to collect metrics.
///
/// # Errors
/// There is a collector already.
pub(crate) fn metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(COUNTS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS))
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot collect metrics")?;
    metrics::describe_gauge!("chat_build_info", "The version of this server; always 1");
    metrics::gauge!("chat_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::describe_counter!(LOST_LINES, "Lines of the log that standard error did not take");
    Ok(handle)
}

/// The metrics as text.
pub(crate) fn render(metrics: &PrometheusHandle) -> String {
    metrics::counter!(LOST_LINES).absolute(output::error().lost());
    metrics.render()
}

/// Keeps the metrics from growing, and tells what the log has left out, until `stop`.
pub(crate) async fn keep_up(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut due = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(due.tick()).await.is_some() {
        metrics.run_upkeep();
        log_rate::tell();
    }
    log_rate::tell_all();
}

/// Standard error, by whole and harmless lines.
#[derive(Debug, Clone, Copy)]
struct Lines {
    /// Whether the escape character is the subscriber's own.
    colours: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

/// Takes one event in one call. Never fails.
impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        output::error().push(line(event, self.colours));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event as one line. With `colours` the escape character is the subscriber's own.
fn line(event: &[u8], colours: bool) -> Vec<u8> {
    let text = event.strip_suffix(b"\n").unwrap_or(event);
    let harmful = |byte: &u8| byte.is_ascii_control() && *byte != b'\t' && !(colours && *byte == 0x1b);
    let mut line = Vec::with_capacity(event.len() + 16);
    for byte in text {
        if harmful(byte) { line.extend(byte.escape_ascii()) } else { line.push(*byte) }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, event: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(line(event, false));
            Ok(event.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that an event with this field becomes.
    fn logged(text: &str, json: bool) -> String {
        let sink = Sink::default();
        let lines = sink.clone();
        let writer = move || lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(writer);
        let log: Box<dyn tracing::Subscriber + Send + Sync> =
            if json { Box::new(log.json().finish()) } else { Box::new(log.finish()) };
        tracing::subscriber::with_default(log, || tracing::warn!(name = %text, other = text, "{text}"));
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn sec_86_fields_cannot_forge_lines_or_command_a_terminal() {
        let hostile = [
            "a\nINFO forged",
            "a\r\nINFO forged",
            "a\rforged",
            "\n",
            "\r",
            "\n\n\n",
            "\u{1b}[2J",
            "\u{1b}]0;title\u{7}",
            "\u{1b}[31mred",
            "\0",
            "a\0b",
            "\u{8}\u{8}",
            "\u{7f}",
            "\u{b}",
            "\u{c}",
            "tab\tkept",
            "\u{1}\u{2}\u{3}",
            "{\"level\":\"ERROR\"}\n{\"level\":\"INFO\"}",
            "\"\n\"",
            "\\n\n",
            "%0a\n",
            "名字\n伪造",
            "\n\u{1b}[1A",
            "end\n",
            "\nstart",
            "a\n\rb",
            "\u{1b}c",
            "\u{1b}[?25l",
            "\u{1b}P+q\u{1b}\\",
            "2026-01-01T00:00:00Z INFO x\n",
        ];
        for text in hostile {
            for json in [false, true] {
                let log = logged(text, json);
                assert_eq!(log.matches('\n').count(), 1, "{text:?} became {log:?}");
                let control = |character: char| character.is_ascii_control() && !"\n\t".contains(character);
                assert!(!log.contains(control), "{text:?} became {log:?}");
            }
        }
    }
}
