//! The keys of the cluster: made, listed, revoked, rotated through agreement; checked on this node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use llm_router_cluster::command::{Change, Done};
use llm_router_cluster::state::KeyRecord;
use llm_router_cluster::{Author, Consistency, Error as Refusal, Rejected, State};

use super::agreement::Agreement;
use super::caller::{Caller, Scope, scopes};
use super::judge::{Now, Refused, judge};
use super::new::{NewKey, millis};
use super::shown::{KeyShown, Made};
use super::text::KeyText;
use crate::error::{Error, Kind};
use crate::types::{Moment, unix_millis};

/// How long a change may take: an election fits, a client that waits does not give up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits for the newest state.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// How long the secret before a rotation is taken, unless its owner says another time.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// Longest of those times: after it a lost secret would be as good as never replaced.
const MAX_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why the last key that can make others stays while others are in force.
const LAST_ADMIN: &str = "this is the last key with the scope `admin` that does not expire; make \
                          another before it is revoked, or revoke the other keys first";

/// The keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    agreement: Option<Arc<dyn Agreement>>,
    /// Without a key in force nobody is let in: some door can be reached from other machines.
    guarded: bool,
    since: Moment,
    glance: ArcSwapOption<Glance>,
}

/// Whether a table asks for keys, remembered for as long as the table is the same. Holding its
/// state keeps the table's place in memory from being given to another.
#[derive(Debug)]
struct Glance {
    state: Arc<State>,
    demanded: bool,
}

impl Keys {
    /// Of a node that is in no cluster: it has none, and asks for none.
    pub fn none() -> Self {
        Keys::assemble(None, false)
    }

    /// Those agreed on. `guarded`: without a key in force nobody is let in, for some door can be
    /// reached from other machines and nothing else does the asking.
    pub fn of(agreement: Arc<dyn Agreement>, guarded: bool) -> Self {
        Keys::assemble(Some(agreement), guarded)
    }

    fn assemble(agreement: Option<Arc<dyn Agreement>>, guarded: bool) -> Self {
        Keys {
            inner: Arc::new(Inner {
                agreement,
                guarded,
                since: Moment::now(),
                glance: ArcSwapOption::empty(),
            }),
        }
    }

    /// There is a key in force, so that callers are asked for one. An expired key still counts:
    /// that its time is over must not open the doors.
    pub fn demanded(&self) -> bool {
        let Some(agreement) = &self.inner.agreement else {
            return false;
        };
        self.demanded_by(agreement.state())
    }

    fn demanded_by(&self, state: Arc<State>) -> bool {
        if let Some(glance) = &*self.inner.glance.load()
            && std::ptr::eq(glance.state.keys(), state.keys())
        {
            return glance.demanded;
        }
        let demanded = state.keys().values().any(is_in_force);
        let glance = Glance { state, demanded };
        self.inner.glance.store(Some(Arc::new(glance)));
        demanded
    }

    /// Waits until there is a key in force, as a node that has just joined must hear of it first.
    pub async fn wait_until_demanded(&self, patience: Duration) -> bool {
        let Some(agreement) = &self.inner.agreement else {
            return false;
        };
        let mut states = agreement.watch();
        let seen = states.wait_for(|state| state.keys().values().any(is_in_force));
        matches!(tokio::time::timeout(patience, seen).await, Ok(Ok(_)))
    }

