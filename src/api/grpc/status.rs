//! Our errors as gRPC statuses with `google.rpc` details.
//!
//! Everything here travels in headers, where clients take about 8 KiB in all, so texts are clipped.

use std::collections::HashMap;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::api::details::{self, Details};
use crate::api::status::of as row_of;
use crate::error::{Error, Fault, Kind, Retry, Tried};
use crate::types::RequestId;

/// `ErrorInfo.domain` of every error of ours.
pub(super) const DOMAIN: &str = "llm-router";
/// Longest message in bytes.
const MAX_MESSAGE: usize = 768;
/// Longest reason of one candidate in bytes.
const MAX_REASON: usize = 96;
/// Most problems of a config listed, and longest text of one in bytes: with their paths they take
/// 2 KiB at most.
const MAX_PROBLEMS: usize = 8;
const MAX_PROBLEM: usize = 160;
/// Most candidates listed.
const MAX_TRIED: usize = 8;

/// The status of an error: one exhaustive table decides the code, the details say the rest.
pub(super) fn of(error: &Error, id: &RequestId) -> Status {
    let message = message(error);
    let details = details(error, id, &message);
    Status::with_error_details(row_of(error.kind).grpc, message, details)
}

/// The same, noted once in the log: the door is where errors end.
pub(super) fn report(error: &Error, id: &RequestId) -> Status {
    let kind = error.kind.as_str();
    match error.fault {
        Fault::Us => tracing::warn!(kind, request = %id, error = %error, "grpc call failed"),
        Fault::Client | Fault::Upstream | Fault::Peer => {
            tracing::debug!(kind, request = %id, error = %error, "grpc call refused");
        }
    }
    of(error, id)
}

fn message(error: &Error) -> String {
    let mut message = clip(&error.message, MAX_MESSAGE).to_owned();
    if error.tried.is_empty() {
        return message;
    }
    let tried: Vec<String> = error.tried.iter().take(MAX_TRIED).map(line).collect();
    message.push_str(" (tried ");
    message.push_str(&tried.join("; "));
    if error.tried.len() > MAX_TRIED {
        message.push_str("; and more");
    }
    message.push(')');
    clip(&message, MAX_MESSAGE).to_owned()
}

fn line(tried: &Tried) -> String {
    format!(
        "{}: {}",
        clip(tried.model.as_str(), MAX_REASON),
        clip(&tried.reason, MAX_REASON)
    )
}

fn details(error: &Error, id: &RequestId, message: &str) -> ErrorDetails {
    let reason = error.kind.as_str().to_ascii_uppercase();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, facts(error));
    details.set_request_info(id.as_str(), "");
    if let Some(param) = &error.param
        && matches!(
            error.kind,
            Kind::InvalidRequest | Kind::InvalidConfig | Kind::UnknownModel
        )
    {
        details.add_bad_request_violation(clip(param, MAX_REASON), message);
    }
    for problem in details::of(error)
        .problems
        .iter()
        .flat_map(|all| &all.problems)
        .take(MAX_PROBLEMS)
    {
        let path = clip(&problem.path, MAX_REASON);
        details.add_bad_request_violation(path, clip(&problem.message, MAX_PROBLEM));
    }
    if let Retry::After(wait) = error.retry {
        details.set_retry_info(Some(wait));
    }
    if error.kind == Kind::RateLimited {
        let subject = error
            .tried
            .first()
            .map_or("requests", |tried| clip(tried.model.as_str(), MAX_REASON));
        details.add_quota_failure_violation(subject, message);
    }
    details
}

/// `ErrorInfo.metadata`: whose fault, the upstream's own status, what was tried, and what a program
/// needs to know beside the message: `maybe_applied`, revisions.
fn facts(error: &Error) -> HashMap<String, String> {
    let fault = match error.fault {
        Fault::Client => "client",
        Fault::Upstream => "upstream",
        Fault::Peer => "peer",
        Fault::Us => "us",
    };
    let mut facts = HashMap::from([("fault".to_owned(), fault.to_owned())]);
    if let Some(rejection) = &error.rejection {
        facts.insert("upstream_status".to_owned(), rejection.status.to_string());
    }
    let Details {
        facts: more,
        problems,
    } = details::of(error);
    let more = more.into_iter();
    facts.extend(more.map(|(name, fact)| (name.to_owned(), fact.to_string())));
    if let Some(problems) = problems {
        let listed = problems.problems.len();
        let more = problems.more + listed.saturating_sub(MAX_PROBLEMS);
        facts.insert("more_problems".to_owned(), more.to_string());
    }
    for (at, tried) in error.tried.iter().take(MAX_TRIED).enumerate() {
        facts.insert(format!("tried_{at}"), line(tried));
    }
    facts
}

