//! TLS of the client: which certificates it trusts, and why a handshake fails.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};
use url::Host;

/// Which certificates of servers a client trusts: those of the operating system, and perhaps those
/// that a file names, for companies and for tests.
///
/// Clones share what was loaded and the sessions that can be resumed, so keep one for the whole
/// program. The operating system's store is read at the first connection.
#[derive(Clone, Default)]
pub struct TrustedRoots {
    extra: Vec<CertificateDer<'static>>,
    config: Arc<OnceLock<Result<Arc<ClientConfig>, rustls::Error>>>,
}

/// Why a file with certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustedRootsError {
    /// Not a file, or not PEM.
    #[error("cannot read the certificates in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in it.
    #[error("there is no certificate in {}: it must begin with -----BEGIN CERTIFICATE-----", .0.display())]
    None(PathBuf),
    /// A certificate in it that cannot be used as a root.
    #[error("a certificate in {} cannot be used: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl TrustedRoots {
    /// Those of the operating system, and the certificates in this PEM file beside them.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no certificate that can be used.
    pub fn with_file(path: &Path) -> Result<Self, TrustedRootsError> {
        let extra = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| TrustedRootsError::Unreadable {
                path: path.to_owned(),
                source,
            })?;

        if extra.is_empty() {
            return Err(TrustedRootsError::None(path.to_owned()));
        }

        let mut store = rustls::RootCertStore::empty();
        for certificate in &extra {
            store
                .add(certificate.clone())
                .map_err(|source| TrustedRootsError::Unusable {
                    path: path.to_owned(),
                    source,
                })?;
        }

        Ok(Self {
            extra,
            config: Arc::default(),
        })
    }

    /// The handshake with the server `host`, over a connection to it. `protocol` is what follows, as
    /// ALPN names it (RFC 7301).
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn connect(
        &self,
        host: Host<&str>,
        stream: TcpStream,
        protocol: &'static [u8],
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let roots = self.clone();
        // Reading the operating system's store takes some milliseconds of file access.
        let config = tokio::task::spawn_blocking(move || roots.config())
            .await
            .map_err(io::Error::other)
            .map_err(TlsError::from)?
            .map_err(TlsError::Setup)?;

        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| TlsError::WrongName(None))?,
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::from(ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::from(ip)),
        };

        let stream = TlsConnector::from(config)
            .with_alpn(vec![protocol.to_vec()])
            .connect(name, stream)
            .await?;
        Ok(stream)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        self.config
            .get_or_init(|| load(self.extra.clone()).map(Arc::new))
            .clone()
    }
}

fn load(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())?;

    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedRoots")
            .field("extra", &self.extra.len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for TrustedRoots {
    fn eq(&self, other: &Self) -> bool {
        self.extra == other.extra
    }
}

/// Why a TLS handshake failed. The source, where there is one, is the library's error.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The connection broke.
    #[error("the connection broke while it was being encrypted ({})", .0.kind())]
    Broken(#[source] io::Error),
    /// What answers does not speak TLS.
    #[error("the server does not use TLS on this port: check the address and the port")]
    NotTls(#[source] rustls::Error),
    /// The certificate is not signed by an authority that this machine trusts.
    #[error("the server's certificate is not from an authority that this computer trusts")]
    Untrusted(#[source] rustls::Error),
    /// The certificate is too old, or not valid yet.
    #[error(
        "the server's certificate is not valid today: it has expired, or this computer's clock is wrong"
    )]
    Expired(#[source] rustls::Error),
    /// The certificate belongs to another name.
    #[error("the server's certificate belongs to another server's name")]
    WrongName(#[source] Option<rustls::Error>),
    /// The two sides found no way to encrypt.
    #[error("the server and this app found no common way to encrypt")]
    Failed(#[source] rustls::Error),
    /// This machine's store of certificates cannot be read.
    #[error("this computer's list of trusted certificates cannot be read")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// Whether the next attempt may succeed with nothing changed by the user.
    pub(super) fn may_pass(&self) -> bool {
        use rustls::{AlertDescription, Error};

        match self {
            Self::Broken(_) => true,
            Self::Failed(Error::AlertReceived(alert)) => matches!(
                alert,
                AlertDescription::InternalError | AlertDescription::UserCanceled
            ),
            _ => false,
        }
    }
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .cloned();

        match inner {
            None => Self::Broken(error),
            Some(inner) => Self::from(inner),
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match &error {
            rustls::Error::InvalidCertificate(fault) => match fault {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired(error),
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::WrongName(Some(error)),
                _ => Self::Untrusted(error),
            },
            // What does not speak TLS answers with bytes that are no TLS record.
            rustls::Error::InvalidMessage(_) => Self::NotTls(error),
            _ => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let missing = TrustedRoots::with_file(&path).expect_err("no such file");
        assert!(missing.to_string().contains("ca.pem"), "{missing}");

        for (content, expected) in [
            ("", "there is no certificate"),
            ("hello", "there is no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "cannot read",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "cannot be used",
            ),
        ] {
            std::fs::write(&path, content).expect("a writable folder");
            let error = TrustedRoots::with_file(&path).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }

        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        std::fs::write(&path, own.cert.pem()).expect("a writable folder");
        assert!(TrustedRoots::with_file(&path).is_ok());
    }
}
