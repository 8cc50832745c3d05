//! Puts what is agreed in service on this node, revision after revision.
//!
//! A config this node cannot serve (one with keys only a newer version knows, say) is told and
//! counted, and the one in service stays.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::state::ConfigRevision;
use llm_router_cluster::{Revision, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::agreed::{Service, Unserved};
use super::deploy::Providers;
use crate::config::detect::Found;
use crate::config::file::File;
use crate::config::seal::Seal;
use crate::config::{Problems, RoutingConfig, check, parse};
use crate::error::{Error, Kind};
use crate::inference::Engine;

/// Most problems of a config told as the reason why it is not served.
const MAX_REASONS: usize = 5;
/// Tries at start to put a config in service where only a moment was bad, and the pause between
/// them: the next best is served after that.
const TRIES: (usize, Duration) = (3, Duration::from_secs(1));
/// Pauses before such a config is tried again while it is followed: from the first it doubles up to
/// the longest, for as long as it is the newest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Follows the agreed state.
pub(super) struct Following {
    engine: Engine,
    seal: Seal,
    found: Found,
    providers: tokio::sync::Mutex<Providers>,
    service: watch::Sender<Service>,
}

/// The routing part of an agreed revision, as this version reads it.
///
/// # Errors
/// [`Problems`] when it cannot, which only a newer version can bring about.
pub(super) fn read(agreed: &ConfigRevision) -> Result<RoutingConfig, Problems> {
    let name = format!("revision {}", agreed.revision);
    parse(&agreed.text, &name).map(|parsed| parsed.routing)
}

/// The same, quickly: what is agreed on is plain JSON that was checked before. The reader that knows
/// places and reasons is for what does not fit. Not for comparing: numbers may differ in the last
/// digit from how a file's are read.
fn read_quickly(agreed: &ConfigRevision) -> Result<RoutingConfig, Problems> {
    match serde_json::from_str::<File>(&agreed.text) {
        Ok(file) => {
            let (_, routing) = file.split();
            match check::routing(&routing).is_empty() {
                true => Ok(routing),
                false => read(agreed),
            }
        }
        Err(_) => read(agreed),
    }
}

impl Following {
    /// A follower, and where it says what is in service.
    pub(super) fn new(
        engine: Engine,
        seal: Seal,
        found: Found,
    ) -> (Self, watch::Receiver<Service>) {
        let (service, told) = watch::channel(Service::default());
        let following = Following {
            engine,
            seal,
            found,
            providers: tokio::sync::Mutex::default(),
            service,
        };
        (following, told)
    }

    /// The first config in service: the newest agreed one that this node can serve, else its own
    /// default. Needs no quorum.
    ///
    /// # Errors
    /// Not even the default can be served.
    pub(super) async fn begin(&self, state: &State, default: RoutingConfig) -> Result<(), Error> {
        let mut newest_problem = None;
        for agreed in state.config().history() {
            let served = patiently(async || self.serve(agreed).await, |problem| problem.passing);
            match served.await {
                Ok(()) => {
                    self.tell(agreed.revision, newest_problem);
                    return Ok(());
                }
                Err(problem) => {
                    refused(&problem);
                    newest_problem.get_or_insert(problem);
                }
            }
        }
        patiently(
            async || self.deploy(Revision(0), default.clone()).await,
            is_passing,
        )
        .await?;
        self.tell(Revision(0), newest_problem);
        Ok(())
    }

    /// Follows until `shutdown`. What cannot be served for a moment is tried again until it can.
    pub(super) async fn run(
        self,
        mut states: watch::Receiver<Arc<State>>,
        shutdown: CancellationToken,
    ) {
        let mut pause = None;
        loop {
            let state = Arc::clone(&states.borrow_and_update());
            self.step(&state).await;
            let passing = self.service.borrow().is_passing();
            pause = passing.then(|| next_pause(pause));
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = states.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    pause = None;
                }
                () = rest(pause) => {}
            }
        }
    }

    async fn step(&self, state: &State) {
        let Some(agreed) = state.config().current() else {
            return;
        };
        let before = self.service.borrow().clone();
        let first_time = before.newest() != agreed.revision;
        if !first_time && !before.is_passing() {
            return;
        }
        let served = self.serve(agreed).await;
        if first_time || served.is_ok() {
            self.engine.metrics().config_reloaded(served.is_ok());
        }
        match served {
            Ok(()) => {
                tracing::info!(revision = agreed.revision.0, by = %agreed.by, "agreed config in service");
                self.tell(agreed.revision, None);
            }
            Err(problem) => {
                if first_time {
                    refused(&problem);
                }
                let in_service = self.service.borrow().revision;
                self.tell(in_service, Some(problem));
            }
        }
    }

    fn tell(&self, revision: Revision, problem: Option<Unserved>) {
        self.service.send_replace(Service { revision, problem });
    }

    async fn serve(&self, agreed: &ConfigRevision) -> Result<(), Unserved> {
        let unserved = |reason, passing| Unserved {
            revision: agreed.revision,
            reason,
            passing,
        };
        let routing =
            read_quickly(agreed).map_err(|problems| unserved(reasons(&problems), false))?;
        let deployed = self.deploy(agreed.revision, routing).await;
        deployed.map_err(|error| unserved(error.to_string(), is_passing(&error)))
    }

    async fn deploy(&self, revision: Revision, mut routing: RoutingConfig) -> Result<(), Error> {
        self.found.fill(&mut routing);
        let mut providers = self.providers.lock().await;
        let (engine, seal) = (&self.engine, &self.seal);
        providers.apply(engine, seal, revision, routing).await
    }
}

