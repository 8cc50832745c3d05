//! The shipped table is sane, names find their lines, and an answer costs what the pages say.

use proptest::prelude::*;
use serde_json::json;

use super::table::{Entry, Table, shipped};
use super::{Facts, Tariff};
use crate::config::routing::{ModelConfig, Price};
use crate::types::Usage;

fn config(value: serde_json::Value) -> ModelConfig {
    serde_json::from_value(value).unwrap()
}

fn facts(provider: &str, model: &str) -> Facts {
    Facts::of(&config(json!({"provider": provider, "model": model})))
}

fn cost(facts: &Facts, usage: Usage) -> f64 {
    facts.tariff.unwrap().cost_usd(usage)
}

fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

fn day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

fn entries() -> impl Iterator<Item = (&'static str, &'static Entry)> {
    let groups = shipped().groups.values();
    groups.flat_map(|group| {
        group
            .models
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    })
}

#[test]
fn the_shipped_table_can_be_read_and_says_where_it_is_from() {
    let table = Table::read(super::table::TEXT).unwrap();
    assert!(day(&table.read), "{}", table.read);
    assert!(table.groups.values().map(|g| g.models.len()).sum::<usize>() > 80);
    for (maker, group) in &table.groups {
        assert!(!group.sources.is_empty(), "{maker}");
        for source in &group.sources {
            assert!(
                !source.page.is_empty() && day(&source.read),
                "{maker}: {source:?}"
            );
            assert!(
                source.read <= table.read,
                "{maker}: {source:?} is read later"
            );
        }
    }
}

fn sane_price(name: &str, price: Price) {
    let Price {
        input_per_mtok: input,
        output_per_mtok: output,
        ..
    } = price;
    assert!(
        (0.0..=1000.0).contains(&input) && (0.0..=1000.0).contains(&output),
        "{name}"
    );
    assert!(
        output >= input || output == 0.0,
        "{name}: an answer is dearer than a prompt"
    );
    if let Some(cached) = price.cached_input_per_mtok {
        assert!(
            (0.0..=input).contains(&cached),
            "{name}: reading the cache saves money"
        );
    }
    if let Some(written) = price.cache_write_per_mtok {
        assert!(
            (input..=2.0 * input).contains(&written),
            "{name}: writing it costs some"
        );
    }
}

#[test]
fn every_line_is_sane() {
    for (name, entry) in entries() {
        if let Some(tariff) = entry.tariff() {
            sane_price(name, tariff.price);
            if let Some(long) = tariff.long {
                sane_price(name, long.price);
                assert!(
                    long.price.input_per_mtok > tariff.price.input_per_mtok,
                    "{name}"
                );
                assert!(entry.context_window.unwrap() > long.above_tokens, "{name}");
            }
        }
        if let (Some(window), Some(most)) = (entry.context_window, entry.max_output) {
            assert!(window > most && most > 0, "{name}");
        }
        assert!(
            !name.contains('/') && !name.contains(char::is_whitespace),
            "{name}"
        );
    }
}

#[test]
fn hosted_models_have_prices_and_windows_and_open_ones_have_no_price() {
    for (maker, group) in &shipped().groups {
        for (name, entry) in &group.models {
            assert_eq!(entry.tariff().is_some(), maker != "open", "{name}");
            assert!(maker == "open" || entry.context_window.is_some(), "{name}");
        }
    }
}

#[test]
fn versions_of_a_model_are_found_and_other_models_are_not() {
    let found = |name: &str| {
        let entry = shipped().find(name)?;
        entries()
            .find(|(_, one)| std::ptr::eq(*one, entry))
            .map(|(name, _)| name)
    };
    for (asked, line) in [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-5-chat-latest", "gpt-5-chat"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("llama3.1:8b-instruct-q4_K_M", "llama3.1"),
        ("gemma3:1b", "gemma3:1b"),
        ("gemma3:12b", "gemma3"),
    ] {
        assert_eq!(found(asked), Some(line), "{asked}");
    }
    for asked in [
        "gpt-4o-audio-preview",
        "gpt-4-32k",
        "gpt-5.9",
        "gpt-5-7",
        "claude-opus-4-9",
        "gemini-2.5-flash-image",
        "gemini-2.5-flash-preview-tts",
        "ft:gpt-4o:acme::abc",
        "gpt-4o:free",
        "gpt-4o-",
        "gpt",
        "",
    ] {
        assert_eq!(found(asked), None, "{asked}");
    }
}

