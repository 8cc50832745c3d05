//! A scripted upstream in the test's own process, and the configuration that points at it.

use std::ops::Deref;
use std::time::Duration;

use anyhow::Context;
use llm_router::provider::demo::Fault;
use llm_router::provider::demo::upstream as scripted;

use crate::relay::Relay;

/// The demo upstream over a real wire, told what to do in a test's words. It answers whatever model
/// it is asked for by saying the prompt back; its counters are those of [`scripted::Upstream`].
#[derive(Debug)]
pub struct Upstream {
    scripted: scripted::Upstream,
    plugin: Option<Relay>,
}

impl Deref for Upstream {
    type Target = scripted::Upstream;
    fn deref(&self) -> &Self::Target {
        &self.scripted
    }
}

impl Upstream {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let address = "127.0.0.1:0".parse().context("loopback")?;
        let scripted = scripted::Upstream::start(address).await;
        Ok(Upstream {
            scripted: scripted.context("scripted upstream")?,
            plugin: None,
        })
    }

    /// The same with a plugin in front of it.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn behind_a_plugin() -> anyhow::Result<Self> {
        let upstream = Upstream::start().await?;
        let plugin = Relay::start(&upstream.addr().to_string()).await?;
        Ok(Upstream {
            plugin: Some(plugin),
            ..upstream
        })
    }

    /// Where that plugin is; empty without one.
    pub fn plugin_url(&self) -> String {
        let plugin = self.plugin.as_ref();
        plugin.map_or_else(String::new, |plugin| plugin.url().to_owned())
    }

    /// One line of a configuration's `models`: an OpenAI-compatible model at this upstream. `keys`
    /// are further keys of it, as `max_concurrency: 1, …`.
    pub fn model(&self, name: &str, keys: &str) -> String {
        format!(
            "  {name}: {{ provider: openai, model: scripted, base_url: \"{}\", {keys} }}\n",
            self.openai_url()
        )
    }

    /// A configuration with this one model, and `rest` below it.
    pub fn config(&self, name: &str, rest: &str) -> String {
        format!("models:\n{}{rest}", self.model(name, ""))
    }

    /// Delays the head of every answer.
    ///
    /// # Errors
    /// When it is over an hour.
    pub fn wait_before_answering(&self, time: Duration) -> anyhow::Result<()> {
        Ok(self.set_option("latency_ms", millis(time))?)
    }

    /// Sends the head at once and delays the first token.
    ///
    /// # Errors
    /// When it is over an hour.
    pub fn wait_before_the_first_token(&self, time: Duration) -> anyhow::Result<()> {
        Ok(self.set_option("first_token_ms", millis(time))?)
    }

    /// Streams slowly.
    ///
    /// # Errors
    /// When it is over 100 seconds, or nothing.
    pub fn wait_between_tokens(&self, time: Duration) -> anyhow::Result<()> {
        Ok(self.set_option("tokens_per_second", 1.0 / time.as_secs_f64())?)
    }

    /// Answers with this status instead.
    pub fn answer_with_status(&self, status: u16) {
        self.set_fault(Fault::Status {
            status,
            retry_after_s: None,
        });
    }

    /// Breaks streams off after so many tokens; whole answers at once.
    pub fn cut_after(&self, tokens: u64) {
        self.set_fault(Fault::Cut {
            after_tokens: tokens,
        });
    }

    /// Answers as it should again.
    pub fn heal(&self) {
        self.set_fault(Fault::None);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