/// At start: tries again where only a moment was bad, a few times.
async fn patiently<E>(
    attempt: impl AsyncFn() -> Result<(), E>,
    passing: impl Fn(&E) -> bool,
) -> Result<(), E> {
    let (tries, pause) = TRIES;
    for _ in 1..tries {
        match attempt().await {
            Err(error) if passing(&error) => tokio::time::sleep(pause).await,
            settled => return settled,
        }
    }
    attempt().await
}

/// Only a moment was bad: actors are being restarted.
fn is_passing(error: &Error) -> bool {
    error.kind == Kind::Unavailable
}

fn next_pause(before: Option<Duration>) -> Duration {
    let (first, longest) = PAUSES;
    before.map_or(first, |before| (before * 2).min(longest))
}

async fn rest(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

fn refused(problem: &Unserved) {
    tracing::error!(
        revision = problem.revision.0,
        reason = %problem.reason,
        "this node cannot serve the agreed config; the one in service stays"
    );
}

/// The first problems in a line.
fn reasons(problems: &Problems) -> String {
    let told: Vec<String> = problems
        .problems
        .iter()
        .take(MAX_REASONS)
        .map(|problem| match problem.path.as_str() {
            "" => problem.message.clone(),
            path => format!("{path}: {}", problem.message),
        })
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm_router_cluster::Revision;
    use llm_router_cluster::state::ConfigRevision;

    use super::{PAUSES, is_passing, next_pause, read_quickly};
    use crate::config::seal::Seal;
    use crate::config::{canonical, parse};
    use crate::error::{Error, Kind};

    const RICH: &str = r#"
models:
  fast: { provider: ollama, model: "llama3:8b", base_url: "http://127.0.0.1:11434", max_concurrency: 2,
          options: { temperature: 1 }, limits: { rpm: 60 } }
  cloud: { provider: openai, model: gpt-4o, api_key: { env: KEY }, price: { input_per_mtok: 2.5, output_per_mtok: 10 },
           timeouts: { connect: 2s }, health: { path: /healthz } }
  other: { provider: openai, model: gpt-4o, api_key: sk-this-is-a-literal }
routes:
  - { name: critical, match: { priority: critical }, targets: [fast], fallback: [cloud] }
  - { name: rest, targets: [fast, other], strategy: ordered }
circuit_breaker: { failure_threshold: 5, recovery_timeout: 60s, success_threshold: 3 }
cache: { enabled: true, similarity_threshold: 0.92, ttl: 24h, max_entries: 10000, max_temperature: 0.3 }
retry: { max_attempts: 3, backoff: { base: 100ms, max: 2s }, budget: 0.2 }
"#;

    fn revision(text: &str) -> ConfigRevision {
        ConfigRevision {
            revision: Revision(1),
            text: text.to_owned(),
            by: String::new(),
            note: String::new(),
            at_ms: 0,
        }
    }

    #[test]
    fn what_is_agreed_reads_the_same_as_a_file_and_unknown_keys_are_told() {
        let seal = Seal::new([7; 32]);
        let said = parse(RICH, "test").unwrap().routing;
        let agreed = canonical::text(&said, None, &seal).unwrap();
        let quick = read_quickly(&revision(&agreed)).unwrap();
        let slow = parse(&agreed, "test").unwrap().routing;
        let of = |routing| canonical::digest(routing, None, &seal);
        assert_eq!(of(&quick), of(&slow));
        assert_eq!(of(&quick), of(&said));
        let newer = agreed.replacen('{', "{\"from_the_future\":1,", 1);
        let told = read_quickly(&revision(&newer)).unwrap_err().to_string();
        assert!(told.contains("from_the_future"), "{told}");
    }

    #[test]
    fn a_moment_is_waited_out_in_growing_steps_and_a_refusal_is_not() {
        let pauses: Vec<Duration> = std::iter::successors(Some(next_pause(None)), |before| {
            Some(next_pause(Some(*before)))
        })
        .take(8)
        .collect();
        assert_eq!((pauses[0], pauses[1]), (PAUSES.0, PAUSES.0 * 2));
        assert_eq!(pauses[7], PAUSES.1);
        assert!(is_passing(&Error::new(Kind::Unavailable, "restarting")));
        assert!(!is_passing(&Error::new(
            Kind::InvalidConfig,
            "no such option"
        )));
    }
}
