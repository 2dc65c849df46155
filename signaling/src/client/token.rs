//! The bearer token that a client shows a server.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

/// No token is longer: servers limit a request's head to some kilobytes.
pub const MAX_TOKEN_BYTES: usize = 6 * 1024;

/// A bearer token (RFC 6750 §2.1), which proves to a server who connects.
///
/// It is a secret: it is never printed, and a client sends it to one server only, and never over a
/// connection that others on the way can read (see [`ClientConfig`](super::ClientConfig)).
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

/// Why a text or a file is not a token. The text is for people and holds nothing of the token.
#[derive(Debug, thiserror::Error)]
pub enum BearerTokenError {
    /// Nothing in it.
    #[error("the token is empty")]
    Empty,
    /// A character that a token cannot have, such as a space or a line break.
    #[error(
        "a token has only letters, digits and - . _ ~ + / =, without spaces or line breaks: copy it again"
    )]
    BadCharacter,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is too long: it has at most {MAX_TOKEN_BYTES} characters")]
    TooLong,
    /// The file cannot be read.
    #[error("the token's file cannot be read: {0}")]
    File(#[source] std::io::Error),
}

impl BearerToken {
    /// A token as it was typed or read. White space around it is dropped.
    ///
    /// # Errors
    /// If it is empty, too long, or has characters that no token has.
    pub fn new(text: &str) -> Result<Self, BearerTokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BearerTokenError::Empty);
        }

        if text.len() > MAX_TOKEN_BYTES {
            return Err(BearerTokenError::TooLong);
        }

        // RFC 6750: b64token.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(is_allowed) {
            return Err(BearerTokenError::BadCharacter);
        }

        Ok(Self(text.to_owned()))
    }

    /// The token in a file, such as one that a service manager provides.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, BearerTokenError> {
        let mut bytes = Vec::new();
        // Room for the line break at its end.
        let limit = MAX_TOKEN_BYTES as u64 + 64;
        fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(BearerTokenError::File)?;

        let text = String::from_utf8(bytes).map_err(|_| BearerTokenError::BadCharacter)?;
        Self::new(&text)
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_the_allowed_characters() {
        let token = BearerToken::new(" eyJh.b-_~+/== \n").expect("a token");
        assert_eq!(token.reveal(), "eyJh.b-_~+/==", "without what surrounds it");

        for text in ["", " \n\t"] {
            assert!(matches!(
                BearerToken::new(text),
                Err(BearerTokenError::Empty)
            ));
        }

        for text in ["a b", "a\nb", "a\r\nX-Other: 1", "a\0", "ä", "\"a\"", "a,b"] {
            let error = BearerToken::new(text).expect_err(text);
            assert!(matches!(error, BearerTokenError::BadCharacter), "{text:?}");
        }

        let longest = "a".repeat(MAX_TOKEN_BYTES);
        assert!(BearerToken::new(&longest).is_ok());
        assert!(matches!(
            BearerToken::new(&format!("{longest}a")),
            Err(BearerTokenError::TooLong)
        ));
    }

    #[test]
    fn a_file_holds_one_token_and_perhaps_a_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let missing = BearerToken::read(&path).expect_err("no such file");
        assert!(matches!(missing, BearerTokenError::File(_)), "{missing}");

        fs::write(&path, "abc\n").expect("a writable folder");
        assert_eq!(BearerToken::read(&path).expect("a token").reveal(), "abc");

        for (content, error) in [
            (vec![b'a'; MAX_TOKEN_BYTES + 1], "too long"),
            (vec![b'a'; 1 << 20], "too long"),
            (b"a\nb".to_vec(), "line breaks"),
            (vec![0xff, 0xfe], "line breaks"),
        ] {
            fs::write(&path, content).expect("a writable folder");
            let found = BearerToken::read(&path).expect_err(error).to_string();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = BearerToken::new("secret").expect("a token");
        assert_eq!(format!("{token:?}"), "BearerToken(…)");
    }
}
