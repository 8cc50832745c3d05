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
use super::deploy::apply;
use crate::config::detect::Found;
use crate::config::seal::Seal;
use crate::config::{Problems, RoutingConfig, parse};
use crate::error::{Error, Kind};
use crate::inference::Engine;

/// Most problems of a config told as the reason why it is not served.
const MAX_REASONS: usize = 5;
/// Tries to put a config in service where only a moment was bad, and the pause between them.
const TRIES: (usize, Duration) = (3, Duration::from_secs(1));

/// Follows the agreed state.
pub(super) struct Following {
    engine: Engine,
    seal: Seal,
    found: Found,
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
            match self.serve(agreed).await {
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
        self.deploy(Revision(0), default).await?;
        self.tell(Revision(0), newest_problem);
        Ok(())
    }

    /// Follows until `shutdown`.
    pub(super) async fn run(
        self,
        mut states: watch::Receiver<Arc<State>>,
        shutdown: CancellationToken,
    ) {
        loop {
            let state = Arc::clone(&states.borrow_and_update());
            self.step(&state).await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = states.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn step(&self, state: &State) {
        let Some(agreed) = state.config().current() else {
            return;
        };
        if agreed.revision == self.newest_seen() {
            return;
        }
        let served = self.serve(agreed).await;
        self.engine.metrics().config_reloaded(served.is_ok());
        match served {
            Ok(()) => {
                tracing::info!(revision = agreed.revision.0, by = %agreed.by, "agreed config in service");
                self.tell(agreed.revision, None);
            }
            Err(problem) => {
                refused(&problem);
                let in_service = self.service.borrow().revision;
                self.tell(in_service, Some(problem));
            }
        }
    }

    fn newest_seen(&self) -> Revision {
        let service = self.service.borrow();
        let refused = service.problem.as_ref().map(|problem| problem.revision);
        refused.unwrap_or(service.revision)
    }

    fn tell(&self, revision: Revision, problem: Option<Unserved>) {
        self.service.send_replace(Service { revision, problem });
    }

    async fn serve(&self, agreed: &ConfigRevision) -> Result<(), Unserved> {
        let unserved = |reason| Unserved {
            revision: agreed.revision,
            reason,
        };
        let routing = read(agreed).map_err(|problems| unserved(reasons(&problems)))?;
        let deployed = self.deploy(agreed.revision, routing).await;
        deployed.map_err(|error| unserved(error.to_string()))
    }

    /// Tries again where only a moment was bad: actors being restarted.
    async fn deploy(&self, revision: Revision, mut routing: RoutingConfig) -> Result<(), Error> {
        self.found.fill(&mut routing);
        let (mut tries, pause) = TRIES;
        loop {
            tries -= 1;
            match apply(&self.engine, &self.seal, revision, routing.clone()).await {
                Err(error) if error.kind == Kind::Unavailable && tries > 0 => {
                    tokio::time::sleep(pause).await;
                }
                settled => return settled,
            }
        }
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
