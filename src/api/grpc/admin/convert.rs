//! Messages of `AdminService` to ours and back, by name.

use std::time::Duration;

use llm_router_cluster::Consistency;
use llm_router_cluster::status::Member;
use llm_router_proto::llm_router::v1;

use crate::app::agreed::{ClusterShown, ConfigShown, Difference, Past};
use crate::app::file::FileStanding;
use crate::error::{Error, Kind};
use crate::inference::BreakerMode;
use crate::tenancy::{KeyShown, NewKey, Scope};

pub(super) fn bad(field: &str, problem: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("field `{field}`: {problem}")).with_param(field)
}

pub(super) fn consistency(value: i32) -> Result<Consistency, Error> {
    let given = v1::Consistency::try_from(value)
        .map_err(|_| bad("consistency", "must be local, lease or linearizable"))?;
    Ok(match given {
        v1::Consistency::Local => Consistency::Local,
        v1::Consistency::Lease => Consistency::Lease,
        v1::Consistency::Unspecified | v1::Consistency::Linearizable => Consistency::Linearizable,
    })
}

pub(super) fn breaker_mode(value: i32) -> Result<BreakerMode, Error> {
    match v1::BreakerMode::try_from(value) {
        Ok(v1::BreakerMode::Auto) => Ok(BreakerMode::Auto),
        Ok(v1::BreakerMode::ForceOpen) => Ok(BreakerMode::ForceOpen),
        Ok(v1::BreakerMode::ForceClosed) => Ok(BreakerMode::ForceClosed),
        Ok(v1::BreakerMode::Unspecified) | Err(_) => {
            Err(bad("mode", "must be auto, force_open or force_closed"))
        }
    }
}

pub(super) fn new_key(asked: v1::CreateKeyRequest) -> Result<NewKey, Error> {
    let mut new = NewKey::named(asked.name);
    if !asked.tenant.is_empty() {
        new = new.tenant(asked.tenant);
    }
    if !asked.scopes.is_empty() {
        let scopes = asked.scopes.iter().map(|scope| scope.parse());
        let scopes: Result<Vec<Scope>, String> = scopes.collect();
        new = new.scopes(scopes.map_err(|problem| bad("scopes", &problem))?);
    }
    if let Some(seconds) = asked.expires_after_s {
        new = new.expires_after(Duration::from_secs(seconds));
    }
    if let Some(seconds) = asked.valid_without_quorum_s {
        new = new.without_quorum(Duration::from_secs(seconds));
    }
    Ok(new)
}

/// Straight to text: a detour over a JSON value would lose the order of models.
pub(super) fn config(shown: &ConfigShown) -> Result<v1::GetConfigResponse, Error> {
    let config_json = serde_json::to_string(&shown.config)
        .map_err(|source| Error::new(Kind::Internal, "could not be shown").with_source(source))?;
    Ok(v1::GetConfigResponse {
        revision: shown.revision.0,
        config_json,
    })
}

impl From<Past> for v1::ConfigRevision {
    fn from(past: Past) -> Self {
        v1::ConfigRevision {
            revision: past.revision.0,
            at_ms: past.at_ms,
            by: past.by,
            note: past.note,
        }
    }
}

impl From<KeyShown> for v1::Key {
    fn from(key: KeyShown) -> Self {
        v1::Key {
            id: key.id,
            name: key.name,
            tenant: key.tenant,
            scopes: key.scopes,
            state: key.state.to_owned(),
            created_ms: key.created_ms,
            expires_ms: key.expires_ms,
            revoked_ms: key.revoked_ms,
            previous_until_ms: key.previous_until_ms,
            valid_without_quorum_s: key.valid_without_quorum_s,
        }
    }
}

impl From<Difference> for v1::Difference {
    fn from(difference: Difference) -> Self {
        let Difference { path, old, new } = difference;
        v1::Difference { path, old, new }
    }
}

impl From<FileStanding> for v1::FileStanding {
    fn from(file: FileStanding) -> Self {
        v1::FileStanding {
            path: file.path.display().to_string(),
            standing: file.standing.as_str().to_owned(),
            newer: file.newer.map(|newer| newer.as_str().to_owned()),
            agreed_revision: file.agreed_revision.0,
            in_step_revision: file.in_step_revision.map(|revision| revision.0),
            changes: file.changes.into_iter().map(Into::into).collect(),
            waiting: file.waiting,
        }
    }
}

fn member(member: Member) -> v1::Member {
    v1::Member {
        id: member.id.as_str().to_owned(),
        member: member.member.0,
        role: member.role.as_str().to_owned(),
        address: member.address,
        alive: member.alive,
    }
}

impl From<ClusterShown> for v1::GetClusterResponse {
    fn from(shown: ClusterShown) -> Self {
        let ClusterShown {
            status,
            in_service,
            config_problem,
            partition_mode,
            file,
        } = shown;
        v1::GetClusterResponse {
            node: status.node.as_str().to_owned(),
            member: status.member.0,
            cluster: status.cluster.as_str().to_owned(),
            leader: status.leader.map(|leader| leader.as_str().to_owned()),
            term: status.term,
            revision: status.revision.0,
            applied: status.applied,
            committed: status.committed,
            connected: status.connected,
            leader_contact_ms: status.leader_contact_ms,
            nodes: status.nodes.into_iter().map(member).collect(),
            revision_in_service: in_service.0,
            problem: config_problem.map(|unserved| unserved.reason),
            partition_mode: partition_mode
                .into_iter()
                .map(|(what, mode)| (what.to_owned(), mode.to_owned()))
                .collect(),
            file: file.map(Into::into),
        }
    }
}
