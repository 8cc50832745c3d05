//! Elections and the handing over of leadership.

use llm_router_proto::llm_router::cluster::v1;
use openraft::raft::{
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::{BadWire, log_id_in, log_id_out, vote_in, vote_out};
use crate::raft::TypeConfig;

pub(crate) fn request_out(request: &VoteRequest<TypeConfig>) -> v1::VoteRequest {
    v1::VoteRequest {
        vote: Some(vote_out(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_out),
        transfer: request.leadership_transfer,
    }
}

pub(crate) fn request_in(request: v1::VoteRequest) -> Result<VoteRequest<TypeConfig>, BadWire> {
    Ok(VoteRequest {
        vote: vote_in(request.vote, "vote.vote")?,
        last_log_id: log_id_in(request.last, "vote.last")?,
        leadership_transfer: request.transfer,
    })
}

pub(crate) fn response_out(response: &VoteResponse<TypeConfig>) -> v1::VoteResponse {
    v1::VoteResponse {
        vote: Some(vote_out(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_out),
    }
}

pub(crate) fn response_in(response: v1::VoteResponse) -> Result<VoteResponse<TypeConfig>, BadWire> {
    Ok(VoteResponse {
        vote: vote_in(response.vote, "vote.vote")?,
        vote_granted: response.granted,
        last_log_id: log_id_in(response.last, "vote.last")?,
    })
}

pub(crate) fn transfer_out(
    request: &TransferLeaderRequest<TypeConfig>,
) -> v1::TransferLeaderRequest {
    v1::TransferLeaderRequest {
        from: Some(vote_out(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_out),
    }
}

pub(crate) fn transfer_in(
    request: v1::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, BadWire> {
    let from = vote_in(request.from, "transfer.from")?;
    let last = log_id_in(request.last, "transfer.last")?;
    Ok(TransferLeaderRequest::new(from, request.to, last))
}

pub(crate) fn transferred_out(
    response: &TransferLeaderResponse<TypeConfig>,
) -> v1::TransferLeaderResponse {
    use v1::transfer_leader_response::Answer;
    let answer = match response {
        Ok(()) => Answer::Taken(v1::Taken {}),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Answer::VoteChanged(v1::VoteChanged {
                expected: Some(vote_out(expected)),
                actual: Some(vote_out(actual)),
            })
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            Answer::LogNotFlushed(v1::LogNotFlushed {
                expected: expected.as_ref().map(log_id_out),
                actual: actual.as_ref().map(log_id_out),
            })
        }
    };
    v1::TransferLeaderResponse {
        answer: Some(answer),
    }
}

pub(crate) fn transferred_in(
    response: v1::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<TypeConfig>, BadWire> {
    use v1::transfer_leader_response::Answer;
    Ok(match response.answer {
        Some(Answer::Taken(v1::Taken {})) => Ok(()),
        Some(Answer::VoteChanged(changed)) => Err(TransferLeaderError::VoteChanged {
            expected: vote_in(changed.expected, "transfer.expected")?,
            actual: vote_in(changed.actual, "transfer.actual")?,
        }),
        Some(Answer::LogNotFlushed(behind)) => Err(TransferLeaderError::LogNotFlushed {
            expected: log_id_in(behind.expected, "transfer.expected")?,
            actual: log_id_in(behind.actual, "transfer.actual")?,
        }),
        None => return Err(BadWire::Missing("transfer.answer")),
    })
}
