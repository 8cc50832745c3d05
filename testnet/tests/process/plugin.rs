//! A model in a process of its own: the example, asked through a node.

use std::process::Stdio;

use anyhow::Context;
use llm_router_testnet::backends::Backend;
use llm_router_testnet::{Node, Upstream};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The example, running. Dropping it ends it.
struct Example {
    _child: Child,
    url: String,
}

impl Example {
    async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plugin"))
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().context("no stdout")?;
        let line = BufReader::new(said).lines().next_line().await?;
        let url = line.context("it did not say where it listens")?;
        Ok(Example { _child: child, url })
    }

    fn config(&self, rest: &str) -> String {
        let url = &self.url;
        format!("models:\n  own: {{ provider: plugin, model: counter, base_url: '{url}' }}\n{rest}")
    }
}

#[tokio::test]
async fn a_plugin_answers_through_a_node_whole_and_in_a_stream() -> anyhow::Result<()> {
    let example = Example::start().await?;
    let node = Node::start(&example.config("")).await?;
    let mut question =
        json!({"model": "own", "messages": [{"role": "user", "content": "one two three"}]});
    let path = "/v1/chat/completions";

    let answer = node.http().post(path, &question).await?.json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "you said 3 words"
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 3);

    question["stream"] = true.into();
    question["messages"][0]["content"] = "four words are here".into();
    let streamed = node.http().post(path, &question).await?;
    let text = streamed.text();
    assert!(text.contains("\"content\":\"said \""), "{text}");
    assert!(text.trim_end().ends_with("[DONE]"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_makes_vectors_through_a_node() -> anyhow::Result<()> {
    let example = Example::start().await?;
    let node = Node::start(&example.config("")).await?;
    let question = json!({"model": "own", "input": ["one two three", "four"]});

    let made = node.http().post("/v1/embeddings", &question).await?;

    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.header("x-llm-router-model"), "own");
    let made = made.json();
    let coordinate = |text: usize, at: usize| made["data"][text]["embedding"][at].as_f64();
    assert_eq!((coordinate(0, 0), coordinate(0, 1)), (Some(3.0), Some(1.0)));
    assert_eq!((coordinate(1, 0), coordinate(1, 1)), (Some(1.0), Some(1.0)));
    assert_eq!(made["usage"]["prompt_tokens"], 4);
    Ok(())
}

#[tokio::test]
async fn vectors_that_a_plugin_does_not_make_are_the_fallbacks() -> anyhow::Result<()> {
    let (upstream, example) = (Upstream::behind_a_plugin().await?, Example::start().await?);
    let silent = Backend::Plugin.model(&upstream, ("silent", "echo"), "");
    let rest =
        format!("{silent}routes:\n  - {{ name: all, targets: [silent], fallback: [own] }}\n");
    let node = Node::start(&example.config(&rest)).await?;
    let question = json!({"model": "all", "input": "one two"});

    let made = node.http().post("/v1/embeddings", &question).await?;

    assert_eq!(made.header("x-llm-router-model"), "own", "{}", made.text());
    assert_eq!(made.header("x-llm-router-attempts"), "2");
    let again = node.http().post("/v1/embeddings", &question).await?;
    assert_eq!(
        again.header("x-llm-router-attempts"),
        "1",
        "{}",
        again.text()
    );
    Ok(())
}

#[tokio::test]
async fn what_a_plugin_cannot_do_goes_to_the_fallback() -> anyhow::Result<()> {
    let example = Example::start().await?;
    let rest = "  spare: { provider: demo, model: tools }\n\
                routes:\n  - { name: all, targets: [own], fallback: [spare] }\n";
    let node = Node::start(&example.config(rest)).await?;
    let mut question = json!({"model": "all", "temperature": 0.1,
        "messages": [{"role": "user", "content": "one two"}]});
    let path = "/v1/chat/completions";

    // from here on the node knows what the plugin said of itself
    let plain = node.http().post(path, &question).await?;
    assert_eq!(plain.header("x-llm-router-model"), "own");
    question["messages"][0]["content"] = "one two three".into();
    let dropped = node.http().post(path, &question).await?;
    assert_eq!(dropped.header("x-llm-router-dropped-params"), "temperature");

    question["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let tools = node.http().post(path, &question).await?;
    assert_eq!(tools.header("x-llm-router-model"), "spare");
    Ok(())
}
