//! Server-sent events, read: bytes in any pieces → the data of each event, unparsed.
//!
//! Comments, `id:` and `retry:` are dropped. Of `event:` only the name `error` means anything here:
//! some servers announce a failure that way, with a body that looks like nothing in particular.

use bytes::{Bytes, BytesMut};

use super::lines::{Lines, MAX_LINE, TooLong};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its data, several `data:` lines joined by `\n`.
    pub data: Bytes,
    /// It was named `error`.
    pub named_error: bool,
}

/// Splits a stream into events of at most [`MAX_LINE`] bytes each, where no other limit is given.
///
/// ```
/// use llm_router::dialect::sse::Splitter;
/// let mut splitter = Splitter::default();
/// splitter.push("data: a\n\n: ping\n\ndata: b".into());
/// assert_eq!(&splitter.next_event().unwrap().unwrap().data[..], b"a");
/// assert!(splitter.next_event().is_none());
/// splitter.push("c\r\n\r\n".into());
/// assert_eq!(&splitter.next_event().unwrap().unwrap().data[..], b"bc");
/// ```
#[derive(Debug)]
pub struct Splitter {
    lines: Lines,
    limit: usize,
    at_start: bool,
    first: Option<Bytes>,
    joined: BytesMut,
    named_error: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::with_limit(MAX_LINE)
    }
}

impl Splitter {
    /// A splitter that refuses lines and events longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Splitter {
            lines: Lines::with_limit(limit),
            limit,
            at_start: true,
            first: None,
            joined: BytesMut::new(),
            named_error: false,
        }
    }

    /// Takes the next piece off the network.
    pub fn push(&mut self, piece: Bytes) {
        self.lines.push(piece);
    }

    /// The next complete event; `None` until another piece completes one.
    ///
    /// # Errors
    /// [`TooLong`] when a line or an event exceeds the limit; read no further.
    pub fn next_event(&mut self) -> Option<Result<Event, TooLong>> {
        while let Some(line) = self.lines.next_line() {
            let line = match line {
                Ok(line) => line,
                Err(too_long) => return Some(Err(too_long)),
            };
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Some(Ok(event));
                }
            } else if let Err(too_long) = self.field(line) {
                return Some(Err(too_long));
            }
        }
        None
    }

    /// The event the stream ended in, its closing blank line missing; `None` when there is none.
    /// It may be cut off anywhere, so its data must be read with care.
    pub fn rest(&mut self) -> Option<Event> {
        if let Some(line) = self.lines.rest() {
            self.field(line).ok()?;
        }
        self.dispatch()
    }

    fn dispatch(&mut self) -> Option<Event> {
        let named_error = std::mem::take(&mut self.named_error);
        let first = self.first.take()?;
        let data = if self.joined.is_empty() {
            first
        } else {
            self.joined.split().freeze()
        };
        Some(Event { data, named_error })
    }

    fn field(&mut self, mut line: Bytes) -> Result<(), TooLong> {
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xEF\xBB\xBF") {
            line = line.slice(3..);
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let mut value = line.slice((colon + 1).min(line.len())..);
        if value.first() == Some(&b' ') {
            value = value.slice(1..);
        }
        match &line[..colon] {
            b"data" => self.add_data(value),
            b"event" => {
                self.named_error = value.as_ref() == b"error";
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_data(&mut self, value: Bytes) -> Result<(), TooLong> {
        let Some(first) = &self.first else {
            self.first = Some(value);
            return Ok(());
        };
        if self.joined.is_empty() {
            self.joined.extend_from_slice(first);
        }
        if self.joined.len() + 1 + value.len() > self.limit {
            return Err(TooLong(self.limit));
        }
        self.joined.extend_from_slice(b"\n");
        self.joined.extend_from_slice(&value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
