use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::parse;

/// An HTTP server that answers each path with a fixed body, until dropped with the test's runtime.
async fn serve(
    answers: fn(&str) -> Option<String>,
    requests: usize,
) -> (String, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let work = async move {
        for _ in 0..requests {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let Some(body) = answers(&path) else { continue };
            let length = body.len();
            let reply = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    };
    (address, work)
}

fn names(found: &Found) -> Vec<String> {
    found.models().keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn with_nothing_there_the_demo_models_remain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let env = Environment {
        ollama_host: Some(address),
        ..Environment::default()
    };
    let found = detect(&env).await;
    assert!(found.ollama.is_none() && !found.openai);
    assert_eq!(
        names(&found),
        ["demo/echo", "demo/lorem", "demo/tools", "demo/flaky"]
    );
    assert_eq!(found.lines()[0][2], "not found");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_at_most_the_patience() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let env = Environment {
        ollama_host: Some(listener.local_addr().unwrap().to_string()),
        ..Environment::default()
    };
    let found = tokio::time::timeout(Duration::from_secs(3), detect(&env))
        .await
        .unwrap();
    assert!(found.ollama.is_none());
}

#[tokio::test]
async fn found_models_come_first_and_embedding_models_stay_out() {
    let (address, server) = serve(
        |path| match path {
            "/api/version" => Some(r#"{"version":"0.9.1"}"#.to_owned()),
            "/api/tags" => Some(
                r#"{"models":[{"name":"zeta:1b"},{"name":"alpha:8b","details":{"family":"llama"}},
                {"name":"nomic-embed-text"},{"name":"x","details":{"family":"bert"}},{"name":"bad name"}]}"#
                    .to_owned(),
            ),
            _ => None,
        },
        2,
    )
    .await;
    let env = Environment {
        ollama_host: Some(address.clone()),
        openai_key: true,
        anthropic_key: true,
        gemini_key: Some("GOOGLE_API_KEY"),
        ..Environment::default()
    };
    let (found, ()) = tokio::join!(detect(&env), server);
    assert_eq!(
        names(&found),
        [
            "zeta:1b",
            "alpha:8b",
            "gpt-4o-mini",
            "gpt-4o",
            "claude-haiku-4-5",
            "claude-sonnet-4-5",
            "gemini-2.5-flash",
            "gemini-2.5-pro",
            "demo/echo",
            "demo/lorem",
            "demo/tools",
            "demo/flaky"
        ]
    );
    let models = found.models();
    assert_eq!(
        models["zeta:1b"].base_url.as_deref(),
        Some(format!("http://{address}").as_str())
    );
    assert!(
        matches!(&models["gpt-4o"].api_key, Some(Secret::Env { env }) if env == "OPENAI_API_KEY")
    );
    assert!(
        matches!(&models["gemini-2.5-pro"].api_key, Some(Secret::Env { env }) if env == "GOOGLE_API_KEY")
    );
    assert_eq!(found.lines()[3], ["gemini", "GOOGLE_API_KEY", "2 models"]);
}

