//! One node after the other: ended in order and started again, as it was or with another image.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::{Carried, Hand};
use crate::compose::chaos::crew::LIMIT;
use crate::compose::file;

/// Between the word that a node leaves and its end: who balances loads has heard of it by then.
const NOTICE: Duration = Duration::from_millis(500);
/// Seconds a node has to finish its streams.
const PATIENCE: &str = "40";

impl Hand {
    pub(super) async fn restart(&self) -> anyhow::Result<Carried> {
        for id in self.crew.ids() {
            self.end(id).await?;
            self.each(&["start"], &[id]).await?;
            self.returned(id).await?;
        }
        Ok(Carried::Done)
    }

    /// Every node gets the other image, and the next upgrade gives the first one back.
    pub(super) async fn upgrade(&mut self) -> anyhow::Result<Carried> {
        std::mem::swap(&mut self.plan.image, &mut self.other_image);
        self.plan.write()?;
        let path = self.plan.compose_file();
        std::fs::write(&path, file::text(&self.plan))
            .with_context(|| path.display().to_string())?;
        for id in self.crew.ids() {
            self.end(id).await?;
            let service = format!("n{id}");
            let words = ["up", "-d", "--no-deps", &service];
            self.engine.compose(&self.plan, &words).await?;
            self.returned(id).await?;
        }
        Ok(Carried::Done)
    }

    /// Ends a node as an operator does. What it was asked before, it answers.
    async fn end(&self, id: usize) -> anyhow::Result<()> {
        self.board.leave(id);
        sleep(NOTICE).await;
        self.each(&["stop", "--time", PATIENCE], &[id]).await?;
        self.sets_in();
        self.board.excuse(id);
        let code = self
            .engine
            .field(&self.container(id), ".State.ExitCode")
            .await;
        anyhow::ensure!(
            code.as_deref() == Some("0"),
            "n{id} was asked to end and ended with {code:?}"
        );
        Ok(())
    }

    async fn returned(&self, id: usize) -> anyhow::Result<()> {
        self.is_lifted();
        self.crew.ready(id).await?;
        self.crew.in_step(LIMIT).await?;
        self.board.accuse(id);
        Ok(())
    }
}
