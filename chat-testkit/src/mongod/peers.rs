//! Which process is at the other end of a local connection. Linux tells in `/proc`; own processes need no privilege.

use std::fs;
use std::path::Path;

/// Every TCP connection over IPv4.
const CONNECTIONS: &str = "/proc/net/tcp";

/// Whether this system tells.
pub(super) fn are_known() -> bool {
    Path::new(CONNECTIONS).exists()
}

/// The socket of whoever connected from local port `from` to local port `to`.
pub(super) fn socket(from: u16, to: u16) -> Option<String> {
    socket_in(&fs::read_to_string(CONNECTIONS).ok()?, from, to)
}

/// Whether `process` holds `socket`.
pub(super) fn holds(process: i32, socket: &str) -> bool {
    let target = format!("socket:[{socket}]");
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|link| link.as_os_str() == target.as_str())
}

/// A row has the addresses of both ends in its second and third column and its inode in the tenth.
fn socket_in(connections: &str, from: u16, to: u16) -> Option<String> {
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    connections.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, local, remote, _, _, _, _, _, _, inode, ..] = columns.as_slice() else { return None };
        (local.ends_with(&from) && remote.ends_with(&to)).then(|| inode.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::{holds, socket};

    #[test]
    fn a_process_is_known_by_the_port_that_it_connects_from() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let stream = TcpStream::connect(to).unwrap();
        let from = stream.local_addr().unwrap().port();
        let found = socket(from, to.port()).expect("the connection is listed");

        let here = i32::try_from(std::process::id()).unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert!(holds(here, &found));
        assert!(!holds(parent, &found));
        assert_eq!(socket(from, to.port() ^ 1), None);
    }
}
