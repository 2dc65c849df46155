//! TLS, with a certificate and a key from files that can be reloaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

const HTTP: &[u8] = b"http/1.1";
/// TURN's name in ALPN (RFC 7443 §3).
const TURN: &[u8] = b"stun.turn";

/// Accepts TLS with the newest certificate.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    /// TURN has the same port.
    with_turn: bool,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads a certificate chain and its private key, both PEM. `with_turn`: clients may ask for TURN in
    /// place of HTTP.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause.
    pub(crate) fn read(cert: &Path, key: &Path, with_turn: bool) -> Result<Self, String> {
        let config = RwLock::new(load(cert, key, with_turn)?);
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            with_turn,
            config,
        })
    }

    /// Reads both files again, for new connections.
    ///
    /// # Errors
    /// As [`read`](Self::read). The old certificate stays in use then.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let config = load(&self.cert, &self.key, self.with_turn)?;
        *self.config.write() = config;
        Ok(())
    }

    /// The handshake with one client. The caller sets a timeout.
    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        let config = self.config.read().clone();
        TlsAcceptor::from(config).accept(stream)
    }
}

/// A TLS connection.
pub(crate) type Encrypted = TlsStream<TcpStream>;

/// Whether the client has asked for TURN.
pub(crate) fn asks_for_turn(stream: &Encrypted) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(TURN)
}

/// Checks that the certificate in this file is for `name`.
///
/// # Errors
/// A sentence with the name of the file and the cause.
pub(crate) fn check_name(cert: &Path, name: &str) -> Result<(), String> {
    let file = cert.display();
    let server = ServerName::try_from(name).map_err(|_| format!("{name} is no name of a host"))?;
    let leaf = CertificateDer::from_pem_file(cert)
        .map_err(|error| format!("cannot read the certificate {file}: {error}"))?;

    ParsedCertificate::try_from(&leaf)
        .and_then(|leaf| verify_server_name(&leaf, &server))
        .map_err(|error| format!("the certificate {file} is not for {name}: {error}"))
}

fn load(cert: &Path, key: &Path, with_turn: bool) -> Result<Arc<ServerConfig>, String> {
    let (cert_name, key_name) = (cert.display(), key.display());
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot read the certificate {cert_name}: {error}"))?;

    if chain.is_empty() {
        return Err(format!("there is no certificate in {cert_name}"));
    }

    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("cannot read the private key {key_name}: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "{key_name} is not the private key of the certificate in {cert_name}: give the \
                 key that this certificate was made for"
            ),
            other => format!("cannot use {cert_name} with the private key {key_name}: {other}"),
        })?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    if with_turn {
        config.alpn_protocols.push(TURN.to_vec());
    }

    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        (folder, cert, key)
    }

    fn write_pair(cert: &Path, key: &Path) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(cert, pair.cert.pem()).unwrap();
        std::fs::write(key, pair.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn the_error_says_which_file_is_wrong() {
        let (_folder, cert, key) = files();
        assert!(
            Tls::read(&cert, &key, false)
                .err()
                .unwrap()
                .contains("cannot read the certificate")
        );

        write_pair(&cert, &key);
        assert!(Tls::read(&cert, &key, false).is_ok());
        std::fs::write(&key, "").unwrap();

        assert!(
            Tls::read(&cert, &key, false)
                .err()
                .unwrap()
                .contains("key.pem")
        );
        let other = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&key, other.serialize_pem()).unwrap();

        assert!(
            Tls::read(&cert, &key, false)
                .err()
                .unwrap()
                .contains("is not the private key of"),
            "the key of another certificate"
        );
    }

    #[test]
    fn a_certificate_is_for_its_names() {
        let (_folder, cert, key) = files();
        write_pair(&cert, &key);
        assert_eq!(check_name(&cert, "localhost"), Ok(()));
        let other = check_name(&cert, "chat.example.org").unwrap_err();
        assert!(
            other.contains("cert.pem") && other.contains("chat.example.org"),
            "{other}"
        );
        assert!(check_name(&cert, "no name").is_err());
    }

    #[test]
    fn a_broken_file_leaves_the_old_certificate_in_use() {
        let (_folder, cert, key) = files();
        write_pair(&cert, &key);
        let tls = Tls::read(&cert, &key, false).unwrap();
        std::fs::write(&cert, "rotated badly").unwrap();
        let before = tls.config.read().clone();

        assert!(tls.reload().is_err());
        assert!(
            Arc::ptr_eq(&before, &tls.config.read()),
            "the old one is still in use"
        );

        write_pair(&cert, &key);
        tls.reload().unwrap();
        assert!(
            !Arc::ptr_eq(&before, &tls.config.read()),
            "the new one is in use"
        );
    }
}
