//! Model tests: random calls to a store and to the memory store in step; every answer must be the same.
//!
//! The conformance suites say what must hold; this finds what nobody thought of. A run that fails is
//! shrunk to the shortest sequence of calls that still does. Calls on which the contract leaves a store
//! its freedom are not made.

mod accounts;
mod rooms;

use std::fmt;

use chat_core::error::{Retry, StoreError};
use chat_core::port::{AccountStore, RoomStore};
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{Harness, suite};

/// How hard a model test tries.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The same seed makes the same calls.
    pub seed: u64,
    /// How many sequences of calls, each on a new store.
    pub sequences: u32,
    /// How many calls a sequence has at most.
    pub calls: usize,
}

impl Default for Effort {
    /// Seconds on an embedded store.
    fn default() -> Self {
        Self { seed: 1, sequences: 50, calls: 150 }
    }
}

/// Compares room stores that `harness` makes with the memory store.
///
/// # Panics
/// With the shortest sequence of calls on which the two disagree.
pub fn run_rooms<H: Harness<dyn RoomStore> + 'static>(harness: impl Fn() -> H, effort: Effort) {
    run(effort, rooms::call(), |calls| rooms::compare(Box::new(harness()), calls));
}

/// Compares account stores that `harness` makes with the memory store.
///
/// # Panics
/// With the shortest sequence of calls on which the two disagree.
pub fn run_accounts<H: Harness<dyn AccountStore> + 'static>(harness: impl Fn() -> H, effort: Effort) {
    run(effort, accounts::call(), |calls| accounts::compare(Box::new(harness()), calls));
}

fn run<C: fmt::Debug + Clone, F: Future<Output = ()>>(
    effort: Effort,
    call: impl Strategy<Value = C>,
    compare: impl Fn(Vec<C>) -> F,
) {
    let config = Config { cases: effort.sequences, failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&effort.seed.to_be_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, random);
    let outcome = runner.run(&vec(call, 1..=effort.calls), |calls| {
        suite::block_on("the model test", compare(calls));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("with seed {}: {failure}", effort.seed);
    }
}

/// Answers compare by what a caller may do next, whatever the error says.
fn answer<T>(result: Result<T, StoreError>) -> Result<T, Retry> {
    result.map_err(|error| error.retry())
}

/// Makes one call to both stores of `$pair` and compares the answers; answers the model's. The optional
/// function brings answers into one form where the contract leaves their order open.
macro_rules! same {
    ($pair:expr, $method:ident($($argument:expr),*)) => {
        same!($pair, $method($($argument),*), |answer| answer)
    };
    ($pair:expr, $method:ident($($argument:expr),*), $form:expr) => {{
        let model = answer($pair.model.$method($($argument),*).await).map($form);
        let adapter = answer($pair.adapter.$method($($argument),*).await).map($form);
        assert!(
            adapter == model,
            "{} answers\n{adapter:?}\nand not\n{model:?}",
            stringify!($method)
        );
        model
    }};
}

use same;
