//! Limits of one value, for `#[garde(custom(…))]`.

use std::collections::BTreeMap;
use std::time::Duration;

use garde::Error;

use crate::config::duration::{ByteSize, Span};

/// Longest duration a config may state; nothing the node times is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Largest size a config may state.
const LARGEST: u64 = 64 << 20;

/// More than nothing and at most 366 days.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
pub(crate) fn span(value: &Span, (): &()) -> garde::Result {
    if value.get().is_zero() || value.get() > LONGEST {
        return Err(Error::new("must be more than 0 and at most 366d"));
    }
    Ok(())
}

/// The same, and none at all.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
pub(crate) fn span_or_none(value: &Span, (): &()) -> garde::Result {
    if value.get() > LONGEST {
        return Err(Error::new("must be at most 366d"));
    }
    Ok(())
}

/// In (0, 1].
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
pub(crate) fn share(value: &f64, (): &()) -> garde::Result {
    if *value > 0.0 && *value <= 1.0 {
        return Ok(());
    }
    Err(Error::new("must be more than 0 and at most 1"))
}

/// At least one byte and at most 64 MiB.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
pub(crate) fn size(value: &ByteSize, (): &()) -> garde::Result {
    if (1..=LARGEST).contains(&value.bytes()) {
        return Ok(());
    }
    Err(Error::new("must be at least 1B and at most 64MiB"))
}

/// Each at most 100.
pub(crate) fn weights(value: &BTreeMap<String, u32>, (): &()) -> garde::Result {
    if value.values().all(|weight| *weight <= 100) {
        return Ok(());
    }
    Err(Error::new("every weight must be at most 100"))
}

/// The library's wording turned into advice.
pub(super) fn words(message: &str) -> String {
    for (said, meant) in [
        ("length is lower than 1", "must not be empty"),
        ("length is lower than ", "is shorter than "),
        ("length is greater than ", "is longer than "),
    ] {
        if let Some(rest) = message.strip_prefix(said) {
            return format!("{meant}{rest}");
        }
    }
    for (said, meant) in [
        ("lower than ", "must be at least "),
        ("greater than ", "must be at most "),
    ] {
        if let Some(rest) = message.strip_prefix(said) {
            return format!("{meant}{rest}");
        }
    }
    message.to_owned()
}
