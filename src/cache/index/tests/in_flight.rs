//! What happens while something is being rewritten.

use std::sync::atomic::AtomicU64;
use std::thread;

use super::*;

const DIMENSIONS: usize = 24;

fn filled(kind: IndexKind, vectors: &[Vec<f32>]) -> Arc<PartitionIndex> {
    let index = by_hand(DIMENSIONS, kind);
    for (label, vector) in (0..).zip(vectors) {
        index.insert(label, vector);
    }
    index
}

fn none_is_found(index: &PartitionIndex, vectors: &[Vec<f32>], removed: &[u64]) {
    for &label in removed {
        let vector = &vectors[usize::try_from(label).unwrap()];
        let found = index.search(vector, 8, |_| true);
        assert!(!labels(&found).contains(&label), "{label} came back");
        assert!(!index.remove(label), "{label} was there to be removed");
    }
}

#[test]
fn what_is_removed_while_a_merge_is_under_way_stays_removed() {
    let vectors = clustered(&mut StdRng::seed_from_u64(21), DIMENSIONS, 8192);
    // few are marked under the lock, many before it is taken
    for count in [1usize, 10, 1000] {
        let index = filled(IndexKind::Flat, &vectors);
        let job = index.begin(Slot::Flat).unwrap();
        let removed: Vec<u64> = (0u64..).step_by(2).take(3 * count).collect();
        let (before, rest) = removed.split_at(count);
        before
            .iter()
            .for_each(|&label| assert!(index.remove(label)));
        let merged = job.merged();
        let (between, after) = rest.split_at(count);
        between
            .iter()
            .for_each(|&label| assert!(index.remove(label)));
        none_is_found(&index, &vectors, between);
        job.publish(Segment::flat(merged));
        none_is_found(&index, &vectors, before);
        none_is_found(&index, &vectors, between);
        after.iter().for_each(|&label| assert!(index.remove(label)));
        settle(&index);
        none_is_found(&index, &vectors, &removed);
        assert_eq!(index.len(), 8192 - removed.len());
    }
}

#[test]
fn what_is_removed_while_a_graph_is_built_stays_removed() {
    let vectors = clustered(&mut StdRng::seed_from_u64(22), DIMENSIONS, 2048);
    let index = filled(IndexKind::Hnsw, &vectors);
    let job = claim_for_graph(&index);
    let removed: Vec<u64> = (0..200).collect();
    let body = job.merged();
    removed
        .iter()
        .for_each(|&label| assert!(index.remove(label)));
    let segment = Segment::with_graph(body, &one_thread(), job.called_off()).unwrap();
    job.publish(segment);
    none_is_found(&index, &vectors, &removed);
    assert_eq!(index.parts()[0].dead, 200);
    let kept = &vectors[201];
    assert_eq!(index.search(kept, 1, |_| true)[0].label, 201);
}

#[test]
fn what_is_inserted_again_while_a_merge_is_under_way_is_there_once() {
    let mut rng = StdRng::seed_from_u64(23);
    let vectors = clustered(&mut rng, DIMENSIONS, 8192);
    let index = filled(IndexKind::Flat, &vectors);
    let job = index.begin(Slot::Flat).unwrap();
    let merged = job.merged();
    let new = direction(&mut rng, DIMENSIONS);
    for label in 100..600 {
        index.insert(label, &new);
    }
    job.publish(Segment::flat(merged));
    assert_eq!(index.len(), 8192);
    let found = index.search(&new, 500, |_| true);
    assert!(found.iter().all(|near| (100..600).contains(&near.label)));
    settle(&index);
    let all = index.search(&new, 10_000, |_| true);
    assert_eq!(labels(&all).into_iter().collect::<HashSet<_>>().len(), 8192);
}

#[test]
fn work_given_up_is_work_that_can_begin_again() {
    let vectors = clustered(&mut StdRng::seed_from_u64(24), DIMENSIONS, 8448);
    let index = filled(IndexKind::Flat, &vectors);
    let job = index.begin(Slot::Flat).unwrap();
    assert!(index.begin(Slot::Flat).is_none(), "one at a time");
    assert!(!index.is_settled());
    index.remove(5);
    drop(job);
    assert_eq!(index.begin(Slot::Flat).unwrap().inputs.len(), 33);
    settle(&index);
    none_is_found(&index, &vectors, &[5]);
}

