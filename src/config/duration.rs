//! Durations (`250ms`, `2s`, `24h`) and sizes (`4MiB`) as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: digits and a unit, `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// Whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }
    /// Whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(Duration::from_millis(millis))
    }
    /// As std's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(value: Duration) -> Self {
        Span(value)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            m if m % 3_600_000 == 0 && m > 0 => write!(f, "{}h", m / 3_600_000),
            m if m % 60_000 == 0 && m > 0 => write!(f, "{}m", m / 60_000),
            m if m % 1000 == 0 => write!(f, "{}s", m / 1000),
            m => write!(f, "{m}ms"),
        }
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected_span(text)),
        };
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(expected_span(text));
        }
        // Whole numbers are exact; only a fraction goes through floating point.
        if let Ok(whole) = number.parse::<u64>() {
            let total = whole
                .checked_mul(millis)
                .ok_or_else(|| expected_span(text))?;
            return Ok(Span(Duration::from_millis(total)));
        }
        let number: f64 = number.parse().map_err(|_| expected_span(text))?;
        let unit = Duration::from_millis(millis).as_secs_f64();
        Duration::try_from_secs_f64(number * unit)
            .map(Span)
            .map_err(|_| expected_span(text))
    }
}

fn expected_span(text: &str) -> String {
    format!("expected a duration such as 250ms, 2s or 24h, got `{text}`")
}

/// A size in bytes: digits and a unit, `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many MiB.
    pub const fn mebibytes(count: u64) -> Self {
        ByteSize(count << 20)
    }
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b > 0 && b.is_multiple_of(1 << 30) => write!(f, "{}GiB", b >> 30),
            b if b > 0 && b.is_multiple_of(1 << 20) => write!(f, "{}MiB", b >> 20),
            b if b > 0 && b.is_multiple_of(1 << 10) => write!(f, "{}KiB", b >> 10),
            b => write!(f, "{b}B"),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a size such as 512KiB or 4MiB, got `{text}`");
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(1 << shift)
            .map(ByteSize)
            .ok_or_else(wrong)
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    (text[..at].trim(), &text[at..])
}

macro_rules! as_text {
    ($type:ident, $pattern:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $about})
            }
        }
    };
}

as_text!(
    Span,
    "^[0-9]+(\\.[0-9]+)? ?(ms|s|m|h|d)$",
    "a duration such as 250ms, 2s or 24h"
);
as_text!(
    ByteSize,
    "^[0-9]+ ?(B|KiB|MiB|GiB)$",
    "a size such as 512KiB or 4MiB"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_duration_or_size_is_refused_with_an_example() {
        for text in [
            "",
            "5",
            "s",
            "1.5.5s",
            "-1s",
            "1e3s",
            "NaNs",
            "infs",
            "5 fortnights",
            "99999999999999999d",
        ] {
            let problem = text.parse::<Span>().unwrap_err();
            assert!(problem.contains("250ms"), "{text}: {problem}");
        }
        for text in ["", "4", "MiB", "4MB", "-1B", "1.5MiB", "99999999999GiB"] {
            let problem = text.parse::<ByteSize>().unwrap_err();
            assert!(problem.contains("4MiB"), "{text}: {problem}");
        }
    }

    #[test]
    fn fractions_and_spaces_are_understood() {
        assert_eq!("0.5s".parse(), Ok(Span::from_millis(500)));
        assert_eq!("1.5 m".parse(), Ok(Span::from_secs(90)));
        assert_eq!("2d".parse(), Ok(Span::from_secs(172_800)));
        assert_eq!("4 MiB".parse(), Ok(ByteSize::mebibytes(4)));
    }

    proptest! {
        #[test]
        fn a_duration_survives_being_written_and_read(millis in 0_u64..=u64::MAX) {
            let span = Span::from_millis(millis);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn a_size_survives_being_written_and_read(bytes in any::<u64>(), shift in 0_u32..40) {
            let size = ByteSize(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }

        #[test]
        fn no_text_makes_the_readers_fall_over(text in "\\PC{0,12}") {
            let _ = text.parse::<Span>();
            let _ = text.parse::<ByteSize>();
        }
    }
}
