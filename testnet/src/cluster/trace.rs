//! Faults below the program: system calls of a running node fail, by `strace`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::Cluster;
use crate::eventually;

/// What happens to every sync of a file from the moment it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syscall {
    /// It fails with EIO.
    SyncFails,
}

impl Syscall {
    const fn injection(self) -> &'static str {
        match self {
            Syscall::SyncFails => "inject=fdatasync,fsync:error=EIO",
        }
    }
}

/// An attached `strace`. Dropping it detaches it, which ends the fault.
#[derive(Debug)]
pub struct Attached(#[expect(dead_code, reason = "held for its drop")] Child);

impl Cluster {
    /// Attaches `strace` to a node. `None` where it is not installed or may not attach, with a line
    /// that says so.
    ///
    /// # Errors
    /// When its log cannot be written.
    pub async fn inject(&self, id: usize, fault: Syscall) -> anyhow::Result<Option<Attached>> {
        let log = self.folder().join(format!("strace-n{id}.log"));
        let file = std::fs::File::create(&log).context("strace log")?;
        let started = Command::new("strace")
            .args(["-f", "-q", "-e", "trace=fdatasync,fsync", "-e"])
            .arg(fault.injection())
            .arg("-p")
            .arg(self.pid(id).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                crate::say(&format!("skipped: strace cannot be started: {error}"));
                return Ok(None);
            }
        };
        let pid = self.pid(id);
        let traced = eventually("strace is attached", Duration::from_secs(5), async || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("TracerPid:"))?;
            (!line.ends_with("\t0")).then_some(())
        })
        .await;
        if traced.is_err() || child.try_wait()?.is_some() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            crate::say(&format!("skipped: strace may not attach: {}", said.trim()));
            return Ok(None);
        }
        // The first thread is attached; the others follow within a few system calls.
        sleep(Duration::from_millis(200)).await;
        Ok(Some(Attached(child)))
    }
}
