//! What is wrong with a configuration, all of it at once, each with line, column and snippet.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::document::{Node, Place};
use super::path::Path;
use super::snippet::Snippets;

/// Most problems kept of one document; a person fixes no more in one go.
pub const MAX_PROBLEMS: usize = 100;

/// One fact found by a check, before it has a place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where in the document.
    pub path: Path,
    /// What is wrong, without secrets.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
    /// Where in the text, when the check knows better than the path.
    pub place: Option<Place>,
}

impl Finding {
    /// A fact about the value at `path`.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Finding {
            path,
            message: message.into(),
            help: None,
            place: None,
        }
    }

    /// Adds what would help.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points to this place instead of the value at the path.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// One problem, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where in the document; empty for the document itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Line, from 1; absent when there is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The line with a mark under the value, secrets covered.
    #[serde(skip)]
    pub snippet: Option<String>,
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The file's name, or what stands for it.
    pub source: String,
    /// What is wrong, in the order of the text; at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Something that works, yet is probably not meant: shown, never refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Warning(Problem);

impl Warning {
    /// The fact.
    pub fn problem(&self) -> &Problem {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            path,
            message,
            help,
            line,
            column,
            snippet: _,
        } = &self.0;
        if let (Some(line), Some(column)) = (line, column) {
            write!(f, "line {line} column {column}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)?;
        help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

impl Problems {
    /// A single problem that has no place, such as a file that cannot be read.
    pub fn single(source: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem {
            path: String::new(),
            message: message.into(),
            help: None,
            line: None,
            column: None,
            snippet: None,
        };
        Problems {
            source: source.into(),
            problems: vec![problem],
            more: 0,
        }
    }

    /// Facts found in a configuration that has no text.
    pub fn without_text(source: &str, findings: Vec<Finding>) -> Self {
        collect(
            source,
            findings
                .into_iter()
                .map(|finding| problem(finding, None, None))
                .collect(),
        )
    }

    /// Facts found in `text`; `document` is absent when it could not be read.
    pub fn in_text(source: &str, text: &str, document: Option<&Node>, found: Vec<Finding>) -> Self {
        let snippets = Snippets::new(text, document);
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|finding| problem(finding, document, Some(&snippets)))
            .collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        collect(source, problems)
    }
}

/// Warnings about `text`, in its order.
pub fn warnings(text: &str, document: &Node, findings: Vec<Finding>) -> Vec<Warning> {
    Problems::in_text("", text, Some(document), findings)
        .problems
        .into_iter()
        .map(Warning)
        .collect()
}

fn collect(source: &str, mut problems: Vec<Problem>) -> Problems {
    problems.dedup();
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    Problems {
        source: source.to_owned(),
        problems,
        more,
    }
}

fn problem(finding: Finding, document: Option<&Node>, snippets: Option<&Snippets<'_>>) -> Problem {
    let place = finding
        .place
        .or_else(|| document.map(|document| document.find(&finding.path)));
    Problem {
        path: finding.path.to_string(),
        message: finding.message,
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        snippet: place
            .zip(snippets)
            .and_then(|(place, all)| all.draw(place, finding.help.as_deref())),
        help: finding.help,
    }
}

impl Problem {
    fn draw(&self, source: &str, out: &mut String) -> fmt::Result {
        write!(out, "error: {}", self.message)?;
        if !self.path.is_empty() {
            write!(out, " (at {})", self.path)?;
        }
        out.write_str("\n")?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => writeln!(out, "  --> {source}:{line}:{column}")?,
            (Some(_) | None, _) => writeln!(out, "  --> {source}")?,
        }
        match (&self.snippet, &self.help) {
            (Some(snippet), _) => out.write_str(snippet),
            (None, Some(help)) => writeln!(out, "  = {help}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for problem in &self.problems {
            problem.draw(&self.source, &mut text)?;
            text.push('\n');
        }
        let count = self.problems.len() + self.more;
        match (count, self.more) {
            (1, _) => text.push_str("1 problem found"),
            (_, 0) => write!(text, "{count} problems found")?,
            (_, more) => write!(text, "{count} problems found, {more} of them not shown")?,
        }
        f.write_str(&text)
    }
}

impl std::error::Error for Problems {}
