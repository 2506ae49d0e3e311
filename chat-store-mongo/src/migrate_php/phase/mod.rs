//! The phases of a migration in their order, and what can be done after it.

pub(crate) mod back;
pub(crate) mod check;
pub(crate) mod finish;
pub(crate) mod indexes;
pub(crate) mod members;
pub(crate) mod numbers;
