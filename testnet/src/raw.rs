//! HTTP/1.1 by hand, for what no honest client sends.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes of an answer that are read.
const MOST: u64 = 1 << 20;

/// Sends `request` as it stands and reads until the server closes.
///
/// # Errors
/// When nothing can be sent or the server neither answers nor closes within `limit`.
pub async fn exchange(address: &str, request: &[u8], limit: Duration) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    stream.write_all(request).await.context("send")?;
    let mut answer = Vec::new();
    let read = async {
        // A reset after an early refusal is as good as a close.
        let _ = (&mut stream).take(MOST).read_to_end(&mut answer).await;
    };
    timeout(limit, read)
        .await
        .context("the server kept the connection open")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// One connection that stays open between requests.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        Ok(Wire(TcpStream::connect(address).await.context("connect")?))
    }

    /// Sends `request` and reads one answer that states its length.
    ///
    /// # Errors
    /// When the connection is closed before the answer is whole, or `limit` passes.
    pub async fn ask(&mut self, request: &[u8], limit: Duration) -> anyhow::Result<String> {
        timeout(limit, self.ask_unbounded(request))
            .await
            .context("no answer in time")?
    }

    async fn ask_unbounded(&mut self, request: &[u8]) -> anyhow::Result<String> {
        self.0.write_all(request).await.context("send")?;
        let mut answer = Vec::new();
        while !is_whole(&String::from_utf8_lossy(&answer)) {
            let read = self.0.read_buf(&mut answer).await.context("read")?;
            anyhow::ensure!(read > 0, "the connection was closed");
            anyhow::ensure!(answer.len() as u64 <= MOST, "the answer is too long");
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Head and as much body as the head announces.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let announced = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    body.len() >= announced.unwrap_or(0)
}

/// The status code in an answer's first line; `None` when the server closed without a word.
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// What follows the head.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
