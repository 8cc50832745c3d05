use std::fs;

use tokio::net::TcpListener;

use super::*;
use crate::config::node::ListenConfig;
use crate::config::parse;

#[tokio::test]
async fn a_taken_port_is_a_problem_with_a_hint() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = holder.local_addr().unwrap().to_string();
    let checks = network::ports(&ListenConfig {
        http: "127.0.0.1:0".to_owned(),
        grpc,
        cluster: "127.0.0.1:0".to_owned(),
    })
    .await;
    assert!(checks[0].ok, "{checks:?}");
    assert!(
        !checks[1].ok && checks[1].line().contains("port 0 picks a free one"),
        "{checks:?}"
    );
}

#[tokio::test]
async fn an_upstream_nobody_answers_for_is_a_problem_and_a_demo_model_is_none() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = holder.local_addr().unwrap();
    drop(holder);
    let text = format!(
        "models: {{ a: {{ provider: ollama, model: m, base_url: 'http://{address}' }}, d: {{ provider: demo, model: echo }} }}"
    );
    let checks = network::upstreams(&parse(&text, "t").unwrap().routing).await;
    assert_eq!(checks.len(), 1);
    assert!(
        !checks[0].ok && checks[0].hint.as_ref().unwrap().contains("used by a"),
        "{checks:?}"
    );
}

#[tokio::test]
async fn a_credential_that_cannot_be_had_is_a_problem() {
    let text = "models: { a: { provider: openai, model: m, base_url: 'http://127.0.0.1:1', api_key: { file: /no/such/key } } }";
    let checks = network::upstreams(&parse(text, "t").unwrap().routing).await;
    assert!(
        checks
            .iter()
            .any(|check| check.name == "credential" && !check.ok),
        "{checks:?}"
    );
}

#[test]
fn weights_must_be_there_in_full() {
    let dir = tempfile::tempdir().unwrap();
    let check = machine::weights(dir.path());
    assert!(
        !check.ok && check.line().contains("model pull"),
        "{check:?}"
    );
    fs::write(dir.path().join("model.safetensors"), "x").unwrap();
    assert!(!machine::weights(dir.path()).ok);
    fs::write(dir.path().join("tokenizer.json"), "x").unwrap();
    assert!(machine::weights(dir.path()).ok);
}

#[test]
fn a_data_directory_is_tried_and_nothing_is_left_in_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(machine::data_dir(dir.path()).ok);
    assert!(
        machine::data_dir(&dir.path().join("a/b"))
            .found
            .contains("will be made")
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(
        machine::data_dir(std::path::Path::new("/proc/none"))
            .found
            .contains("/proc")
    );
}

#[test]
fn the_open_file_limit_is_read() {
    let limits = "Limit  Soft  Hard\nMax open files            1024                 1048576              files\n";
    assert_eq!(machine::soft_limit(limits), Some(1024));
    assert_eq!(
        machine::soft_limit("Max open files unlimited unlimited files"),
        Some(u64::MAX)
    );
    assert_eq!(machine::soft_limit(""), None);
}

#[test]
fn a_problem_shows_its_hint_below() {
    let shown = Check::bad("data", "full", "buy a disk").line();
    assert_eq!(shown, "✘ data        full\n    buy a disk");
    assert!(Check::good("data", "fine").line().starts_with('✔'));
}
