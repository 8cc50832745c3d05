//! Entries from the leader, and what the follower says to them.

use llm_router_proto::llm_router::cluster::v1;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::type_config::alias::LogIdOf;
use prost::Message as _;

use super::entry::{entry_in, entry_out};
use super::{BadWire, count, log_id_in, log_id_out, vote_in, vote_out};
use crate::raft::TypeConfig;

/// Most entries in one message: openraft sends 256 at most by our settings.
const MAX_ENTRIES: usize = 4096;
/// Bytes of entries after which the rest waits for the next message: half of what the other side
/// takes, so that one more entry always fits.
const FULL: usize = 4 << 20;

/// As much of the request as fits one message, and the last entry of it when some had to stay. At
/// least one entry goes.
pub(crate) fn request_out(
    request: &AppendEntriesRequest<TypeConfig>,
) -> (v1::AppendRequest, Option<LogIdOf<TypeConfig>>) {
    let mut entries = Vec::with_capacity(request.entries.len());
    let mut bytes = 0;
    let mut cut = None;
    for entry in &request.entries {
        let message = entry_out(entry);
        bytes += message.encoded_len();
        if bytes > FULL && !entries.is_empty() {
            cut = request
                .entries
                .get(entries.len() - 1)
                .map(|last| last.log_id);
            break;
        }
        entries.push(message);
    }
    let message = v1::AppendRequest {
        vote: Some(vote_out(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_out),
        entries,
        committed: request.leader_commit.as_ref().map(log_id_out),
    };
    (message, cut)
}

pub(crate) fn request_in(
    request: v1::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, BadWire> {
    count(request.entries.len(), MAX_ENTRIES, "append.entries")?;
    let previous = log_id_in(request.previous, "append.previous")?;
    let entries: Vec<_> = request
        .entries
        .into_iter()
        .map(entry_in)
        .collect::<Result<_, _>>()?;
    let first = previous.map_or(0, |id| id.index + 1);
    if entries
        .iter()
        .zip(first..)
        .any(|(entry, index)| entry.log_id.index != index)
    {
        return Err(BadWire::bad("append.entries", "the entries have a gap"));
    }
    Ok(AppendEntriesRequest {
        vote: vote_in(request.vote, "append.vote")?,
        prev_log_id: previous,
        entries,
        leader_commit: log_id_in(request.committed, "append.committed")?,
    })
}

pub(crate) fn response_out(response: &AppendEntriesResponse<TypeConfig>) -> v1::AppendResponse {
    use v1::append_response::Answer;
    let answer = match response {
        AppendEntriesResponse::Success => Answer::Taken(v1::Taken {}),
        AppendEntriesResponse::PartialSuccess(last) => Answer::Partly(v1::PartlyTaken {
            last: last.as_ref().map(log_id_out),
        }),
        AppendEntriesResponse::Conflict => Answer::Conflict(v1::Conflict {}),
        AppendEntriesResponse::HigherVote(vote) => Answer::Higher(vote_out(vote)),
    };
    v1::AppendResponse {
        answer: Some(answer),
    }
}

pub(crate) fn response_in(
    response: v1::AppendResponse,
) -> Result<AppendEntriesResponse<TypeConfig>, BadWire> {
    use v1::append_response::Answer;
    Ok(match response.answer {
        Some(Answer::Taken(v1::Taken {})) => AppendEntriesResponse::Success,
        Some(Answer::Partly(partly)) => {
            AppendEntriesResponse::PartialSuccess(log_id_in(partly.last, "append.partly")?)
        }
        Some(Answer::Conflict(v1::Conflict {})) => AppendEntriesResponse::Conflict,
        Some(Answer::Higher(vote)) => {
            AppendEntriesResponse::HigherVote(vote_in(Some(vote), "append.higher")?)
        }
        None => return Err(BadWire::Missing("append.answer")),
    })
}
