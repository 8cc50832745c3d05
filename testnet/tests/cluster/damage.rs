//! Disks that forget, fill up, or lie.

use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::cluster::admin::{Put, put};
use llm_router_testnet::cluster::damage::{How, What};
use llm_router_testnet::cluster::{Faults, LIMIT};
use llm_router_testnet::nemesis::rebuild;
use llm_router_testnet::{Cluster, Witness, eventually};

const SOON: Duration = Duration::from_secs(10);

fn config(upstream: &Witness, mark: &str) -> String {
    format!(
        "models:\n{}routes:\n  - {{ name: {mark}, targets: [gpt] }}\n",
        upstream.model("gpt", "")
    )
}

/// Orders a snapshot; gives the leader, who has written it.
async fn with_a_snapshot(cluster: &Cluster) -> anyhow::Result<usize> {
    eventually("the leader writes a snapshot", LIMIT, async || {
        let leader = cluster.leader_now().await?;
        let reply = cluster.snapshot(leader).await.ok()?;
        // by a leader that came in between, it is that one's
        let still = cluster.leader_now().await? == leader;
        (reply.status < 300 && still).then_some(leader)
    })
    .await
}

#[tokio::test]
async fn a_node_with_damaged_data_refuses_to_start_and_the_others_go_on() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    for round in 0..20 {
        let text = config(&upstream, &format!("round-{round}"));
        cluster.put(1, &text).await?;
    }
    let cases = [
        (What::Log, How::Flip),
        (What::Watermark, How::Flip),
        (What::Watermark, How::Remove),
        (What::Manifest, How::Truncate),
        (What::Snapshot, How::Flip),
    ];
    for (round, (what, how)) in cases.into_iter().enumerate() {
        // The leader of the moment has a snapshot, whatever else it has.
        let mut victim = cluster.followers().await?[0];
        if what == What::Snapshot {
            victim = with_a_snapshot(&cluster).await?;
        }
        let spoken = cluster.log(victim).len();
        cluster.kill(victim).await?;
        let Some(path) = cluster.damage(victim, what, how)? else {
            anyhow::bail!("n{victim} has no {what:?}");
        };
        cluster.spawn(victim)?;
        let code = cluster.ends(victim, SOON).await;
        let log = cluster.log(victim);
        let said = &log[spoken..];
        let code = match code {
            Ok(code) => code,
            Err(error) => anyhow::bail!("{what:?} {how:?}, {}: {error}: {said}", path.display()),
        };
        assert!(matches!(code, Some(1..)), "{what:?}: {code:?}\n{said}");
        for word in ["must not", "cluster remove"] {
            assert!(said.contains(word), "{what:?} {how:?}:\n{said}");
        }
        assert!(!said.contains("panicked"), "{what:?} {how:?}:\n{said}");

        let other = cluster.running()[0];
        let text = config(&upstream, &format!("without-{round}"));
        cluster.put_until(other, &text).await?;
        rebuild(&mut cluster, victim).await?;
        cluster.formed(3).await?;
        cluster.in_step().await?;
    }
    cluster.end().await
}

#[tokio::test]
async fn a_full_disk_refuses_changes_with_507_and_routing_goes_on() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    let (leader, followers) = cluster.roles().await?;
    let follower = followers[0];
    cluster.faults(leader, &Faults::default().with("room enospc *"))?;
    let told = eventually("a leader without room says so", LIMIT, async || {
        let told = put(cluster.http(follower), &config(&upstream, "never"), None).await;
        let leads = cluster.leader_now().await?;
        if leads != leader {
            // one that has room came in between
            cluster.transfer(leads, Some(leader)).await.ok()?;
            return None;
        }
        (!matches!(told, Put::Unknown(_))).then_some(told)
    });
    assert_eq!(told.await?, Put::Refused(507));
    for id in cluster.ids() {
        let reply = cluster
            .http(id)
            .chat_with(&[("cache", "off")], &chat("gpt", "still there?"))
            .await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    cluster.faults(leader, &Faults::default())?;
    let text = config(&upstream, "after");
    cluster.put_until(follower, &text).await?;

    // A follower that could not keep a change counts as much, once the leader has heard of it.
    cluster.faults(follower, &Faults::default().with("room enospc *"))?;
    eventually(
        "the leader knows of a follower without room",
        SOON,
        async || {
            let told = put(cluster.http(leader), &config(&upstream, "meanwhile"), None).await;
            (told == Put::Refused(507)).then_some(())
        },
    )
    .await?;
    cluster.faults(follower, &Faults::default())?;
    let text = config(&upstream, "in-the-end");
    cluster.put_until(leader, &text).await?;
    cluster.in_step().await?;
    cluster.end().await
}

#[tokio::test]
async fn a_node_that_lost_everything_is_not_let_in_under_its_old_name() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    let victim = *cluster.followers().await?.last().unwrap();
    cluster.kill(victim).await?;
    cluster.wipe(victim)?;
    cluster.write_file(victim, Some(cluster.leader().await?))?;
    cluster.spawn(victim)?;
    let code = cluster.ends(victim, SOON * 2).await?;
    let log = cluster.log(victim);
    assert_ne!(code, Some(0), "{log}");
    assert!(log.contains("cluster remove"), "{log}");
    rebuild(&mut cluster, victim).await?;
    cluster.formed(3).await?;
    cluster.in_step().await?;
    cluster.end().await
}
