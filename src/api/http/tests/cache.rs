//! An operator's word on the cache, and who may say it.

use super::*;

/// Makes a key; the first needs no other.
pub(super) async fn key(one: &One, by: Option<&str>, order: &Value) -> String {
    let request = to(Method::POST, "/admin/v1/keys");
    let request = match by {
        Some(key) => request.header("x-api-key", key),
        None => request,
    };
    let (status, made) = read(ask(one, request, order).await).await;
    assert_eq!(status, 201, "{made}");
    made["key"].as_str().unwrap().to_owned()
}

const NOWHERE: &str = "00112233445566778899aabbccddeeff";

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_named_by_its_answer_explained_and_deleted() {
    let one = One::begin(FILE).await;
    let (request, body) = chat();
    let first = ask(&one, request, &body).await;
    assert_eq!(first.headers()["x-llm-router-cache"], "miss");
    // why not is told on request alone
    assert!(!first.headers().contains_key("x-llm-router-cache-explain"));
    let (request, body) = chat();
    let again = ask(&one, request, &body).await;
    let header = |name: &str| again.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-llm-router-cache"), "exact");
    assert!(header("x-llm-router-cache-age").parse::<u64>().unwrap() < 60);
    assert_eq!(
        header("x-llm-router-cache-explain"),
        "an identical request; tier=normal"
    );
    let entry = header("x-llm-router-cache-entry");

    let path = format!("/admin/v1/cache/entries/{entry}");
    for removed in [1, 0] {
        let deleted = ask(&one, to(Method::DELETE, &path), &Value::Null).await;
        assert_eq!(
            read(deleted).await,
            (200, json!({"removed": removed, "unreached": []}))
        );
    }
    let (request, body) = chat();
    let asked = request.header("x-llm-router-explain", "cache");
    let fresh = ask(&one, asked, &body).await;
    assert_eq!(fresh.headers()["x-llm-router-cache"], "miss");
    let why = fresh.headers()["x-llm-router-cache-explain"]
        .to_str()
        .unwrap();
    assert!(why.ends_with("; tier=normal"), "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_veto_names_an_entry_and_a_question() {
    let one = One::begin(FILE).await;
    let veto = || to(Method::POST, "/admin/v1/cache/veto");
    let order = json!({"entry": NOWHERE, "question": "Is it safe?"});
    let (status, said) = read(ask(&one, veto(), &order).await).await;
    assert_eq!((status, &said["vetoes"]), (200, &json!(1)));
    for (wrong, param) in [
        (json!({"entry": "x", "question": "q"}), json!("entry")),
        (
            json!({"entry": NOWHERE, "question": " "}),
            json!("question"),
        ),
        (json!({"entry": NOWHERE}), Value::Null),
    ] {
        let (status, said) = read(ask(&one, veto(), &wrong).await).await;
        assert_eq!((status, &said["error"]["param"]), (400, &param), "{said}");
    }
    let bad = to(Method::DELETE, "/admin/v1/cache/entries/x");
    assert_eq!(ask(&one, bad, &Value::Null).await.status(), 400);
    let (_, shown) = read(ask(&one, to(Method::GET, "/admin/v1/cache"), &Value::Null).await).await;
    assert_eq!(shown["learning"]["vetoes"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_ask_models_may_neither_delete_nor_veto_nor_look() {
    let one = One::begin(FILE).await;
    let admin = key(&one, None, &json!({"name": "ops"})).await;
    let user = key(
        &one,
        Some(&admin),
        &json!({"name": "app", "tenant": "acme"}),
    )
    .await;
    let entry = format!("/admin/v1/cache/entries/{NOWHERE}");
    let orders = [
        (Method::DELETE, entry.as_str(), Value::Null),
        (
            Method::POST,
            "/admin/v1/cache/veto",
            json!({"entry": NOWHERE, "question": "q"}),
        ),
        (Method::POST, "/admin/v1/cache/purge", json!({"all": true})),
        (Method::GET, "/admin/v1/cache", Value::Null),
    ];
    for (method, path, body) in &orders {
        let with = |key: &str| to(method.clone(), path).header("x-api-key", key);
        assert_eq!(ask(&one, with(&user), body).await.status(), 403, "{path}");
        let nobody = to(method.clone(), path);
        assert_eq!(ask(&one, nobody, body).await.status(), 401, "{path}");
    }
    assert_eq!(one.node.engine.cache().learning().vetoes, 0);
    for (method, path, body) in &orders {
        let allowed = to(method.clone(), path).header("x-api-key", &admin);
        assert_eq!(ask(&one, allowed, body).await.status(), 200, "{path}");
    }
}
