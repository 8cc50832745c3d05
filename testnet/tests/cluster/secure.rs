//! Nodes that know one another by certificates.

use std::path::Path;
use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::cluster::certs::Certs;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::{Witness, eventually};

use crate::refusal::members;

const GIVES_UP: Duration = Duration::from_secs(20);

fn setup(upstream: &Witness) -> Setup {
    Setup {
        routing: format!("models:\n{}", upstream.model("gpt", "")),
        tls: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn three_nodes_agree_over_mtls_and_take_renewed_certificates() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::start(3, setup(&upstream)).await?;
    for id in cluster.ids() {
        let reply = cluster.http(id).chat(&chat("gpt", "hello")).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let leader = cluster.leader().await?;
    cluster.kill(leader).await?;
    let survivor = cluster.followers().await?[0];
    cluster.certs().unwrap().renew(&[1, 2, 3]).await?;
    cluster.put(survivor, &setup(&upstream).routing).await?;
    cluster.restart(leader).await?;
    cluster.in_step().await?;
    cluster.end().await
}

#[tokio::test]
async fn a_foreign_and_a_borrowed_certificate_are_refused() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::prepare(3, setup(&upstream)).await?;
    cluster.launch(1).await?;
    cluster.launch(2).await?;
    let before = members(&cluster).await?;
    let own = cluster.certs().unwrap().folder().to_owned();
    let foreign = Certs::create(&cluster.folder().join("foreign"), 3).await?;
    let file = cluster.folder().join("n3").join("node.yaml");
    let text = std::fs::read_to_string(&file)?;

    // The third node's files are, in turn: all of another authority; the second node's.
    let files = |folder: &Path, name: &str| {
        [
            "ca.pem".to_owned(),
            format!("{name}.pem"),
            format!("{name}.key"),
        ]
        .map(|file| folder.join(file).display().to_string())
    };
    let mine = files(&own, "n3");
    for theirs in [files(foreign.folder(), "n3"), files(&own, "n2")] {
        let swapped = mine
            .iter()
            .zip(&theirs)
            .fold(text.clone(), |text, (mine, theirs)| {
                text.replace(mine, theirs)
            });
        std::fs::write(&file, swapped)?;
        cluster.wipe(3)?;
        let spoken = cluster.log(3).len();
        cluster.spawn(3)?;
        let code = cluster.ends(3, GIVES_UP).await?;
        let log = cluster.log(3);
        assert_ne!(code, Some(0), "{log}");
        let said = log[spoken..].to_lowercase();
        assert!(said.contains("certificate"), "{said}");
        assert_eq!(members(&cluster).await?, before);
    }

    // With its own it is welcome.
    std::fs::write(&file, &text)?;
    cluster.wipe(3)?;
    cluster.launch(3).await?;
    cluster.formed(3).await?;
    cluster.end().await
}

#[tokio::test]
async fn a_node_whose_certificate_has_ended_is_not_let_in() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::prepare(2, setup(&upstream)).await?;
    cluster.launch(1).await?;
    cluster.certs().unwrap().expire(2)?;
    cluster.spawn(2)?;
    let code = cluster.ends(2, GIVES_UP).await?;
    let log = cluster.log(2);
    assert_ne!(code, Some(0), "{log}");
    assert!(
        log.contains("expired") || log.contains("has ended"),
        "{log}"
    );
    cluster.certs().unwrap().renew(&[2]).await?;
    cluster.wipe(2)?;
    cluster.launch(2).await?;
    eventually("it is a member", GIVES_UP, async || {
        let status = cluster.status(1).await?;
        (status["nodes"].as_array()?.len() == 2).then_some(())
    })
    .await?;
    cluster.end().await
}