proptest! {
    #[test]
    fn any_dated_version_is_priced_as_its_model(at in 0usize..1000, year in 2020u32..2030,
                                                month in 1u32..13, day in 1u32..29, form in 0u8..4) {
        let hosted: Vec<_> = entries().filter(|(_, entry)| entry.tariff().is_some()).collect();
        let (name, entry) = hosted[at % hosted.len()];
        let dated = match form {
            0 => format!("{name}-{year}-{month:02}-{day:02}"),
            1 => format!("{name}-{year}{month:02}{day:02}"),
            2 => format!("{name}@{year}{month:02}{day:02}"),
            _ => format!("{name}-preview-{month:02}-{day:02}"),
        };
        // a line of its own wins
        if !entries().any(|(other, _)| other == dated) {
            prop_assert!(std::ptr::eq(shipped().find(&dated).unwrap(), entry), "{dated}");
        }
    }

    #[test]
    fn a_cost_is_never_negative_and_grows_with_every_count(
        counts in proptest::array::uniform4(0u64..2_000_000), more in 1u64..1000,
        at in 0usize..1000,
    ) {
        let tariffs: Vec<_> = entries().filter_map(|(_, entry)| entry.tariff()).collect();
        let tariff = tariffs[at % tariffs.len()];
        let usage = Usage { cached_tokens: counts[2], cache_write_tokens: counts[3],
                            ..Usage::new(counts[0], counts[1]) };
        let cost = tariff.cost_usd(usage);
        prop_assert!(cost.is_finite() && cost >= 0.0);
        let answer = Usage { completion_tokens: counts[1] + more, ..usage };
        prop_assert!(tariff.cost_usd(answer) >= cost);
        let prompt = Usage { prompt_tokens: counts[0] + more, ..usage };
        prop_assert!(tariff.cost_usd(prompt) >= cost - 1e-9);
    }
}

#[test]
fn cached_tokens_have_their_own_price_and_thinking_is_part_of_the_answer() {
    let model = facts("openai", "claude-sonnet-4-5");
    let usage = Usage {
        cached_tokens: 600_000,
        cache_write_tokens: 100_000,
        reasoning_tokens: 50_000,
        ..Usage::new(1_000_000, 100_000)
    };
    close(
        cost(&model, usage),
        0.3 * 3.0 + 0.6 * 0.3 + 0.1 * 3.75 + 0.1 * 15.0,
    );
}

#[test]
fn tokens_without_a_price_of_their_own_cost_what_a_prompt_does() {
    let tariff = Tariff::flat(Price {
        input_per_mtok: 2.0,
        output_per_mtok: 10.0,
        ..Price::default()
    });
    let usage = Usage {
        cached_tokens: 400_000,
        cache_write_tokens: 700_000,
        ..Usage::new(1_000_000, 0)
    };
    close(tariff.cost_usd(usage), 2.0);
    close(tariff.cost_usd(Usage::new(1_000_000, 1_000_000)), 12.0);
}

#[test]
fn a_long_prompt_is_charged_at_the_long_price_from_its_first_token() {
    let model = facts("openai", "gemini-2.5-pro");
    close(cost(&model, Usage::new(200_000, 1000)), 0.2 * 1.25 + 0.01);
    close(
        cost(&model, Usage::new(200_001, 1000)),
        0.200_001 * 2.5 + 0.015,
    );
}

#[test]
fn what_runs_at_home_is_free_and_what_nobody_knows_has_no_price() {
    for (provider, model) in [
        ("ollama", "llama3.1:8b"),
        ("ollama", "own"),
        ("demo", "echo"),
    ] {
        close(
            cost(&facts(provider, model), Usage::new(1_000_000, 1_000_000)),
            0.0,
        );
    }
    assert_eq!(facts("openai", "somebodys-own-model").tariff, None);
    assert_eq!(
        facts("openai", "llama3.1").tariff,
        None,
        "whoever serves it sets the price"
    );
}

#[test]
fn the_config_overrules_the_table_field_by_field() {
    let own = json!({"provider": "openai", "model": "gpt-4o-2024-11-20", "context_window": 1000,
        "price": {"input_per_mtok": 1, "output_per_mtok": 2, "cached_input_per_mtok": 0.5},
        "capabilities": {"vision": false}});
    let found = Facts::of(&config(own));
    assert_eq!(found.context_window, Some(1000));
    let usage = Usage {
        cached_tokens: 500_000,
        ..Usage::new(1_000_000, 0)
    };
    close(cost(&found, usage), 0.75);
    assert!(!found.abilities.vision && found.abilities.tools && !found.abilities.prefill);
    assert_eq!(
        found.max_output,
        Some(16384),
        "what the config says nothing of"
    );
    let listed = facts("openai", "gpt-4o-2024-11-20");
    assert_eq!(listed.context_window, Some(128_000));
    assert!(listed.abilities.vision);
}

#[test]
fn a_model_at_home_can_take_what_it_is_loaded_with() {
    let loaded =
        json!({"provider": "ollama", "model": "llama3.1:8b", "options": {"num_ctx": 8192}});
    assert_eq!(Facts::of(&config(loaded)).context_window, Some(8192));
    let model = facts("ollama", "llama3.1:8b");
    assert_eq!(model.context_window, Some(131_072));
    assert!(model.abilities.tools && !model.abilities.vision && model.abilities.prefill);
}

#[test]
fn models_that_refuse_a_started_answer_are_known() {
    assert!(facts("openai", "claude-sonnet-4-5").abilities.prefill);
    assert!(!facts("openai", "claude-sonnet-4-6").abilities.prefill);
}
