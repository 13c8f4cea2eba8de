//! TLS of the listener: certificate and key from files, taken anew when the files change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, version};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate that new connections get.
#[derive(Debug)]
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Tells one state of the files from another.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// One line that says which file is wrong and how.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let current = read(certificate, key, &provider)?;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { certificate, key, provider, current: RwLock::new(Arc::new(current)) })
    }

    /// Accepts connections with whatever certificate is the current one when they begin.
    ///
    /// # Errors
    /// When the TLS library refuses its own settings.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, String> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes a changed certificate; keeps the one it has when the new one is no good. Never ends; run it as a task.
    pub(crate) async fn follow(self: Arc<Self>) {
        // The files may have changed since the start read them, so the first look counts as a change.
        let mut seen = [None, None];
        loop {
            tokio::time::sleep(LOOK).await;
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match read(&self.certificate, &self.key, &self.provider) {
                Ok(new) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    if current.cert != new.cert {
                        *current = Arc::new(new);
                        let file = self.certificate.display();
                        tracing::info!(%file, "new connections get the new certificate");
                    }
                }
                // The two files cannot change at once: the next look finds the other one changed as well.
                Err(error) => tracing::warn!(error, "the certificate stays as it is"),
            }
        }
    }

    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        format!("{} cannot be used for TLS: {error}", path.display())
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificate, &"it holds no certificate in PEM"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    // This also finds out that the key is not the certificate's.
    CertifiedKey::from_der(chain, private, provider).map_err(|error| wrong(key, &error))
}
