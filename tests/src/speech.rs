//! Spoken sentences from espeak-ng.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::tool;

/// The near end's sentence.
pub const NEAR: &str =
    "The quick brown fox jumps over the lazy dog, while seven wizards quietly mix a potion.";
/// The far end's sentence.
pub const FAR: &str =
    "Please call Stella, and ask her to bring these things with her from the store on Wednesday.";

/// A few words, where it only matters whether someone speaks.
pub const PHRASE: &str = "The quick brown fox jumps.";

/// A voice of espeak-ng.
#[derive(Debug, Clone, Copy)]
pub enum Voice {
    /// For the near end.
    Male,
    /// For the far end.
    Female,
}

/// Speaks `text` into `folder/name.wav`: 48 kHz, mono, 16 bits, peak at -6 dB, with a short silence
/// around it.
///
/// # Errors
/// When espeak-ng or sox fail.
pub fn say(folder: &Path, name: &str, voice: Voice, text: &str) -> Result<PathBuf> {
    let raw = folder.join(format!("{name}-raw.wav"));
    let path = folder.join(format!("{name}.wav"));
    let voice = match voice {
        Voice::Male => "en+m3",
        Voice::Female => "en+f3",
    };

    tool(
        "espeak-ng",
        ["-v", voice, "-s", "150", "-w", &raw.to_string_lossy(), text],
    )?;
    let words = ["-r", "48000", "-c", "1", "-b", "16"];
    let mut arguments = vec![raw.to_string_lossy().into_owned()];
    arguments.extend(words.map(String::from));
    arguments.push(path.to_string_lossy().into_owned());
    arguments.extend(["norm", "-6", "pad", "0.1", "0.3"].map(String::from));
    tool("sox", arguments)?;

    Ok(path)
}
