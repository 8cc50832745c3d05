//! Names and ids. A newtype each, so that a route can never be passed where a model is meant.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "String")] Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                $name(value.into())
            }
        }
        impl From<String> for $name {
            fn from(value: String) -> Self {
                $name(value.into())
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A configured deployment: provider, upstream model name, limits and price.
    ModelName
}
name! {
    /// A rule of the routing config.
    RouteName
}
name! {
    /// Who pays; the wall nothing crosses.
    TenantId
}
name! {
    /// One request, as in `x-request-id`. At most 128 visible ASCII characters.
    RequestId
}

impl Default for TenantId {
    /// The tenant of a node without keys.
    fn default() -> Self {
        TenantId::from("default")
    }
}

impl RequestId {
    /// A fresh, time-ordered id.
    pub fn generate() -> Self {
        RequestId(format!("req_{}", uuid::Uuid::now_v7().simple()).into())
    }

    /// Accepts a client's own id when it is 1 to 128 characters of `[A-Za-z0-9._:-]`.
    pub fn accept(given: &str) -> Option<Self> {
        let fits = !given.is_empty() && given.len() <= 128;
        let clean = given
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
        (fits && clean).then(|| given.into())
    }
}