    /// Who calls with this credential. Without a key in force: anyone, and nothing is looked at.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, credential: Option<&str>) -> Result<Caller, Refused> {
        let Some(agreement) = &self.inner.agreement else {
            return Ok(Caller::anyone());
        };
        let state = agreement.state();
        if !self.demanded_by(Arc::clone(&state)) {
            if state.cluster().is_none() {
                return Err(Refused::Joining); // an empty table says nothing yet
            }
            return match self.inner.guarded {
                true => Err(Refused::NoKeys),
                false => Ok(Caller::anyone()),
            };
        }
        let presented = KeyText::parse(credential.ok_or(Refused::Missing)?)?;
        let now = Now {
            wall_ms: wall_ms(&state),
            silence: self.silence(agreement.as_ref()),
        };
        judge(state.keys(), &presented, &now)
    }

    /// Since this node started, where it has heard of no leader yet.
    fn silence(&self, agreement: &dyn Agreement) -> Duration {
        agreement
            .silence()
            .unwrap_or_else(|| Moment::now().since(self.inner.since))
    }

    /// The state a key is made from. That there is none in force opens the doors to anyone, so that
    /// is asked of the whole cluster before somebody makes the first.
    async fn before_another(&self, caller: &Caller) -> Result<Arc<State>, Error> {
        let agreement = self.agreement()?;
        let state = agreement.state();
        if state.keys().values().any(is_in_force) {
            return Ok(state);
        }
        let state = newest(agreement).await?;
        if *caller == Caller::anyone() && state.keys().values().any(is_in_force) {
            return Err(Refused::Missing.into());
        }
        Ok(state)
    }

    /// Makes a key. The first one has the scope `admin` and never expires: every other would lock
    /// its makers out.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a scope the caller lacks, [`Kind::InvalidRequest`] for a key that
    /// cannot be, [`Kind::Conflict`] for a repeat: the secret cannot be shown again; otherwise the
    /// cluster's.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewKey,
        author: Author,
    ) -> Result<Made, Error> {
        let state = self.before_another(caller).await?;
        let first = !state.keys().values().any(is_in_force);
        let scopes = new.scopes_or_default(first);
        scopes.iter().try_for_each(|scope| caller.need(*scope))?;
        let opens_admin = scopes.contains(&Scope::Admin) && new.is_permanent();
        if !opens_admin && !state.keys().values().any(keeps_admin_open) {
            let problem = "the first key needs the scope `admin` and must not expire: with any \
                           other nobody could make the next one";
            return Err(Error::new(Kind::InvalidRequest, problem).with_param("scopes"));
        }
        let text = KeyText::generate();
        let record = new.record(&text, &scopes, wall_ms(&state))?;
        let id = record.id.clone();
        let change = Change::CreateKey(record.clone());
        self.change(change, author, &id).await?;
        // agreed is agreed: where this node lags behind, the key is shown as it was proposed
        let (state, now_ms) = (self.agreement()?.state(), unix_millis());
        let proposed = KeyRecord {
            created_ms: now_ms,
            ..record
        };
        let shown = state.keys().get(&id).unwrap_or(&proposed);
        let shown = KeyShown::of(shown, wall_ms(&state));
        Ok(Made::new(text, shown))
    }

    /// Every key, revoked ones included, the newest first.
    ///
    /// # Errors
    /// [`Kind::NoQuorum`] when they cannot be known as fresh as asked.
    pub async fn list(&self, consistency: Consistency) -> Result<Vec<KeyShown>, Error> {
        let Some(agreement) = &self.inner.agreement else {
            return Ok(Vec::new());
        };
        let state = agreement.read(consistency, READ_PATIENCE).await?;
        let now_ms = wall_ms(&state);
        let shown = |record| KeyShown::of(record, now_ms);
        let mut keys: Vec<KeyShown> = state.keys().values().map(shown).collect();
        keys.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        Ok(keys)
    }

    /// Refuses a key from now on, on every node that hears of it. Revoking twice is revoking once.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] for the last key that keeps administration open while
    /// others are in force; otherwise the cluster's.
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: &str,
        author: Author,
    ) -> Result<KeyShown, Error> {
        let state = self.agreement()?.state();
        let record = find(state.keys(), id)?;
        permit(caller, record)?;
        let others = || state.keys().values().filter(|other| other.id != id);
        if keeps_admin_open(record) && !others().any(keeps_admin_open) && others().any(is_in_force)
        {
            return Err(Error::new(Kind::Conflict, LAST_ADMIN));
        }
        let change = Change::RevokeKey { id: id.to_owned() };
        self.change(change, author, id)
            .await
            .map_err(|error| match is_last(&error) {
                true => Error::new(Kind::Conflict, LAST_ADMIN).with_source(error),
                false => error,
            })?;
        let state = self.agreement()?.state();
        let mut revoked = find(state.keys(), id)?.clone();
        // agreed is agreed, also where this node has not applied it yet
        revoked.revoked_ms = revoked.revoked_ms.or(Some(wall_ms(&state)));
        Ok(KeyShown::of(&revoked, wall_ms(&state)))
    }

    /// Gives a key another secret; the one before it is taken for `grace`, a
    /// day when not said.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Forbidden`] for a key with a scope the caller lacks; otherwise
    /// as [`Keys::create`].
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: &str,
        grace: Option<Duration>,
        author: Author,
    ) -> Result<Made, Error> {
        let state = self.agreement()?.state();
        let record = find(state.keys(), id)?;
        permit(caller, record)?;
        let grace = grace.unwrap_or(GRACE);
        if grace > MAX_GRACE {
            let problem = "field `grace` must be at most 30d";
            return Err(Error::new(Kind::InvalidRequest, problem).with_param("grace"));
        }
        let text = KeyText::generate_for(id);
        let digest = text.digest().to_hex().to_string();
        let change = Change::RotateKey {
            id: id.to_owned(),
            digest: digest.clone(),
            grace_until_ms: wall_ms(&state).saturating_add(millis(grace)),
        };
        self.change(change, author, id).await?;
        let agreement = self.agreement()?;
        let has_it = |state: &State| state.keys().get(id).is_some_and(|key| key.digest == digest);
        let mut state = agreement.state();
        if !has_it(&state) {
            // a repeat, or this node lags behind: only the newest state tells
            state = newest(agreement).await?;
        }
        match has_it(&state) {
            true => {
                let shown = KeyShown::of(find(state.keys(), id)?, wall_ms(&state));
                Ok(Made::new(text, shown))
            }
            false => Err(repeated()),
        }
    }

    /// Agrees on a change of this key; a repeat that changed another one before is told apart.
    async fn change(&self, change: Change, author: Author, id: &str) -> Result<(), Error> {
        let done = self.agreement()?.propose(change, author, PATIENCE).await?;
        if done == (Done::Key { id: id.to_owned() }) {
            Ok(())
        } else {
            Err(repeated())
        }
    }

    fn agreement(&self) -> Result<&dyn Agreement, Error> {
        let agreement = self.inner.agreement.as_deref();
        agreement.ok_or_else(|| Error::new(Kind::Unavailable, "this node is in no cluster"))
    }
}

