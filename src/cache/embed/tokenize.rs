//! Text → word pieces, with the model's own tokenizer file: WordPiece, Unigram or whatever it says.

use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;

use super::shape::Shape;

/// Longest text worth tokenising, in bytes per word piece the model takes: 16 KiB for 256 pieces,
/// which are about 1.2 KiB of English.
const BYTES_PER_PIECE: usize = 64;

/// The tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The file is no tokenizer.
    #[error("cannot read the embedder's tokenizer")]
    Unreadable(#[source] tokenizers::Error),
    /// It belongs to another model.
    #[error("the embedder's tokenizer has {found} words, its weights have {words}")]
    Vocabulary {
        /// In the tokenizer.
        found: usize,
        /// In the weights.
        words: usize,
    },
    /// A text could not be split.
    #[error("cannot tokenise the text")]
    Failed(#[source] tokenizers::Error),
}

/// Splits texts into ids, never padded, never cut. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct WordPieces {
    tokenizer: Arc<Tokenizer>,
    /// Most pieces of a text.
    longest: usize,
}

impl WordPieces {
    /// Reads `tokenizer.json` and switches off the padding and the truncation stored in it:
    /// all-MiniLM-L6-v2's file pads every text to 128 pieces and cuts the rest away.
    pub(super) fn load(file: &Path, shape: &Shape) -> Result<Self, TokenizeError> {
        let mut tokenizer = Tokenizer::from_file(file).map_err(TokenizeError::Unreadable)?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(TokenizeError::Unreadable)?;
        let (found, words) = (tokenizer.get_vocab_size(true), shape.words);
        if found > words {
            return Err(TokenizeError::Vocabulary { found, words });
        }
        Ok(WordPieces {
            tokenizer: Arc::new(tokenizer),
            longest: shape.longest,
        })
    }

    /// The ids with the marks at both ends. `None` for a text of more pieces than the model takes,
    /// or so long in bytes that it is not even looked at: cut-off texts with one beginning would all
    /// be equal.
    pub(super) fn encode(&self, text: &str) -> Result<Option<Vec<u32>>, TokenizeError> {
        if text.len() > self.longest * BYTES_PER_PIECE {
            return Ok(None);
        }
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(TokenizeError::Failed)?;
        let ids = encoding.get_ids();
        Ok((ids.len() <= self.longest).then(|| ids.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 256 * BYTES_PER_PIECE;
    use crate::cache::embed::fixture;

    fn pieces(text: &str) -> Option<Option<Vec<u32>>> {
        let dir = fixture::weights()?;
        let tokenizer = WordPieces::load(&dir.join("tokenizer.json"), &Shape::MINI_LM).unwrap();
        Some(tokenizer.encode(text).unwrap())
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"{}").unwrap();
        assert!(matches!(
            WordPieces::load(file.path(), &Shape::MINI_LM),
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
