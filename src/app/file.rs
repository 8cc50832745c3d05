//! A node's config file beside what the nodes agreed on: proposes its changes, and tells when the
//! two differ.

mod standing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::command::Change as Agreement;
use llm_router_cluster::{Author, Error as Refusal, Handle, Revision, State};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agreed::CHANGE_PATIENCE;
use super::deploy::unservable;
use super::follow;
use super::in_step::{InStep, Sides, Standing};
use crate::config::difference::between;
use crate::config::seal::Seal;
use crate::config::watch::{Change, News};
use crate::config::{Problems, RoutingConfig, canonical};
use crate::telemetry::Metrics;

pub use standing::FileStanding;

/// Most differences told of a file; `config diff` tells all.
const MAX_TOLD: usize = 20;
/// First pause before a proposal that found no quorum is made again: just after the start, the
/// first leader is being elected. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Tries that go unmentioned, for an election is soon over.
const QUIET_TRIES: u32 = 3;

/// What the keeper works with.
pub(super) struct Surroundings {
    /// The cluster.
    pub(super) cluster: Handle,
    /// Its key for secrets.
    pub(super) seal: Seal,
    /// Where refusals are counted.
    pub(super) metrics: Metrics,
    /// Where it is noted when both last said the same.
    pub(super) note: PathBuf,
}

/// Keeps a file and the agreed config in step.
pub(super) struct Keeper {
    around: Surroundings,
    path: PathBuf,
    routing: RoutingConfig,
    last: Option<InStep>,
    seen: Option<Revision>,
    proposal: Option<Proposal>,
    told: watch::Sender<FileStanding>,
}

/// A change of the file on its way into the log.
struct Proposal {
    change: Agreement,
    author: Author,
    when: Instant,
    tries: u32,
}

impl Keeper {
    /// Looks at both sides as they are at start. `alone`: the cluster has no other member.
    pub(super) fn begin(
        around: Surroundings,
        (path, routing): (PathBuf, RoutingConfig),
        alone: bool,
    ) -> (Self, watch::Receiver<FileStanding>) {
        let last = InStep::read(&around.note, around.cluster.cluster().as_str());
        let (told, standing) = watch::channel(FileStanding::silent(path.clone()));
        let mut keeper = Keeper {
            around,
            path,
            routing,
            last,
            seen: None,
            proposal: None,
            told,
        };
        let state = keeper.around.cluster.state();
        let on = keeper.compare(&state, |sides| sides.propose_at_start(alone));
        match on {
            Some(on) => keeper.propose(&state, on),
            None => keeper.complain(),
        }
        (keeper, standing)
    }

    /// A proposal is on its way.
    pub(super) fn is_proposing(&self) -> bool {
        self.proposal.is_some()
    }