/// At most `limit` bytes of a text, whole characters only.
fn clip(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;

    fn id() -> RequestId {
        "job-7".into()
    }

    fn tried(reason: &str) -> Tried {
        Tried {
            model: "gpu-fast".into(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn every_error_says_its_reason_domain_and_request() {
        let status = of(&Error::new(Kind::UnknownModel, "no model x"), &id());
        assert_eq!(status.code(), Code::NotFound);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("UNKNOWN_MODEL", DOMAIN)
        );
        assert_eq!(info.metadata["fault"], "client");
        assert_eq!(details.request_info().unwrap().request_id, "job-7");
        assert!(details.retry_info().is_none());
    }

    #[test]
    fn an_invalid_field_is_named() {
        let error =
            Error::new(Kind::InvalidRequest, "must lie between 0 and 2").with_param("temperature");
        let status = of(&error, &id());
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "temperature"
        );
    }

    #[test]
    fn a_rate_limit_says_which_quota_and_when_to_come_back() {
        let error = Error::new(Kind::RateLimited, "every candidate is limited")
            .with_retry(Retry::After(Duration::from_millis(1500)))
            .with_tried(vec![tried("http 429")]);
        let status = of(&error, &id());
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        let wait = details.retry_info().unwrap().retry_delay;
        assert_eq!(wait, Some(Duration::from_millis(1500)));
        assert_eq!(
            details.quota_failure().unwrap().violations[0].subject,
            "gpu-fast"
        );
    }

    #[test]
    fn what_was_tried_stands_in_the_message_and_the_details() {
        let error = Error::new(Kind::UpstreamFailed, "no candidate answered")
            .with_tried(vec![tried("http 503")]);
        let status = of(&error, &id());
        assert_eq!(
            status.message(),
            "no candidate answered (tried gpu-fast: http 503)"
        );
        let details = status.get_error_details();
        assert_eq!(
            details.error_info().unwrap().metadata["tried_0"],
            "gpu-fast: http 503"
        );
    }

    #[test]
    fn a_refused_change_says_whether_it_may_yet_take_effect_and_a_lost_race_both_revisions() {
        use llm_router_cluster::{Error as Refusal, Rejected};
        let lost = Refusal::NoQuorum {
            retry_after: Duration::from_secs(1),
            maybe_applied: true,
        };
        let facts = |refusal: Refusal| {
            let details = of(&refusal.into(), &id()).get_error_details();
            details.error_info().unwrap().metadata.clone()
        };
        assert_eq!(facts(lost)["maybe_applied"], "true");
        let stale = facts(Refusal::Rejected(Rejected::Stale {
            expected: 3,
            current: 5,
        }));
        assert_eq!(
            (&*stale["expected_revision"], &*stale["current_revision"]),
            ("3", "5")
        );
    }

    #[test]
    fn a_refused_config_lists_its_first_problems_and_still_fits() {
        let keys: Vec<String> = (0..90)
            .map(|at| format!("k{at}{}: 1", "é".repeat(200)))
            .collect();
        let problems = crate::config::parse(&keys.join("\n"), "config").unwrap_err();
        let error = Error::new(Kind::InvalidConfig, problems.to_string()).with_source(problems);
        let status = of(&error, &id());
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), MAX_PROBLEMS);
        assert!(violations[0].field.starts_with("k0"), "{violations:?}");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["more_problems"], (90 - MAX_PROBLEMS).to_string());
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let size: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        assert!(size < 8 * 1024, "{size} bytes");
    }

    #[test]
    fn the_largest_error_still_fits_in_a_clients_headers() {
        let long = "é".repeat(5_000);
        let error = Error::new(Kind::RateLimited, long.clone())
            .with_param(long.clone())
            .with_tried(vec![tried(&long); 500]);
        let mut headers = http::HeaderMap::new();
        of(&error, &id()).add_header(&mut headers).unwrap();
        let size: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        assert!(size < 8 * 1024, "{size} bytes");
    }
}