/// The later of this node's clock and the agreed one.
fn wall_ms(state: &State) -> u64 {
    unix_millis().max(state.clock_ms())
}

fn is_in_force(record: &KeyRecord) -> bool {
    record.revoked_ms.is_none()
}

/// It can make other keys, for as long as it is not revoked.
fn keeps_admin_open(record: &KeyRecord) -> bool {
    is_in_force(record)
        && record.expires_ms.is_none()
        && scopes(record).any(|scope| scope == Scope::Admin)
}

/// Nobody changes a key that may do more than they may.
fn permit(caller: &Caller, record: &KeyRecord) -> Result<(), Refused> {
    scopes(record).try_for_each(|scope| caller.need(scope))
}

fn find<'a>(keys: &'a BTreeMap<String, KeyRecord>, id: &str) -> Result<&'a KeyRecord, Error> {
    keys.get(id)
        .ok_or_else(|| Error::new(Kind::NotFound, "no key of that id"))
}

/// With nothing missing that was acknowledged before.
async fn newest(agreement: &dyn Agreement) -> Result<Arc<State>, Refusal> {
    agreement
        .read(Consistency::Linearizable, READ_PATIENCE)
        .await
}

/// Two of them were revoked at once, through two nodes: the state itself refused one.
fn is_last(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let refused = source.and_then(|source| source.downcast_ref());
    matches!(refused, Some(Refusal::Rejected(Rejected::Exists { .. })))
}

fn repeated() -> Error {
    let problem = "this request was carried out before; the secret it made cannot be shown again";
    Error::new(Kind::Conflict, problem)
}

#[cfg(test)]
mod tests;
