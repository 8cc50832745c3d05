//! Verbs about what the nodes agree on: keys, members, certificates, revisions.

use super::*;

const STATUS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"node\":\"n1\",\"member\":1,\"cluster\":\"c-7f\",\"leader\":\"n2\",\"term\":4,\"revision\":7,\"applied\":120,\"committed\":123,\"connected\":true,\"leader_contact_ms\":45,\"nodes\":[{\"id\":\"n1\",\"member\":1,\"role\":\"voter\",\"address\":\"127.0.0.1:7401\",\"alive\":true,\"level\":1},{\"id\":\"n2\",\"member\":2,\"role\":\"leader\",\"address\":\"127.0.0.1:7402\",\"alive\":true,\"level\":1}],\"in_service\":6,\"partition_mode\":{\"keys\":\"serve_for_a_time\",\"writes\":\"refuse\"},\"file\":{\"path\":\"a.yaml\",\"standing\":\"differs\",\"in_step\":false,\"newer\":\"agreed\",\"agreed_revision\":7,\"in_step_revision\":5}}";

fn ok(body: &str) -> &'static str {
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
    Box::leak(answer.into_boxed_str())
}

/// What a command line comes to against a node that gives one answer, and what the node heard.
async fn asked(line: &[&str], answer: &'static str) -> (Code, String, String, String) {
    let (addr, work) = node(answer).await;
    let line: Vec<&str> = line.iter().copied().chain(["--addr", &addr]).collect();
    let ((code, out, err), heard) = tokio::join!(said(&line), work);
    (code, out, err, heard)
}

#[tokio::test]
async fn a_key_is_never_an_argument_and_a_whole_key_is_no_id() {
    for line in [
        &["keys", "create"][..],
        &["keys", "create", "--name", "a", "--scope", "root"],
        &["keys", "create", "--name", "a", "--expires", "soon"],
        &["models", "--key", "rk_x"],
        &["cluster", "join"],
        &["certs", "create"],
        &["certs", "create", "--node", "n1", "--days", "0"],
    ] {
        let (code, _, err) = said(line).await;
        assert_eq!(code, Code::Usage, "{line:?}: {err}");
    }
    let (code, _, err) = said(&["keys", "revoke", "rk_a_b_c"]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("no key id") && !err.contains("rk_a"), "{err}");
}

#[tokio::test]
async fn a_member_is_taken_out_only_when_that_is_said_for_certain() {
    let (code, out, err) = said(&["cluster", "remove", "n3", "--addr", "127.0.0.1:1"]).await;
    assert_eq!((code, out.as_str()), (Code::Usage, ""));
    assert!(err.contains("--yes"), "{err}");
    let line = ["cluster", "remove", "n3", "--yes"];
    let (code, out, _, heard) = asked(&line, ok("{}")).await;
    assert_eq!(code, Code::Ok);
    assert!(out.contains("n3 is no member any more"), "{out}");
    assert!(heard.ends_with(r#"{"node":"n3"}"#), "{heard}");
}

#[tokio::test]
async fn the_key_in_a_file_is_presented_and_a_missing_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "rk_abc\n").unwrap();
    let path = path.display().to_string();
    let line = ["models", "--key-file", &path];
    let (code, _, _, heard) = asked(&line, ok("{}")).await;
    assert_eq!(code, Code::Ok);
    assert!(
        heard.contains("authorization: Bearer rk_abc\r\n"),
        "{heard}"
    );
    let refusal = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"a key is needed\"}}";
    let (code, _, err, heard) = asked(&["models"], refusal).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("--key-file"), "{err}");
    assert!(!heard.contains("authorization"), "{heard}");
    let (code, _, err) = said(&["models", "--key-file", "/nowhere/key"]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("/nowhere/key"), "{err}");
}

