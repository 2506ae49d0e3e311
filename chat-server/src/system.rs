//! What the operating system must allow for many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the server opens beside its sockets.
const FILES: u64 = 128;

/// Raises the number of files that this process may open as far as it may itself, and answers how many of
/// the `wanted` connections that allows.
pub(crate) fn allowed_connections(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // `None` stands for "unlimited".
    let files = if raised.is_ok() { maximum } else { current }.unwrap_or(u64::MAX);
    let connections = wanted.min(usize::try_from(files.saturating_sub(FILES).max(1)).unwrap_or(usize::MAX));
    if connections < wanted {
        tracing::info!(
            files,
            connections,
            "open files allow fewer connections than the limit; see LimitNOFILE"
        );
    } else {
        tracing::info!(files, connections, "open files allow all connections");
    }
    connections
}
