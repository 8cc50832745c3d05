//! The index beside a plain map that is searched by brute force.

use super::*;

const DIMENSIONS: usize = 48;

#[derive(Clone, Debug)]
enum Step {
    Insert {
        labels: u64,
        count: u64,
    },
    Remove {
        labels: u64,
        count: u64,
    },
    Search,
    /// Begins flat work and leaves it under way.
    Begin,
    /// Ends what was begun.
    Finish,
    /// Gives up what was begun.
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3000, 1u64..500).prop_map(|(labels, count)| Step::Insert { labels, count }),
        3 => (0u64..3000, 1u64..400).prop_map(|(labels, count)| Step::Remove { labels, count }),
        3 => Just(Step::Search),
        2 => Just(Step::Begin),
        2 => Just(Step::Finish),
        1 => Just(Step::Abandon),
    ]
}

fn check(index: &PartitionIndex, model: &HashMap<u64, Vec<f32>>, rng: &mut StdRng) {
    let query = match model.values().next() {
        Some(vector) if rng.random_range(0..2) == 0 => near(rng, vector, 0.92),
        _ => direction(rng, DIMENSIONS),
    };
    let one_in = rng.random_range(1..4);
    let admits = |label: u64| label.is_multiple_of(one_in);
    let allowed = model.iter().filter(|(label, _)| admits(**label));
    let mut expected: Vec<f32> = allowed.map(|(_, vector)| dot(vector, &query)).collect();
    expected.sort_by(|a, b| b.total_cmp(a));
    expected.truncate(8);
    let found = index.search(&query, 8, admits);
    assert_eq!(found.len(), expected.len());
    let distinct: HashSet<u64> = found.iter().map(|near| near.label).collect();
    assert_eq!(distinct.len(), found.len(), "a label is found once");
    for (near, best) in found.iter().zip(&expected) {
        assert!(admits(near.label));
        let exact = dot(&model[&near.label], &query);
        assert!((near.similarity - exact).abs() < 1e-3);
        assert!(
            (near.similarity - best).abs() < 1e-3,
            "{found:?} {expected:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_happens_the_index_finds_what_brute_force_finds(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..50),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let index = by_hand(DIMENSIONS, IndexKind::Flat);
        let mut model: HashMap<u64, Vec<f32>> = HashMap::new();
        let mut under_way = None;
        for step in steps {
            match step {
                Step::Insert { labels, count } => for label in labels..labels + count {
                    let vector = direction(&mut rng, DIMENSIONS);
                    prop_assert!(index.insert(label, &vector));
                    model.insert(label, vector);
                },
                Step::Remove { labels, count } => for label in labels..labels + count {
                    prop_assert_eq!(index.remove(label), model.remove(&label).is_some());
                },
                Step::Search => check(&index, &model, &mut rng),
                Step::Begin if under_way.is_none() => {
                    under_way = index.begin(Slot::Flat).map(|job| {
                        let merged = job.merged();
                        (job, merged)
                    });
                }
                Step::Begin => {}
                Step::Finish => if let Some((job, merged)) = under_way.take() {
                    job.publish(Segment::flat(merged));
                    check(&index, &model, &mut rng);
                },
                Step::Abandon => {
                    drop(under_way.take());
                    check(&index, &model, &mut rng);
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        drop(under_way);
        settle(&index);
        check(&index, &model, &mut rng);
        let rows: usize = index.parts().iter().map(|part| part.rows - part.dead).sum();
        prop_assert_eq!(rows, model.len());
    }
}