#[tokio::test]
async fn a_new_key_is_alone_on_stdout() {
    let answer = ok(
        r#"{"key":"rk_a_b_c","id":"a","name":"ci","tenant":"t1","scopes":["use"],"state":"active"}"#,
    );
    let line = [
        "keys",
        "create",
        "--name",
        "ci",
        "--tenant",
        "t1",
        "--scope",
        "use,admin",
        "--expires",
        "90d",
    ];
    let (code, out, err, heard) = asked(&line, answer).await;
    assert_eq!((code, out.as_str()), (Code::Ok, "rk_a_b_c\n"));
    assert!(err.contains("id a") && err.contains("this once"), "{err}");
    let body = heard.rsplit("\r\n\r\n").next().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "name": "ci", "tenant": "t1", "scopes": ["use", "admin"], "expires": "2160h",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn keys_are_listed_revoked_and_rotated() {
    let listed = r#"{"keys":[{"id":"abc","name":"ci","tenant":"default","scopes":["use"],"state":"expired","created_ms":1764000000000,"expires_ms":null}]}"#;
    let (code, out, _, heard) = asked(&["keys", "list"], ok(listed)).await;
    assert_eq!(code, Code::Ok);
    assert!(
        out.contains("abc") && out.contains("expired") && out.contains("2025-11-24T"),
        "{out}"
    );
    assert!(heard.starts_with("GET /admin/v1/keys "), "{heard}");
    let answer = ok(r#"{"id":"abc","name":"ci","state":"revoked"}"#);
    let (_, out, _, heard) = asked(&["keys", "revoke", "abc"], answer).await;
    assert_eq!(out, "abc (ci) is refused\n");
    assert!(heard.starts_with("DELETE /admin/v1/keys/abc "), "{heard}");
    let answer = ok(r#"{"key":"rk_new","id":"abc"}"#);
    let line = ["keys", "rotate", "abc", "--grace", "1h"];
    let (_, out, _, heard) = asked(&line, answer).await;
    assert_eq!(out, "rk_new\n");
    assert!(
        heard.starts_with("POST /admin/v1/keys/abc/rotate "),
        "{heard}"
    );
    assert!(heard.ends_with(r#"{"grace":"1h"}"#), "{heard}");
}

#[tokio::test]
async fn the_clusters_status_is_told_and_a_lost_leader_is_a_problem_found() {
    let (code, out, _, _) = asked(&["cluster", "status"], STATUS).await;
    assert_eq!(code, Code::Ok);
    for part in [
        "cluster   c-7f, seen from n1",
        "leader    n2, term 4, heard of 45 ms ago",
        "applied   120 of 123",
        "revision 7, but 6 is in service here",
        "a.yaml: differs, the agreed config is newer: 7, the file is of 5",
        "n2    leader  127.0.0.1:7402  yes",
        "keys serve for a time, writes refuse",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }
    let cut_off: &'static str = Box::leak(
        STATUS
            .replace("\"connected\":true", "\"connected\":false")
            .into_boxed_str(),
    );
    let (code, out, _, _) = asked(&["cluster", "status"], cut_off).await;
    assert_eq!(code, Code::Problems);
    assert!(out.contains("changes are refused"), "{out}");
}

#[tokio::test]
async fn init_changes_nothing_and_prints_how_a_second_node_joins() {
    let (code, out, _, heard) = asked(&["cluster", "init"], STATUS).await;
    assert_eq!(code, Code::Ok);
    assert!(heard.starts_with("GET /admin/v1/cluster "), "{heard}");
    assert!(
        out.contains("llm-router cluster join 127.0.0.1:7401 --data ./n2"),
        "{out}"
    );
    assert!(
        out.contains("--cluster 127.0.0.1:7402") && !out.contains(":0"),
        "each restart would be a move: {out}"
    );
    assert!(
        out.contains("certs create --cluster c-7f --node n1"),
        "{out}"
    );
}

#[tokio::test]
async fn a_config_is_checked_here_before_it_is_sent() {
    let (_dir, path) = file("models: { a: { provider: nope } }\n");
    let (code, _, err) = said(&["config", "apply", &path, "--addr", "127.0.0.1:1"]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains(":1:"), "{err}");
    let (_dir, path) = file("models: { a: { provider: demo, model: echo } }\n");
    let line = ["config", "apply", &path, "--expected-revision", "6"];
    let (code, out, err, heard) = asked(&line, ok(r#"{"revision":7}"#)).await;
    assert_eq!(
        (code, out.as_str()),
        (Code::Ok, "revision 7 is agreed on\n"),
        "{err}"
    );
    assert!(
        heard.starts_with("PUT /admin/v1/config?expected_revision=6 "),
        "{heard}"
    );
    assert!(
        heard.ends_with("provider: demo, model: echo } }\n"),
        "{heard}"
    );
}

#[tokio::test]
async fn history_export_rollback_and_differences_are_shown() {
    let past = r#"{"revision":2,"history":[{"revision":2,"at_ms":1764000000000,"by":"key a","note":"more"}]}"#;
    let (_, out, _, _) = asked(&["config", "history"], ok(past)).await;
    assert!(
        out.contains("key a") && out.contains("2025-11-24T"),
        "{out}"
    );
    let config =
        r#"{"revision":2,"config":{"models":{"z":{"provider":"demo"},"a":{"provider":"demo"}}}}"#;
    let (_, out, _, _) = asked(&["config", "export"], ok(config)).await;
    assert!(
        out.starts_with("models:\n") && out.find("z:") < out.find("a:\n"),
        "{out}"
    );
    let line = ["config", "rollback", "1"];
    let (_, out, _, heard) = asked(&line, ok(r#"{"revision":3}"#)).await;
    assert!(
        out.contains("revision 3") && out.contains("revision 1"),
        "{out}"
    );
    assert!(heard.ends_with(r#"{"revision":1}"#), "{heard}");
    let found = r#"{"changes":[{"path":"models.a.max_concurrency","old":"2","new":"4"},{"path":"models.b","new":"{}"},{"path":"retry.budget","old":"0.2"}]}"#;
    let (_, out, _, heard) = asked(&["config", "diff", "1", "2"], ok(found)).await;
    assert!(
        heard.starts_with("GET /admin/v1/config/diff?from=1&to=2 "),
        "{heard}"
    );
    let expected = "~ models.a.max_concurrency: 2 → 4\n+ models.b: {}\n- retry.budget: 0.2\n";
    assert_eq!(out, expected);
}

#[tokio::test]
async fn an_export_into_a_file_keeps_its_node_part_and_a_refused_one_touches_nothing() {
    let before = "node: { id: n1 } # ours\nmodels:\n  a: { provider: demo, model: echo }\n";
    let (_dir, path) = file(before);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let line = ["config", "export", "--into", &path];
    let refusal = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n{}";
    let (code, _, _, _) = asked(&line, refusal).await;
    assert_eq!((code, read(&path).as_str()), (Code::Problems, before));
    let strange = ok(r#"{"revision":2,"config":{"modles":{}}}"#);
    let (code, _, _, _) = asked(&line, strange).await;
    assert_eq!((code, read(&path).as_str()), (Code::Problems, before));
    let config =
        ok(r#"{"revision":2,"config":{"models":{"z":{"provider":"demo","model":"lorem"}}}}"#);
    let (code, out, err, _) = asked(&line, config).await;
    assert_eq!((code, out.as_str()), (Code::Ok, ""), "{err}");
    assert!(err.contains("revision 2"), "{err}");
    let after = read(&path);
    assert!(
        after.starts_with("node: { id: n1 } # ours\nmodels:\n  z:\n"),
        "{after}"
    );
    assert_eq!(read(&format!("{path}.before")), before);
}

#[tokio::test]
async fn what_the_node_itself_holds_can_be_asked_for_without_a_quorum() {
    let answer = ok(r#"{"revision":2,"config":{"models":{}}}"#);
    for (line, path) in [
        (&["config", "show", "--local"][..], "/admin/v1/config?"),
        (&["config", "export", "--local"], "/admin/v1/config?"),
        (
            &["config", "history", "--local"],
            "/admin/v1/config/history?",
        ),
        (
            &["config", "diff", "1", "--local"],
            "/admin/v1/config/diff?from=1&",
        ),
        (&["keys", "list", "--local"], "/admin/v1/keys?"),
    ] {
        let (code, _, err, heard) = asked(line, answer).await;
        assert_eq!(code, Code::Ok, "{err}");
        let start = format!("GET {path}consistency=local ");
        assert!(heard.starts_with(&start), "{heard}");
    }
}

#[tokio::test]
async fn certificates_are_made_shown_and_never_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs").display().to_string();
    let line = [
        "certs",
        "create",
        "--node",
        "n1",
        "--node",
        "n2",
        "--dir",
        &certs,
        "--cluster",
        "c1",
    ];
    let (code, out, err) = said(&line).await;
    assert_eq!(code, Code::Ok, "{err}");
    assert!(
        out.contains("cluster    c1") && out.contains("n2.key"),
        "{out}"
    );
    let before = std::fs::read(dir.path().join("certs/n1.pem")).unwrap();
    let (_, out, _) = said(&line).await;
    assert!(out.contains("kept as it was"), "{out}");
    assert_eq!(
        std::fs::read(dir.path().join("certs/n1.pem")).unwrap(),
        before
    );
    let n1 = format!("{certs}/n1.pem");
    let (_, out, _) = said(&["certs", "show", &n1]).await;
    assert!(
        out.contains("cluster  c1\nnode     n1\nuntil    20"),
        "{out}"
    );
    let line = [
        "certs", "create", "--renew", "--node", "n1", "--dir", &certs,
    ];
    let (code, _, err) = said(&line).await;
    assert_eq!(code, Code::Ok, "{err}");
    assert_ne!(
        std::fs::read(dir.path().join("certs/n1.pem")).unwrap(),
        before
    );
    let line = [
        "certs",
        "create",
        "--node",
        "n1",
        "--dir",
        &certs,
        "--cluster",
        "c2",
    ];
    let (code, _, err) = said(&line).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("c1"), "{err}");
    let (code, _, _) = said(&["certs", "show", "/nowhere.pem"]).await;
    assert_eq!(code, Code::Problems);
}
