mod cluster;

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line; what it ended with, wrote to stdout, and wrote to stderr.
async fn said(line: &[&str]) -> (Code, String, String) {
    let (out, err) = (Page::default(), Page::default());
    let line = ["llm-router"].iter().chain(line).copied();
    let make = |format| Out::to(format, out.clone(), err.clone());
    let code = run(line, Environment::default(), make).await;
    (code, out.text(), err.text())
}

/// A node that gives this answer to its only caller; also returns what the caller sent.
async fn node(answer: &'static str) -> (String, impl Future<Output = String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let work = async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        loop {
            let mut piece = vec![0; 4096];
            let read = socket.read(&mut piece).await.unwrap();
            heard.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&heard).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                break;
            }
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        drop(socket);
        String::from_utf8(heard).unwrap()
    };
    (addr, work)
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("llm-router.yaml");
    std::fs::write(&path, text).unwrap();
    (dir, path.display().to_string())
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn wrong_usage_ends_with_2() {
    for line in [
        &["serv"][..],
        &["cache", "purge"],
        &["cache", "purge", "--all", "--tag", "a=b"],
        &["routes", "explain"],
        &["chat", "--tag", "novalue", "x"],
        &["models", "--output", "xml"],
    ] {
        let (code, out, err) = said(line).await;
        assert_eq!((code, out.as_str()), (Code::Usage, ""), "{line:?}");
        assert!(err.contains("error:"), "{err}");
    }
}

#[tokio::test]
async fn without_a_node_every_client_verb_ends_with_3() {
    let addr = nowhere().await;
    for line in [
        &["models"][..],
        &["routes", "list"],
        &["routes", "explain", "hello"],
        &["cache", "stats"],
        &["cache", "purge", "--all"],
        &["cache", "veto", "e", "q"],
        &["config", "show"],
        &["config", "export"],
        &["config", "history"],
        &["config", "rollback", "1"],
        &["config", "diff", "1"],
        &["keys", "list"],
        &["keys", "create", "--name", "a"],
        &["cluster", "init"],
        &["cluster", "status"],
        &["cluster", "add", "n2"],
        &["cluster", "transfer-leader"],
        &["cluster", "snapshot"],
        &["chat", "hello"],
        &["embed", "hello"],
        &["healthcheck"],
    ] {
        let line: Vec<&str> = line.iter().copied().chain(["--addr", &addr]).collect();
        let (code, _, err) = said(&line).await;
        assert_eq!(code, Code::Unreachable, "{line:?}");
        assert!(
            err.contains("llm-router serve") || line[0] == "healthcheck",
            "{err}"
        );
    }
}

#[tokio::test]
async fn a_node_that_refuses_ends_with_1_and_its_own_words() {
    let refusal = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"no model is named x\"}}";
    let (addr, work) = node(refusal).await;
    let line = ["chat", "-m", "x", "hi", "--addr", &addr];
    let ((code, _, err), _) = tokio::join!(said(&line), work);
    assert_eq!(code, Code::Problems);
    assert!(err.contains("no model is named x (http 404)"), "{err}");
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_not_passed_off_as_an_answer() {
    let half = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\n\n";
    let (addr, work) = node(half).await;
    let line = ["chat", "hi", "--addr", &addr];
    let ((code, out, err), _) = tokio::join!(said(&line), work);
    assert_eq!((code, out.as_str()), (Code::Problems, "Par\n"));
    assert!(err.contains("ended early"), "{err}");
}

#[tokio::test]
async fn a_stream_is_printed_as_text_and_carries_what_was_asked_for() {
    let whole = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Pa\"}}]}\n\n: note\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"ris\"}}]}\n\ndata: [DONE]\n\n";
    let (addr, work) = node(whole).await;
    let line = [
        "chat",
        "--priority",
        "high",
        "--tag",
        "a=b",
        "--tag",
        "c=d",
        "hi",
        "--addr",
        &addr,
    ];
    let ((code, out, _), heard) = tokio::join!(said(&line), work);
    assert_eq!((code, out.as_str()), (Code::Ok, "Paris\n"));
    assert!(heard.contains("x-llm-router-priority: high"), "{heard}");
    assert!(heard.contains("x-llm-router-tags: a=b,c=d"), "{heard}");
    assert!(
        heard.contains("\"stream\":true") && heard.contains("\"model\":\"auto\""),
        "{heard}"
    );
}

#[tokio::test]
async fn an_explanation_shows_rules_and_candidates() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"route\":\"cheap\",\"strategy\":\"ordered\",\"prompt_tokens\":3,\"rules\":[{\"route\":\"critical\",\"matched\":false,\"reason\":\"priority does not match\"}],\"candidates\":[{\"model\":\"a\",\"role\":\"target\",\"eligible\":false,\"reason\":\"breaker open\",\"dropped\":[\"seed\",\"top_k\"],\"score\":0.5}]}";
    let (addr, work) = node(answer).await;
    let line = ["routes", "explain", "hi", "--addr", &addr];
    let ((code, out, _), heard) = tokio::join!(said(&line), work);
    assert_eq!(code, Code::Ok);
    for part in [
        "route: cheap",
        "✘  critical  priority does not match",
        "WITHOUT",
        "breaker open  seed, top_k",
        "0.500",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }
    assert!(heard.starts_with("POST /admin/v1/explain "), "{heard}");
}

