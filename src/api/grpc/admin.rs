//! `AdminService`: what the nodes agree on, and what operators change.

mod cache;
mod convert;

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::{Author, NodeId, Order, Revision};
use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::admin_service_server::AdminService;
use prost::Message;
use tonic::{Request, Response, Status};

use super::identify::request_id;
use super::{authorize, status};
use crate::app::{Node, author};
use crate::error::{Error, Kind};
use crate::tenancy::Caller;
use crate::types::RequestId;

type Answer<T> = Result<Response<T>, Status>;

/// The service over a node.
#[derive(Clone, Debug)]
pub(super) struct AdminDoor {
    node: Arc<Node>,
}

/// A call taken apart: its message, who calls, and under which id.
struct Call<T> {
    message: T,
    caller: Caller,
    author: Author,
    id: RequestId,
}

/// Repeats of a call with the same `x-request-id` and the same message change something once;
/// `method` tells messages apart that are spelt alike.
fn open<T: Message>(method: &str, call: Request<T>) -> Call<T> {
    let (metadata, extensions, message) = call.into_parts();
    let id = request_id(metadata.as_ref());
    let caller = authorize::caller(&extensions);
    let payload: [&[u8]; 2] = [method.as_bytes(), &message.encode_to_vec()];
    let author = author(Some(id.as_str()), caller.name(), &payload);
    Call {
        message,
        caller,
        author,
        id,
    }
}

fn answer<T>(id: &RequestId, settled: Result<T, Error>) -> Answer<T> {
    match settled {
        Ok(message) => Ok(Response::new(message)),
        Err(error) => Err(status::report(&error, id)),
    }
}

fn named(field: &str, name: &str) -> Result<NodeId, Error> {
    NodeId::parse(name).map_err(|bad| convert::bad(field, &bad.to_string()))
}

impl AdminDoor {
    pub(super) fn new(node: Arc<Node>) -> Self {
        AdminDoor { node }
    }

    async fn order(&self, id: &RequestId, order: Result<Order, Error>) -> Result<(), Status> {
        let settled = async { self.node.agreed()?.order(order?).await };
        settled.await.map_err(|error| status::report(&error, id))
    }

    async fn read_config(
        &self,
        asked: v1::GetConfigRequest,
    ) -> Result<v1::GetConfigResponse, Error> {
        let consistency = convert::consistency(asked.consistency)?;
        let at_least = asked.min_revision.map(Revision);
        let shown = self.node.agreed()?.config(consistency, at_least).await?;
        convert::config(&shown)
    }

    async fn apply(&self, call: Call<v1::ApplyConfigRequest>) -> Result<Revision, Error> {
        let v1::ApplyConfigRequest {
            config,
            expected_revision,
            note,
        } = call.message;
        let expected = expected_revision.map(Revision);
        let agreed = self.node.agreed()?;
        agreed
            .apply(&config, expected, note.as_deref(), call.author)
            .await
    }

    async fn rollback(&self, call: Call<v1::RollbackConfigRequest>) -> Result<Revision, Error> {
        let expected = call.message.expected_revision.map(Revision);
        let to = Revision(call.message.revision);
        self.node
            .agreed()?
            .rollback(to, expected, call.author)
            .await
    }
}

#[tonic::async_trait]
impl AdminService for AdminDoor {
    async fn get_config(
        &self,
        call: Request<v1::GetConfigRequest>,
    ) -> Answer<v1::GetConfigResponse> {
        let call = open("GetConfig", call);
        answer(&call.id, self.read_config(call.message).await)
    }

    async fn apply_config(
        &self,
        call: Request<v1::ApplyConfigRequest>,
    ) -> Answer<v1::ApplyConfigResponse> {
        let call = open("ApplyConfig", call);
        let id = call.id.clone();
        let made = self.apply(call).await;
        let made = made.map(|Revision(revision)| v1::ApplyConfigResponse { revision });
        answer(&id, made)
    }

    async fn get_config_history(
        &self,
        call: Request<v1::GetConfigHistoryRequest>,
    ) -> Answer<v1::GetConfigHistoryResponse> {
        let call = open("GetConfigHistory", call);
        let history = async {
            let consistency = convert::consistency(call.message.consistency)?;
            self.node.agreed()?.history(consistency).await
        };
        let history = history.await.map(|past| v1::GetConfigHistoryResponse {
            revisions: past.into_iter().map(Into::into).collect(),
        });
        answer(&call.id, history)
    }

    async fn diff_config(
        &self,
        call: Request<v1::DiffConfigRequest>,
    ) -> Answer<v1::DiffConfigResponse> {
        let call = open("DiffConfig", call);
        let found = async {
            let v1::DiffConfigRequest {
                from,
                to,
                consistency,
            } = call.message;
            let consistency = convert::consistency(consistency)?;
            let revisions = (from.map(Revision), to.map(Revision));
            self.node.agreed()?.diff(revisions, consistency).await
        };
        let found = found.await.map(|changes| v1::DiffConfigResponse {
            changes: changes.into_iter().map(Into::into).collect(),
        });
        answer(&call.id, found)
    }

    async fn rollback_config(
        &self,
        call: Request<v1::RollbackConfigRequest>,
    ) -> Answer<v1::RollbackConfigResponse> {
        let call = open("RollbackConfig", call);
        let id = call.id.clone();
        let made = self.rollback(call).await;
        let made = made.map(|Revision(revision)| v1::RollbackConfigResponse { revision });
        answer(&id, made)
    }

