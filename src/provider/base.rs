//! Where an upstream may be: the rules for `base_url`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Why a base URL was refused. Never quotes the URL: it may hold a secret by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBase {
    /// Not an absolute URL with a host.
    #[error("base_url is not an absolute http or https url")]
    NotAUrl,
    /// Spaces, line breaks or other control characters.
    #[error("base_url holds spaces or control characters")]
    ControlCharacters,
    /// Another scheme.
    #[error("base_url must start with http:// or https://")]
    Scheme,
    /// `user:password@`.
    #[error("base_url holds a user or password; use api_key")]
    UserInfo,
    /// `?…` or `#…`.
    #[error("base_url holds a query or fragment")]
    QueryOrFragment,
    /// The key would cross the internet in clear text.
    #[error("base_url must be https: a key is never sent to a public host in clear text")]
    ClearTextKey,
}

/// A checked base URL without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    text: String,
    origin: String,
    secure: bool,
}

impl Base {
    /// Checks `given`; `has_key` says whether a credential will be sent there.
    ///
    /// # Errors
    /// [`BadBase`] names the rule broken.
    pub(super) fn parse(given: &str, has_key: bool) -> Result<Self, BadBase> {
        if given.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(BadBase::ControlCharacters);
        }
        let url = Url::parse(given).map_err(|_| BadBase::NotAUrl)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadBase::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadBase::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadBase::QueryOrFragment);
        }
        let host = url.host_str().ok_or(BadBase::NotAUrl)?;
        if has_key && !secure && !host_is_private(host) {
            return Err(BadBase::ClearTextKey);
        }
        Ok(Base {
            text: url.as_str().trim_end_matches('/').to_owned(),
            origin: url.origin().ascii_serialization(),
            secure,
        })
    }

    /// The URL of `path` (which starts with a slash) below the base.
    pub(super) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// The URL of `path` below the scheme, host and port alone.
    pub(super) fn at_origin(&self, path: &str) -> String {
        format!("{}/{}", self.origin, path.trim_start_matches('/'))
    }

    /// It names more than scheme, host and port.
    pub(super) fn has_path(&self) -> bool {
        self.text != self.origin
    }

    /// It is https.
    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }
}

/// Whether a URL's host is this machine or a private network: there `traceparent` is sent unless
/// the config says otherwise, and a key may travel over http. So is a socket in the file system.
/// False for what is no URL.
pub fn is_private(base_url: &str) -> bool {
    if base_url.starts_with("unix:") {
        return true;
    }
    Url::parse(base_url).is_ok_and(|url| url.host_str().is_some_and(host_is_private))
}

fn host_is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4_is_private(v4),
        Ok(IpAddr::V6(v6)) => v6_is_private(v6),
        Err(_) => name_is_private(bare.trim_end_matches('.')),
    }
}

fn v4_is_private(v4: Ipv4Addr) -> bool {
    let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared
}

fn v6_is_private(v6: Ipv6Addr) -> bool {
    match v6.to_ipv4_mapped() {
        Some(v4) => v4_is_private(v4),
        None => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// Names that public DNS does not resolve: single labels (as in containers) and reserved endings.
fn name_is_private(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    !name.contains('.')
        || matches!(
            ending.as_str(),
            "localhost" | "local" | "internal" | "lan" | "home"
        )
        || name.to_ascii_lowercase().ends_with(".home.arpa")
        || name.to_ascii_lowercase().ends_with(".svc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        let cases = [
            ("", BadBase::NotAUrl),
            ("api.openai.com/v1", BadBase::NotAUrl),
            ("https://", BadBase::NotAUrl),
            ("ftp://example.com", BadBase::Scheme),
            ("file:///etc/passwd", BadBase::Scheme),
            ("https://user@example.com", BadBase::UserInfo),
            ("https://:secret@example.com", BadBase::UserInfo),
            ("https://example.com/v1?key=1", BadBase::QueryOrFragment),
            ("https://example.com/v1#x", BadBase::QueryOrFragment),
            (
                "https://example.com/\r\nhost: evil",
                BadBase::ControlCharacters,
            ),
            ("https://exa\tmple.com", BadBase::ControlCharacters),
        ];
        for (given, problem) in cases {
            assert_eq!(Base::parse(given, false), Err(problem), "{given:?}");
        }
    }

    #[test]
    fn a_key_goes_to_a_public_host_over_https_only() {
        for public in [
            "http://api.openai.com/v1",
            "http://8.8.8.8",
            "http://[2001:db8::1]:80",
            "http://172.32.0.1",
        ] {
            assert_eq!(
                Base::parse(public, true),
                Err(BadBase::ClearTextKey),
                "{public}"
            );
            assert!(Base::parse(public, false).is_ok());
            assert!(!is_private(public));
        }
        for private in [
            "http://127.0.0.1:11434",
            "http://[::1]:1",
            "http://[::ffff:10.0.0.1]",
            "http://localhost:1",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.2",
            "http://100.64.0.1",
            "http://[fd00::1]",
            "http://ollama:11434",
            "http://gpu.lan",
            "http://ollama.default.svc",
            "http://ollama.default.svc.cluster.local",
        ] {
            assert!(Base::parse(private, true).is_ok(), "{private}");
            assert!(is_private(private), "{private}");
        }
        assert!(Base::parse("https://api.openai.com/v1", true).is_ok());
    }

    #[test]
    fn only_a_trailing_slash_is_trimmed() {
        let base = Base::parse("https://example.com:8443/openai/v1/", true).unwrap();
        assert_eq!(
            base.below("/models"),
            "https://example.com:8443/openai/v1/models"
        );
        assert_eq!(
            base.at_origin("/healthz"),
            "https://example.com:8443/healthz"
        );
        assert!(base.is_secure());
        let bare = Base::parse("http://127.0.0.1:9", true).unwrap();
        assert_eq!(
            bare.below("/chat/completions"),
            "http://127.0.0.1:9/chat/completions"
        );
    }
}
