//! What a run found, as text for people.

use std::fmt;
use std::time::Duration;

/// What a run found.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was done.
    pub(crate) title: String,
    /// How long it took, the last deliveries included.
    pub(crate) took: Duration,
    /// Messages that the server acknowledged.
    pub(crate) acknowledged: u64,
    /// Messages that members received.
    pub(crate) deliveries: u64,
    /// Times from sending to acknowledgement.
    pub(crate) acknowledgement: Option<Percentiles>,
    /// Times from sending to delivery.
    pub(crate) delivery: Option<Percentiles>,
    /// How often the server asked to slow down.
    pub(crate) refusals: u64,
    /// What the server used, if its process is known.
    pub(crate) server: Option<Cost>,
    /// CPU time of this program.
    pub(crate) own_cpu: Duration,
    /// Connections that were only there.
    pub(crate) idle_connections: u64,
}

/// Times that so many percent did not exceed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

/// What the server used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// CPU time during the load.
    pub(crate) cpu: Duration,
    /// Its memory before.
    pub(crate) resident_bytes_before: u64,
    /// Its memory after.
    pub(crate) resident_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(f, "{}", self.title)?;
        if self.idle_connections == 0 {
            let (acknowledged, deliveries) = (self.acknowledged, self.deliveries);
            writeln!(f, "  acknowledged  {acknowledged} messages, {:.0}/s", acknowledged as f64 / seconds)?;
            writeln!(f, "  delivered     {deliveries} messages, {:.0}/s", deliveries as f64 / seconds)?;
            writeln!(f, "  checked       every member got every message once and in order")?;
        }
        for (name, times) in [("to acknowledge", self.acknowledgement), ("to deliver", self.delivery)] {
            if let Some(times) = times {
                writeln!(f, "  {name:<13} {times}")?;
            }
        }
        if let Some(cost) = self.server {
            self.write_server(f, cost)?;
        }
        writeln!(f, "  load CPU      {:.2} s in {seconds:.2} s", self.own_cpu.as_secs_f64())?;
        if self.refusals > 0 {
            writeln!(
                f,
                "  slowed down   {} times: the server's limits were measured, not its speed. \
                 --help says which to lift",
                self.refusals
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn write_server(&self, f: &mut fmt::Formatter<'_>, cost: Cost) -> fmt::Result {
        write!(f, "  server CPU    {:.2} s", cost.cpu.as_secs_f64())?;
        let micros_per = |count: u64| cost.cpu.as_secs_f64() * 1e6 / count as f64;
        if self.acknowledged > 0 && self.deliveries > 0 {
            let (message, delivery) = (micros_per(self.acknowledged), micros_per(self.deliveries));
            write!(f, ", {message:.2} µs per message, {delivery:.2} µs per delivery")?;
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (before, after) = (cost.resident_bytes_before, cost.resident_bytes);
        write!(f, "\n  server memory {:.1} MiB before, {:.1} MiB after", mib(before), mib(after))?;
        if self.idle_connections > 0 {
            let kib = after.saturating_sub(before) as f64 / 1024.0 / self.idle_connections as f64;
            write!(f, ": {kib:.2} KiB for each of {} connections", self.idle_connections)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p999, max] =
            [self.p50, self.p90, self.p99, self.p999, self.max].map(|time| time.as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms")
    }
}