#[tokio::test]
async fn at_most_32_models_are_taken_from_ollama() {
    let (address, server) = serve(
        |path| match path {
            "/api/version" => Some(r#"{"version":"1"}"#.to_owned()),
            _ => {
                let tags: Vec<String> = (0..40).map(|n| format!(r#"{{"name":"m{n}"}}"#)).collect();
                Some(format!(r#"{{"models":[{}]}}"#, tags.join(",")))
            }
        },
        2,
    )
    .await;
    let env = Environment {
        ollama_host: Some(address),
        ..Environment::default()
    };
    let (found, ()) = tokio::join!(detect(&env), server);
    assert_eq!(found.models().len(), 32 + 4);
    assert!(
        found.lines()[0][2].contains("8 more left out"),
        "{:?}",
        found.lines()
    );
}

#[test]
fn a_file_with_models_gets_only_the_demo_models_it_names() {
    let text = "models:\n  a: { provider: openai, model: x }\nroutes:\n  - { name: r, targets: [a], fallback: [demo/echo] }\n";
    let mut routing = parse(text, "t").unwrap().routing;
    Found {
        openai: true,
        ..Found::default()
    }
    .fill(&mut routing);
    let names: Vec<&str> = routing.models.keys().map(ModelName::as_str).collect();
    assert_eq!(names, ["a", "demo/echo"]);
}

#[test]
fn what_is_filled_in_passes_the_checks() {
    let mut routing = parse("cache: { ttl: 1h }", "t").unwrap().routing;
    Found {
        openai: true,
        ..Found::default()
    }
    .fill(&mut routing);
    assert_eq!(routing.models.len(), 6);
    assert_eq!(crate::config::check::routing(&routing), []);
}

fn azure(endpoint: Option<&str>, deployment: Option<&str>) -> Found {
    let env = Environment {
        azure_key: true,
        azure_endpoint: endpoint.map(str::to_owned),
        azure_deployment: deployment.map(str::to_owned),
        ..Environment::default()
    };
    Found {
        azure: Azure::of(&env),
        ..Found::default()
    }
}

#[test]
fn a_deployment_of_azures_becomes_a_model_that_can_be_built() {
    let found = azure(Some("https://me.openai.azure.com/"), Some("prod"));
    let models = found.models();
    let model = &models["azure/prod"];
    let base = "https://me.openai.azure.com/openai/v1";
    assert_eq!(
        (model.base_url.as_deref(), &*model.model),
        (Some(base), "prod")
    );
    assert!(matches!(&model.api_key, Some(Secret::Env { env }) if env == "AZURE_OPENAI_API_KEY"));
    crate::provider::from_config(model, Some("k-12345678".into())).unwrap();
    let line = |found: &Found| {
        found
            .lines()
            .into_iter()
            .find(|line| line[0] == "azure")
            .unwrap()
    };
    assert_eq!(line(&found)[2], "1 model");
    let lacking = azure(Some("me.openai.azure.com"), Some("prod"));
    assert_eq!(line(&lacking)[1], "AZURE_OPENAI_ENDPOINT");
    let lacking = azure(Some("https://me.openai.azure.com"), None);
    assert_eq!(line(&lacking)[1..], ["AZURE_OPENAI_DEPLOYMENT", "not set"]);
    assert_eq!(lacking.models().len(), 4);
}

#[test]
fn every_model_that_a_key_brings_can_be_built() {
    let found = Found {
        openai: true,
        anthropic: true,
        gemini: Some("GEMINI_API_KEY"),
        ..azure(Some("https://me.openai.azure.com"), Some("prod"))
    };
    let models = found.models();
    assert_eq!(models.len(), 2 + 2 + 2 + 1 + 4);
    assert_eq!(models["claude-haiku-4-5"].options["effort"], "budget");
    for model in models.values() {
        let key = model.api_key.as_ref().map(|_| "k-12345678".into());
        crate::provider::from_config(model, key).unwrap();
    }
}

#[test]
fn ollama_host_is_read_as_people_write_it() {
    for (host, url) in [
        (None, "http://127.0.0.1:11434"),
        (Some(""), "http://127.0.0.1:11434"),
        (Some("0.0.0.0"), "http://127.0.0.1:11434"),
        (Some("0.0.0.0:9999"), "http://127.0.0.1:9999"),
        (Some(":1234"), "http://127.0.0.1:1234"),
        (Some("box"), "http://box:11434"),
        (Some("box:80"), "http://box"),
        (
            Some("https://box.example/ollama/"),
            "https://box.example/ollama",
        ),
        (Some("http://me:pw@box:1"), "http://box:1"),
        (Some("[::1]:5"), "http://[::1]:5"),
    ] {
        assert_eq!(ollama_url(host), url, "{host:?}");
    }
}
