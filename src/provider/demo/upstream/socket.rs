//! A connection that can be made to misbehave below HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a handler can do to the connection its request came on.
#[derive(Debug, Default)]
pub(super) struct Lever {
    reset: AtomicBool,
    shorten: AtomicBool,
}

impl Lever {
    /// The connection ends with a reset instead of a close.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// The next head promises half of what its body holds. Its bytes still all go out.
    pub(super) fn shorten(&self) {
        self.shorten.store(true, Ordering::Relaxed);
    }
}

/// A connection under a [`Lever`].
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    lever: Arc<Lever>,
    /// A changed head on its way out.
    pending: Vec<u8>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, lever: Arc<Lever>) -> Self {
        let pending = Vec::new();
        Socket {
            stream,
            lever,
            pending,
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            self.pending.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.lever.reset.load(Ordering::Relaxed) {
            // a socket that cannot be told is one that is gone already
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        if self.lever.shorten.swap(false, Ordering::Relaxed) {
            self.pending = halved(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        if self.lever.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A response whose head states half the length it did.
fn halved(response: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"content-length: ";
    let start = response
        .windows(NAME.len())
        .position(|window| window.eq_ignore_ascii_case(NAME))
        .map(|at| at + NAME.len());
    let Some(start) = start else {
        return response.to_vec();
    };
    let digits = response[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let stated = std::str::from_utf8(&response[start..start + digits]).unwrap_or("");
    let half = stated.parse::<usize>().unwrap_or(0) / 2;
    let (before, after) = (&response[..start], &response[start + digits..]);
    [before, half.to_string().as_bytes(), after].concat()
}

#[cfg(test)]
mod tests {
    use super::halved;

    #[test]
    fn a_halved_head_keeps_all_of_the_body() {
        let told = halved(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
        assert_eq!(
            told,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123456789"
        );
        assert_eq!(
            halved(b"HTTP/1.1 200 OK\r\n\r\n"),
            b"HTTP/1.1 200 OK\r\n\r\n"
        );
    }
}
