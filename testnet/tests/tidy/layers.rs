//! Which room of `src` may use which: every arrow points down [`LAYERS`].

use crate::sources::Source;

/// Rooms, highest first. Rooms of one line stand side by side and do not see each other.
const LAYERS: [&[&str]; 18] = [
    &["main"],
    &["cli"],
    &["library"],
    &["app"],
    &["dashboard"],
    &["api"],
    &["inference"],
    &["supervisor"],
    &["tenancy"],
    &["model"],
    &["routing"],
    &["queue", "breaker"],
    &["mailbox"],
    &["bridge"],
    &["provider"],
    &["cache"],
    &["ledger"],
    &["dialect"],
];

/// Words and measures; every room may use them.
const FOR_ALL: [&str; 5] = ["types", "error", "telemetry", "config", "guide"];

/// Arrows that point up or out of [`FOR_ALL`], each with its reason. One that nobody uses any more
/// has to go.
pub(crate) const EXCEPTIONS: [(&str, &str, &str); 14] = [
    ("types", "dialect", "a request carries its parsed body"),
    (
        "error",
        "dialect",
        "a bad request becomes an error in one place",
    ),
    (
        "config",
        "provider",
        "the default phase limits are stated where they are kept",
    ),
    ("telemetry", "provider", "the class of a failure is a label"),
    (
        "telemetry",
        "inference",
        "the cache's part in an answer is a label",
    ),
    ("api", "app", "the doors are handed the node they belong to"),
    (
        "inference",
        "api",
        "an outcome is counted under the status the client sees",
    ),
    (
        "supervisor",
        "inference",
        "a deployment is what the engine is given to run",
    ),
    (
        "model",
        "inference",
        "a deployment is what the engine is given to run",
    ),
    (
        "queue",
        "breaker",
        "a permit is the queue's place and the breaker's leave",
    ),
    (
        "breaker",
        "queue",
        "a breaker that changes lets the queue know",
    ),
    (
        "breaker",
        "routing",
        "the plan says in its own words why a candidate is barred",
    ),
    (
        "dialect",
        "provider",
        "a stream is reshaped into the form the caller asked for",
    ),
    (
        "model",
        "supervisor",
        "queue and breaker of a model restart by the node's rules",
    ),
];

/// The room has a place.
pub(crate) fn is_known(room: &str) -> bool {
    room == "lib" || FOR_ALL.contains(&room) || LAYERS.iter().any(|layer| layer.contains(&room))
}

/// Uses of rooms that are not below the source's own, as `file:line: room → room`.
pub(crate) fn upward_imports(source: &Source) -> Vec<String> {
    arrows(source)
        .into_iter()
        .filter(|arrow| !points_down(&arrow.from, &arrow.to))
        .filter(|arrow| !excepted(&arrow.from, &arrow.to))
        .map(|arrow| {
            format!(
                "{}:{}: {} → {} points up",
                source.path, arrow.line, arrow.from, arrow.to
            )
        })
        .collect()
}

/// One room uses another.
pub(crate) struct Arrow {
    pub(crate) line: usize,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Every use of another room in a source; the crate's root may use all of them.
pub(crate) fn arrows(source: &Source) -> Vec<Arrow> {
    let Some(from) = room_of(&source.path).filter(|room| room != "lib") else {
        return Vec::new();
    };
    let code: Vec<(usize, &str)> = source.code_lines().collect();
    uses(&code, depth(&source.path))
        .into_iter()
        .filter(|(_, to)| *to != from && is_known(to))
        .map(|(line, to)| Arrow {
            line,
            from: from.clone(),
            to,
        })
        .collect()
}

fn excepted(from: &str, to: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|exception| (exception.0, exception.1) == (from, to))
}

fn points_down(from: &str, to: &str) -> bool {
    let place = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    FOR_ALL.contains(&to) || (!FOR_ALL.contains(&from) && place(from) < place(to))
}

/// `src/cache/embed/worker.rs` is in `cache`.
fn room_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// How many `super::` lead from the file's own module to the crate.
fn depth(path: &str) -> usize {
    path.trim_start_matches("src/").split('/').count()
}

/// Rooms named in paths, with the line: `crate::room…`, `llm_router::room…`, `crate::{room…, room…}`
/// and as many `super::` as lead to the crate.
fn uses(code: &[(usize, &str)], depth: usize) -> Vec<(usize, String)> {
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for (index, (number, line)) in code.iter().enumerate() {
        for prefix in ["crate::", "llm_router::", supers.as_str()] {
            for (at, _) in line.match_indices(prefix) {
                let begins_word =
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                // Inside an indented module `super` counts from there, so it proves nothing.
                let counts = !prefix.starts_with("super") || !line.starts_with(' ');
                if begins_word && counts {
                    let rest = &line[at + prefix.len()..];
                    found.extend(
                        first_names(rest, &code[index + 1..])
                            .into_iter()
                            .map(|n| (*number, n)),
                    );
                }
            }
        }
    }
    found
}

/// The first name of a path, or the first names inside its braces, over several lines if need be.
fn first_names(rest: &str, following: &[(usize, &str)]) -> Vec<String> {
    let Some(inside) = rest.strip_prefix('{') else {
        return vec![
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect(),
        ];
    };
    let text: String = std::iter::once(inside)
        .chain(following.iter().map(|(_, line)| *line))
        .flat_map(|line| line.chars().chain(std::iter::once(' ')))
        .collect();
    let (mut names, mut name, mut nested, mut first) = (Vec::new(), String::new(), 0u32, true);
    for c in text.chars() {
        match c {
            '{' => nested += 1,
            '}' if nested == 0 => break,
            '}' => nested -= 1,
            ',' if nested == 0 => {
                names.push(std::mem::take(&mut name));
                first = true;
            }
            c if first && nested == 0 && (c.is_alphanumeric() || c == '_') => name.push(c),
            c if nested == 0 && !c.is_whitespace() => first = false,
            _ => {}
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

fn example(path: &str, text: &str) -> Vec<String> {
    upward_imports(&Source {
        path: path.to_owned(),
        text: text.to_owned(),
    })
}

#[test]
fn an_arrow_that_points_up_is_found_however_it_is_written() {
    assert_eq!(
        example("src/queue.rs", "use crate::inference::Engine;\n").len(),
        1
    );
    assert_eq!(
        example("src/queue/buffer.rs", "use super::super::api::options;\n").len(),
        1
    );
    assert_eq!(
        example(
            "src/cache.rs",
            "use crate::{\n    types::Moment,\n    app::{App, run},\n};\n"
        )
        .len(),
        1
    );
    assert_eq!(
        example("src/model.rs", "fn f() -> crate::app::App {}\n").len(),
        1
    );
    assert_eq!(
        example("src/provider.rs", "use crate::queue::Handle;\n").len(),
        1,
        "side by side"
    );
}

#[test]
fn arrows_that_point_down_words_for_all_and_comments_are_fine() {
    assert!(example("src/inference.rs", "use crate::cache::AnswerCache;\n").is_empty());
    assert!(example("src/cache/exact.rs", "use crate::types::Moment;\n").is_empty());
    assert!(example("src/cache.rs", "/// See [`crate::inference`].\n").is_empty());
    assert!(
        example(
            "src/cache.rs",
            "#[cfg(test)]\nmod tests { use crate::app::App; }\n"
        )
        .is_empty()
    );
}
