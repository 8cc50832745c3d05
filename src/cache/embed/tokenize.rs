//! Text → word pieces, with the model's own tokenizer file.

use std::path::Path;

use tokenizers::Tokenizer;

use super::bert::{MAX_TOKENS, VOCABULARY};

/// Longest text worth tokenising, in bytes: 256 word pieces of English are about 1.2 KiB.
const MAX_BYTES: usize = 16 * 1024;

/// The tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The file is no tokenizer.
    #[error("cannot read the embedder's tokenizer")]
    Unreadable(#[source] tokenizers::Error),
    /// It belongs to another model.
    #[error("the embedder's tokenizer has {found} words instead of {VOCABULARY}")]
    Vocabulary {
        /// In the file.
        found: usize,
    },
    /// A text could not be split.
    #[error("cannot tokenise the text")]
    Failed(#[source] tokenizers::Error),
}

/// Splits texts into ids, never padded, never cut.
#[derive(Debug)]
pub(super) struct WordPieces(Tokenizer);

impl WordPieces {
    /// Reads `tokenizer.json` and switches off the padding and the truncation stored in it: the
    /// file as published pads every text to 128 pieces and cuts the rest away.
    pub(super) fn load(file: &Path) -> Result<Self, TokenizeError> {
        let mut tokenizer = Tokenizer::from_file(file).map_err(TokenizeError::Unreadable)?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(TokenizeError::Unreadable)?;
        let found = tokenizer.get_vocab_size(true);
        if found != VOCABULARY {
            return Err(TokenizeError::Vocabulary { found });
        }
        Ok(WordPieces(tokenizer))
    }

    /// The ids with `[CLS]` and `[SEP]`. `None` for a text over [`MAX_TOKENS`] pieces, or so long
    /// in bytes that it is not even looked at: cut-off texts with one beginning would all be equal.
    pub(super) fn encode(&self, text: &str) -> Result<Option<Vec<u32>>, TokenizeError> {
        if text.len() > MAX_BYTES {
            return Ok(None);
        }
        let encoding = self
            .0
            .encode_fast(text, true)
            .map_err(TokenizeError::Failed)?;
        let ids = encoding.get_ids();
        Ok((ids.len() <= MAX_TOKENS).then(|| ids.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::embed::fixture;

    fn pieces(text: &str) -> Option<Option<Vec<u32>>> {
        let dir = fixture::weights()?;
        let tokenizer = WordPieces::load(&dir.join("tokenizer.json")).unwrap();
        Some(tokenizer.encode(text).unwrap())
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"{}").unwrap();
        assert!(matches!(
            WordPieces::load(file.path()),
            Err(TokenizeError::Unreadable(_))
        ));
    }

    #[test]
    fn over_256_pieces_there_is_nothing_and_at_256_all_of_it() {
        let Some(most) = pieces(&"word ".repeat(254)) else {
            return;
        };
        assert_eq!(most.map(|ids| ids.len()), Some(256));
        assert_eq!(pieces(&"word ".repeat(255)), Some(None));
    }

    #[test]
    fn a_huge_text_is_not_even_tokenised() {
        // One piece ([UNK]) if it were.
        let Some(found) = pieces(&"x".repeat(MAX_BYTES + 1)) else {
            return;
        };
        assert_eq!(found, None);
        assert_eq!(
            pieces(&"x".repeat(MAX_BYTES)),
            Some(Some(vec![101, 100, 102]))
        );
    }

    #[test]
    fn short_texts_are_neither_padded_nor_cut() {
        let Some(found) = pieces("What is Python?") else {
            return;
        };
        assert_eq!(found, Some(vec![101, 2054, 2003, 18750, 1029, 102]));
        assert_eq!(pieces(""), Some(Some(vec![101, 102])));
        let foreign = vec![101, 10204, 1879, 1755, 15743, 7668, 100, 1060, 10701, 102];
        assert_eq!(pieces("Zürich 東京 naïve café 🙂 x²"), Some(Some(foreign)));
    }
}
