//! What survives a restart, and what must not.

use std::path::Path;

use super::*;

fn open(dir: &Path, space: &'static str) -> AnswerCache {
    let embedder: Arc<dyn TextEmbedder> = Arc::new(WordVectors(space));
    AnswerCache::open(Settings {
        dir: Some(dir.to_owned()),
        embedder: Some(embedder),
        config: config(),
        secret: None,
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tiers_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    store(&cache, &asking(QUESTION), "kept").await;
    cache.close().await;
    let again = open(dir.path(), "words");
    let exact = hit(&again, &asking(QUESTION)).await;
    assert_eq!(
        (exact.tier, exact.answer.text.as_str()),
        (Tier::Exact, "kept")
    );
    let semantic = hit(&again, &asking(REWORDED)).await;
    assert_eq!(
        (semantic.tier, semantic.entry),
        (Tier::Semantic, exact.entry)
    );
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_writes_what_was_still_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    let ticket = miss(&cache, &asking(QUESTION)).await;
    cache.insert(ticket, answer("just now"));
    cache.close().await;
    let again = open(dir.path(), "words");
    assert_eq!(hit(&again, &asking(REWORDED)).await.answer.text, "just now");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_replaced_and_evicted_entries_stay_gone() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    store(&cache, &asking("Who painted the Mona Lisa?"), "evicted").await;
    store(&cache, &asking("How do plants make sugar?"), "purged").await;
    store(&cache, &asking(QUESTION), "old").await;
    let purged = hit(&cache, &asking("How do plants make sugar?"))
        .await
        .entry;
    assert_eq!(cache.purge(Purge::Entry(purged)).await.unwrap().removed, 1);
    let mut refresh = asking(QUESTION);
    refresh.cache = CacheMode::Refresh;
    store(&cache, &refresh, "new").await;
    cache.reconfigure(CacheConfig {
        max_entries: 1,
        ..config()
    });
    cache.close().await;
    let again = open(dir.path(), "words");
    assert_eq!(again.stats().entries, 1);
    assert_eq!(hit(&again, &asking(QUESTION)).await.answer.text, "new");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_another_space_are_never_compared() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    store(&cache, &asking(QUESTION), "kept").await;
    cache.close().await;
    let other = open(dir.path(), "another space");
    drop(miss(&other, &asking(REWORDED)).await);
    assert_eq!(hit(&other, &asking(QUESTION)).await.tier, Tier::Exact);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_entries_are_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    let brief = CacheConfig {
        ttl: Span::from_millis(1),
        ..config()
    };
    let Lookup::Miss(ticket) = cache.lookup(&asking(QUESTION), &brief).await else {
        panic!("a miss")
    };
    cache.insert(ticket, answer("brief"));
    cache.close().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let again = open(dir.path(), "words");
    assert_eq!(again.stats().entries, 0);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_values_are_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    store(&cache, &asking(QUESTION), "kept").await;
    cache.close().await;
    let secret = store::secret(&dir.path().join("cache.key")).unwrap();
    let (disk, found) = store::open(&dir.path().join("cache"), &secret).unwrap();
    assert_eq!(found.records.len(), 1);
    disk.damage(&77u64.to_be_bytes(), b"\x03not an entry");
    disk.damage(b"odd key", b"x");
    drop(disk);
    let again = open(dir.path(), "words");
    assert_eq!((again.stats().corrupt, again.stats().entries), (1, 1));
    again.close().await;
    let third = open(dir.path(), "words");
    assert_eq!(third.stats().corrupt, 0, "damaged values are cleared away");
    third.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_after_close_stays_in_memory_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), "words");
    cache.close().await;
    store(&cache, &asking(QUESTION), "late").await;
    assert_eq!(cache.stats().not_persisted, 1);
    assert_eq!(hit(&cache, &asking(QUESTION)).await.answer.text, "late");
}

#[test]
fn a_damaged_secret_stops_the_cache_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cache.key"), b"short").unwrap();
    let settings = Settings {
        dir: Some(dir.path().to_owned()),
        ..settings()
    };
    assert!(matches!(
        AnswerCache::open(settings),
        Err(Error::Store(StoreError::Secret(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_tenants_purge_rows_from_a_backup_do_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let of = |tenant: &str| {
        let mut request = asking(QUESTION);
        request.tenant = tenant.into();
        request
    };
    let cache = open(dir.path(), "words");
    store(&cache, &of("gone"), "secret").await;
    store(&cache, &of("stays"), "kept").await;
    cache.close().await;
    let secret = store::secret(&dir.path().join("cache.key")).unwrap();
    let (disk, _) = store::open(&dir.path().join("cache"), &secret).unwrap();
    let backup = disk.rows();
    drop(disk);
    let cache = open(dir.path(), "words");
    assert_eq!(
        cache
            .purge(Purge::Tenant("gone".into()))
            .await
            .unwrap()
            .removed,
        1
    );
    // the tenant goes on under a key of its own
    let mut other = of("gone");
    other.cache = CacheMode::Refresh;
    store(&cache, &other, "new").await;
    cache.close().await;
    let (disk, _) = store::open(&dir.path().join("cache"), &secret).unwrap();
    assert_eq!((backup.len(), disk.rows().len()), (2, 2));
    backup.iter().for_each(|(key, row)| disk.damage(key, row));
    drop(disk);
    let again = open(dir.path(), "words");
    assert_eq!((again.stats().corrupt, again.stats().entries), (1, 2));
    assert_eq!(hit(&again, &of("gone")).await.answer.text, "new");
    assert_eq!(hit(&again, &of("stays")).await.answer.text, "kept");
    again.close().await;
}
