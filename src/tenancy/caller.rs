//! Who calls.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use llm_router_cluster::state::KeyRecord;
use serde::{Deserialize, Serialize};

use super::judge::Refused;
use crate::types::TenantId;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models.
    Use,
    /// Everything under `/admin/v1` and in `AdminService`.
    Admin,
}

impl Scope {
    /// `use` or `admin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Use => "use",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "use" => Ok(Scope::Use),
            "admin" => Ok(Scope::Admin),
            _ => Err(format!("a scope is `use` or `admin`, not `{text}`")),
        }
    }
}

/// Who calls, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    key: Option<String>,
    tenant: TenantId,
    scopes: BTreeSet<Scope>,
}

impl Caller {
    /// Whoever calls a node that has no keys: nothing is asked of them.
    pub fn anyone() -> Self {
        Caller {
            key: None,
            tenant: TenantId::default(),
            scopes: [Scope::Use, Scope::Admin].into(),
        }
    }

    /// Who may do nothing: where nobody has looked at the caller.
    pub fn nobody() -> Self {
        Caller {
            scopes: BTreeSet::new(),
            ..Caller::anyone()
        }
    }

    /// Whom a door found to call; nobody where none looked.
    pub fn found(found: Option<&Caller>) -> Self {
        found.cloned().unwrap_or_else(Caller::nobody)
    }

    /// Who pays for what whoever a door found asks for.
    pub fn payer(found: Option<&Caller>) -> TenantId {
        found.map_or_else(TenantId::default, |caller| caller.tenant.clone())
    }

    /// Whoever holds this key. A scope of a later version of the program gives nothing here.
    pub(super) fn of(record: &KeyRecord) -> Self {
        Caller {
            key: Some(record.id.clone()),
            tenant: TenantId::from(record.tenant.as_str()),
            scopes: scopes(record).collect(),
        }
    }

    /// Who pays.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The caller has this scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Refuses a caller without this scope.
    ///
    /// # Errors
    /// [`Refused::Lacks`].
    pub fn need(&self, scope: Scope) -> Result<(), Refused> {
        if self.may(scope) {
            Ok(())
        } else {
            Err(Refused::Lacks { scope })
        }
    }

    /// For the history: `operator` where no key is asked for, else `key <id>`.
    pub fn name(&self) -> String {
        match &self.key {
            Some(id) => format!("key {id}"),
            None => "operator".to_owned(),
        }
    }
}

/// The scopes of a key that this program knows.
pub(super) fn scopes(record: &KeyRecord) -> impl Iterator<Item = Scope> {
    record.scopes.iter().filter_map(|scope| scope.parse().ok())
}
