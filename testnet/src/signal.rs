//! Signals: to processes this crate has started, and to this one.

use anyhow::bail;
use tokio::process::Command;

/// A signal, by its name in `kill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ends in order.
    Term,
    /// Stands still.
    Stop,
    /// Goes on.
    Cont,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Signal::Term => "TERM",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

/// Sends `signal` to the process `pid`.
///
/// # Errors
/// When there is no such process.
pub async fn send(signal: Signal, pid: u32) -> anyhow::Result<()> {
    let name = signal.name();
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {pid}"))
        .status()
        .await?;
    if !sent.success() {
        bail!("SIG{name} could not be sent to {pid}");
    }
    Ok(())
}

/// Waits until this process is asked to end, by SIGTERM or from the keyboard.
///
/// # Errors
/// When signals cannot be heard.
pub async fn asked_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
