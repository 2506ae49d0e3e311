//! A suite: one list of cases per port, from which its tests and its table are made.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

/// How long a case may take. A case that is not over then hangs.
pub const CASE_DEADLINE: Duration = Duration::from_secs(120);

/// A case while it runs, on the thread of its test.
pub type CaseFuture = Pin<Box<dyn Future<Output = ()>>>;

/// One case of a suite; `S` is what a case is given, usually a [`Subject`](crate::Subject). It panics where the
/// contract is broken.
pub struct Case<S> {
    /// What holds if it passes; the name of its test.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(S) -> CaseFuture,
}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Runs the case called `name` on what `start` makes.
///
/// # Panics
/// If the contract is broken, the case hangs, or there is no such case.
pub fn run<S, F: Future<Output = S>>(cases: &[Case<S>], name: &str, start: impl FnOnce() -> F) {
    let case = cases.iter().find(|case| case.name == name).expect("the name of a case of this suite");
    run_case(case, start);
}

/// Runs every case, each on something new, and answers the names of those that failed. This is how a suite is
/// itself tested: on what breaks a contract the answer must not be empty.
pub fn failing<S, F: Future<Output = S>>(cases: &[Case<S>], start: impl Fn() -> F) -> Vec<&'static str> {
    let fails = |case: &&Case<S>| catch_unwind(AssertUnwindSafe(|| run_case(case, &start))).is_err();
    cases.iter().filter(fails).map(|case| case.name).collect()
}

fn run_case<S, F: Future<Output = S>>(case: &Case<S>, start: impl FnOnce() -> F) {
    block_on(case.name, async { (case.run)(start().await).await });
}

/// Runs `future` on a runtime of its own, so that nothing of it outlives it, for at most [`CASE_DEADLINE`].
pub(crate) fn block_on(name: &str, future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a test may start threads");
    let outcome = runtime.block_on(async { tokio::time::timeout(CASE_DEADLINE, future).await });
    assert!(outcome.is_ok(), "{name} hangs");
}

/// Defines `CASES` and the exported macro that makes a test of each case, from one list.
/// The first argument is a dollar sign, which a macro cannot write otherwise.
macro_rules! suite {
    (
        $dollar:tt
        $(#[$doc:meta])*
        macro $tests:ident, mod $suite:ident, start $start:ident, subject $subject:ty;
        $($module:ident { $($case:ident),* $(,)? })*
    ) => {
        /// Every case of this suite.
        pub const CASES: &[$crate::suite::Case<$subject>] = &[$($(
            $crate::suite::Case {
                name: stringify!($case),
                run: |subject| Box::pin($module::$case(subject)),
            },
        )*)*];

        $(#[$doc])*
        #[macro_export]
        macro_rules! $tests {
            ($dollar harness:expr) => {
                mod $suite {
                    #[allow(unused_imports)]
                    use super::*;
                    $($(
                        #[test]
                        fn $case() {
                            $dollar crate::suite::run(
                                $dollar crate::$suite::CASES,
                                stringify!($case),
                                || $dollar crate::$suite::$start($dollar harness),
                            );
                        }
                    )*)*
                }
            };
        }
    };
}

pub(crate) use suite;
