//! What a private signaling server asks for: an access token, and the certificates of a company.
//!
//! The token is a secret, and people show their settings file to others when they ask for help. So
//! it has a file of its own, which only this user can read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{BearerToken, MAX_TOKEN_BYTES, TrustedRoots, TrustedRootsError};
use url::Url;

use super::files;
use super::settings::SettingsProblem;
use crate::error_code::AppErrorCode;

/// The largest token file that is read, in bytes: a token and an address.
const MAX_TOKEN_FILE_BYTES: u64 = 4 * MAX_TOKEN_BYTES as u64;
/// The largest file with certificates that is read, in bytes. All authorities of a system together
/// take some 200 kB.
const MAX_CERTIFICATES_BYTES: u64 = 2 * 1024 * 1024;
/// The longest path of a file, in bytes: `PATH_MAX` of Linux.
pub const MAX_PATH_BYTES: usize = 4_096;

/// A token, and the only server that gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerToken {
    /// The server. Only its origin counts.
    pub server: ServerUrl,
    /// The token.
    pub token: BearerToken,
}

/// What the user has saved for private servers.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The token.
    pub token: Option<ServerToken>,
    /// The certificates of the file in the settings, beside those of the system.
    pub roots: TrustedRoots,
}

#[derive(Serialize, Deserialize)]
struct Document {
    server: ServerUrl,
    token: String,
}

/// The file that holds the token.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("token.json"),
        }
    }

    /// Reads the token, if there is one. A file that is not valid counts as none: the server then
    /// asks for a token, and the user enters it again.
    #[must_use]
    pub fn load(&self) -> Option<ServerToken> {
        match files::read(&self.path, MAX_TOKEN_FILE_BYTES) {
            Ok(text) => parse(&text?),
            Err(error) => {
                tracing::warn!(%error, "cannot read the saved token: starting without it");
                None
            }
        }
    }

    /// Writes the token, completely or not at all; without one, removes the file.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full.
    pub fn save(&self, token: Option<&ServerToken>) -> io::Result<()> {
        let Some(token) = token else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };

        let document = Document {
            server: token.server.clone(),
            token: token.token.reveal().to_owned(),
        };
        files::write_private(&self.path, &serde_json::to_vec_pretty(&document)?)
    }
}

/// Reads the bytes of a token file. Never panics, whatever they are.
fn parse(text: &[u8]) -> Option<ServerToken> {
    let document: Document = serde_json::from_slice(text).ok()?;
    Some(ServerToken {
        server: document.server,
        token: BearerToken::new(&document.token).ok()?,
    })
}

/// Reads the certificates in the PEM file at `path`. Takes as long as the file system does.
///
/// # Errors
/// `CA_FILE_UNREADABLE` or `CA_FILE_INVALID`, with the reason.
pub fn read_certificates(path: &str) -> Result<TrustedRoots, SettingsProblem> {
    let unreadable = |why: String| {
        let detail = format!("{path}: {why}");
        SettingsProblem::new(AppErrorCode::CaFileUnreadable, detail)
    };

    // Opening a pipe would wait for its writer, and a device never ends.
    let found = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !found.is_file() {
        return Err(unreadable("not a file".to_owned()));
    }

    if found.len() > MAX_CERTIFICATES_BYTES {
        let detail = format!("{path}: larger than {MAX_CERTIFICATES_BYTES} bytes");
        return Err(SettingsProblem::new(AppErrorCode::CaFileInvalid, detail));
    }

    // A file that may not be read gets another code than one without certificates.
    fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    TrustedRoots::with_file(Path::new(path)).map_err(|error: TrustedRootsError| {
        SettingsProblem::new(AppErrorCode::CaFileInvalid, error.to_string())
    })
}

/// Reads the path of a file as people paste it: also in quotes, as Windows copies it, or as a
/// `file:` address, as some file managers do. `None` if it is empty.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn typed_path(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);

    let pasted = text.starts_with("file:").then(|| Url::parse(text).ok());
    let pasted = pasted.flatten().and_then(|url| url.to_file_path().ok());
    let path = match &pasted {
        Some(path) => path.to_str().ok_or("the path is not in UTF-8")?,
        None => text,
    };

    if path.is_empty() {
        Ok(None)
    } else if path.len() > MAX_PATH_BYTES || path.chars().any(char::is_control) {
        Err("this is not a valid file path".to_owned())
    } else if Path::new(path).is_absolute() {
        Ok(Some(path.to_owned()))
    } else {
        Err("give the full path of the file, such as /etc/ssl/school.pem".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> ServerToken {
        ServerToken {
            server: "wss://chat.example.org".parse().unwrap(),
            token: BearerToken::new("abc.def-ghi").unwrap(),
        }
    }

    #[test]
    fn a_saved_token_is_read_back_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(&folder.path().join("not/there/yet"));
        assert_eq!(file.load(), None);

        file.save(Some(&token())).unwrap();
        assert_eq!(file.load(), Some(token()));

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "only this user can read it");
        }

        file.save(None).unwrap();
        assert!(!file.path.exists(), "nothing is left of it");
        file.save(None).unwrap();
    }

    #[test]
    fn a_token_file_that_is_not_valid_counts_as_none() {
        for text in [
            "",
            "[]",
            r#"{"token":"abc"}"#,
            r#"{"server":"wss://chat.example.org","token":"a b"}"#,
            r#"{"server":"wss://chat.example.org","token":"a\nb"}"#,
            r#"{"server":"gopher://chat.example.org","token":"abc"}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_understood_as_people_paste_it() {
        let root = if cfg!(windows) { "C:\\" } else { "/" };
        let path = format!("{root}my authority.pem");
        let address = Url::from_file_path(&path).unwrap().to_string();

        for text in [path.clone(), format!(" \"{path}\"\n"), address] {
            assert_eq!(typed_path(&text), Ok(Some(path.clone())), "{text}");
        }

        for text in ["", "  ", "\"\""] {
            assert_eq!(typed_path(text), Ok(None), "{text:?}");
        }

        for text in ["authority.pem", "./a.pem", "~/a.pem", "/a\u{0}b", "/a\nb"] {
            assert!(typed_path(text).is_err(), "{text:?}");
        }

        let long = format!("{root}{}", "a".repeat(MAX_PATH_BYTES));
        assert!(typed_path(&long).is_err(), "longer than any path");
    }

    #[test]
    fn a_file_without_certificates_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| read_certificates(path.to_str().unwrap());
        let code = |path: &Path| read(path).expect_err("refused").code;

        let path = folder.path().join("authority.pem");
        assert_eq!(code(&path), AppErrorCode::CaFileUnreadable, "no file");
        assert_eq!(code(folder.path()), AppErrorCode::CaFileUnreadable);

        for text in [
            "",
            "hello",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(code(&path), AppErrorCode::CaFileInvalid, "{text:?}");
        }

        let long = fs::File::create(&path).unwrap();
        long.set_len(MAX_CERTIFICATES_BYTES + 1).unwrap();
        assert_eq!(code(&path), AppErrorCode::CaFileInvalid, "too long");
        let why = read(&path).expect_err("refused").detail;
        assert!(why.contains("larger than"), "it is not read: {why}");

        if cfg!(target_os = "linux") {
            let device = Path::new("/dev/zero");
            assert_eq!(code(device), AppErrorCode::CaFileUnreadable, "endless");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(bytes: Vec<u8>, text: String) {
            let _ = parse(&bytes);
            let _ = typed_path(&text);
        }
    }
}
