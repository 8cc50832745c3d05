//! Versions of the dialect, as `anthropic-version` names them.

use crate::dialect::openai::BadRequest;

/// The header that names the version.
pub const VERSION: &str = "anthropic-version";
/// The header that names features under trial.
pub const BETA: &str = "anthropic-beta";

/// A version of the dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `2023-06-01`, and what a request that names none is read as.
    #[default]
    June2023,
    /// `2026-10-21`: sampling parameters, documents in assistant messages and citations on what
    /// users write are refused.
    October2026,
}

impl Version {
    /// Reads the header.
    ///
    /// # Errors
    /// [`BadRequest`] naming the header and the versions there are.
    pub fn read(header: Option<&str>) -> Result<Self, BadRequest> {
        match header.map(str::trim) {
            None | Some("2023-06-01") => Ok(Version::June2023),
            Some("2026-10-21") => Ok(Version::October2026),
            Some(_) => Err(BadRequest::Field {
                param: VERSION,
                problem: "must be 2023-06-01 or 2026-10-21".to_owned(),
            }),
        }
    }

    /// As the header has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::June2023 => "2023-06-01",
            Version::October2026 => "2026-10-21",
        }
    }

    /// Takes `temperature`, `top_p` and `top_k`.
    pub const fn samples(self) -> bool {
        match self {
            Version::June2023 => true,
            Version::October2026 => false,
        }
    }
}
