//! Standard output and standard error, written so that neither can stop or end the process.
//!
//! Lines go through a bounded queue to a thread of their own. A line that does not fit into the queue, or that
//! cannot be written, is lost and counted; whoever gave it is not held up and gets no error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written.
const LINES: usize = 8_192;
/// Bytes of the lines that wait to be written.
const BYTES: usize = 4 * 1_024 * 1_024;
/// Between two attempts at a descriptor that does not block and takes nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// How long the end of the process waits for lines that still have to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

static ERROR: LazyLock<LineQueue> = LazyLock::new(|| {
    LineQueue::start("standard-error", descriptor(&io::stderr()).unwrap_or(Box::new(io::stderr())), |lines| {
        tracing::warn!(lines, "lines of the log were lost: standard error did not take them");
    })
});

static OUTPUT: LazyLock<LineQueue> = LazyLock::new(|| {
    LineQueue::start("standard-output", descriptor(&io::stdout()).unwrap_or(Box::new(io::stdout())), |_| {})
});

/// Standard error.
pub(crate) fn error() -> &'static LineQueue {
    &ERROR
}

/// Standard output, for lines that nobody may have to wait for. Commands write their answer with `exit::print`.
pub(crate) fn output() -> &'static LineQueue {
    &OUTPUT
}

/// Waits a bounded time until standard error has got everything.
pub(crate) fn flush() {
    ERROR.flush(LAST_LINES);
}

/// Flushes standard error when it is dropped: at the end of `main`, also when a panic ends it.
#[derive(Debug)]
pub(crate) struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

/// The descriptor without the lock and the buffer of the standard library: a write that blocks must not hold the
/// lock that others may need.
fn descriptor(stream: &impl AsFd) -> Option<Box<dyn Write + Send>> {
    let descriptor = stream.as_fd().try_clone_to_owned().ok()?;
    Some(Box::new(File::from(descriptor)))
}

/// A queue of lines in front of a thread that writes them.
#[derive(Debug, Clone)]
pub(crate) struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of all that wait.
    bytes: usize,
    /// The thread has taken a line and is not done with it.
    is_writing: bool,
    /// There is no thread: the system has refused it.
    is_closed: bool,
    /// Lines that were not written, ever.
    lost: u64,
}

impl LineQueue {
    /// Starts the thread that writes to `sink`. Once a line could be written after others were lost, `tell` is
    /// called with the number of these.
    fn start(name: &str, sink: impl Write + Send + 'static, tell: fn(u64)) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || of_thread.write(sink, tell));
        shared.lock().is_closed = started.is_err();
        Self(shared)
    }

    /// Gives a line, with its line feed, to be written. Never waits for the reader.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let mut state = self.0.lock();
        let bytes = state.bytes + line.len();
        if state.is_closed || state.waiting.len() >= LINES || bytes > BYTES {
            state.lost += 1;
            return;
        }
        state.bytes = bytes;
        state.waiting.push_back(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// How many lines were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// Waits until nothing is left to be written, or until `limit` is over; answers which.
    fn flush(&self, limit: Duration) -> bool {
        let is_busy = |state: &mut State| !state.is_closed && (state.is_writing || !state.waiting.is_empty());
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), limit, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines, for ever.
    fn write(&self, mut sink: impl Write, tell: fn(u64)) {
        let mut told = 0;
        let mut is_torn = false;
        loop {
            let line = self.next();
            let written = write_line(&mut sink, &line, &mut is_torn);
            let lost = {
                let mut state = self.lock();
                state.lost += u64::from(written.is_err());
                state.lost
            };
            if written.is_ok() && lost > told {
                tell(lost - told);
                told = lost;
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits for the next line.
    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes a line. If an earlier one was broken off in its middle (`is_torn`), ends that one first.
fn write_line(sink: &mut impl Write, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    if *is_torn {
        write_all(sink, b"\n").map_err(|(error, _)| error)?;
        *is_torn = false;
    }
    write_all(sink, line).map_err(|(error, written)| {
        *is_torn = written > 0;
        error
    })
}

/// Writes all bytes; an error comes with how many of them were written.
fn write_all(sink: &mut impl Write, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else has made the descriptor so; the reader only stands still.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Writes as the script says, then everything.
    struct Scripted {
        script: VecDeque<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.script.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.written.lock().unwrap().extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says that it was reached, and stands still until it is told to go on.
    struct Standing {
        reached: mpsc::SyncSender<()>,
        go_on: mpsc::Receiver<()>,
    }

    impl Write for Standing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.reached.send(()).unwrap();
            self.go_on.recv().unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn full() -> io::Error {
        ErrorKind::StorageFull.into()
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_told_and_never_run_together() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let written = Arc::new(Mutex::new(Vec::new()));
        let again = ErrorKind::WouldBlock.into();
        let script =
            [Ok(3), Err(ErrorKind::Interrupted.into()), Err(again), Ok(9), Ok(2), Err(full()), Err(full())];
        let sink = Scripted { script: script.into(), written: Arc::clone(&written) };
        let queue = LineQueue::start("test", sink, |lines| {
            TOLD.fetch_add(lines, Ordering::SeqCst);
        });
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            queue.push(line.into());
        }
        assert!(queue.flush(PATIENCE));
        assert_eq!(String::from_utf8_lossy(&written.lock().unwrap()), "first\nse\nfourth\n");
        assert_eq!((queue.lost(), TOLD.load(Ordering::SeqCst)), (2, 2));
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_costs_bounded_memory() {
        let (reached, reach) = mpsc::sync_channel(0);
        let (go, go_on) = mpsc::channel();
        let queue = LineQueue::start("test", Standing { reached, go_on }, |_| {});
        queue.push(b"taken\n".to_vec());
        reach.recv_timeout(PATIENCE).unwrap();
        for _ in 0..LINES + 5 {
            queue.push(b"x\n".to_vec());
        }
        assert_eq!(queue.lost(), 5);
        assert!(!queue.flush(Duration::from_millis(1)), "it is not written");
        for _ in 0..=LINES {
            go.send(()).unwrap();
        }
        for _ in 0..LINES {
            reach.recv_timeout(PATIENCE).unwrap();
        }
        assert!(queue.flush(PATIENCE));
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let (reached, reach) = mpsc::sync_channel(0);
        let (_go, go_on) = mpsc::channel();
        let queue = LineQueue::start("test", Standing { reached, go_on }, |_| {});
        queue.push(b"taken\n".to_vec());
        reach.recv_timeout(PATIENCE).unwrap();
        for _ in 0..5 {
            queue.push(vec![b'x'; BYTES / 4]);
        }
        assert_eq!(queue.lost(), 1);
    }
}
