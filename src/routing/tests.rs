use proptest::prelude::*;

use super::{Bar, Barred, Facts, Role, RoutingTable, Unroutable, View};
use crate::config::RoutingConfig;
use crate::types::{Features, ModelName, Priority};

fn table(yaml: &str) -> RoutingTable {
    let config: RoutingConfig = serde_saphyr::from_str(yaml).unwrap();
    RoutingTable::compile(&config).unwrap()
}

const THREE: &str = "
models:
  a: { provider: demo, model: echo, price: { input_per_mtok: 5, output_per_mtok: 5 }, context_window: 100 }
  b: { provider: demo, model: echo, price: { input_per_mtok: 1, output_per_mtok: 1 } }
  c: { provider: demo, model: echo, capabilities: { tools: false } }
";

struct Asked<'a> {
    model: &'a str,
    priority: Priority,
    tags: Vec<(String, String)>,
    features: Features,
}

impl Asked<'_> {
    fn facts(&self) -> Facts<'_> {
        Facts {
            model: self.model,
            priority: self.priority,
            tenant: "default",
            tags: &self.tags,
            features: &self.features,
        }
    }
}

fn asked(model: &str) -> Asked<'_> {
    let features = Features {
        prompt_tokens: 10,
        text: "hello".into(),
        ..Features::default()
    };
    Asked {
        model,
        priority: Priority::Normal,
        tags: Vec::new(),
        features,
    }
}

fn free(_: &ModelName) -> View {
    View::default()
}

fn order(
    table: &RoutingTable,
    asked: &Asked<'_>,
    view: impl Fn(&ModelName) -> View,
) -> Vec<String> {
    let plan = table.plan(&asked.facts(), view, 7).unwrap();
    plan.candidates
        .iter()
        .map(|candidate| candidate.model.to_string())
        .collect()
}

#[test]
fn a_name_nobody_has_is_unknown_even_where_a_rule_matches_everything() {
    let table = table(&format!(
        "{THREE}routes:\n  - {{ name: all, targets: [a] }}\n"
    ));
    let refused = table.plan(&asked("gpt-9").facts(), free, 0).unwrap_err();
    assert_eq!(refused, Unroutable::Unknown("gpt-9".to_owned()));
}

#[test]
fn an_alias_comes_before_a_route_of_that_name_and_a_route_before_a_model() {
    let routes = "routes:
  - { name: smart, targets: [c] }
  - { name: by-alias, match: { model: [smart, fast] }, targets: [b] }
  - { name: a, targets: [c], fallback: [b] }
";
    let table = table(&format!("{THREE}{routes}"));
    assert_eq!(order(&table, &asked("smart"), free), ["b"]);
    assert_eq!(order(&table, &asked("a"), free), ["c", "b"]);
    assert_eq!(
        order(&table, &asked("b"), free),
        ["b"],
        "a model alone has no fallback"
    );
}

#[test]
fn the_first_rule_that_holds_decides_and_without_one_every_model_is_tried() {
    let routes = "routes:
  - { name: long, match: { min_prompt_tokens: 1000 }, targets: [b] }
  - { name: tagged, match: { tags: { team: [red, blue] } }, targets: [c] }
  - { name: word, match: { contains: HELLO, regex: '^h' }, targets: [a], fallback: [b] }
";
    let table = table(&format!("{THREE}{routes}"));
    let mut tagged = asked("auto");
    tagged.tags = vec![("team".to_owned(), "blue".to_owned())];
    assert_eq!(order(&table, &tagged, free), ["c"]);
    assert_eq!(order(&table, &asked("auto"), free), ["a", "b"]);
    let mut other = asked("auto");
    other.features.text = "bye".into();
    assert_eq!(order(&table, &other, free), ["a", "b", "c"]);
}

#[test]
fn a_model_too_small_or_without_tools_is_barred_and_says_so() {
    let table = table(THREE);
    let mut big = asked("auto");
    big.features.prompt_tokens = 5_000;
    big.features.has_tools = true;
    let plan = table.plan(&big.facts(), free, 0).unwrap();
    let bars: Vec<Option<Bar>> = plan
        .candidates
        .iter()
        .map(|c| c.barred.as_ref().map(|bar| bar.cause))
        .collect();
    assert_eq!(bars, [Some(Bar::Unfit), None, Some(Bar::Unfit)]);
    let explained = table.explain(&big.facts(), free, 0).unwrap();
    assert!(explained.candidates[0].reason.contains("context too small"));
}

#[test]
fn what_would_be_left_out_is_explained_and_bars_where_the_route_says_so() {
    use crate::dialect::carry::Uncarried;
    let explained = |policy: &str, parts: &[Uncarried]| {
        let route = format!("routes:\n  - {{ name: r, targets: [a]{policy} }}\n");
        let view = |_: &ModelName| View {
            uncarried: parts.to_vec(),
            ..View::default()
        };
        let table = table(&format!("{THREE}{route}"));
        let explained = table.explain(&asked("r").facts(), view, 0);
        let one = explained.unwrap().candidates.remove(0);
        (one.eligible, one.reason, one.dropped)
    };
    let seed = [Uncarried::droppable("seed")];
    let dropped = vec!["seed".to_owned()];
    let ready = "ready, without `seed`".to_owned();
    assert_eq!(explained("", &seed), (true, ready, dropped.clone()));
    let barred = "cannot be told `seed`, which `on_unsupported: error` asks for".to_owned();
    let strict = ", on_unsupported: error";
    assert_eq!(explained(strict, &seed), (false, barred, dropped));
    let (eligible, reason, dropped) = explained("", &[Uncarried::essential("n")]);
    assert_eq!((eligible, &*reason), (false, "cannot be told `n`"));
    assert!(dropped.is_empty(), "what bars a model is not left out");
}

