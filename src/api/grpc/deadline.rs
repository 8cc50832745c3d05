//! Real deadlines: `grpc-timeout` cuts the head and the body alike, with DEADLINE_EXCEEDED.
//!
//! The server underneath also reads `grpc-timeout`, but only until the head, and answers CANCELLED.
//! It sits outside every layer of ours, so we cut a little before the client's own instant; that
//! margin also lets our status reach the client before it gives up by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::identify::request_id;
use super::status;
use crate::api::options::MAX_TIMEOUT;
use crate::error::{Error, Kind};
use crate::types::{Moment, RequestId};

const HEADER: &str = "grpc-timeout";
/// How long before the client's instant we cut, at the least; half of a timeout shorter than twice this.
const MARGIN: Duration = Duration::from_millis(5);
/// The margin as a part of the timeout, where that is longer: a busy client is late to read us.
const MARGIN_PART: u32 = 20;
/// The longest margin.
const LONGEST_MARGIN: Duration = Duration::from_millis(100);
/// Longest timeout kept as given; timers cannot look centuries ahead.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// When this call is cut. In the request's extensions where the client gave a `grpc-timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline(pub(super) Moment);

impl Deadline {
    fn after(timeout: Duration, now: Moment) -> Self {
        let margin = (timeout / MARGIN_PART).clamp(MARGIN, LONGEST_MARGIN);
        Deadline(now + (timeout - margin.min(timeout / 2)).min(LONGEST))
    }
}

/// Reads a `grpc-timeout`: one to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let clean = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let amount: u64 = digits.parse().ok().filter(|_| clean)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn read(headers: &HeaderMap, now: Moment) -> Result<Option<Deadline>, Error> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
        let problem = "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n";
        Error::new(Kind::InvalidRequest, problem).with_param(HEADER)
    })?;
    Ok(Some(Deadline::after(timeout, now)))
}

fn expired(id: &RequestId) -> Status {
    let error = Error::new(Kind::DeadlineExceeded, "the call's deadline passed");
    status::of(&error, id)
}

/// Puts [`Timed`] around a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timed<S>;
    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner }
    }
}

/// Ends each call at its deadline. A call without one still ends its head at [`MAX_TIMEOUT`].
#[derive(Clone, Debug)]
pub(super) struct Timed<S> {
    inner: S,
}

impl<S, In> Service<Request<In>> for Timed<S>
where
    S: Service<Request<In>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let now = Moment::now();
        let id = request_id(request.headers());
        let deadline = match read(request.headers(), now) {
            Ok(deadline) => deadline,
            Err(error) => {
                let refusal = status::of(&error, &id).into_http();
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let head_by = deadline.map_or(now + MAX_TIMEOUT, |Deadline(moment)| moment);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(head_by.to_instant(), answer).await {
                Err(_late) => Ok(expired(&id).into_http()),
                Ok(Err(error)) => Err(error),
                Ok(Ok(response)) => Ok(match deadline {
                    None => response,
                    Some(Deadline(by)) => {
                        response.map(|body| Body::new(TimedBody::new(body, by, id)))
                    }
                }),
            }
        })
    }
}

/// A reply's body that ends at the deadline with a DEADLINE_EXCEEDED trailer.
struct TimedBody {
    /// Gone once the reply has ended, so that what feeds it stops at once.
    inner: Option<Body>,
    late: Pin<Box<Sleep>>,
    by: Moment,
    id: RequestId,
}

impl TimedBody {
    fn new(inner: Body, by: Moment, id: RequestId) -> Self {
        let late = Box::pin(tokio::time::sleep_until(by.to_instant()));
        TimedBody {
            inner: Some(inner),
            late,
            by,
            id,
        }
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if expired(&self.id).add_header(&mut trailers).is_err() {
            trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("4"));
        }
        trailers
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // the clock as well as the timer: a stream that never waits never lets the timer fire
        let late = self.late.as_mut().poll(cx).is_ready() || Moment::now() >= self.by;
        if self.inner.is_some() && late {
            self.inner = None;
            return Poll::Ready(Some(Ok(Frame::trailers(self.trailers()))));
        }
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if frame
            .as_ref()
            .is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers))
        {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_timeouts_are_refused() {
        for text in [
            "",
            "S",
            "5",
            "5s",
            "123456789S",
            "-1S",
            "+1S",
            "1.5S",
            " 1S",
            "1 S",
            "1SS",
            "1é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_unit_is_understood() {
        let expected = [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("4S", Duration::from_secs(4)),
            ("500m", Duration::from_millis(500)),
            ("7u", Duration::from_micros(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ];
        for (text, duration) in expected {
            assert_eq!(parse(text), Some(duration), "{text}");
        }
    }

    #[test]
    fn the_longest_timeout_does_not_overflow_a_timer() {
        let deadline = Deadline::after(parse("99999999H").unwrap(), Moment::now());
        assert!(deadline.0 <= Moment::now() + LONGEST);
        assert!(deadline.0.to_instant() > tokio::time::Instant::now());
    }

    proptest! {
        #[test]
        fn we_always_cut_before_the_client_does(amount in 1u64..=99_999_999, unit in "[HMSmun]") {
            let now = Moment::from_millis(1_000);
            let timeout = parse(&format!("{amount}{unit}")).unwrap();
            let Deadline(cut) = Deadline::after(timeout, now);
            prop_assert!(cut < now + timeout);
            prop_assert!(cut >= now);
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,12}") {
            let _ = parse(&text);
        }
    }

    fn body_of(
        stream: impl futures::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
    ) -> Body {
        Body::new(http_body_util::StreamBody::new(stream))
    }

    fn timed(body: Body, millis: u64) -> TimedBody {
        TimedBody::new(
            body,
            Moment::now() + Duration::from_millis(millis),
            "job-7".into(),
        )
    }

    #[tokio::test]
    async fn an_endless_stream_ends_at_its_deadline_with_status_4() {
        let frames = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let mut body = timed(body_of(frames), 30);
        let mut last = None;
        while let Some(frame) = body.frame().await {
            last = Some(frame.unwrap());
        }
        let trailers = last.unwrap().into_trailers().unwrap();
        assert_eq!(trailers.get("grpc-status").unwrap(), "4");
        assert!(body.inner.is_none(), "what fed the stream is dropped");
    }

    #[tokio::test]
    async fn a_stream_that_never_waits_is_cut_too() {
        let frames = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"x"))));
        let collected = timed(body_of(frames), 10).collect().await.unwrap();
        assert_eq!(
            collected.trailers().unwrap().get("grpc-status").unwrap(),
            "4"
        );
    }

    #[tokio::test]
    async fn a_stream_in_time_keeps_its_own_trailers() {
        let mut ok = HeaderMap::new();
        ok.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"x"))),
            Ok(Frame::trailers(ok)),
        ];
        let body = timed(body_of(futures::stream::iter(frames)), 10_000);
        let collected = body.collect().await.unwrap();
        assert_eq!(
            collected.trailers().unwrap().get("grpc-status").unwrap(),
            "0"
        );
        assert_eq!(collected.to_bytes(), "x");
    }
}
