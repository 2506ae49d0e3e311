//! What operators do with the embedded store, also while a server has it open.

use std::path::PathBuf;

use crate::config::Config;
use crate::exit::{Code, Failure};

/// Copies the store to `file`.
pub(crate) async fn backup(_config: &Config, _file: PathBuf) -> Result<(), Failure> {
    Err(Failure::new(Code::Software, "not possible yet"))
}
/// Disables or enables an account.
pub(crate) async fn user(_config: &Config, _name: &str, _disabled: bool) -> Result<(), Failure> {
    Err(Failure::new(Code::Software, "not possible yet"))
}
