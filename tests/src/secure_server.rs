//! A signaling server as on the internet: with TLS, and usually only for clients with a token.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::authority::{Authority, Validity};
use crate::server_process::ServerProcess;
use crate::token::token;
use crate::window::Home;

/// What the server checks tokens with.
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A server at `localhost` whose certificate a throw-away authority has signed.
pub struct SecureServer {
    authority: Authority,
    server: ServerProcess,
    cert: PathBuf,
    _folder: TempDir,
}

impl SecureServer {
    /// Starts it on a port that the system picks.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("key");
        fs::write(&key, SECRET)?;

        Self::start_with(folder, &["--jwt-key", text(&key)?])
    }

    /// The same for everyone, without tokens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_open() -> Result<Self> {
        Self::start_with(tempfile::tempdir()?, &[])
    }

    fn start_with(folder: TempDir, flags: &[&str]) -> Result<Self> {
        let authority = Authority::new()?;
        let identity = authority.sign(&["localhost"], Validity::Valid)?;
        let (cert, key) = (text(&identity.cert)?, text(&identity.key)?);
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let server = ServerProcess::start_with(&[&tls[..], flags].concat())?;

        Ok(Self {
            authority,
            server,
            cert: identity.cert,
            _folder: folder,
        })
    }

    /// The address as people write it.
    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.server.address().port())
    }

    /// The server's own certificate.
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The authority that signed the server's certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The certificate of that authority.
    pub fn authority_file(&self) -> &Path {
        self.authority.file()
    }

    /// The token of the user with this name.
    pub fn token(&self, name: &str) -> String {
        token(SECRET, name)
    }

    /// Tandem's arguments for a user with this name, whose token is kept in `home`.
    ///
    /// # Errors
    /// When the token cannot be written.
    pub fn arguments(&self, home: &Home, name: &str) -> Result<Vec<String>> {
        let token_file = home.settings().with_file_name(format!("{name}.token"));
        let folder = token_file.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&token_file, self.token(name))?;

        let address = self.address();
        let arguments = ["--signaling", &address, "--ca-file"];
        Ok(arguments
            .into_iter()
            .chain([
                text(self.authority_file())?,
                "--token-file",
                text(&token_file)?,
            ])
            .chain(["--name", name])
            .map(str::to_owned)
            .collect())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}
