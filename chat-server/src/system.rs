//! What the operating system must allow for many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the server opens beside its sockets.
const FILES: u64 = 128;

/// Raises the number of files that this process may open as far as it may itself, and says when that is too
/// few for `connections`.
pub(crate) fn raise_file_limit(connections: u32) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let needed = u64::from(connections) + FILES;
    match files {
        Some(files) if files < needed => tracing::warn!(
            files,
            limit_connections = connections,
            "fewer open files are allowed than connections; raise LimitNOFILE (ulimit -n)"
        ),
        _ => tracing::info!(files, "open files allowed"),
    }
}