#[test]
fn a_build_called_off_ends_without_a_graph() {
    let vectors = clustered(&mut StdRng::seed_from_u64(25), DIMENSIONS, 8192);
    let index = filled(IndexKind::Hnsw, &vectors);
    let job = index.begin(Slot::Flat).unwrap();
    let merged = job.merged();
    job.publish(Segment::flat(merged));
    let job = index.begin(Slot::Graph).unwrap();
    let body = job.merged();
    drop(index);
    assert!(Segment::with_graph(body, &one_thread(), job.called_off()).is_none());
}

#[test]
fn stopping_leaves_an_index_that_works() {
    let vectors = clustered(&mut StdRng::seed_from_u64(26), DIMENSIONS, 30_000);
    let upkeep = Upkeep::new(IndexKind::Hnsw);
    let index = PartitionIndex::new(DIMENSIONS, upkeep.clone());
    for (label, vector) in (0..).zip(&vectors) {
        index.insert(label, vector);
    }
    upkeep.stop();
    upkeep.stop();
    for (label, vector) in (0..).zip(&vectors).step_by(1000) {
        assert_eq!(index.search(vector, 1, |_| true)[0].label, label);
    }
    assert!(index.remove(0));
    assert!(index.insert(0, &vectors[0]));
    assert_eq!(index.len(), 30_000);
}

/// Two writers, each with labels of its own, and two readers, beside merges and graphs. A writer
/// says what it has inserted after it has, and what it has removed after it has; a reader looks at
/// what was said before its search and at what is said after it.
#[test]
fn no_reader_finds_what_was_removed_or_misses_what_is_there() {
    const EACH: u64 = 12_000;
    const ALL: usize = 24_000;
    let mut rng = StdRng::seed_from_u64(27);
    let vectors = clustered(&mut rng, DIMENSIONS, ALL);
    let index = PartitionIndex::new(DIMENSIONS, Upkeep::new(IndexKind::Hnsw));
    let inserted = [AtomicU64::new(0), AtomicU64::new(0)];
    let removing = [AtomicU64::new(0), AtomicU64::new(0)];
    let removed = [AtomicU64::new(0), AtomicU64::new(0)];
    let vector_of =
        |writer: usize, step: u64| &vectors[writer + 2 * usize::try_from(step).unwrap()];
    let read = |said: &[AtomicU64; 2]| {
        [
            said[0].load(Ordering::SeqCst),
            said[1].load(Ordering::SeqCst),
        ]
    };
    thread::scope(|scope| {
        for writer in 0..2usize {
            let (index, inserted, removing, removed) = (&index, &inserted, &removing, &removed);
            scope.spawn(move || {
                for step in 0..EACH {
                    assert!(index.insert(writer as u64 + 2 * step, vector_of(writer, step)));
                    inserted[writer].store(step + 1, Ordering::SeqCst);
                    // four in five of the older ones go
                    if let Some(old) = step.checked_sub(3000).filter(|old| !old.is_multiple_of(5)) {
                        removing[writer].store(old + 1, Ordering::SeqCst);
                        assert!(index.remove(writer as u64 + 2 * old));
                        removed[writer].store(old + 1, Ordering::SeqCst);
                    }
                }
            });
        }
        for seed in 0..2 {
            let (index, inserted, removing, removed) = (&index, &inserted, &removing, &removed);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                while read(inserted) != [EACH, EACH] {
                    let (there, gone) = (read(inserted), read(removed));
                    let writer = rng.random_range(0..2usize);
                    if there[writer] == 0 {
                        continue;
                    }
                    let step = rng.random_range(0..there[writer]);
                    let found = index.search(vector_of(writer, step), 8, |_| true);
                    let going = read(removing);
                    for near in &found {
                        let (writer, step) =
                            (usize::from(!near.label.is_multiple_of(2)), near.label / 2);
                        assert!(
                            step.is_multiple_of(5) || step >= gone[writer],
                            "{step} came back"
                        );
                    }
                    let stayed = step.is_multiple_of(5) || step >= going[writer];
                    let label = writer as u64 + 2 * step;
                    assert!(
                        !stayed || labels(&found).contains(&label),
                        "{label} is missing"
                    );
                }
            });
        }
    });
    let kept = |step: u64| step.is_multiple_of(5) || step >= EACH - 3000;
    let expected = (0..EACH).filter(|step| kept(*step)).count() * 2;
    assert_eq!(index.len(), expected);
    assert_eq!(index.search(&vectors[0], 100_000, |_| true).len(), expected);
}
