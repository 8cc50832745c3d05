//! The one place that reads a caller's key from a request, for both doors.

use http::{HeaderMap, header};

use crate::error::{Error, Kind};
use crate::tenancy::{Caller, Keys};

/// Who calls. While no key is in force, none is looked at.
///
/// # Errors
/// As [`read`], and where the keys do not let the caller in.
pub(super) fn caller(keys: &Keys, headers: &HeaderMap) -> Result<Caller, Error> {
    let presented = match keys.demanded() {
        true => read(headers)?,
        false => None,
    };
    Ok(keys.check(presented)?)
}

/// What the caller presents: `authorization: Bearer …` or `x-api-key: …`.
///
/// # Errors
/// [`Kind::InvalidRequest`] when two differ: which of them counts must not depend on the reader.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter();
    let bearers = bearers.map(|value| Ok(value.to_str().ok().and_then(bearer)));
    let plain = headers.get_all("x-api-key").iter();
    let plain = plain.map(|value| match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(wrong("x-api-key is not text")),
    });
    let mut found = None;
    for presented in bearers.chain(plain) {
        match (found, presented?) {
            (Some(one), Some(other)) if one != other => {
                return Err(wrong("two different keys were presented; send one"));
            }
            (None, presented) => found = presented,
            (Some(_), _) => {}
        }
    }
    Ok(found)
}

/// The credential of a `Bearer` header; of any other scheme there is none for us.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| rest.trim_start())
}

fn wrong(problem: &str) -> Error {
    Error::new(Kind::InvalidRequest, problem)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::read;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    #[test]
    fn two_different_keys_are_refused_wherever_they_stand() {
        for pairs in [
            [("authorization", "Bearer a"), ("x-api-key", "b")],
            [("authorization", "Bearer a"), ("authorization", "Bearer b")],
            [("x-api-key", "a"), ("x-api-key", "b")],
        ] {
            assert!(read(&headers(&pairs)).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn one_key_is_read_from_either_header_and_may_be_said_twice() {
        for pairs in [
            &[("authorization", "Bearer a")][..],
            &[("authorization", "bearer  a")],
            &[("x-api-key", "a")],
            &[("authorization", "Bearer a"), ("x-api-key", "a")],
            &[("authorization", "Basic eA=="), ("x-api-key", "a")],
        ] {
            assert_eq!(read(&headers(pairs)).unwrap(), Some("a"), "{pairs:?}");
        }
        for pairs in [
            &[][..],
            &[("authorization", "Basic eA==")],
            &[("authorization", "x")],
        ] {
            assert_eq!(read(&headers(pairs)).unwrap(), None, "{pairs:?}");
        }
    }
}
