//! Tokens: 256 random bits with a prefix, known to stores only as SHA-256.
//!
//! Whom a token stands for, and for how long, is kept with the session.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::port::TokenHash;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Characters of those bytes in base64url.
const TOKEN_CHARACTERS: usize = 43;

/// Pairs that are remembered at a time.
const RECENT_PAIRS: usize = 4_096;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Signs requests in.
    Access,
    /// Gets new tokens.
    Refresh,
}

impl TokenKind {
    /// How its tokens begin, so that scanners of logs and repositories can find them.
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "ca_",
            Self::Refresh => "cr_",
        }
    }

    /// A new token.
    pub(super) fn generate(self) -> Result<SecretString, AuthError> {
        let mut bytes = Zeroizing::new([0_u8; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| AuthError::Internal(Box::new(error)))?;
        let mut text = String::with_capacity(self.prefix().len() + TOKEN_CHARACTERS);
        text.push_str(self.prefix());
        BASE64URL_NOPAD.encode_append(bytes.as_slice(), &mut text);
        Ok(SecretString::from(text))
    }

    /// The hash under which a token of this kind is kept; `None` for what cannot be one.
    pub(super) fn parse(self, text: &str) -> Option<TokenHash> {
        let random = text.strip_prefix(self.prefix())?;
        let is_shaped = random.len() == TOKEN_CHARACTERS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        is_shaped.then(|| hash_of(text))
    }
}

fn hash_of(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

/// The two tokens that are given out together.
#[derive(Debug, Clone)]
pub(super) struct TokenPair {
    pub(super) access: SecretString,
    pub(super) refresh: SecretString,
}

impl TokenPair {
    pub(super) fn generate() -> Result<Self, AuthError> {
        Ok(Self { access: TokenKind::Access.generate()?, refresh: TokenKind::Refresh.generate()? })
    }

    pub(super) fn access_hash(&self) -> TokenHash {
        hash_of(self.access.expose_secret())
    }

    pub(super) fn refresh_hash(&self) -> TokenHash {
        hash_of(self.refresh.expose_secret())
    }
}

/// The pairs given out in the last half minute, so that a tab or a client whose reply was lost can get
/// the very pair that its session has now, instead of one that would make the other tab's worthless.
///
/// Only memory: after a restart, or on another node, such a client gets a new pair.
#[derive(Debug)]
pub(super) struct RecentPairs {
    keep: Duration,
    pairs: Mutex<VecDeque<(Instant, TokenHash, TokenPair)>>,
}

impl RecentPairs {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, pairs: Mutex::default() }
    }

    /// Remembers a pair that is about to become its session's.
    pub(super) fn remember(&self, pair: &TokenPair) {
        self.forget_old();
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= RECENT_PAIRS {
            pairs.pop_front();
        }
        pairs.push_back((Instant::now(), pair.refresh_hash(), pair.clone()));
    }

    /// The pair whose refresh token has this hash.
    pub(super) fn find(&self, refresh: TokenHash) -> Option<TokenPair> {
        self.forget_old();
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.iter().find(|(_, hash, _)| *hash == refresh).map(|(_, _, pair)| pair.clone())
    }

    /// Erases what is no longer needed.
    pub(super) fn forget_old(&self) {
        let now = Instant::now();
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        while pairs.front().is_some_and(|(at, ..)| now.duration_since(*at) > self.keep) {
            pairs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_24_tokens_have_256_random_bits_and_a_prefix() {
        let tokens: std::collections::HashSet<String> =
            (0..1_000).map(|_| TokenKind::Access.generate().unwrap().expose_secret().to_owned()).collect();
        assert_eq!(tokens.len(), 1_000);
        for token in &tokens {
            let random = token.strip_prefix("ca_").unwrap();
            assert_eq!(BASE64URL_NOPAD.decode(random.as_bytes()).unwrap().len(), 32);
            assert!(TokenKind::Access.parse(token).is_some());
            assert!(TokenKind::Refresh.parse(token).is_none());
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_not_looked_up() {
        let token = TokenKind::Refresh.generate().unwrap().expose_secret().to_owned();
        for text in ["", "cr_", "null", "{\"$ne\":null}", &token[1..], &token[..45], &format!("{token}A")] {
            assert!(TokenKind::Refresh.parse(text).is_none(), "{text}");
        }
        assert!(TokenKind::Refresh.parse(&token.replace("cr_", "cr_é")).is_none());
    }

    #[test]
    fn sec_24_tokens_are_not_shown_by_debug() {
        let pair = TokenPair::generate().unwrap();
        let recent = RecentPairs::new(Duration::from_secs(30));
        recent.pairs.lock().unwrap().push_back((Instant::now(), pair.refresh_hash(), pair.clone()));
        for shown in [format!("{pair:?}"), format!("{recent:?}")] {
            assert!(!shown.contains(pair.access.expose_secret()));
            assert!(!shown.contains(pair.refresh.expose_secret()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn recent_pairs_are_bounded_in_time_and_number() {
        let recent = RecentPairs::new(Duration::from_secs(30));
        let pair = TokenPair::generate().unwrap();
        recent.remember(&pair);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(recent.find(pair.refresh_hash()).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(recent.find(pair.refresh_hash()).is_none());
        for _ in 0..RECENT_PAIRS + 10 {
            recent.remember(&pair);
        }
        assert_eq!(recent.pairs.lock().unwrap().len(), RECENT_PAIRS);
    }
}
