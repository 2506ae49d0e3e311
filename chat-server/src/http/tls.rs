//! The server's certificate: read from files, and read again when they change.
//!
//! A new certificate holds for new connections. One that cannot be used changes
//! nothing but the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::Signal;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What ring cannot sign with: the identifier of the curve P-521 in a key, in DER.
const P_521: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// What some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// What begins a text in UTF-16, as some shells write it.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Reads a certificate chain and its key.
///
/// # Errors
/// A file cannot be read, is no PEM, or the two do not belong together.
pub(crate) fn load(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = read_pem(certificate).and_then(|pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        Ok(chain?)
    });
    let chain = chain.with_context(|| format!("cannot read the certificate {}", certificate.display()))?;
    ensure!(!chain.is_empty(), "{} contains no certificate", certificate.display());
    let private = read_pem(key).and_then(|pem| private_key(&pem));
    let private = private.with_context(|| format!("cannot read the private key {}", key.display()))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))
}

/// The text of a PEM file, without a byte order mark.
fn read_pem(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = fs::read(path)?;
    ensure!(
        !UTF_16.iter().any(|mark| text.starts_with(mark)),
        "it is written in UTF-16; write it as plain text (ASCII or UTF-8)"
    );
    if text.starts_with(&BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

/// The first private key of a PEM text.
fn private_key(pem: &[u8]) -> anyhow::Result<PrivateKeyDer<'static>> {
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    ensure!(
        !has(b"BEGIN ENCRYPTED PRIVATE KEY") && !has(b"Proc-Type: 4,ENCRYPTED"),
        "it is encrypted with a password; write one without: openssl pkey -in KEY -out PLAIN_KEY"
    );
    let key = PrivateKeyDer::from_pem_slice(pem)?;
    ensure!(
        !key.secret_der().windows(P_521.len()).any(|window| window == P_521),
        "its curve P-521 is not supported; use P-256, P-384, Ed25519 or RSA"
    );
    Ok(key)
}

/// The certificate that is shown to new connections.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What is remembered of a file to see that it changed.
type Mark = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn open(chain_file: &Path, key_file: &Path) -> anyhow::Result<Arc<Self>> {
        let current = RwLock::new(Arc::new(load(chain_file, key_file)?));
        Ok(Arc::new(Self { chain_file: chain_file.to_owned(), key_file: key_file.to_owned(), current }))
    }

    /// TLS 1.2 and 1.3 with this certificate, for HTTP/1.1.
    ///
    /// # Errors
    /// The cryptographic provider offers neither; it does.
    pub(crate) fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again on `hangup` and whenever they have changed, until `stop`.
    pub(crate) async fn keep_fresh(self: Arc<Self>, mut hangup: Signal, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let mut seen = self.mark();
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup.recv() => true,
                _ = look.tick() => false,
            };
            let now = self.mark();
            if asked || now != seen {
                self.reload();
                seen = now;
            }
        }
    }

    fn reload(&self) {
        match load(&self.chain_file, &self.key_file) {
            Ok(fresh) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!(file = %self.chain_file.display(), "certificate reloaded");
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot use the new certificate; the old one stays"
                );
            }
        }
    }

    fn mark(&self) -> Mark {
        [&self.chain_file, &self.key_file].map(|path| {
            let metadata = fs::metadata(path).ok()?; // a missing file is a change as well
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_are_noticed_without_a_signal() {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path());
        let files = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        let certificate = Certificate::open(&files.0, &files.1).unwrap();
        let shown = |of: &Certificate| of.current.read().unwrap().cert[0].to_vec();
        let stop = CancellationToken::new();
        let tasks = tokio_util::task::TaskTracker::new();
        let hangup = crate::signals::hangup().unwrap();
        tasks.spawn(Arc::clone(&certificate).keep_fresh(hangup, stop.clone()));
        tokio::time::advance(LOOK * 3).await;
        assert_eq!(shown(&certificate), first);

        let second = write(directory.path());
        let later = SystemTime::now() + Duration::from_secs(60); // as if some time had passed
        fs::File::options().write(true).open(&files.0).unwrap().set_modified(later).unwrap();
        while shown(&certificate) == first {
            tokio::time::advance(LOOK).await;
        }
        assert_eq!(shown(&certificate), second);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
