//! The threads that compute password hashes, and the memory that each computes in.
//!
//! A hash takes 19 MiB for a moment. An allocator that gets them back keeps them, for each thread that had some; so
//! a thread allocates once, computes one hash after the other in it, and gives it back when none came for a while.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use argon2::Block;
use zeroize::Zeroize;

/// How long a thread without work keeps its memory.
const KEPT: Duration = Duration::from_secs(10);

/// Blocks of which memory is allocated at least, unless it is for very small hashes. Beyond 32 MiB the allocator of
/// glibc takes memory from the system and returns it there, whatever it has learnt of sizes before. What is not used
/// of it is never touched, and so takes no memory.
const BLOCKS_MIN: usize = 33 * 1_024;

/// Blocks of hashes that are so small that any memory will do.
const BLOCKS_SMALL: usize = 128;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Where hashes are computed. Nothing of a password stays in it.
#[derive(Default)]
pub(super) struct Memory {
    blocks: Vec<Block>,
}

impl Memory {
    /// So many blocks for one hash, which are erased afterwards.
    pub(super) fn with_blocks<T>(&mut self, count: usize, hash: impl FnOnce(&mut [Block]) -> T) -> T {
        if self.blocks.len() < count {
            self.give_back();
            let capacity = if count <= BLOCKS_SMALL { count } else { count.max(BLOCKS_MIN) };
            self.blocks.reserve_exact(capacity);
            self.blocks.resize(count, Block::default());
        }
        let blocks = Erased(self.blocks.get_mut(..count).unwrap_or_default());
        hash(blocks.0)
    }

    fn give_back(&mut self) {
        self.blocks = Vec::new();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("blocks", &self.blocks.len()).finish()
    }
}

/// Blocks that are erased when the hash is done, also by a panic.
struct Erased<'a>(&'a mut [Block]);

impl Drop for Erased<'_> {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
    }
}

/// The threads, started when the first hash is wanted; they end with this value.
#[derive(Debug)]
pub(super) struct HashThreads {
    count: usize,
    jobs: Arc<Jobs>,
    are_running: OnceLock<bool>,
}

impl HashThreads {
    pub(super) fn new(count: usize) -> Self {
        Self { count, jobs: Arc::default(), are_running: OnceLock::new() }
    }

    /// Waits for the result of `job`; `None` if it panicked or there are no threads.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        if !self.are_running.get_or_init(|| start(self.count, &self.jobs)) {
            return None;
        }
        let (result, answer) = mpsc::sync_channel(1);
        self.jobs.push(Box::new(move |memory| {
            // The one who waits for it is the function that sent it.
            let _ = result.send(job(memory));
        }));
        answer.recv().ok()
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        self.jobs.lock().are_over = true;
        self.jobs.wanted.notify_all();
    }
}

/// Starts the threads. `false` if the system gives none.
fn start(count: usize, jobs: &Arc<Jobs>) -> bool {
    (0..count.max(1)).all(|_| {
        let jobs = Arc::clone(jobs);
        let started = thread::Builder::new().name("chat-hash".into()).spawn(move || work_off(&jobs));
        started
            .inspect_err(|error| tracing::error!(%error, "a thread for password hashes cannot be started"))
            .is_ok()
    })
}

fn work_off(jobs: &Jobs) {
    let mut memory = Memory::default();
    while let Some(job) = jobs.next(&mut memory) {
        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
            tracing::error!("a password hash panicked");
        }
    }
}

/// Jobs that wait for a thread. Whoever pushes one waits for it, so there are no more than those who may wait.
#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waiting>,
    wanted: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    are_over: bool,
}

impl Jobs {
    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.wanted.notify_one();
    }

    /// The next job for a thread that has this memory; `None` when there will be no more.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.are_over {
                return None;
            }
            if memory.blocks.is_empty() {
                waiting = self.wanted.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (held, timeout) =
                self.wanted.wait_timeout(waiting, KEPT).unwrap_or_else(PoisonError::into_inner);
            waiting = held;
            if timeout.timed_out() && waiting.jobs.is_empty() {
                drop(waiting);
                memory.give_back();
                waiting = self.lock();
            }
        }
    }

    /// Every change under this lock is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.lock().jobs.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_hash_stays_in_its_memory() {
        let mut memory = Memory::default();
        for count in [8, 2_000, 16] {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                memory.with_blocks(count, |blocks| {
                    assert_eq!(blocks.len(), count);
                    for block in blocks {
                        block.as_mut().fill(7);
                    }
                    assert_ne!(count, 2_000, "one of them fails");
                });
            }));
            assert_eq!(ended.is_err(), count == 2_000);
            assert!(memory.blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        }
        assert!(memory.blocks.capacity() >= BLOCKS_MIN, "and small hashes are computed in what is there");
        memory.give_back();
        assert_eq!(memory.blocks.capacity(), 0);
    }
}
