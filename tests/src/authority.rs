//! A certificate authority for one test, and the certificates that it signs for servers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// An authority that no system trusts. Its files are deleted with it.
pub struct Authority {
    folder: TempDir,
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and its key, in files as `--tls-cert` and `--tls-key` take them.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From 1975 to 4096.
    Valid,
    /// Until the year 2000.
    Expired,
    /// From the year 4000 on.
    NotYet,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate().context("no key for an authority")?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Tandem test authority");

        let folder = tempfile::tempdir()?;
        let file = folder.path().join("authority.pem");
        fs::write(&file, params.self_signed(&key)?.pem())?;

        Ok(Self {
            folder,
            file,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's own certificate, PEM: for `--ca-file`.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Signs a certificate for a server with these names or addresses.
    ///
    /// # Errors
    /// When a name is none, or the files cannot be written.
    pub fn sign(&self, names: &[&str], validity: Validity) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        match validity {
            Validity::Valid => {}
            Validity::Expired => params.not_after = date_time_ymd(2000, 1, 1),
            Validity::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
        }

        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;

        // A number of its own for each pair.
        let number = fs::read_dir(self.folder.path())?.count();
        let identity = Identity {
            cert: self.folder.path().join(format!("{number}-cert.pem")),
            key: self.folder.path().join(format!("{number}-key.pem")),
        };

        fs::write(&identity.cert, cert.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}