#[test]
fn a_model_that_cannot_see_or_hold_to_a_schema_is_barred_for_that_alone() {
    let table = table(
        "
models:
  blind: { provider: demo, model: echo, capabilities: { vision: false } }
  free-form: { provider: demo, model: echo, capabilities: { json_schema: false } }
  listed: { provider: openai, model: gpt-3.5-turbo-0125 }
",
    );
    let ready = |change: fn(&mut Features)| {
        let mut asked = asked("auto");
        change(&mut asked.features);
        let explained = table.explain(&asked.facts(), free, 0).unwrap();
        let candidates = explained.candidates.into_iter();
        candidates
            .map(|c| (c.eligible, c.reason))
            .collect::<Vec<_>>()
    };
    assert!(ready(|_| ()).iter().all(|(eligible, _)| *eligible));
    let seeing = ready(|features| features.has_images = true);
    assert_eq!(seeing[0], (false, "cannot see images".to_owned()));
    assert_eq!(
        seeing.iter().map(|(ok, _)| *ok).collect::<Vec<_>>(),
        [false, true, false]
    );
    let strict = ready(|features| features.wants_json_schema = true);
    assert_eq!(
        strict[1],
        (false, "cannot hold to a json schema".to_owned())
    );
    assert_eq!(
        strict.iter().map(|(ok, _)| *ok).collect::<Vec<_>>(),
        [true, false, false]
    );
}

#[test]
fn strategies_put_the_cheap_the_idle_and_the_fast_first() {
    let with = |strategy: &str| {
        table(&format!(
            "{THREE}routes:\n  - {{ name: r, targets: [a, b, c], strategy: {strategy} }}\n"
        ))
    };
    // c has no price, which counts as free
    assert_eq!(
        order(&with("lowest_cost"), &asked("r"), free),
        ["c", "b", "a"]
    );
    let busy = |model: &ModelName| View {
        busy: if model.as_str() == "a" { 9 } else { 1 },
        ..View::default()
    };
    assert_eq!(
        order(&with("least_busy"), &asked("r"), busy),
        ["b", "c", "a"]
    );
    let timed = |model: &ModelName| View {
        first_token: (model.as_str() != "b").then(|| {
            std::time::Duration::from_millis(if model.as_str() == "a" { 900 } else { 90 })
        }),
        ..View::default()
    };
    let first = order(&with("lowest_latency"), &asked("r"), timed);
    assert_eq!(first, ["b", "c", "a"], "the unmeasured one gets tried");
}

#[test]
fn a_barred_model_stays_in_the_plan_with_its_reason() {
    let table = table(&format!(
        "{THREE}routes:\n  - {{ name: r, targets: [a], fallback: [b] }}\n"
    ));
    let barred = |model: &ModelName| View {
        barred: (model.as_str() == "a").then(|| Barred {
            reason: "breaker open".to_owned(),
            retry_after: None,
            cause: Bar::Broken,
        }),
        ..View::default()
    };
    let plan = table.plan(&asked("r").facts(), barred, 0).unwrap();
    assert_eq!(
        plan.candidates[0].barred.as_ref().map(|bar| bar.cause),
        Some(Bar::Broken)
    );
    assert_eq!(plan.candidates[1].role, Role::Fallback);
}

#[test]
fn weights_are_shares() {
    let routes = "routes:
  - { name: r, targets: [{ model: a, weight: 3 }, { model: b, weight: 1 }], strategy: weighted }
";
    let table = table(&format!("{THREE}{routes}"));
    let asked = asked("r");
    let firsts = (0..4000_u64).filter(|seed| {
        let plan = table
            .plan(&asked.facts(), free, seed.wrapping_mul(0x9E37_79B9))
            .unwrap();
        plan.candidates[0].model.as_str() == "a"
    });
    let share = firsts.count();
    assert!(
        (2850..=3150).contains(&share),
        "{share} of 4000, 3000 expected"
    );
}

proptest! {
    #[test]
    fn a_plan_names_every_model_once_and_comes_out_the_same_again(loads: [u8; 3]) {
        let routes = "routes:
  - { name: r, targets: [a, b], fallback: [b, c], strategy: least_busy }
";
        let table = table(&format!("{THREE}{routes}"));
        let busy = |model: &ModelName| View {
            busy: u64::from(loads[usize::from(model.as_str().as_bytes()[0] - b'a')]),
            ..View::default()
        };
        let first = order(&table, &asked("r"), busy);
        prop_assert_eq!(&first, &order(&table, &asked("r"), busy));
        let mut sorted = first.clone();
        sorted.sort();
        prop_assert_eq!(sorted, ["a", "b", "c"]);
        prop_assert_eq!(first[2].as_str(), "c", "fallbacks come last");
    }
}
