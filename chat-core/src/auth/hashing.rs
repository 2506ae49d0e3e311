//! Passwords become hashes, and are compared with them, on a bounded pool of blocking threads.
//!
//! New hashes are argon2id in PHC form. Hashes of older systems (bcrypt, as PHP writes it) are verified
//! and come back as argon2id. Which passwords may be chosen is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::hash_threads::{HashThreads, Memory};
use super::password::normalised;
use super::queue::{Applicant, FairQueue};
use super::settings::{AuthSettings, InvalidAuthSettings};
use crate::error::AuthError;

/// When somebody whom a full queue turned away should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The largest settings.
const MEMORY_KIB_MAX: u32 = 1_024 * 1_024;
const PASSES_MAX: u32 = 64;

/// Hashes from elsewhere are not computed if they take more memory, or more work (memory for each pass): a guess at
/// them must not cost much more than at one of ours. These are four times what PHP makes, and 27 times the default.
const FOREIGN_MEMORY_KIB: u32 = 256 * 1_024;
const FOREIGN_WORK_KIB: u64 = 1_024 * 1_024;
const BCRYPT_COST_MAX: u32 = 16;

/// Bytes of a password of which bcrypt sees everything, its end too: it looks at 72 bytes, and the last one must
/// be left for the zero byte that it appends. A password of exactly 72 bytes and a longer one that begins with it
/// have the same hash.
const BCRYPT_WHOLE_BYTES: usize = 71;

/// Bytes of a new hash, and of its salt.
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// What became of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the password. `upgrade` is a better hash of it, if the stored one is not as good as the settings.
    Match { upgrade: Option<String> },
    /// It is not the password.
    NoMatch,
    /// The stored hash is none that can be verified here, so nothing matches it.
    Unreadable,
}

/// Computes hashes: a few at once, some waiting, the rest turned away.
#[derive(Debug, Clone)]
pub(super) struct HashPool {
    hasher: Argon2<'static>,
    /// A hash of nothing that costs what a real one costs.
    dummy: Arc<str>,
    /// Those who compute and those who wait.
    queue: FairQueue,
    threads: Arc<HashThreads>,
}

impl HashPool {
    pub(super) fn new(settings: &AuthSettings) -> Result<Self, InvalidAuthSettings> {
        let (memory, passes, lanes) =
            (settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes);
        let params = Params::new(memory, passes, lanes, None)
            .map_err(|error| InvalidAuthSettings(format!("argon2 settings: {error}")))?;
        if memory > MEMORY_KIB_MAX || passes > PASSES_MAX {
            return Err(InvalidAuthSettings("argon2 settings: more than 1 GiB or 64 passes".to_owned()));
        }
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        let dummy = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}");
        Ok(Self {
            hasher: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            dummy: dummy.into(),
            queue: FairQueue::new(settings.hashes_at_once, settings.hashes_waiting),
            threads: Arc::new(HashThreads::new(settings.hashes_at_once)),
        })
    }

    /// A new hash, in PHC form.
    ///
    /// # Errors
    /// `RateLimited` if too many wait already, `Internal`.
    pub(super) async fn hash(
        &self,
        applicant: Applicant,
        password: &SecretString,
    ) -> Result<String, AuthError> {
        let (hasher, password) = (self.hasher.clone(), password.clone());
        self.run(applicant, move |memory| new_hash(&hasher, password.expose_secret(), memory)).await?
    }

    /// Whether this is the password of `stored`. Without one it takes the same time and nothing matches.
    ///
    /// # Errors
    /// `RateLimited` if too many wait already, `Internal`.
    pub(super) async fn verify(
        &self,
        applicant: Applicant,
        stored: Option<&str>,
        password: &SecretString,
    ) -> Result<Verdict, AuthError> {
        let is_somebody = stored.is_some();
        let stored = stored.unwrap_or(&self.dummy).to_owned();
        let (hasher, password) = (self.hasher.clone(), password.clone());
        let verdict = self
            .run(applicant, move |memory| compare(&hasher, &stored, password.expose_secret(), memory))
            .await?;
        Ok(if is_somebody { verdict } else { Verdict::NoMatch })
    }

    /// Runs `job` on one of the threads for hashes, while a blocking thread of the runtime waits for it. The turn
    /// goes with it: a caller who leaves does not make room before the work is over.
    async fn run<T: Send + 'static>(
        &self,
        applicant: Applicant,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let Some(turn) = self.queue.turn(applicant).await else {
            metrics::counter!("chat_password_hashes_refused_total").increment(1);
            return Err(AuthError::RateLimited { retry_after: RETRY_AFTER });
        };
        let threads = Arc::clone(&self.threads);
        let work = tokio::task::spawn_blocking(move || {
            let result = threads.run(job);
            drop(turn);
            result
        });
        let result = work.await.map_err(|error| AuthError::Internal(Box::new(error)))?;
        result.ok_or_else(|| AuthError::Internal("a password hash was not computed".into()))
    }
}

