//! The user's profile picture, and the file that keeps it.
//!
//! The page crops and shrinks the image that the user chooses and writes a new JPEG. Web views put
//! data of their own into it, such as a color profile, and an image file may say where and when a
//! photo was taken. All of this is removed here, wherever the picture comes from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tandem_signaling::message::MAX_PICTURE_DATA_BYTES;

use super::files;

/// The longest URL that is read. What is removed may be longer than what stays.
const MAX_URL_BYTES: usize = 2 * MAX_PICTURE_DATA_BYTES;
/// How the URL of a picture begins.
const PREFIX: &str = "data:image/jpeg;base64,";

/// A small JPEG without what cameras add, as a `data:` URL that the signaling protocol takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    url: String,
}

impl Picture {
    /// Reads a `data:` URL. `None` if it is longer than the protocol allows, or not such a JPEG.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let data = url.strip_prefix(PREFIX)?;
        if url.len() > MAX_URL_BYTES {
            return None;
        }

        Self::from_jpeg(&BASE64.decode(data).ok()?)
    }

    fn from_jpeg(jpeg: &[u8]) -> Option<Self> {
        let url = format!("{PREFIX}{}", BASE64.encode(bare(jpeg)?));
        (url.len() <= MAX_PICTURE_DATA_BYTES).then_some(Self { url })
    }

    /// The picture as a `data:` URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn jpeg(&self) -> Vec<u8> {
        let data = &self.url[PREFIX.len()..];
        BASE64.decode(data).unwrap_or_default()
    }
}

/// A JPEG (ITU-T T.81, annex B) without comments and application data in its header, except that of
/// JFIF, which is about the pixels. What follows the header stays as it is. `None` if it does not
/// begin like a JPEG.
fn bare(jpeg: &[u8]) -> Option<Vec<u8>> {
    const START: [u8; 2] = [0xFF, 0xD8];
    const START_OF_SCAN: u8 = 0xDA;
    const APP0: u8 = 0xE0;
    const APP15: u8 = 0xEF;
    const COMMENT: u8 = 0xFE;

    let mut rest = jpeg.strip_prefix(&START)?;
    let mut bare = START.to_vec();

    // Each segment: FF, its kind, its length with the two bytes of the length itself.
    while let [0xFF, kind, high, low, ..] = *rest {
        if kind == START_OF_SCAN {
            bare.extend(rest);
            return Some(bare);
        }

        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return None;
        }

        let (segment, next) = rest.split_at_checked(2 + length)?;
        let tells_more = kind == COMMENT || (kind > APP0 && kind <= APP15);
        if !tells_more {
            bare.extend(segment);
        }

        rest = next;
    }

    None
}

/// The place of the picture.
#[derive(Debug, Clone)]
pub struct PictureFile {
    path: PathBuf,
}

impl PictureFile {
    /// The file in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("picture.jpg"),
        }
    }

    /// Reads the picture. Without a file, or with one that is no such picture, there is none.
    #[must_use]
    pub fn load(&self) -> Option<Picture> {
        match files::read(&self.path, MAX_PICTURE_DATA_BYTES as u64) {
            Ok(jpeg) => Picture::from_jpeg(&jpeg?),
            Err(error) => {
                tracing::warn!(%error, "cannot read the profile picture: starting without it");
                None
            }
        }
    }

    /// Writes the picture, completely or not at all; without one, removes the file.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full.
    pub fn save(&self, picture: Option<&Picture>) -> io::Result<()> {
        match picture {
            Some(picture) => files::write_private(&self.path, &picture.jpeg()),
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header of a JPEG with these segments, and the beginning of its pixels.
    fn jpeg(segments: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8];
        for (kind, content) in segments {
            let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
            bytes.extend([0xFF, *kind, length[0], length[1]]);
            bytes.extend(*content);
        }

        bytes.extend([0xFF, 0xDA, 0, 2, 1, 2, 3]);
        bytes
    }

    fn url(jpeg: &[u8]) -> String {
        format!("{PREFIX}{}", BASE64.encode(jpeg))
    }

    #[test]
    fn a_small_jpeg_is_kept_without_what_cameras_and_web_views_add() {
        let pixels = [(0xE0, &b"JFIF\0"[..]), (0xDB, &[7; 65])];
        let bare = url(&jpeg(&pixels));
        assert_eq!(Picture::parse(&bare).unwrap().url(), bare);

        let added = [
            (0xE1, &b"Exif\0\0MM"[..]),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
            (0xE2, b"ICC_PROFILE\0"),
            (0xED, b"Photoshop 3.0\0"),
            (0xFE, b"taken at home"),
        ];
        let all = [&pixels[..1], &added, &pixels[1..]].concat();
        assert_eq!(Picture::parse(&url(&jpeg(&all))).unwrap().url(), bare);

        let long = [(0xE1, &[0; 30_000][..]), pixels[0], pixels[1]];
        assert_eq!(
            Picture::parse(&url(&jpeg(&long))).unwrap().url(),
            bare,
            "what is removed does not count"
        );
    }

    #[test]
    fn other_formats_and_large_pictures_are_refused() {
        let large = jpeg(&[(0xDB, &[7; 25_000])]);
        let good = jpeg(&[]);

        for text in [
            String::new(),
            url(b""),
            url(b"GIF89a"),
            url(&large),
            url(&good).replace("jpeg", "svg+xml"),
            url(&good).replace(";base64", ""),
            format!("{}!", url(&good)),
            "https://example.org/a.jpg".to_owned(),
        ] {
            assert_eq!(Picture::parse(&text), None, "{text:.40}");
        }
    }

    #[test]
    fn a_saved_picture_is_read_back_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = PictureFile::new(folder.path());
        assert_eq!(file.load(), None);

        let picture = Picture::parse(&url(&jpeg(&[]))).unwrap();
        file.save(Some(&picture)).unwrap();
        assert_eq!(file.load(), Some(picture));

        fs::write(folder.path().join("picture.jpg"), b"no picture").unwrap();
        assert_eq!(file.load(), None);

        file.save(None).unwrap();
        file.save(None).unwrap();
        assert_eq!(file.load(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut jpeg = vec![0xFF, 0xD8];
            jpeg.extend(&bytes);
            bare(&bytes);
            bare(&jpeg);
        }
    }
}
