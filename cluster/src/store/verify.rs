//! What is checked before a store is used: that nothing is missing, nothing is damaged, and nothing
//! was forgotten that this node may have acknowledged. Nothing is repaired.

use std::io;
use std::path::Path;

use openraft::type_config::alias::VoteOf;

use super::Identity;
use super::db::{Db, Family};
use super::entry::{EntryId, Stored, Tail};
use super::frame::{self, bad};
use super::log::{self, Bounds};
use super::mark::Mark;
use crate::error::Error;
use crate::raft::TypeConfig;

/// What the watermark is held against.
pub(super) struct Found<'a> {
    pub(super) bounds: &'a Bounds,
    pub(super) vote: Option<VoteOf<TypeConfig>>,
    pub(super) identity: Option<&'a Identity>,
    /// The log at the watermark's last entry, if it is still there.
    pub(super) at_mark: Option<Tail>,
}

/// Reads the whole log: no holes, every entry whole, understood, under its own index and chained to
/// the one before. Also returns it as it was at an index.
pub(super) fn log(db: &Db, at: Option<u64>) -> io::Result<(Bounds, Option<Tail>)> {
    let purged = log::stored_purged(db)?;
    let mut tail = purged.unwrap_or_default();
    let mut seen = purged.filter(|purged| purged.id.map(|id| id.index) == at);
    for row in db.rows_from(Family::Logs, &[])? {
        let (key, row) = row?;
        let index = log::index_of(&key)?;
        let expected = tail.next_index();
        if index != expected {
            return Err(bad(format!(
                "the log should go on with entry {expected}, but entry {index} is next"
            )));
        }
        let stored = frame::unwrap(&key, &row)?;
        let stored = Stored::read(index, stored)?;
        if !stored.follows(&tail) || leader(&stored.tail) < leader(&tail) {
            return Err(bad(format!(
                "log entry {index} does not follow the one before it"
            )));
        }
        stored.entry()?;
        tail = stored.tail;
        seen = if at == Some(index) { Some(tail) } else { seen };
    }
    Ok((Bounds { purged, tail }, seen))
}

/// Holds what was found against the watermark.
pub(super) fn against_mark(mark: &Mark, found: &Found<'_>) -> io::Result<()> {
    if let Some((member, name)) = &mark.owner {
        let ours = found.identity;
        if !ours.is_some_and(|ours| ours.member == *member && ours.node == *name) {
            return Err(bad(format!(
                "it has forgotten that it is member {member}, {name}"
            )));
        }
    }
    if let Some(vote) = mark.vote
        && found.vote.is_none_or(|stored| !(stored >= vote))
    {
        return Err(bad(format!("it has forgotten a vote it gave: {vote}")));
    }
    let Some(id) = mark.tail.id else {
        return Ok(());
    };
    let last = found.bounds.tail;
    if last.next_index() <= id.index {
        let last = last
            .id
            .map_or_else(|| "no".to_owned(), |last| last.index.to_string());
        return Err(bad(format!(
            "its log ends at {last} entry, but it has acknowledged up to entry {}",
            id.index
        )));
    }
    let purged = id.index < found.bounds.first();
    if !purged && found.at_mark != Some(mark.tail) {
        let index = id.index;
        return Err(bad(format!(
            "its log up to entry {index} is not the one it acknowledged"
        )));
    }
    Ok(())
}

/// Holds the state against the log: it never ran ahead of it, and all that was purged is in it. A
/// snapshot that is yet to be installed counts for both.
pub(super) fn state(
    applied: Option<EntryId>,
    bounds: &Bounds,
    snapshot: Option<EntryId>,
) -> io::Result<()> {
    let purged = bounds.purged.and_then(|purged| purged.id);
    if purged > applied && purged > snapshot {
        return Err(bad(
            "entries were purged from its log that are not in its state",
        ));
    }
    if purged.is_some() && snapshot.is_none() {
        return Err(bad("its log was purged, but there is no snapshot"));
    }
    let ahead = applied.is_some_and(|applied| applied.index >= bounds.tail.next_index());
    if ahead && applied > snapshot {
        return Err(bad("its log ends before what has been applied"));
    }
    Ok(())
}

/// Why a directory is not used, in words for its operator.
pub(super) fn refuse(dir: &Path, owner: Option<&str>, problem: &io::Error) -> Error {
    let dir = dir.display();
    let text = match problem.kind() {
        io::ErrorKind::ResourceBusy => format!("another process uses the data in {dir}"),
        io::ErrorKind::StorageFull | io::ErrorKind::PermissionDenied => {
            format!("the data in {dir} cannot be opened: {problem}")
        }
        io::ErrorKind::Unsupported => format!("the data in {dir} cannot be read: {problem}"),
        _ => {
            let name = owner.unwrap_or("NAME");
            format!(
                "the data in {dir} must not be used: {problem}. A node that may have forgotten \
                 what it acknowledged must not vote. Take it out of the cluster with `llm-router \
                 cluster remove {name}` on another node, then let it join with an empty directory"
            )
        }
    };
    Error::Store(text)
}

fn leader(tail: &Tail) -> Option<(u64, u64)> {
    tail.id.map(|id| (id.leader_id.term, id.leader_id.node_id))
}
