//! Where a continuation joins what the client was told. Pure.
//!
//! ```text
//! given the beginning ─▶ Listening ──another beginning──▶ Joined
//!                            │ begins anew                  ▲
//! asked the whole again ─▶ Repeating ──every letter told────┘
//! ```

/// A continuation that repeats so many bytes of the beginning begins anew; of a short one, half of it
/// is enough, but no less than the first few. A beginning that is no longer than this is not given to
/// anybody: one that goes on may well say the same once more.
pub(super) const TELLING: usize = 16;
const FEW: usize = 4;

/// The continuation belongs to another answer than the one that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

/// How far a continuation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Splice {
    /// It was given the beginning, and it is not yet clear that it does not begin anew.
    Listening {
        /// What it said.
        heard: String,
        /// Bytes of white space at the end of what was told that it was not given.
        owed: usize,
    },
    /// It repeats what was told, up to this byte.
    Repeating {
        /// The byte.
        at: usize,
    },
    /// Whatever it says from now on, the client has not got.
    Joined,
}

impl Splice {
    /// For a model that was given what was told but for the last `owed` bytes.
    pub(super) const fn prefill(owed: usize) -> Self {
        Splice::Listening {
            heard: String::new(),
            owed,
        }
    }

    /// For a model that was asked the whole question again.
    pub(super) const fn regenerate() -> Self {
        Splice::Repeating { at: 0 }
    }

    /// It says more text. Returns what of it is news to the client, who was told `told`.
    pub(super) fn text(&mut self, told: &str, text: &str) -> Result<String, Mismatch> {
        match self {
            Splice::Joined => Ok(text.to_owned()),
            Splice::Repeating { at } => {
                let due = told.get(*at..).unwrap_or_default();
                if let Some(news) = text.strip_prefix(due) {
                    let news = news.to_owned();
                    *self = Splice::Joined;
                    return Ok(news);
                }
                if !due.starts_with(text) {
                    return Err(Mismatch);
                }
                *at += text.len();
                Ok(String::new())
            }
            Splice::Listening { heard, .. } => {
                heard.push_str(text);
                match begins_anew(told, heard) {
                    None => Ok(String::new()),
                    Some(true) => self.anew(told),
                    Some(false) => self.join(told),
                }
            }
        }
    }

    /// It says something other than text, or its end. Returns what was held back until now.
    pub(super) fn settle(&mut self, told: &str) -> Result<String, Mismatch> {
        match self {
            Splice::Joined => Ok(String::new()),
            Splice::Repeating { at } if *at == told.len() => {
                *self = Splice::Joined;
                Ok(String::new())
            }
            Splice::Repeating { .. } => Err(Mismatch),
            // nothing to add: what was told is all there is to say
            Splice::Listening { heard, .. } if heard.is_empty() => {
                *self = Splice::Joined;
                Ok(String::new())
            }
            Splice::Listening { .. } => self.join(told),
        }
    }

    /// It turned out to begin anew although it was given the beginning.
    pub(super) const fn repeats(&self) -> bool {
        matches!(self, Splice::Repeating { .. })
    }

    fn anew(&mut self, told: &str) -> Result<String, Mismatch> {
        let heard = self.heard();
        *self = Splice::regenerate();
        self.text(told, &heard)
    }

    /// It goes on from what it was given; white space that it was not given has to come first.
    fn join(&mut self, told: &str) -> Result<String, Mismatch> {
        let owed = match self {
            Splice::Listening { owed, .. } => *owed,
            Splice::Repeating { .. } | Splice::Joined => 0,
        };
        let heard = self.heard();
        let blank = told.len().checked_sub(owed).and_then(|at| told.get(at..));
        let news = heard.strip_prefix(blank.unwrap_or_default());
        let news = news.ok_or(Mismatch)?.to_owned();
        *self = Splice::Joined;
        Ok(news)
    }

    fn heard(&mut self) -> String {
        match self {
            Splice::Listening { heard, .. } => std::mem::take(heard),
            Splice::Repeating { .. } | Splice::Joined => String::new(),
        }
    }
}

