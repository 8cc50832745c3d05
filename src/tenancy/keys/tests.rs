use super::super::testing::Alone;
use super::*;

const BOTH: [Scope; 2] = [Scope::Use, Scope::Admin];

fn keys() -> (Arc<Alone>, Keys) {
    let alone = Alone::new();
    (Arc::clone(&alone), Keys::of(alone, false))
}

fn by() -> Author {
    Author::new("operator")
}

async fn made(keys: &Keys, new: NewKey) -> Result<Made, Error> {
    keys.create(&Caller::anyone(), new, by()).await
}

/// A cluster with one key that may do everything.
async fn with_admin() -> (Arc<Alone>, Keys, Made) {
    let (alone, keys) = keys();
    let admin = made(&keys, NewKey::named("ops")).await.unwrap();
    (alone, keys, admin)
}

fn kind<T: std::fmt::Debug>(settled: Result<T, Error>) -> Kind {
    settled.unwrap_err().kind
}

#[tokio::test]
async fn without_keys_anyone_may_do_everything_unless_the_door_is_guarded() {
    let (_, open) = keys();
    assert_eq!(open.check(Some("whatever")), Ok(Caller::anyone()));
    assert_eq!(Keys::none().check(None), Ok(Caller::anyone()));
    let guarded = Keys::of(Alone::new(), true);
    assert_eq!(guarded.check(None), Err(Refused::NoKeys));
}

#[tokio::test]
async fn from_the_first_key_on_everybody_needs_one() {
    let (_, keys, admin) = with_admin().await;
    assert!(keys.demanded());
    assert_eq!(keys.check(None), Err(Refused::Missing));
    assert_eq!(keys.check(Some("unused")), Err(Refused::Malformed));
    let other = KeyText::generate();
    assert_eq!(keys.check(Some(other.expose())), Err(Refused::Unknown));
    let caller = keys.check(Some(admin.text())).unwrap();
    assert!(BOTH.iter().all(|scope| caller.may(*scope)));
    assert_eq!(caller.name(), format!("key {}", admin.shown().id));
}

#[tokio::test]
async fn a_first_key_that_would_lock_its_maker_out_is_refused() {
    let (_, keys) = keys();
    let day = Duration::from_secs(86_400);
    for new in [
        NewKey::named("a").scopes([Scope::Use]),
        NewKey::named("a").scopes(BOTH).expires_after(day),
    ] {
        assert_eq!(kind(made(&keys, new).await), Kind::InvalidRequest);
    }
    assert!(!keys.demanded());
}