fn new_hash(hasher: &Argon2<'_>, typed: &str, memory: &mut Memory) -> Result<String, AuthError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| AuthError::Internal(Box::new(error)))?;
    let hash = raw_hash::<HASH_BYTES>(hasher, (&salt, typed), HASH_BYTES, memory)
        .map_err(|error| AuthError::Internal(Box::new(error)))?;
    let params = hasher.params();
    let (memory_kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let (salt, hash) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&*hash));
    Ok(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"))
}

/// The first `length` of at most `BYTES` bytes of the hash of a salt and a password.
fn raw_hash<const BYTES: usize>(
    hasher: &Argon2<'_>,
    (salt, typed): (&[u8], &str),
    length: usize,
    memory: &mut Memory,
) -> Result<Zeroizing<[u8; BYTES]>, argon2::Error> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    let output = bytes.get_mut(..length).ok_or(argon2::Error::OutputTooLong)?;
    let password = normalised(typed);
    memory.with_blocks(hasher.params().block_count(), |blocks| {
        hasher.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks)
    })?;
    Ok(bytes)
}

fn compare(hasher: &Argon2<'_>, stored: &str, typed: &str, memory: &mut Memory) -> Verdict {
    let (matches, stays) = if stored.starts_with("$argon2") {
        let Some(hash) = PasswordHash::new(stored).ok().filter(|hash| is_readable(hash, hasher.params()))
        else {
            return Verdict::Unreadable;
        };
        (argon2_matches(&hash, typed, memory), is_as_good(&hash, hasher.params()))
    } else if is_bcrypt(stored) {
        // What bcrypt has not seen may be anybody's guess, and would become the only right ending.
        (bcrypt_matches(stored, typed), typed.len() > BCRYPT_WHOLE_BYTES)
    } else {
        return Verdict::Unreadable;
    };
    if !matches {
        return Verdict::NoMatch;
    }
    let upgrade = if stays { None } else { new_hash(hasher, typed, memory).ok() };
    Verdict::Match { upgrade }
}

/// Whether a hash is of this password. One that cannot be computed is of none.
fn argon2_matches(stored: &PasswordHash, typed: &str, memory: &mut Memory) -> bool {
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return false };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str());
    // The first version wrote none.
    let version = stored.version.map_or(Ok(Version::V0x10), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) = (algorithm, version, Params::try_from(stored)) else {
        return false;
    };
    let hasher = Argon2::new(algorithm, version, params);
    let computed = raw_hash::<64>(&hasher, (salt.as_ref(), typed), expected.len(), memory);
    computed.is_ok_and(|bytes| {
        bytes.get(..expected.len()).is_some_and(|bytes| bytes.ct_eq(expected.as_bytes()).into())
    })
}

/// Whether a hash is whole and may be computed: it costs no more than ours, or than those from elsewhere may.
fn is_readable(hash: &PasswordHash, ours: &Params) -> bool {
    let is_whole = hash.salt.is_some() && hash.hash.is_some();
    is_whole
        && Params::try_from(hash).is_ok_and(|params| {
            let memory_kib_max = FOREIGN_MEMORY_KIB.max(ours.m_cost());
            params.m_cost() <= memory_kib_max && work_kib(&params) <= FOREIGN_WORK_KIB.max(work_kib(ours))
        })
}

fn work_kib(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// Whether a hash is made with at least what `wanted` asks for.
fn is_as_good(hash: &PasswordHash, wanted: &Params) -> bool {
    let is_current =
        hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
    is_current
        && Params::try_from(hash).is_ok_and(|params| {
            params.m_cost() >= wanted.m_cost()
                && params.t_cost() >= wanted.t_cost()
                && params.p_cost() >= wanted.p_cost()
        })
}

fn is_bcrypt(stored: &str) -> bool {
    let is_known = ["$2y$", "$2a$", "$2b$"].iter().any(|prefix| stored.starts_with(prefix));
    is_known && stored.parse::<bcrypt::HashParts>().is_ok_and(|parts| parts.get_cost() <= BCRYPT_COST_MAX)
}

/// As PHP compares: the bytes as they were typed, of which bcrypt sees the first 72. But where PHP stops
/// at a zero byte and ignores what follows, nothing matches here.
fn bcrypt_matches(stored: &str, typed: &str) -> bool {
    !typed.contains('\0') && bcrypt::verify(typed, stored).unwrap_or(false)
}

#[cfg(test)]
pub(super) mod tests;
