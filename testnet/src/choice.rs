//! Arguments that are one of several names.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Takes one of `names`; the help lists them, and so does the refusal of another.
pub fn one_of<T: Clone + Send + Sync + 'static, const N: usize>(
    names: [&'static str; N],
    named: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names)
        .try_map(move |name| named(&name).ok_or_else(|| format!("no such name: {name}")))
}
