//! The semantic cache: admission → exact tier → hard partition → candidates → guards → decision.
//!
//! A wrong answer is worse than a miss: whatever is in doubt is a miss.

pub mod embed;

/// The cache's handle. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AnswerCache {}
