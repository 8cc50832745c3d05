//! Ports that stay a node's own over its restarts.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

/// Below the range from which systems take ports for outgoing connections, so that none of those
/// sits on a port while its node is down.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that is free now and is not given out again soon.
///
/// # Errors
/// When all are taken.
pub fn free() -> anyhow::Result<u16> {
    let span = RANGE.end - RANGE.start;
    // Processes that run side by side begin at different places.
    let offset = u16::try_from(std::process::id() * 97 % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = RANGE.start + (offset + step) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {RANGE:?}")
}
