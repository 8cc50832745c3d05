//! Who may share an answer with whom: the exact tier's key and the semantic tier's partition.
//!
//! Both are keyed hashes under a key derived from the node's secret and the tenant, so equal
//! requests of two tenants have unrelated ids and nothing about a prompt can be read off an id.
//!
//! The exact key covers every field of the body except those that cannot change the answer:
//! `stream` and `stream_options` (how it is sent), `metadata` and `store` (what the upstream keeps),
//! `prompt_cache_key`, `prompt_cache_retention` and `service_tier` (how it is scheduled). `user` and
//! `safety_identifier` stay in: they name the person behind the tenant, and routes may treat `user`
//! as a tenant. `model` is the name the client asked for. Requests of another dialect than OpenAI Chat
//! Completions have keys of their own.
//!
//! The partition covers the same, less what the semantic tier judges by itself: the text of the
//! last message (matched by meaning), `temperature` (admission bounds it) and the token limits
//! (compared with the stored answer's length). Fields that are null count as absent. Images, files
//! and other parts of the last message are in it as they came, bytes or address, with their places
//! among the text.
//!
//! A route with a shared scope has ids of a second family, derived without a tenant; what they name
//! is served only after two tenants agreed (see `witness.rs`).

use std::fmt;

use serde_json::value::RawValue;

use super::canonical;
use crate::types::{ChatRequest, Dialect, TenantId};

/// Fields that cannot change the answer.
const WITHOUT_EFFECT: [&str; 7] = [
    "stream",
    "stream_options",
    "metadata",
    "store",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
];
/// Fields the semantic tier judges by itself; `messages` and `model` are hashed on their own.
const JUDGED_APART: [&str; 4] = [
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "messages",
];

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl std::str::FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(NotAnId);
                }
                let mut bytes = [0; 16];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| NotAnId)?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAnId)?;
                }
                Ok($name(bytes))
            }
        }
    };
}

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id, expected 32 hexadecimal digits")]
pub struct NotAnId;

hash_id! {
    /// An entry of the exact tier; shown as 32 hexadecimal digits.
    EntryId
}
hash_id! {
    /// A wall inside the semantic tier: only requests of the same partition share answers.
    PartitionId
}
hash_id! {
    /// A question and the entry that might answer it.
    PairId
}

/// Whose ids are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The tenant's own.
    Tenant,
    /// Those that all tenants share.
    Shared,
}

/// Derives ids. Holds the node's secret, which is never shown.
pub(crate) struct Keys {
    secret: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Keys { secret }
    }

    /// The request's key in the exact tier.
    pub(crate) fn entry(&self, request: &ChatRequest, scope: Scope) -> EntryId {
        let mut hasher = self.hasher(&request.tenant, "entry", scope);
        absorb(&mut hasher, request.model.as_bytes());
        absorb_dialect(&mut hasher, request);
        for (name, value) in fields(request, &[]) {
            absorb_field(&mut hasher, name, value);
        }
        EntryId(first_half(&hasher))
    }

    /// The request's partition, everything but the last message's text.
    pub(crate) fn partition(&self, request: &ChatRequest, scope: Scope) -> PartitionId {
        let mut hasher = self.hasher(&request.tenant, "partition", scope);
        absorb(&mut hasher, request.model.as_bytes());
        absorb_dialect(&mut hasher, request);
        for (name, value) in fields(request, &JUDGED_APART) {
            if value.get() != "null" {
                absorb_field(&mut hasher, name, value);
            }
        }
        hasher.update(b"turns");
        absorb_turns(&mut hasher, request);
        PartitionId(first_half(&hasher))
    }

    /// A question with the entry that might answer it. Case, white space and the full stop or
    /// question mark at the end make no difference; an entry's id already tells its tenant.
    pub(crate) fn pair(&self, entry: EntryId, question: &str) -> PairId {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        absorb(&mut hasher, b"pair");
        absorb(&mut hasher, &entry.0);
        let question = question.trim_end_matches(|c: char| c.is_whitespace() || "?.!".contains(c));
        for word in question.split_whitespace() {
            absorb(&mut hasher, word.to_lowercase().as_bytes());
        }
        PairId(first_half(&hasher))
    }

    fn hasher(&self, tenant: &TenantId, purpose: &str, scope: Scope) -> blake3::Hasher {
        let mut derive = blake3::Hasher::new_keyed(&self.secret);
        absorb(&mut derive, purpose.as_bytes());
        match scope {
            Scope::Tenant => absorb(&mut derive, tenant.as_str().as_bytes()),
            // one field more, so that no tenant's name can lead here
            Scope::Shared => {
                absorb(&mut derive, b"");
                absorb(&mut derive, b"all tenants");
            }
        }
        blake3::Hasher::new_keyed(derive.finalize().as_bytes())
    }
}

