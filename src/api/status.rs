//! The one table: error kind → HTTP status, gRPC code, OpenAI type and code, Anthropic type.

use crate::error::Kind;

/// How a kind looks at every door.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// HTTP status.
    pub http: u16,
    /// gRPC code.
    pub grpc: tonic::Code,
    /// OpenAI's `error.type`.
    pub openai_type: &'static str,
    /// OpenAI's `error.code`.
    pub openai_code: Option<&'static str>,
    /// Anthropic's `error.type`.
    pub anthropic_type: &'static str,
    /// `false` tells SDKs not to try again by themselves: our own tries are spent.
    pub sdk_may_retry: bool,
}

const fn row(
    http: u16,
    grpc: tonic::Code,
    openai_type: &'static str,
    openai_code: Option<&'static str>,
    sdk_may_retry: bool,
) -> Row {
    Row {
        http,
        grpc,
        openai_type,
        openai_code,
        anthropic_type: "api_error",
        sdk_may_retry,
    }
}

/// Anthropic's type for a kind.
const fn anthropic_type(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest
        | Kind::UnsupportedMedia
        | Kind::MethodNotAllowed
        | Kind::UpstreamRejected
        | Kind::Cancelled
        | Kind::InvalidConfig => "invalid_request_error",
        Kind::TooLarge => "request_too_large",
        Kind::NoSuchPath | Kind::UnknownModel | Kind::NotFound => "not_found_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::Forbidden => "permission_error",
        Kind::Conflict => "conflict_error",
        Kind::RateLimited => "rate_limit_error",
        Kind::Overloaded | Kind::Unavailable => "overloaded_error",
        Kind::RequestTimeout | Kind::DeadlineExceeded => "timeout_error",
        Kind::UpstreamFailed
        | Kind::NoQuorum
        | Kind::Behind
        | Kind::InsufficientStorage
        | Kind::Internal => "api_error",
    }
}

impl Row {
    /// The status a client of Anthropic's dialect gets: it knows one of its own for overload.
    pub fn anthropic_http(&self) -> u16 {
        if self.anthropic_type == "overloaded_error" {
            529
        } else {
            self.http
        }
    }
}

/// Anthropic's type for an HTTP status, where an upstream of another dialect said no more.
pub const fn anthropic_type_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// The row of a kind.
pub const fn of(kind: Kind) -> Row {
    Row {
        anthropic_type: anthropic_type(kind),
        ..openai(kind)
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each kind")]
const fn openai(kind: Kind) -> Row {
    use tonic::Code as C;
    const REQUEST: &str = "invalid_request_error";
    const UNAVAILABLE: &str = "service_unavailable_error";
    match kind {
        Kind::InvalidRequest => row(400, C::InvalidArgument, REQUEST, None, false),
        Kind::TooLarge => row(
            413,
            C::ResourceExhausted,
            REQUEST,
            Some("request_too_large"),
            false,
        ),
        Kind::RequestTimeout => row(
            408,
            C::DeadlineExceeded,
            REQUEST,
            Some("request_timeout"),
            false,
        ),
        Kind::UnsupportedMedia => row(
            415,
            C::InvalidArgument,
            REQUEST,
            Some("unsupported_media_type"),
            false,
        ),
        Kind::NoSuchPath => row(404, C::Unimplemented, REQUEST, Some("not_found"), false),
        Kind::MethodNotAllowed => row(
            405,
            C::Unimplemented,
            REQUEST,
            Some("method_not_allowed"),
            false,
        ),
        Kind::Unauthenticated => row(
            401,
            C::Unauthenticated,
            REQUEST,
            Some("invalid_api_key"),
            false,
        ),
        Kind::Forbidden => row(
            403,
            C::PermissionDenied,
            "permission_error",
            Some("forbidden"),
            false,
        ),
        Kind::UnknownModel => row(404, C::NotFound, REQUEST, Some("model_not_found"), false),
        Kind::RateLimited => row(
            429,
            C::ResourceExhausted,
            "rate_limit_error",
            Some("rate_limit_exceeded"),
            true,
        ),
        Kind::Overloaded => row(
            503,
            C::Unavailable,
            UNAVAILABLE,
            Some("server_is_overloaded"),
            true,
        ),
        Kind::Unavailable => row(
            503,
            C::Unavailable,
            UNAVAILABLE,
            Some("no_backend_available"),
            true,
        ),
        Kind::DeadlineExceeded => row(
            504,
            C::DeadlineExceeded,
            "api_error",
            Some("upstream_timeout"),
            false,
        ),
        Kind::UpstreamRejected => row(
            400,
            C::FailedPrecondition,
            REQUEST,
            Some("upstream_rejected"),
            false,
        ),
        Kind::UpstreamFailed => row(
            502,
            C::Unavailable,
            "api_error",
            Some("upstream_error"),
            false,
        ),
        Kind::Cancelled => row(
            499,
            C::Cancelled,
            REQUEST,
            Some("client_closed_request"),
            false,
        ),
        Kind::Conflict => row(409, C::Aborted, REQUEST, Some("conflict"), true),
        Kind::InvalidConfig => row(
            422,
            C::InvalidArgument,
            REQUEST,
            Some("invalid_config"),
            false,
        ),
        Kind::NotFound => row(404, C::NotFound, REQUEST, Some("not_found"), false),
        Kind::NoQuorum => row(503, C::Unavailable, UNAVAILABLE, Some("no_quorum"), true),
        Kind::Behind => row(
            503,
            C::Unavailable,
            UNAVAILABLE,
            Some("revision_not_here"),
            true,
        ),
        Kind::InsufficientStorage => row(
            507,
            C::ResourceExhausted,
            "api_error",
            Some("insufficient_storage"),
            false,
        ),
        Kind::Internal => row(500, C::Internal, "api_error", Some("internal_error"), true),
    }
}
