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

/// The status code in an answer's first line; `None` when the server closed without a word.
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// What follows the head.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