/// Top-level fields that count, by name.
fn fields<'a>(request: &'a ChatRequest, apart: &[&str]) -> Vec<(&'a str, &'a RawValue)> {
    let mut fields: Vec<(&str, &RawValue)> = request
        .body
        .object()
        .iter()
        .filter(|(name, _)| {
            *name != "model" && !WITHOUT_EFFECT.contains(name) && !apart.contains(name)
        })
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

/// Earlier turns whole, and the last message without its text.
fn absorb_turns(hasher: &mut blake3::Hasher, request: &ChatRequest) {
    let Some(messages) = request.body.object().get("messages") else {
        return;
    };
    let turns: Vec<&RawValue> = serde_json::from_str(messages.get()).unwrap_or_default();
    let last = turns.len().saturating_sub(1);
    for (at, turn) in turns.into_iter().enumerate() {
        let mut bytes = Vec::new();
        let left_out = (at == last).then_some("content");
        canonical::write_without(turn, left_out, &mut bytes);
        absorb(hasher, &bytes);
    }
    absorb_parts(hasher, request);
}

/// What the last message holds besides text. Nothing is absorbed for text alone, so that a string
/// and a list of text parts are the same.
fn absorb_parts(hasher: &mut blake3::Hasher, request: &ChatRequest) {
    let Some(last) = request
        .body
        .messages()
        .last()
        .filter(|m| !m.is_plain_text())
    else {
        return;
    };
    let content = last.content.as_deref().map_or("null", RawValue::get);
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content) else {
        return absorb(hasher, content.as_bytes());
    };
    hasher.update(b"parts");
    for part in parts {
        let mut bytes = Vec::new();
        // of a text part its place and its kind alone
        let left_out = is_text(part).then_some("text");
        canonical::write_without(part, left_out, &mut bytes);
        absorb(hasher, &bytes);
    }
}

fn is_text(part: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Kind<'_>>(part.get()).is_ok_and(|part| part.kind == "text")
}

/// Requests of different dialects share nothing: whoever reads a running answer reads its bytes as
/// the upstream sent them. Neither do those that differ in what their dialect alone can say. OpenAI
/// Chat Completions adds nothing.
fn absorb_dialect(hasher: &mut blake3::Hasher, request: &ChatRequest) {
    let Some(native) = request.body.native() else {
        return;
    };
    let word: &[u8] = match native.dialect {
        Dialect::OpenAi => return,
        Dialect::Anthropic => b"anthropic",
        Dialect::Responses => b"responses",
    };
    absorb(hasher, b"dialect");
    absorb(hasher, word);
    let mut beside: Vec<_> = native.beside.iter().collect();
    beside.sort_by_key(|(name, _)| *name);
    hasher.update(&(beside.len() as u64).to_le_bytes());
    for (name, value) in beside {
        absorb_field(hasher, name, value);
    }
}

fn absorb_field(hasher: &mut blake3::Hasher, name: &str, value: &RawValue) {
    let mut bytes = Vec::with_capacity(value.get().len());
    canonical::write(value, &mut bytes);
    absorb(hasher, name.as_bytes());
    absorb(hasher, &bytes);
}

/// Length first, so that two fields can never be read as other two.
fn absorb(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn first_half(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}