    async fn create_key(
        &self,
        call: Request<v1::CreateKeyRequest>,
    ) -> Answer<v1::CreateKeyResponse> {
        let call = open("CreateKey", call);
        let made = async {
            let new = convert::new_key(call.message)?;
            self.node.keys.create(&call.caller, new, call.author).await
        };
        let made = made.await.map(|made| v1::CreateKeyResponse {
            secret: made.text().to_owned(),
            key: Some(made.shown().clone().into()),
        });
        answer(&call.id, made)
    }

    async fn list_keys(&self, call: Request<v1::ListKeysRequest>) -> Answer<v1::ListKeysResponse> {
        let call = open("ListKeys", call);
        let keys = async {
            let consistency = convert::consistency(call.message.consistency)?;
            self.node.keys.list(consistency).await
        };
        let keys = keys.await.map(|keys| v1::ListKeysResponse {
            keys: keys.into_iter().map(Into::into).collect(),
        });
        answer(&call.id, keys)
    }

    async fn revoke_key(
        &self,
        call: Request<v1::RevokeKeyRequest>,
    ) -> Answer<v1::RevokeKeyResponse> {
        let call = open("RevokeKey", call);
        let keys = &self.node.keys;
        let revoked = keys.revoke(&call.caller, &call.message.id, call.author);
        let revoked = revoked.await.map(|key| v1::RevokeKeyResponse {
            key: Some(key.into()),
        });
        answer(&call.id, revoked)
    }

    async fn rotate_key(
        &self,
        call: Request<v1::RotateKeyRequest>,
    ) -> Answer<v1::RotateKeyResponse> {
        let call = open("RotateKey", call);
        let v1::RotateKeyRequest { id: key, grace_s } = call.message;
        let grace = grace_s.map(Duration::from_secs);
        let made = self
            .node
            .keys
            .rotate(&call.caller, &key, grace, call.author);
        let made = made.await.map(|made| v1::RotateKeyResponse {
            secret: made.text().to_owned(),
            key: Some(made.shown().clone().into()),
        });
        answer(&call.id, made)
    }

    async fn get_cluster(
        &self,
        call: Request<v1::GetClusterRequest>,
    ) -> Answer<v1::GetClusterResponse> {
        let call = open("GetCluster", call);
        let shown = self.node.agreed().map(|agreed| agreed.cluster().into());
        answer(&call.id, shown)
    }

    async fn promote_node(
        &self,
        call: Request<v1::PromoteNodeRequest>,
    ) -> Answer<v1::PromoteNodeResponse> {
        let call = open("PromoteNode", call);
        let order = named("node", &call.message.node).map(Order::Promote);
        self.order(&call.id, order).await?;
        Ok(Response::new(v1::PromoteNodeResponse {}))
    }

    async fn remove_node(
        &self,
        call: Request<v1::RemoveNodeRequest>,
    ) -> Answer<v1::RemoveNodeResponse> {
        let call = open("RemoveNode", call);
        let order = named("node", &call.message.node).map(Order::Remove);
        self.order(&call.id, order).await?;
        Ok(Response::new(v1::RemoveNodeResponse {}))
    }

    async fn transfer_leader(
        &self,
        call: Request<v1::TransferLeaderRequest>,
    ) -> Answer<v1::TransferLeaderResponse> {
        let call = open("TransferLeader", call);
        let to = Some(call.message.node.as_str()).filter(|name| !name.is_empty());
        let to = to.map(|name| named("node", name)).transpose();
        self.order(&call.id, to.map(Order::TransferLeader)).await?;
        Ok(Response::new(v1::TransferLeaderResponse {}))
    }

    async fn take_snapshot(
        &self,
        call: Request<v1::TakeSnapshotRequest>,
    ) -> Answer<v1::TakeSnapshotResponse> {
        let call = open("TakeSnapshot", call);
        self.order(&call.id, Ok(Order::Snapshot)).await?;
        Ok(Response::new(v1::TakeSnapshotResponse {}))
    }

    async fn set_breaker_mode(
        &self,
        call: Request<v1::SetBreakerModeRequest>,
    ) -> Answer<v1::SetBreakerModeResponse> {
        let call = open("SetBreakerMode", call);
        let set = async {
            let mode = convert::breaker_mode(call.message.mode)?;
            if call.message.model.is_empty() {
                let error = Error::new(Kind::InvalidRequest, "field `model` must name a model");
                return Err(error.with_param("model"));
            }
            let engine = &self.node.engine;
            engine
                .force_breaker(&call.message.model, mode, call.author)
                .await?;
            Ok(v1::SetBreakerModeResponse {})
        };
        answer(&call.id, set.await)
    }

    async fn get_cache(&self, call: Request<v1::GetCacheRequest>) -> Answer<v1::GetCacheResponse> {
        let call = open("GetCache", call);
        let stats = self.node.engine.cache().stats();
        answer(&call.id, Ok(stats.into()))
    }

    async fn purge_cache(
        &self,
        call: Request<v1::PurgeCacheRequest>,
    ) -> Answer<v1::PurgeCacheResponse> {
        let call = open("PurgeCache", call);
        let purged = cache::purge(self.node.engine.cache(), call.message).await;
        let purged = purged.map(|purged| v1::PurgeCacheResponse {
            removed: purged.removed,
            unreached: purged.unreached,
        });
        answer(&call.id, purged)
    }

    async fn veto_cache(
        &self,
        call: Request<v1::VetoCacheRequest>,
    ) -> Answer<v1::VetoCacheResponse> {
        let call = open("VetoCache", call);
        let vetoes = cache::veto(self.node.engine.cache(), &call.message).await;
        let vetoes = vetoes.map(|vetoes| v1::VetoCacheResponse { vetoes });
        answer(&call.id, vetoes)
    }
}
