//! Members: where they are, how they join, and orders about them.

use llm_router_proto::llm_router::cluster::v1;

use super::{BadWire, MAX_ADDRESS, MAX_INDEX, at_most, count};
use crate::command::RequestId;
use crate::handle::Order;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::raft::Peer;
use crate::transport::{JoinRequest, Joined};

pub(crate) fn node_out(member: u64, peer: &Peer) -> v1::ClusterNode {
    v1::ClusterNode {
        member,
        name: peer.name.as_str().to_owned(),
        address: peer.address.clone(),
    }
}

pub(crate) fn node_in(node: v1::ClusterNode) -> Result<(MemberId, Peer), BadWire> {
    at_most(node.member, MAX_INDEX, "node.member")?;
    let peer = Peer {
        name: name_in(&node.name, "node.name")?,
        address: address_in(node.address, "node.address")?,
    };
    Ok((MemberId(node.member), peer))
}

fn name_in(name: &str, field: &'static str) -> Result<NodeId, BadWire> {
    NodeId::parse(name).map_err(|error| BadWire::bad(field, error))
}

fn cluster_in(cluster: &str, field: &'static str) -> Result<ClusterId, BadWire> {
    ClusterId::parse(cluster).map_err(|error| BadWire::bad(field, error))
}

fn address_in(address: String, field: &'static str) -> Result<String, BadWire> {
    count(address.len(), MAX_ADDRESS, field)?;
    Ok(address)
}

pub(crate) fn join_out(join: &JoinRequest) -> v1::JoinRequest {
    v1::JoinRequest {
        cluster: join.cluster.as_ref().map(ToString::to_string),
        node: join.node.to_string(),
        address: join.address.clone(),
        level: u32::from(join.level),
        request: join.request.0.to_be_bytes().to_vec(),
    }
}

pub(crate) fn join_in(join: v1::JoinRequest) -> Result<JoinRequest, BadWire> {
    let cluster = join.cluster.as_deref();
    let request = join.request.try_into();
    let request = request.map_err(|_| BadWire::bad("join.request", "not 16 bytes"))?;
    Ok(JoinRequest {
        request: RequestId(u128::from_be_bytes(request)),
        cluster: cluster
            .map(|id| cluster_in(id, "join.cluster"))
            .transpose()?,
        node: name_in(&join.node, "join.node")?,
        address: address_in(join.address, "join.address")?,
        level: u16::try_from(join.level).map_err(|error| BadWire::bad("join.level", error))?,
    })
}

pub(crate) fn joined_out(joined: &Joined) -> v1::JoinResponse {
    v1::JoinResponse {
        cluster: joined.cluster.to_string(),
        member: joined.member.0,
        seal_key: joined.seal_key.to_vec(),
    }
}

pub(crate) fn joined_in(joined: v1::JoinResponse) -> Result<Joined, BadWire> {
    Ok(Joined {
        cluster: cluster_in(&joined.cluster, "joined.cluster")?,
        member: MemberId(at_most(joined.member, MAX_INDEX, "joined.member")?),
        seal_key: joined
            .seal_key
            .try_into()
            .map_err(|_| BadWire::bad("joined.seal_key", "not 32 bytes"))?,
    })
}

pub(crate) fn order_out(order: &Order) -> v1::OrderRequest {
    use v1::order_request::Order as Kind;
    let kind = match order {
        Order::Promote(node) => Kind::Promote(node.to_string()),
        Order::Remove(node) => Kind::Remove(node.to_string()),
        Order::TransferLeader(to) => Kind::Transfer(v1::TransferOrder {
            to: to.as_ref().map(ToString::to_string),
        }),
        Order::Snapshot => Kind::Snapshot(v1::SnapshotOrder {}),
    };
    v1::OrderRequest { order: Some(kind) }
}

pub(crate) fn order_in(order: v1::OrderRequest) -> Result<Order, BadWire> {
    use v1::order_request::Order as Kind;
    Ok(match order.order {
        Some(Kind::Promote(node)) => Order::Promote(name_in(&node, "order.promote")?),
        Some(Kind::Remove(node)) => Order::Remove(name_in(&node, "order.remove")?),
        Some(Kind::Transfer(transfer)) => {
            let to = transfer.to.as_deref();
            Order::TransferLeader(to.map(|to| name_in(to, "order.transfer")).transpose()?)
        }
        Some(Kind::Snapshot(v1::SnapshotOrder {})) => Order::Snapshot,
        None => return Err(BadWire::Missing("order.order")),
    })
}
