//! What a process on this host has used, from `/proc`.

use std::time::Duration;

use anyhow::Context;

/// A process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    folder: String,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time since its start, in user space and in the kernel.
    pub(crate) cpu: Duration,
    /// Memory that it has now, its share of files included.
    pub(crate) resident_bytes: u64,
}

impl Process {
    /// The process with this id.
    pub(crate) fn new(id: u32) -> Self {
        Self { folder: format!("/proc/{id}") }
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = format!("{}/{name}", self.folder);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let cpu = cpu_ticks(&read("stat")?).context("the process has no CPU times")?;
        let status = read("status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kib = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Usage {
            cpu: Duration::from_micros(cpu * 1_000_000 / per_second),
            resident_bytes: resident_kib.context("the process has no memory")? * 1_024,
        })
    }
}

/// The ticks in user space and in the kernel. The name in brackets before them may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found_behind_strange_names() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert!(Process::own().usage().unwrap().resident_bytes > 0);
    }
}