#[tokio::test]
async fn answers_keep_the_nodes_order_in_yaml_and_json() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"zeta\":{\"provider\":\"demo\"},\"alpha\":{\"provider\":\"demo\"}}";
    for (format, first) in [("yaml", "zeta:"), ("json", "{\n  \"zeta\": {")] {
        let (addr, work) = node(answer).await;
        let line = ["models", "--output", format, "--addr", &addr];
        let ((code, out, _), _) = tokio::join!(said(&line), work);
        assert_eq!(code, Code::Ok);
        assert!(out.starts_with(first), "{out}");
    }
}

#[tokio::test]
async fn purge_says_what_to_throw_away() {
    for (flags, body) in [
        (&["--all"][..], r#"{"all":true}"#),
        (&["--tag", "k=v"], r#"{"tag":"k=v"}"#),
        (&["--tenant", "t"], r#"{"tenant":"t"}"#),
        (&["--entry", "e"], r#"{"entry":"e"}"#),
    ] {
        let (addr, work) =
            node("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"removed\":2}").await;
        let line: Vec<&str> = ["cache", "purge"]
            .iter()
            .chain(flags)
            .copied()
            .chain(["--addr", &addr])
            .collect();
        let ((code, out, _), heard) = tokio::join!(said(&line), work);
        assert_eq!((code, out.as_str()), (Code::Ok, "removed  2\n"));
        assert!(heard.ends_with(body), "{heard}");
    }
}

#[tokio::test]
async fn a_veto_names_the_entry_and_the_question() {
    let (addr, work) = node("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"vetoes\":3}").await;
    let line = ["cache", "veto", "e", "Is it safe?", "--addr", &addr];
    let ((code, out, _), heard) = tokio::join!(said(&line), work);
    assert_eq!((code, out.as_str()), (Code::Ok, "vetoes  3\n"));
    assert!(heard.starts_with("POST /admin/v1/cache/veto"), "{heard}");
    assert!(
        heard.ends_with(r#"{"entry":"e","question":"Is it safe?"}"#),
        "{heard}"
    );
}

#[tokio::test]
async fn a_wrong_file_ends_with_1_and_shows_every_problem() {
    let (_dir, path) = file("modles: {}\ncache: { ttl: 5 }\n");
    let (code, _, err) = said(&["validate", "-c", &path]).await;
    assert_eq!(code, Code::Problems);
    assert!(
        err.contains(":1:1") && err.contains(":2:15") && err.contains("2 problems"),
        "{err}"
    );
    let (code, out, _) = said(&["validate", &path, "--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Code::Problems);
    assert_eq!(
        (&json["valid"], &json["problems"][0]["line"]),
        (&false.into(), &1.into())
    );
    let (code, _, err) = said(&["serve", "-c", &path]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("did you mean `models`?"), "{err}");
}

#[tokio::test]
async fn init_writes_what_validate_takes_and_never_overwrites_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.yaml").display().to_string();
    for preset in crate::config::presets::PRESETS {
        let (code, out, _) =
            said(&["init", "--template", preset.name, "-o", &path, "--force"]).await;
        assert_eq!(code, Code::Ok, "{}", preset.name);
        assert!(out.contains("llm-router serve -c"), "{out}");
        let (code, out, err) = said(&["validate", "-c", &path]).await;
        assert_eq!(code, Code::Ok, "{err}");
        assert!(out.contains("in order"), "{out}");
    }
    let (code, _, err) = said(&["init", "-o", &path]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("--force"), "{err}");
    let (code, _, err) = said(&["init", "--template", "openia"]).await;
    assert_eq!(code, Code::Problems);
    assert!(err.contains("did you mean `openai`?"), "{err}");
}

#[tokio::test]
async fn a_files_effective_config_is_shown_with_defaults_and_without_secrets() {
    let (_dir, path) = file("models: { a: { provider: openai, model: x, api_key: sk-live-1 } }\n");
    let (code, out, _) = said(&["config", "show", "-c", &path]).await;
    assert_eq!(code, Code::Ok);
    assert!(
        out.contains("failure_threshold: 5") && !out.contains("sk-live"),
        "{out}"
    );
}

#[tokio::test]
async fn the_schema_is_json_and_templates_are_listed() {
    let (code, out, _) = said(&["config", "schema"]).await;
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Code::Ok);
    assert!(schema["properties"]["models"].is_object());
    let (_, out, _) = said(&["templates"]).await;
    assert!(
        out.starts_with("TEMPLATE") && out.contains("cost-saver"),
        "{out}"
    );
    let (_, out, _) = said(&["templates", "demo"]).await;
    assert!(out.contains("models:"), "{out}");
}

#[tokio::test]
async fn help_starts_with_the_verb_that_matters() {
    let (code, out, _) = said(&[]).await;
    assert_eq!(code, Code::Ok);
    assert!(out.starts_with("llm-router serve"), "{out}");
    let (code, out, _) = said(&["--help"]).await;
    assert_eq!(code, Code::Ok);
    for verb in [
        "serve",
        "init",
        "templates",
        "validate",
        "config",
        "chat",
        "models",
        "routes",
        "keys",
        "cluster",
        "certs",
        "cache",
        "doctor",
        "healthcheck",
        "completions",
    ] {
        assert!(out.contains(&format!("\n  {verb} ")), "{verb}:\n{out}");
    }
    assert!(out.contains("3 node unreachable"), "{out}");
    let (_, out, _) = said(&["serve", "--help"]).await;
    for flag in [
        "--config",
        "--data",
        "--http",
        "--grpc",
        "--cluster",
        "--join",
        "--addr-file",
        "--log",
    ] {
        assert!(out.contains(flag), "{flag}:\n{out}");
    }
}

#[tokio::test]
async fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = said(&["completions", shell]).await;
        assert_eq!(code, Code::Ok);
        assert!(
            out.contains("llm-router") && out.contains("healthcheck"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let err = Page::default();
    let make = |format| Out::to(format, Gone, err.clone());
    let code = run(
        ["llm-router", "config", "schema"],
        Environment::default(),
        make,
    )
    .await;
    assert_eq!((code, err.text()), (Code::Ok, String::new()));
}

#[test]
fn the_node_is_where_the_flag_then_the_environment_says() {
    let env = Environment {
        http: Some("0.0.0.0:9000".to_owned()),
        ..Environment::default()
    };
    assert_eq!(client::address(None, &env), "127.0.0.1:9000");
    let env = Environment {
        addr: Some("http://b:1".to_owned()),
        ..env
    };
    assert_eq!(client::address(None, &env), "http://b:1");
    assert_eq!(client::address(Some("c:2"), &env), "c:2");
    assert_eq!(
        client::address(None, &Environment::default()),
        "http://127.0.0.1:8080"
    );
}

#[tokio::test]
async fn embed_shows_how_long_each_vector_is_and_how_it_begins() {
    let answer =
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[{\"embedding\":[0.25,-1]}]}";
    let (addr, work) = node(answer).await;
    let line = ["embed", "-m", "x", "hi", "--addr", &addr];
    let ((code, out, err), heard) = tokio::join!(said(&line), work);
    assert_eq!((code, err.as_str()), (Code::Ok, ""));
    assert!(
        out.contains("hi") && out.contains("0.2500 -1.0000"),
        "{out}"
    );
    assert!(heard.starts_with("POST /v1/embeddings"), "{heard}");
    assert!(
        heard.contains(r#""input":["hi"]"#) && heard.contains(r#""model":"x""#),
        "{heard}"
    );
}