/// Whether a continuation that was given its beginning says it again, white space before it apart;
/// `None` while that is not clear.
fn begins_anew(told: &str, heard: &str) -> Option<bool> {
    let (told, heard) = (told.trim_start(), heard.trim_start());
    if told.is_empty() {
        return Some(false);
    }
    let same = told.bytes().zip(heard.bytes());
    let same = same.take_while(|(a, b)| a == b).count();
    let telling = (told.len() / 2).clamp(FEW, TELLING).min(told.len());
    if same >= telling {
        Some(true)
    } else if same == heard.len() {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Mismatch, Splice};

    /// What the client has in the end, from pieces of these lengths.
    fn run(
        mut splice: Splice,
        (told, says): (&str, &str),
        sizes: &[usize],
    ) -> Result<String, Mismatch> {
        let mut all = told.to_owned();
        let letters: Vec<char> = says.chars().collect();
        let (mut rest, mut sizes) = (&letters[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let take = (*sizes.next().unwrap_or(&1)).clamp(1, rest.len());
            let piece: String = rest[..take].iter().collect();
            rest = &rest[take..];
            all.push_str(&splice.text(told, &piece)?);
        }
        all.push_str(&splice.settle(told)?);
        assert_eq!(splice, Splice::Joined);
        Ok(all)
    }

    #[test]
    fn who_was_given_the_beginning_goes_on_from_it() {
        let all = run(Splice::prefill(0), ("one two ", "three"), &[2]);
        assert_eq!(all.as_deref(), Ok("one two three"));
    }

    #[test]
    fn who_begins_anew_all_the_same_is_not_heard_twice() {
        for says in ["one two three", "one two "] {
            let all = run(Splice::prefill(0), ("one two ", says), &[3]);
            assert_eq!(all.as_deref(), Ok(says));
        }
        // nor one that begins alike and goes on otherwise
        let all = run(Splice::prefill(0), ("one two three", "one two four"), &[3]);
        assert_eq!(all, Err(Mismatch));
        // white space before it makes it another text, which cannot be joined
        let all = run(Splice::prefill(0), ("one two ", "\none two three"), &[3]);
        assert_eq!(all, Err(Mismatch));
    }

    #[test]
    fn white_space_that_was_not_given_has_to_come_first() {
        let joined = |says| run(Splice::prefill(2), ("one:\n\n", says), &[1]);
        assert_eq!(joined("\n\ntwo").as_deref(), Ok("one:\n\ntwo"));
        assert_eq!(joined(" two"), Err(Mismatch));
        assert_eq!(joined("").as_deref(), Ok("one:\n\n"), "nothing to add");
    }

    #[test]
    fn an_answer_made_again_joins_only_past_every_letter_told() {
        let joined = |says| run(Splice::regenerate(), ("täglich", says), &[2]);
        assert_eq!(joined("täglich Brot").as_deref(), Ok("täglich Brot"));
        assert_eq!(joined("täglich").as_deref(), Ok("täglich"));
        assert_eq!(joined("tägl"), Err(Mismatch), "shorter than what was told");
        assert_eq!(joined("tagsüber"), Err(Mismatch));
    }

    fn word() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            proptest::sample::select(vec!["a", "b", "ab", " ", "\n", "ä", "😀", "one "]),
            0..12,
        )
        .prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn the_client_has_one_whole_answer_or_an_error(
            told in word(), says in word(), sizes in proptest::collection::vec(1usize..5, 1..4),
        ) {
            if let Ok(all) = run(Splice::regenerate(), (&told, &says), &sizes) {
                prop_assert_eq!(&all, &says);
            } else {
                prop_assert!(!says.starts_with(&told));
            }
            let owed = told.len() - told.trim_end().len();
            for (owed, given) in [(0, &*told), (owed, told.trim_end())] {
                if let Ok(all) = run(Splice::prefill(owed), (&told, &says), &sizes) {
                    let went_on = all == format!("{given}{says}");
                    let began_anew = all == says;
                    let was_done = says.is_empty() && all == told;
                    prop_assert!(went_on || began_anew || was_done, "{:?}", all);
                }
            }
        }

        #[test]
        fn an_answer_cut_anywhere_is_whole_again(
            whole in word(), cut in 0usize..40, sizes in proptest::collection::vec(1usize..5, 1..4),
        ) {
            let cut = whole.floor_char_boundary(cut.min(whole.len()));
            let told = &whole[..cut];
            let all = run(Splice::regenerate(), (told, &whole), &sizes);
            prop_assert_eq!(all.as_deref(), Ok(&*whole));
        }

        #[test]
        fn a_continuation_unlike_the_beginning_is_taken_word_for_word(
            told in "[a-m]{1,60}", says in "[n-z][a-z ]{0,40}",
        ) {
            let all = run(Splice::prefill(0), (&told, &says), &[3]);
            prop_assert_eq!(all, Ok(format!("{told}{says}")));
        }
    }
}