    /// Keeps them in step until `shutdown`.
    pub(super) async fn run(
        mut self,
        mut news: mpsc::Receiver<News>,
        mut states: watch::Receiver<Arc<State>>,
        shutdown: CancellationToken,
    ) {
        loop {
            let when = self.proposal.as_ref().map(|proposal| proposal.when);
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(heard) = news.recv() => self.hear(heard),
                changed = states.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look();
                }
                () = at(when) => self.deliver().await,
            }
        }
    }

    /// The agreed config moved on.
    fn look(&mut self) {
        let state = self.around.cluster.state();
        if self.seen != Some(state.revision()) {
            self.compare(&state, |_| None);
        }
    }

    /// The file changed.
    fn hear(&mut self, heard: News) {
        let Change {
            routing,
            needs_restart,
            warnings,
        } = match heard {
            Ok(change) => change,
            Err(problems) => {
                self.around.metrics.config_reloaded(false);
                tracing::error!("changed config refused, the old one stays:\n{problems}");
                return;
            }
        };
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        for key in &needs_restart {
            tracing::warn!(key, "changed setting needs a restart");
        }
        self.routing = routing;
        self.proposal = None;
        let state = self.around.cluster.state();
        match self.compare(&state, |sides| sides.propose_on_change()) {
            Some(on) => self.propose(&state, on),
            None => {
                self.tell_waiting();
                self.complain();
            }
        }
    }

    /// Compares both sides, notes when they are in step, tells how they stand, and lets `decide`
    /// say on which revision to propose the file.
    fn compare(
        &mut self,
        state: &State,
        decide: impl FnOnce(&Sides<'_>) -> Option<Revision>,
    ) -> Option<Revision> {
        self.seen = Some(state.revision());
        if !canonical::says_something(&self.routing) && self.last.is_none() {
            // nothing to compare, now and as far as is known before
            self.told.send_modify(|told| {
                told.stands(Standing::Silent, (state.revision(), None));
                told.changes.clear();
            });
            return None;
        }
        let seal = &self.around.seal;
        let agreed = state.config().current();
        let in_force = agreed.and_then(|agreed| follow::read(agreed).ok());
        if agreed.is_some() && in_force.is_none() {
            return None; // what cannot be read cannot be compared; the follower has said so
        }
        let digest = |routing, known| canonical::digest(routing, known, seal).to_hex().to_string();
        let file = canonical::says_something(&self.routing)
            .then(|| digest(&self.routing, in_force.as_ref()));
        let in_force_digest = in_force.as_ref().map(|routing| digest(routing, None));
        let sides = Sides {
            file: file.as_deref(),
            agreed: in_force_digest
                .as_deref()
                .map(|digest| (state.revision(), digest)),
            last: self.last.as_ref(),
        };
        let (standing, decided) = (sides.standing(), decide(&sides));
        let changes = match (standing, &in_force) {
            (Standing::Differs(_), Some(agreed)) => between(agreed, &self.routing, seal),
            (_, _) => Vec::new(),
        };
        if let (Standing::InStep, Some(digest)) = (standing, file) {
            self.note(digest, state.revision());
        }
        let last = self.last.as_ref().map(|last| last.revision);
        self.told.send_modify(|told| {
            told.stands(standing, (state.revision(), last));
            told.changes = changes.into_iter().take(MAX_TOLD).collect();
        });
        decided
    }

    fn note(&mut self, digest: String, revision: Revision) {
        let noted = InStep {
            cluster: self.around.cluster.cluster().as_str().to_owned(),
            digest,
            revision,
        };
        if self.last.as_ref() == Some(&noted) {
            return;
        }
        if let Err(error) = noted.write(&self.around.note) {
            // after a restart the file then counts as never in step: more is asked, nothing lost
            tracing::warn!(%error, "cannot note that file and agreed config are in step");
        }
        self.last = Some(noted);
    }

    fn propose(&mut self, state: &State, on: Revision) {
        let agreed = state.config().current();
        let in_force = agreed.and_then(|agreed| follow::read(agreed).ok());
        let seal = &self.around.seal;
        let unservable = unservable(&self.routing, seal);
        let text = match unservable.is_empty() {
            true => canonical::text(&self.routing, in_force.as_ref(), seal),
            false => Err(unservable),
        };
        let text = match text {
            Ok(text) => text,
            Err(found) => {
                let source = self.path.display().to_string();
                let problems = Problems::without_text(&source, found);
                self.refuse(&problems.to_string());
                return;
            }
        };
        let change = Agreement::Config {
            expected: Some(on),
            text,
            note: self.path.display().to_string(),
        };
        self.proposal = Some(Proposal {
            change,
            author: Author::new(format!("file on {}", self.around.cluster.node())),
            when: Instant::now(),
            tries: 0,
        });
        self.tell_waiting();
    }

    /// Tries to have the change agreed on; tries again under the same id where only the moment was
    /// bad, for then it may have been agreed on already.
    async fn deliver(&mut self) {
        let Some(mut proposal) = self.proposal.take() else {
            return;
        };
        let (change, author) = (proposal.change.clone(), proposal.author.clone());
        let proposed = self
            .around
            .cluster
            .propose(change, author, CHANGE_PATIENCE)
            .await;
        let outcome = proposed
            .as_ref()
            .map_or_else(super::agreed::outcome, |_| "ok");
        self.around.metrics.proposed("config", outcome);
        match proposed {
            Ok(_) => {
                tracing::info!(path = %self.path.display(), "the file is agreed on");
                let state = self.around.cluster.state();
                self.compare(&state, |_| None);
            }
            Err(refusal) if is_passing(&refusal) => {
                proposal.tries += 1;
                if proposal.tries == QUIET_TRIES {
                    tracing::warn!(%refusal, "the changed file waits to be agreed on");
                }
                let pause = FIRST_PAUSE * (1 << proposal.tries.min(5));
                proposal.when = Instant::now() + pause.min(LONGEST_PAUSE);
                self.proposal = Some(proposal);
            }
            Err(refusal) => self.refuse(&refusal.to_string()),
        }
        self.tell_waiting();
    }

    fn refuse(&self, reason: &str) {
        self.around.metrics.config_reloaded(false);
        tracing::error!(
            path = %self.path.display(),
            "the file is not agreed on, the agreed config stays: {reason}"
        );
        self.complain();
    }

    /// Says how they differ, and what resolves it.
    fn complain(&self) {
        let told = self.told.borrow();
        let Some(difference) = told.difference() else {
            return;
        };
        let changes: Vec<String> = told.changes.iter().map(|c| format!("  {c}")).collect();
        let lines = [vec![difference], changes, told.remedies()].concat();
        tracing::warn!("{}", lines.join("\n"));
    }

    fn tell_waiting(&self) {
        let waiting = self.proposal.is_some();
        self.told.send_if_modified(|told| {
            let news = told.waiting != waiting;
            told.waiting = waiting;
            news
        });
    }
}

/// The same proposal can succeed a moment from now.
fn is_passing(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NoQuorum { .. }
        | Refusal::Timeout
        | Refusal::DiskFull { .. }
        | Refusal::Busy
        | Refusal::Unreachable { .. } => true,
        Refusal::Behind { .. }
        | Refusal::Rejected(_)
        | Refusal::Refused(_)
        | Refusal::Store(_)
        | Refusal::Stopped => false,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
