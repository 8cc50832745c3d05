use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::time::timeout;

use super::*;
use crate::config::env::Environment;
use crate::config::load::{Flags, load};

const ONE: &str = "models: { a: { provider: demo, model: echo } }\n";
const TWO: &str =
    "models: { a: { provider: demo, model: echo }, b: { provider: demo, model: lorem } }\n";

/// A change must be live within two seconds; a loaded test machine gets a little more.
const SOON: Duration = Duration::from_secs(5);

fn follow(path: &Path) -> Follower {
    let flags = Flags {
        config: Some(path.to_owned()),
        ..Flags::default()
    };
    let loaded = load(&flags, &Environment::default()).unwrap();
    Follower::new(&loaded).unwrap()
}

/// Runs `act` beside the follower and returns the first news after it.
async fn news_after(follower: Follower, act: impl AsyncFnOnce()) -> News {
    let (sender, mut news) = mpsc::channel(4);
    let shutdown = CancellationToken::new();
    let story = async {
        sleep(Duration::from_millis(50)).await;
        act().await;
        let first = timeout(SOON, news.recv()).await.expect("no news").unwrap();
        shutdown.cancel();
        first
    };
    let ((), first) = tokio::join!(follower.run(shutdown.clone(), sender), story);
    first
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("llm-router.yaml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[tokio::test]
async fn an_invalid_file_is_refused_with_its_reason() {
    let (_dir, path) = file(ONE);
    let news = news_after(follow(&path), async || {
        fs::write(&path, "modles: {}\n").unwrap()
    })
    .await;
    assert!(
        news.unwrap_err()
            .to_string()
            .contains("did you mean `models`?")
    );
}

#[tokio::test]
async fn a_file_that_goes_away_is_refused_and_named() {
    let (_dir, path) = file(ONE);
    let news = news_after(follow(&path), async || fs::remove_file(&path).unwrap()).await;
    assert!(news.unwrap_err().to_string().contains("cannot be read"));
}

#[tokio::test]
async fn a_half_written_file_is_not_taken_for_a_whole_one() {
    let (_dir, path) = file(ONE);
    let news = news_after(follow(&path), async || {
        fs::write(&path, "").unwrap();
        sleep(Duration::from_millis(100)).await;
        fs::write(&path, TWO).unwrap();
    });
    assert_eq!(news.await.unwrap().routing.models.len(), 2);
}

#[tokio::test]
async fn a_file_renamed_over_the_old_one_is_live() {
    let (dir, path) = file(ONE);
    let news = news_after(follow(&path), async || {
        let fresh = dir.path().join(".new");
        fs::write(&fresh, TWO).unwrap();
        fs::rename(&fresh, &path).unwrap();
    });
    assert_eq!(news.await.unwrap().routing.models.len(), 2);
}

#[tokio::test]
async fn a_swapped_symlink_above_the_file_is_live() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, text) in [("v1", ONE), ("v2", TWO)] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("llm-router.yaml"), text).unwrap();
    }
    symlink("v1", at("..data")).unwrap();
    symlink("..data/llm-router.yaml", at("llm-router.yaml")).unwrap();
    let news = news_after(follow(&at("llm-router.yaml")), async || {
        symlink("v2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
    });
    assert_eq!(news.await.unwrap().routing.models.len(), 2);
}

#[tokio::test]
async fn a_change_of_the_node_part_asks_for_a_restart_and_the_rest_applies() {
    let (_dir, path) = file(ONE);
    let text = format!("listen: {{ http: '127.0.0.1:9' }}\ndata_dir: x\n{TWO}");
    let news = news_after(follow(&path), async || fs::write(&path, &text).unwrap()).await;
    let change = news.unwrap();
    assert_eq!(change.needs_restart, ["data_dir", "listen.http"]);
    assert_eq!(change.routing.models.len(), 2);
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_follow() {
    let loaded = load(&Flags::default(), &Environment::default()).unwrap();
    assert!(Follower::new(&loaded).is_none());
}
