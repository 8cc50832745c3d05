//! Cuts a byte stream into lines, however the network cut it into pieces.
//!
//! A line that lies within one piece is a slice of it; only a line spread over several is copied.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line, and longest server-sent event, in bytes.
pub const MAX_LINE: usize = 1 << 20;
/// The same where one event may hold a whole picture: 12 MiB of it, in base64.
pub const MAX_MEDIA: usize = 16 << 20;

/// A line or event over the limit. Nothing that follows can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream sent a line longer than {0} bytes")]
pub struct TooLong(pub usize);

/// The cutter. Lines end with `\n` or `\r\n`; neither is part of the line.
#[derive(Debug)]
pub struct Lines {
    piece: Bytes,
    carry: BytesMut,
    limit: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Lines::with_limit(MAX_LINE)
    }
}

impl Lines {
    /// A cutter that refuses lines longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Lines {
            piece: Bytes::new(),
            carry: BytesMut::new(),
            limit,
        }
    }

    /// Takes the next piece off the network. Read all lines first: what is left over is copied.
    pub fn push(&mut self, piece: Bytes) {
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            let mut joined = BytesMut::with_capacity(self.piece.len() + piece.len());
            joined.extend_from_slice(&self.piece);
            joined.extend_from_slice(&piece);
            self.piece = joined.freeze();
        }
    }

    /// The next complete line; `None` until another piece completes one.
    ///
    /// # Errors
    /// [`TooLong`] as soon as a line is known to exceed the limit, complete or not.
    pub fn next_line(&mut self) -> Option<Result<Bytes, TooLong>> {
        let Some(end) = self.piece.iter().position(|byte| *byte == b'\n') else {
            // one byte more than the limit may still turn out to be the `\r` of the line's end
            if self.carry.len() + self.piece.len() > self.limit + 1 {
                return Some(Err(TooLong(self.limit)));
            }
            self.carry.extend_from_slice(&self.piece);
            self.piece = Bytes::new();
            return None;
        };
        let rest = self.piece.split_to(end);
        self.piece.advance(1);
        let line = if self.carry.is_empty() {
            rest
        } else {
            self.carry.extend_from_slice(&rest);
            self.carry.split().freeze()
        };
        let line = without_cr(line);
        Some(if line.len() > self.limit {
            Err(TooLong(self.limit))
        } else {
            Ok(line)
        })
    }

    /// What follows the last line's end, once no more pieces come; `None` when nothing does.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.carry.extend_from_slice(&self.piece);
        self.piece = Bytes::new();
        let rest = without_cr(self.carry.split().freeze());
        (!rest.is_empty()).then_some(rest)
    }
}

fn without_cr(mut line: Bytes) -> Bytes {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    line
}
