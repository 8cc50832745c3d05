//! `AdminService` over a real connection, in front of a real cluster of one.

use std::sync::Arc;
use std::time::Duration;

use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::admin_service_client::AdminServiceClient;
use llm_router_proto::llm_router::v1::router_service_client::RouterServiceClient;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::asking;
use crate::api::grpc::{GrpcDoor, ServeError};
use crate::app::testing::One;

const FILE: &str = "models: { a: { provider: demo, model: echo } }\n";

/// The door of a node; it closes when dropped.
struct Opened {
    one: One,
    channel: Channel,
    _serving: JoinSet<Result<(), ServeError>>,
}

async fn open() -> Opened {
    let one = One::begin(FILE).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let door = GrpcDoor::open(Arc::clone(&one.node)).await;
    let mut serving = JoinSet::new();
    let grace = Duration::from_secs(1);
    serving.spawn(door.serve(listener, CancellationToken::new(), grace));
    let channel = Channel::from_shared(address).unwrap().connect().await;
    Opened {
        one,
        channel: channel.unwrap(),
        _serving: serving,
    }
}

fn with<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer: MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn applying(config: &str, expected: Option<u64>) -> v1::ApplyConfigRequest {
    v1::ApplyConfigRequest {
        config: config.to_owned(),
        expected_revision: expected,
        note: Some("why".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_applied_shown_compared_and_rolled_back() {
    let opened = open().await;
    let mut admin = AdminServiceClient::new(opened.channel.clone());
    let more =
        "models: { a: { provider: demo, model: echo }, b: { provider: demo, model: lorem } }";
    let applied = admin.apply_config(applying(more, Some(1))).await.unwrap();
    assert_eq!(applied.into_inner().revision, 2);
    let shown = admin
        .get_config(v1::GetConfigRequest::default())
        .await
        .unwrap();
    assert_eq!(shown.metadata().get("x-llm-router-revision").unwrap(), "2");
    let shown = shown.into_inner();
    assert!(
        shown.revision == 2 && shown.config_json.contains("lorem"),
        "{shown:?}"
    );
    let asked = v1::DiffConfigRequest {
        from: Some(1),
        ..Default::default()
    };
    let found = admin.diff_config(asked).await.unwrap().into_inner().changes;
    assert!(
        found
            .iter()
            .any(|one| one.path == "models.b" && one.old.is_none()),
        "{found:?}"
    );
    let back = v1::RollbackConfigRequest {
        revision: 1,
        expected_revision: Some(2),
    };
    assert_eq!(
        admin
            .rollback_config(back)
            .await
            .unwrap()
            .into_inner()
            .revision,
        3
    );
    let past = admin
        .get_config_history(v1::GetConfigHistoryRequest::default())
        .await;
    let past = past.unwrap().into_inner().revisions;
    let notes: Vec<u64> = past.iter().map(|one| one.revision).collect();
    assert_eq!((notes, past[1].note.as_str()), (vec![3, 2, 1], "why"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_what_a_program_needs_to_know() {
    let opened = open().await;
    let mut admin = AdminServiceClient::new(opened.channel.clone());
    let stale = admin
        .apply_config(applying("cache: { ttl: 1m }", Some(9)))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let info = stale
        .get_error_details()
        .error_info()
        .unwrap()
        .metadata
        .clone();
    assert_eq!(
        (&*info["expected_revision"], &*info["current_revision"]),
        ("9", "1")
    );
    let speedy = "models: { a: { provider: demo, model: echo, options: { speed: 1 } } }";
    let refused = admin
        .apply_config(applying(speedy, None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "models.a"
    );
    let asked = v1::SetBreakerModeRequest {
        model: "a".to_owned(),
        mode: v1::BreakerMode::ForceOpen.into(),
    };
    admin.set_breaker_mode(asked.clone()).await.unwrap();
    opened.one.cluster.shutdown().await;
    let refused = admin.set_breaker_mode(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_rotated_and_revoked_and_asked_for_from_the_first_on() {
    let opened = open().await;
    let mut admin = AdminServiceClient::new(opened.channel.clone());
    let named = |name: &str| v1::CreateKeyRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let first = admin.create_key(named("ops")).await.unwrap().into_inner();
    let list = || v1::ListKeysRequest::default();
    let nobody = admin.list_keys(list()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let second = admin
        .create_key(with(&first.secret, named("app")))
        .await
        .unwrap();
    let second = second.into_inner().key.unwrap();
    let id = first.key.unwrap().id;
    let rotated = admin.rotate_key(with(
        &first.secret,
        v1::RotateKeyRequest {
            id: id.clone(),
            grace_s: Some(0),
        },
    ));
    let secret = rotated.await.unwrap().into_inner().secret;
    let old = admin
        .list_keys(with(&first.secret, list()))
        .await
        .unwrap_err();
    assert_eq!(old.code(), Code::Unauthenticated);
    let last = admin
        .revoke_key(with(&secret, v1::RevokeKeyRequest { id }))
        .await
        .unwrap_err();
    assert_eq!(last.code(), Code::Aborted);
    let revoke = v1::RevokeKeyRequest { id: second.id };
    admin.revoke_key(with(&secret, revoke)).await.unwrap();
    let keys = admin
        .list_keys(with(&secret, list()))
        .await
        .unwrap()
        .into_inner()
        .keys;
    let states: Vec<&str> = keys.iter().map(|key| key.state.as_str()).collect();
    assert_eq!(states, ["revoked", "active"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clusters_status_shows_how_the_file_stands() {
    let opened = open().await;
    opened.one.stands(|file| file.in_step).await;
    let mut admin = AdminServiceClient::new(opened.channel.clone());
    let shown = admin.get_cluster(v1::GetClusterRequest::default()).await;
    let shown = shown.unwrap().into_inner();
    assert_eq!(
        (shown.node.as_str(), shown.nodes.len(), shown.connected),
        ("n1", 1, true)
    );
    let file = shown.file.unwrap();
    assert_eq!(
        (file.standing.as_str(), file.agreed_revision),
        ("in_step", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_not_asked_under_an_older_config_than_the_caller_has_seen() {
    let opened = open().await;
    let mut router = RouterServiceClient::new(opened.channel.clone());
    let seen = |revision: &'static str| {
        let mut request = Request::new(asking("hi"));
        let revision = MetadataValue::from_static(revision);
        request
            .metadata_mut()
            .insert("x-llm-router-min-revision", revision);
        request
    };
    let answer = router.generate(seen("1")).await.unwrap();
    assert_eq!(answer.metadata().get("x-llm-router-revision").unwrap(), "1");
    let behind = router.generate(seen("9")).await.unwrap_err();
    assert_eq!(behind.code(), Code::Unavailable);
    let info = behind
        .get_error_details()
        .error_info()
        .unwrap()
        .metadata
        .clone();
    assert_eq!(
        (&*info["min_revision"], &*info["newest_revision"]),
        ("9", "1")
    );
    assert_eq!(
        router.generate(seen("x")).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_purged_and_a_pair_vetoed_by_admins_alone() {
    let opened = open().await;
    let mut admin = AdminServiceClient::new(opened.channel.clone());
    let made = v1::CreateKeyRequest {
        name: "ops".to_owned(),
        ..Default::default()
    };
    let ops = admin
        .create_key(made.clone())
        .await
        .unwrap()
        .into_inner()
        .secret;
    let app = admin.create_key(with(&ops, made)).await.unwrap();
    let app = app.into_inner().secret;
    let mut router = RouterServiceClient::new(opened.channel.clone());
    for cached in [false, true] {
        let answer = router.generate(with(&app, asking("hi"))).await.unwrap();
        let named = answer.metadata().get("x-llm-router-cache-entry").cloned();
        assert_eq!((answer.get_ref().cached, named.is_some()), (cached, cached));
    }
    let all = v1::PurgeCacheRequest {
        what: Some(v1::purge_cache_request::What::All(true)),
    };
    let pair = v1::VetoCacheRequest {
        entry: "00112233445566778899aabbccddeeff".to_owned(),
        question: "Is it safe?".to_owned(),
    };
    let refused = admin
        .purge_cache(with(&app, all.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = admin
        .veto_cache(with(&app, pair.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let purged = admin.purge_cache(with(&ops, all)).await.unwrap();
    assert_eq!(purged.into_inner().removed, 1);
    let vetoed = admin.veto_cache(with(&ops, pair)).await.unwrap();
    assert_eq!(vetoed.into_inner().vetoes, 1);
    let shown = admin.get_cache(with(&ops, v1::GetCacheRequest {})).await;
    let shown = shown.unwrap().into_inner();
    assert_eq!((shown.entries, shown.exact_hits, shown.vetoes), (0, 1, 1));
    let nothing = v1::PurgeCacheRequest { what: None };
    let refused = admin.purge_cache(with(&ops, nothing)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
