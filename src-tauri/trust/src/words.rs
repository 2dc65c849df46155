//! The words of invites.
//!
//! 2,048 English words, so that each stands for 11 bits. The first four letters of each word are its
//! own; none sounds like another common word, and none is one that people would rather not read out.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// How many words there are: 11 bits.
pub const WORDS: usize = 2_048;

static LIST: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let words: Vec<_> = include_str!("words.txt").lines().collect();
    assert_eq!(words.len(), WORDS, "a word for each number of 11 bits");
    words
});

/// One of the [`WORDS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word(u16);

/// A text that is not one of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word of an invite")]
pub struct UnknownWord;

impl Word {
    /// The word with this number; only the lowest 11 bits count.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self((bits % WORDS as u32) as u16)
    }

    /// The word, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        LIST[usize::from(self.0)]
    }
}

impl FromStr for Word {
    type Err = UnknownWord;

    /// Upper and lower case are the same.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let lower = text.to_ascii_lowercase();
        LIST.binary_search(&lower.as_str())
            .map(|index| Self(index as u16))
            .map_err(|_| UnknownWord)
    }
}

impl fmt::Debug for Word {
    /// Hides the word: those of an invite do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_sorted_and_the_first_four_letters_are_unique() {
        assert!(
            LIST.is_sorted_by(|a, b| a < b),
            "sorted, which the search relies on"
        );

        for word in LIST.iter() {
            assert!(
                (4..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()),
                "{word}"
            );
        }

        let starts: BTreeSet<_> = LIST.iter().map(|word| &word[..4]).collect();
        assert_eq!(starts.len(), WORDS, "four letters tell the words apart");
    }

    #[test]
    fn every_number_has_a_word_and_every_word_its_number() {
        for bits in 0..WORDS as u32 {
            let word = Word::from_bits(bits);
            assert_eq!(word.as_str().parse(), Ok(word));
            assert_eq!(word.as_str().to_uppercase().parse(), Ok(word));
        }

        assert_eq!(Word::from_bits(2_048), Word::from_bits(0));
        assert_eq!(Word::from_bits(u32::MAX), Word::from_bits(2_047));

        for text in ["", "gard", "gardens", "lantern ", "größe"] {
            assert_eq!(text.parse::<Word>(), Err(UnknownWord), "{text:?}");
        }
    }

    #[test]
    fn a_word_is_not_printed_by_accident() {
        let word: Word = "garden".parse().expect("a listed word");
        assert_eq!(format!("{word:?}"), "Word(…)");
    }
}
