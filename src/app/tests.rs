//! What a node does with configs, over a real cluster of one.

use llm_router_cluster::{Author, Consistency, Revision};

use super::in_step::{Newer, Standing};
use super::testing::One;
use crate::config::Problems;
use crate::error::{Error, Kind};

const FIRST: &str = "models: { a: { provider: demo, model: echo } }\n";
const OTHER: &str = "models: { b: { provider: demo, model: lorem } }\n";

async fn apply(one: &One, text: &str, expected: Option<u64>) -> Result<Revision, Error> {
    let expected = expected.map(Revision);
    let author = Author::new("operator");
    one.agreed().apply(text, expected, None, author).await
}

fn in_force(one: &One) -> String {
    let state = one.cluster.state();
    state.config().current().unwrap().text.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_no_node_could_serve_is_refused_before_it_is_agreed_on() {
    let one = One::begin(FIRST).await;
    let speedy = "models:\n  a: { provider: demo, model: echo, options: { speed: 1 } }\n";
    let refused = apply(&one, speedy, None).await.unwrap_err();
    assert_eq!(refused.kind, Kind::InvalidConfig);
    let source = std::error::Error::source(&refused).unwrap();
    let Problems { problems, .. } = source.downcast_ref().unwrap();
    assert_eq!(
        (problems[0].path.as_str(), problems[0].line),
        ("models.a", Some(2))
    );
    assert_eq!(one.agreed().revision(), Revision(1));
    // whether this node has the variable says nothing about the others
    let keyed = "models: { a: { provider: openai, model: m, api_key: { env: NOT_SET_HERE } } }";
    assert_eq!(apply(&one, keyed, None).await.unwrap(), Revision(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn dots_keep_the_secret_of_the_newest_revision_and_change_no_other() {
    let keyed = |secret: &str, limit: u32| {
        format!(
            "models: {{ a: {{ provider: openai, model: m, api_key: '{secret}', \
             max_concurrency: {limit} }} }}"
        )
    };
    let one = One::begin(&keyed("sk-old", 1)).await;
    let sealed = |one: &One| {
        let text: serde_json::Value = serde_json::from_str(&in_force(one)).unwrap();
        text["models"]["a"]["api_key"].as_str().unwrap().to_owned()
    };
    let old = sealed(&one);
    apply(&one, &keyed("sk-new", 1), None).await.unwrap();
    let new = sealed(&one);
    assert_ne!(old, new);
    assert_eq!(
        apply(&one, &keyed("••••", 2), None).await.unwrap(),
        Revision(3)
    );
    assert_eq!(sealed(&one), new, "not an older one");
    let late = apply(&one, &keyed("••••", 3), Some(2)).await.unwrap_err();
    assert_eq!(late.kind, Kind::Conflict);
    let made = apply(&one, &keyed("••••", 3), Some(3)).await;
    assert_eq!(made.unwrap(), Revision(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_differs_after_a_restart_is_told_and_what_is_agreed_is_served() {
    let one = One::begin(FIRST).await;
    assert_eq!(
        one.stands(|file| file.in_step).await.standing,
        Standing::InStep
    );
    let one = one.again(OTHER).await;
    let file = one.standing();
    assert_eq!((file.in_step, file.newer), (false, Some(Newer::File)));
    assert_eq!(
        (file.agreed_revision, file.in_step_revision),
        (Revision(1), Some(Revision(1)))
    );
    let changes: Vec<String> = file.changes.iter().map(ToString::to_string).collect();
    assert!(
        changes.iter().any(|line| line.starts_with("+ models.b")),
        "{changes:?}"
    );
    assert_eq!(one.node.engine.model_names(), ["auto", "a"]);
    apply(&one, FIRST.replace("echo", "lorem").as_str(), None)
        .await
        .unwrap();
    let file = one.stands(|file| file.newer == Some(Newer::Both)).await;
    assert!(
        file.difference()
            .unwrap()
            .contains("both have changed since revision 1")
    );
    let one = one.again(FIRST).await;
    let said = one.standing().difference().unwrap();
    assert!(
        said.contains("the agreed config is newer: revision 2"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_file_takes_no_model_from_any_node() {
    let one = One::begin(FIRST).await;
    one.stands(|file| file.standing == Standing::InStep).await;
    std::fs::write(one.file(), "").unwrap();
    let file = one.stands(|file| file.standing == Standing::Emptied).await;
    assert!(!file.waiting && !file.in_step, "{file:?}");
    assert_eq!(one.agreed().revision(), Revision(1));
    assert_eq!(one.node.engine.model_names(), ["auto", "a"]);
    // what is written back counts again
    std::fs::write(one.file(), FIRST).unwrap();
    one.stands(|file| file.standing == Standing::InStep).await;
    let history = one
        .agreed()
        .history(Consistency::Linearizable)
        .await
        .unwrap();
    assert_eq!(history.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_that_no_node_could_serve_is_not_proposed() {
    let one = One::begin(FIRST).await;
    one.stands(|file| file.standing == Standing::InStep).await;
    let speedy = "models: { a: { provider: demo, model: echo, options: { speed: 1 } } }\n";
    std::fs::write(one.file(), speedy).unwrap();
    let file = one.stands(|file| file.newer == Some(Newer::File)).await;
    assert!(!file.waiting, "{file:?}");
    assert_eq!(one.agreed().revision(), Revision(1));
}