#[tokio::test]
async fn nobody_makes_or_changes_a_key_that_may_do_more_than_they() {
    let (_, keys, admin) = with_admin().await;
    let user = made(&keys, NewKey::named("app")).await.unwrap();
    let user = keys.check(Some(user.text())).unwrap();
    assert!(!user.may(Scope::Admin));
    let new = NewKey::named("b").scopes(BOTH);
    assert_eq!(kind(keys.create(&user, new, by()).await), Kind::Forbidden);
    let id = &admin.shown().id;
    let rotated = keys.rotate(&user, id, None, by()).await;
    assert_eq!(kind(rotated), Kind::Forbidden);
    assert_eq!(kind(keys.revoke(&user, id, by()).await), Kind::Forbidden);
    let nobody = Caller::nobody();
    let new = NewKey::named("c");
    assert_eq!(kind(keys.create(&nobody, new, by()).await), Kind::Forbidden);
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_the_last_admin_key_stays_while_others_live() {
    let (_, keys, admin) = with_admin().await;
    let anyone = Caller::anyone();
    let user = made(&keys, NewKey::named("app")).await.unwrap();
    let last = keys.revoke(&anyone, &admin.shown().id, by()).await;
    assert_eq!(kind(last), Kind::Conflict);
    let shown = keys.revoke(&anyone, &user.shown().id, by()).await.unwrap();
    assert_eq!(shown.state, "revoked");
    assert_eq!(keys.check(Some(user.text())), Err(Refused::Revoked));
    keys.revoke(&anyone, &admin.shown().id, by()).await.unwrap();
    assert!(!keys.demanded(), "no key is left, so none is asked for");
    assert_eq!(
        kind(keys.revoke(&anyone, "nope", by()).await),
        Kind::NotFound
    );
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_both_secrets_work_for_the_grace() {
    let (_, keys, admin) = with_admin().await;
    let anyone = Caller::anyone();
    let id = admin.shown().id.clone();
    let fresh = keys.rotate(&anyone, &id, None, by()).await.unwrap();
    assert_eq!(fresh.shown().id, id);
    assert!(fresh.shown().previous_until_ms.is_some());
    assert!(keys.check(Some(admin.text())).is_ok());
    assert!(keys.check(Some(fresh.text())).is_ok());
    let at_once = Some(Duration::ZERO);
    let newest = keys.rotate(&anyone, &id, at_once, by()).await.unwrap();
    assert!(keys.check(Some(newest.text())).is_ok());
    assert_eq!(keys.check(Some(fresh.text())), Err(Refused::Unknown));
    assert_eq!(keys.check(Some(admin.text())), Err(Refused::Unknown));
    let long = Some(MAX_GRACE + Duration::from_secs(1));
    let refused = keys.rotate(&anyone, &id, long, by()).await;
    assert_eq!(kind(refused), Kind::InvalidRequest);
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_and_is_told_that_its_secret_is_gone() {
    let (_, keys, admin) = with_admin().await;
    let anyone = Caller::anyone();
    let author = by();
    let first = keys
        .create(&anyone, NewKey::named("a"), author.clone())
        .await;
    assert!(keys.check(Some(first.unwrap().text())).is_ok());
    let again = keys.create(&anyone, NewKey::named("a"), author).await;
    assert_eq!(kind(again), Kind::Conflict);
    assert_eq!(keys.list(Consistency::Local).await.unwrap().len(), 2);
    let (id, author) = (&admin.shown().id, by());
    let fresh = keys
        .rotate(&anyone, id, None, author.clone())
        .await
        .unwrap();
    let again = keys.rotate(&anyone, id, None, author).await;
    assert_eq!(kind(again), Kind::Conflict);
    assert!(keys.check(Some(fresh.text())).is_ok());
}

#[tokio::test]
async fn a_node_that_hears_of_no_leader_takes_keys_for_ten_minutes_and_makes_none() {
    let (alone, keys, admin) = with_admin().await;
    alone.silent_for(Duration::from_secs(599));
    assert!(keys.check(Some(admin.text())).is_ok());
    let new = made(&keys, NewKey::named("a")).await;
    assert_eq!(kind(new), Kind::NoQuorum);
    alone.silent_for(Duration::from_secs(601));
    let refused = keys.check(Some(admin.text()));
    assert!(matches!(refused, Err(Refused::Unconfirmed { .. })));
}

#[tokio::test]
async fn what_is_listed_holds_no_secret_and_no_digest() {
    let (alone, keys, admin) = with_admin().await;
    let shown = serde_json::to_string(&keys.list(Consistency::Local).await.unwrap()).unwrap();
    let secret = admin.text().split('_').nth(2).unwrap();
    let state = alone.state();
    let digest = &state.keys()[&admin.shown().id].digest;
    assert!(!shown.contains(secret) && !shown.contains(digest.as_str()));
    assert!(!format!("{admin:?}").contains(secret));
    let answer = serde_json::to_value(&admin).unwrap();
    assert_eq!(answer["key"], admin.text());
    assert_eq!(answer["name"], "ops");
}

#[tokio::test]
async fn whoever_waits_for_a_key_hears_of_the_first_one() {
    let (_, keys) = keys();
    assert!(!keys.wait_until_demanded(Duration::from_millis(1)).await);
    let waiting = keys.wait_until_demanded(Duration::from_secs(10));
    let making = made(&keys, NewKey::named("ops"));
    let (heard, made) = tokio::join!(waiting, making);
    assert!(heard && made.is_ok());
}

#[tokio::test]
async fn a_node_that_knows_nothing_yet_lets_nobody_in() {
    let joining = Keys::of(Alone::joining(), false);
    assert_eq!(joining.check(None), Err(Refused::Joining));
    assert_eq!(kind(joining.check(None).map_err(Error::from)), Kind::Behind);
}

#[tokio::test]
async fn a_first_key_is_none_where_the_cluster_has_one_that_this_node_has_not_heard_of() {
    let (alone, keys) = keys();
    alone.lag();
    made(&keys, NewKey::named("ops")).await.unwrap();
    // each try asks for the newest state, in which there is a key by now
    alone.lag();
    let late = made(&keys, NewKey::named("stranger")).await;
    assert_eq!(kind(late), Kind::Unauthenticated);
    assert_eq!(keys.list(Consistency::Linearizable).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_lags_behind_hands_out_the_key_it_proposed() {
    let (alone, keys, admin) = with_admin().await;
    let anyone = Caller::anyone();
    alone.lag();
    let made = made(&keys, NewKey::named("ci").tenant("t1")).await.unwrap();
    let shown = made.shown();
    assert_eq!((shown.tenant.as_str(), shown.state), ("t1", "active"));
    assert!(shown.created_ms > 0 && keys.check(Some(made.text())).is_err());
    let rotated = keys.rotate(&anyone, &admin.shown().id, None, by()).await;
    assert!(keys.check(Some(rotated.unwrap().text())).is_ok());
    let revoked = keys.revoke(&anyone, &shown.id, by()).await.unwrap();
    assert_eq!(revoked.state, "revoked");
}
