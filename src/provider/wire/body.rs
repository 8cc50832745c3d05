//! A response body, read piece by piece under every limit there is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt, TryStreamExt};
use reqwest::Response;

use crate::provider::limits::{Phase, Watch};
use crate::provider::{Class, Failure, classify};

/// Most bytes of one answer.
pub(in crate::provider) const MAX_ANSWER: usize = 64 << 20;
/// How long the end of a body is waited for once the answer is complete.
const DRAIN: Duration = Duration::from_millis(20);

/// The body of one answer.
pub(in crate::provider) struct Body {
    pieces: BoxStream<'static, Result<Bytes, Failure>>,
    pub(in crate::provider) watch: Watch,
    seen: usize,
    expected: usize,
}

impl Body {
    /// The body of a response whose head has been read.
    pub(in crate::provider) fn of(response: Response, watch: Watch) -> Self {
        let expected = response
            .content_length()
            .and_then(|n| usize::try_from(n).ok());
        let pieces = response
            .bytes_stream()
            .map_err(|error| classify::transport(error, Duration::ZERO));
        Body {
            expected: expected.unwrap_or(0),
            ..Body::new(pieces, watch)
        }
    }

    /// The body made of `pieces`.
    pub(in crate::provider) fn new(
        pieces: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
        mut watch: Watch,
    ) -> Self {
        watch.piece();
        Body {
            pieces: pieces.fuse().boxed(),
            watch,
            seen: 0,
            expected: 0,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// A broken connection, a limit that passed, more than [`MAX_ANSWER`] bytes.
    pub(in crate::provider) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(piece) = self.watch.bound(Phase::Piece, self.pieces.next()).await? else {
            return Ok(None);
        };
        let piece = piece?;
        self.watch.piece();
        self.seen = self.seen.saturating_add(piece.len());
        if self.seen > MAX_ANSWER {
            return Err(too_long());
        }
        Ok(Some(piece))
    }

    /// All of it.
    ///
    /// # Errors
    /// As for [`Body::piece`].
    pub(in crate::provider) async fn whole(mut self) -> Result<Bytes, Failure> {
        if self.expected > MAX_ANSWER {
            return Err(too_long());
        }
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        if first.len() == self.expected {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(self.expected.max(2 * first.len()).min(1 << 20));
        all.extend_from_slice(&first);
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Reads to the end for a moment, so that the connection can be used again.
    pub(in crate::provider) async fn drain(&mut self) {
        let read = async { while let Some(Ok(_)) = self.pieces.next().await {} };
        let _ = tokio::time::timeout(DRAIN, read).await;
    }
}

fn too_long() -> Failure {
    Failure::new(
        Class::Hard,
        format!("answer is over {} MiB", MAX_ANSWER >> 20),
    )
}
