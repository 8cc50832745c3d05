//! Who calls, and whether that can be.

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::error::{Error, Refused};
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::raft::TypeConfig;
use crate::transport::Seat;
use crate::transport::call::{CLUSTER, FROM, MEMBER, TO, nonsense, status};
use crate::transport::stream::Far;
use crate::wire::raft::BadWire;
use crate::wire::raft::fault::Fault;

/// What a caller says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    cluster: Option<String>,
    from: NodeId,
    member: Option<MemberId>,
    to: Option<MemberId>,
}

/// A caller that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) node: NodeId,
    pub(super) member: Option<MemberId>,
}

/// What this node holds against the claims.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) cluster: Option<ClusterId>,
    pub(super) node: NodeId,
    pub(super) member: Option<MemberId>,
    /// The node the caller's certificate names; `None` without TLS.
    pub(super) certificate: Option<NodeId>,
    /// The name of the member the caller claims to be.
    pub(super) claimed: Option<NodeId>,
    /// That member was taken out of the cluster.
    pub(super) retired: bool,
}

/// What a call is for decides what its caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// To be let in: no cluster yet, no number.
    Join,
    /// A question of a member.
    Member,
    /// Raft's own: of a member, for the member it names.
    Raft,
}

/// Reads the claims and judges them.
pub(super) fn caller<T>(
    seat: &dyn Seat,
    request: &Request<T>,
    door: Door,
) -> Result<Caller, Status> {
    let claims = claims(request.metadata()).map_err(|bad| nonsense(&bad))?;
    let far = request.extensions().get::<Far>();
    let known = Known {
        cluster: seat.cluster(),
        node: seat.node(),
        member: seat.member(),
        certificate: far.and_then(|far| far.node.clone()),
        claimed: claims.member.and_then(|member| seat.name_of(member)),
        retired: claims.member.is_some_and(|member| seat.has_retired(member)),
    };
    judge(claims, &known, door).map_err(|refused| {
        let address = far.map(|far| far.address);
        tracing::warn!(?address, reason = %refused, "a call from a peer is refused");
        status(&Fault::Error(Error::Refused(refused)))
    })
}

fn claims(metadata: &MetadataMap) -> Result<Claims, BadWire> {
    let text = |key: &'static str| {
        let value = metadata.get(key).map(|value| value.to_str());
        value.transpose().map_err(|error| BadWire::bad(key, error))
    };
    let number = |key: &'static str| {
        let parsed = text(key)?.map(str::parse).transpose();
        parsed
            .map(|number| number.map(MemberId))
            .map_err(|error| BadWire::bad(key, error))
    };
    let from = text(FROM)?.ok_or(BadWire::Missing(FROM))?;
    Ok(Claims {
        cluster: text(CLUSTER)?.map(str::to_owned),
        from: NodeId::parse(from).map_err(|error| BadWire::bad(FROM, error))?,
        member: number(MEMBER)?,
        to: number(TO)?,
    })
}

/// Whether the claims hold. Nothing is looked up here.
pub(super) fn judge(claims: Claims, known: &Known, door: Door) -> Result<Caller, Refused> {
    let Claims {
        cluster,
        from,
        member,
        to,
    } = claims;
    if let Some(certificate) = known.certificate.as_ref().filter(|node| **node != from) {
        return Err(impostor(certificate, &from));
    }
    let not_member = |name: &NodeId| Refused::NotMember {
        name: name.to_string(),
    };
    // without one this node asks to be let in itself
    let Some(ours) = &known.cluster else {
        return Err(not_member(&known.node));
    };
    match cluster {
        Some(theirs) if theirs != ours.as_str() => {
            return Err(Refused::WrongCluster {
                ours: ours.to_string(),
                theirs,
            });
        }
        None if door != Door::Join => {
            return Err(Refused::WrongCluster {
                ours: ours.to_string(),
                theirs: "none".to_owned(),
            });
        }
        _ => {}
    }
    if door == Door::Join {
        return Ok(Caller {
            node: from,
            member: None,
        });
    }
    // a number not heard of may be that of a node let in just now, one that was taken out may not
    let number = member.filter(|_| !known.retired);
    let number = number.ok_or_else(|| not_member(&from))?;
    if let Some(name) = known.claimed.as_ref().filter(|name| **name != from) {
        return Err(impostor(&from, name));
    }
    if door == Door::Raft {
        if to != known.member {
            let to = to.map_or("none".to_owned(), |to| to.to_string());
            return Err(not_here(&known.node, &to));
        }
        if Some(number) == known.member {
            return Err(Refused::Unwise("a member does not call itself".to_owned()));
        }
    }
    Ok(Caller { node: from, member })
}

/// A vote, an append or a snapshot is in the name of its sender.
pub(super) fn in_own_name(
    caller: &Caller,
    vote: &openraft::type_config::alias::VoteOf<TypeConfig>,
) -> Result<(), Status> {
    let named = MemberId(vote.leader_id.node_id);
    if caller.member == Some(named) {
        return Ok(());
    }
    let certificate = match caller.member {
        Some(member) => format!("{} (member {member})", caller.node),
        None => caller.node.to_string(),
    };
    let refused = Refused::Impostor {
        certificate,
        claimed: format!("member {named}"),
    };
    tracing::warn!(reason = %refused, "a peer speaks in another's name");
    Err(status(&Fault::Error(Error::Refused(refused))))
}

fn impostor(certificate: &NodeId, claimed: &NodeId) -> Refused {
    Refused::Impostor {
        certificate: certificate.to_string(),
        claimed: claimed.to_string(),
    }
}

fn not_here(node: &NodeId, to: &str) -> Refused {
    Refused::Unwise(format!(
        "member {to} is not here: this is {node} under another number"
    ))
}

#[cfg(test)]
mod tests;
