//! One line of the text with a mark under the value at fault. Secrets in the line are covered.

use std::sync::LazyLock;

use regex::Regex;

use super::document::{Node, Place, Value};

/// Longest piece of a line that is shown, in characters.
const WIDTH: usize = 120;

/// A text whose lines can be shown.
#[derive(Debug)]
pub struct Snippets<'a> {
    lines: Vec<&'a str>,
    secrets: Vec<String>,
}

// A credential in a line that may not even be well-formed: `api_key: …`, and `user:password@`.
static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)(api_?key["']?\s*:\s*)([^\s{][^,}]*?)(\s*(?:[,}]|$))"#).ok()
});
static USER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(://)([^/@\s]+)@").ok());
static OPENED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)api_?key["']?\s*:\s*([|>][+-]?)?\s*$"#).ok());

impl<'a> Snippets<'a> {
    /// The lines of `text`; `document` tells which values are secrets.
    pub fn new(text: &'a str, document: Option<&Node>) -> Self {
        let mut secrets = Vec::new();
        if let Some(document) = document {
            collect_secrets(document, &mut secrets);
        }
        Snippets {
            lines: text.lines().collect(),
            secrets,
        }
    }

    /// The line at `place`, marked, with `help` beside the mark. `None` past the end of the text.
    pub fn draw(&self, place: Place, help: Option<&str>) -> Option<String> {
        let line = self.covered(place.line.checked_sub(1)?)?;
        let characters: Vec<char> = line.chars().collect();
        let column = place.column.clamp(1, characters.len() + 1) - 1;
        let start = if characters.len() > WIDTH {
            column.saturating_sub(WIDTH / 2)
        } else {
            0
        };
        let shown: String = characters.iter().skip(start).take(WIDTH).collect();
        let indent: String = characters[start..column]
            .iter()
            .map(|character| if *character == '\t' { '\t' } else { ' ' })
            .collect();
        let room = shown.chars().count().saturating_sub(column - start).max(1);
        let mark = "^".repeat(place.length.clamp(1, room));
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let help = help.map(|help| format!(" {help}")).unwrap_or_default();
        Some(format!(
            " {gutter} |\n {number} | {shown}\n {gutter} | {indent}{mark}{help}\n"
        ))
    }

    fn covered(&self, index: usize) -> Option<String> {
        let mut line = (*self.lines.get(index)?).to_owned();
        for secret in &self.secrets {
            line = line.replace(secret, &dots(secret));
        }
        if let Some(key) = KEY.as_ref() {
            line = key
                .replace_all(&line, |found: &regex::Captures<'_>| {
                    format!("{}{}{}", &found[1], dots(&found[2]), &found[3])
                })
                .into_owned();
        }
        if let Some(user) = USER.as_ref() {
            line = user
                .replace_all(&line, |found: &regex::Captures<'_>| {
                    format!("{}{}@", &found[1], dots(&found[2]))
                })
                .into_owned();
        }
        let continued = index
            .checked_sub(1)
            .and_then(|before| self.lines.get(before));
        if OPENED
            .as_ref()
            .zip(continued)
            .is_some_and(|(opened, before)| opened.is_match(before))
        {
            let value = line.trim();
            let nested = value.starts_with("env") || value.starts_with("file");
            if !nested {
                line = line.replace(value, &dots(value));
            }
        }
        Some(line)
    }
}

fn dots(secret: &str) -> String {
    "•".repeat(secret.chars().count())
}

/// Literal credentials: the text of an `api_key`, and what stands for a variable's name but is none.
fn collect_secrets(node: &Node, secrets: &mut Vec<String>) {
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        Value::List(items) => items.iter().for_each(|item| collect_secrets(item, secrets)),
        Value::Map(entries) => {
            for entry in entries {
                match &entry.node.value {
                    Value::Text(text) if entry.key == "api_key" => secrets.push(text.clone()),
                    Value::Text(text)
                        if entry.key == "env" && !super::secret::is_variable(text) =>
                    {
                        secrets.push(text.clone());
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Text(_)
                    | Value::List(_)
                    | Value::Map(_) => collect_secrets(&entry.node, secrets),
                }
            }
        }
    }
    secrets.retain(|secret| !secret.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, length: usize) -> Place {
        Place {
            line,
            column,
            length,
        }
    }

    #[test]
    fn a_literal_credential_is_never_shown() {
        let text = "models:\n  a: { modle: x, api_key: sk-very-secret, z: 1 }\n";
        let shown = Snippets::new(text, None)
            .draw(place(2, 8, 5), None)
            .unwrap();
        assert!(!shown.contains("sk-very-secret"), "{shown}");
        assert!(
            shown.contains("modle: x, api_key: ••••••••••••••, z: 1"),
            "{shown}"
        );
    }

    #[test]
    fn every_credential_of_a_line_is_covered() {
        let text = r#"{"a": {"api_key": "sk-one"}, "b": {"api_key": "sk-two", "x": 1}}"#;
        let shown = Snippets::new(text, None)
            .draw(place(1, 1, 1), None)
            .unwrap();
        assert!(
            !shown.contains("sk-") && shown.contains(r#", "x": 1}}"#),
            "{shown}"
        );
    }

    #[test]
    fn a_credential_on_its_own_line_is_covered_too() {
        let text = "api_key: |\n  sk-very-secret\n";
        let shown = Snippets::new(text, None)
            .draw(place(2, 3, 1), None)
            .unwrap();
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_password_in_an_address_is_covered() {
        let shown =
            Snippets::new("base_url: http://me:pass@host/v1", None).draw(place(1, 11, 5), None);
        assert!(!shown.unwrap().contains("pass"));
    }

    #[test]
    fn the_mark_stands_under_the_value() {
        let shown = Snippets::new("a: 1\nbb: xyz\n", None)
            .draw(place(2, 5, 3), Some("hint"))
            .unwrap();
        assert_eq!(shown, "   |\n 2 | bb: xyz\n   |     ^^^ hint\n");
    }

    #[test]
    fn a_long_line_is_shown_around_the_mark() {
        let text = format!("{}x", "a".repeat(5000));
        let shown = Snippets::new(&text, None)
            .draw(place(1, 5001, 1), None)
            .unwrap();
        assert!(shown.len() < 400 && shown.contains('^'), "{shown}");
    }
}
