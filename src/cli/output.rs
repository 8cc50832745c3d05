//! The one place that writes to stdout and stderr.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use parking_lot::Mutex;
use serde::Serialize;

use crate::config::document;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

/// Where a command writes, and how.
#[derive(Clone)]
pub struct Out {
    format: Format,
    out: Sink,
    err: Sink,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Out {
    /// Writes to the process's stdout and stderr.
    pub fn stdio(format: Format) -> Self {
        Out::to(format, io::stdout(), io::stderr())
    }

    /// Writes to `out` and `err`.
    pub fn to(
        format: Format,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Out {
            format,
            out: Arc::new(Mutex::new(Box::new(out))),
            err: Arc::new(Mutex::new(Box::new(err))),
        }
    }

    /// How results are printed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes `text` to stdout as it stands, at once.
    ///
    /// # Errors
    /// The reader went away, or the disk is full.
    pub fn text(&self, text: &str) -> io::Result<()> {
        write(&self.out, text)
    }

    /// Writes one line to stdout.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn line(&self, text: &str) -> io::Result<()> {
        write(&self.out, &format!("{text}\n"))
    }

    /// Writes one line to stderr.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn note(&self, text: &str) -> io::Result<()> {
        write(&self.err, &format!("{text}\n"))
    }

    /// Writes a node's answer in JSON: as `table` for people, else in the format asked for, keys in
    /// the node's order.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn answer(&self, json: &str, table: impl FnOnce() -> String) -> io::Result<()> {
        match self.format {
            Format::Table => self.line(table().trim_end()),
            Format::Json | Format::Yaml => match document::read(json) {
                Ok(document) => self.value(&document),
                Err(_) => self.line(json.trim_end()),
            },
        }
    }

    /// Writes a value: as `table` for people, else in the format asked for.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn show(&self, value: &impl Serialize, table: impl FnOnce() -> String) -> io::Result<()> {
        match self.format {
            Format::Table => self.line(table().trim_end()),
            Format::Json | Format::Yaml => self.value(value),
        }
    }

    /// Writes a value as JSON, or as YAML for people too.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn value(&self, value: &impl Serialize) -> io::Result<()> {
        match self.format {
            Format::Json => self.line(&serde_json::to_string_pretty(value)?),
            Format::Table | Format::Yaml => {
                let yaml = serde_saphyr::to_string(value).map_err(io::Error::other)?;
                self.line(yaml.trim_end())
            }
        }
    }
}

fn write(sink: &Sink, text: &str) -> io::Result<()> {
    let mut sink = sink.lock();
    sink.write_all(text.as_bytes())?;
    sink.flush()
}

/// Rows under headings, without lines.
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    let bare = |line| str::trim_end(str::strip_prefix(line, " ").unwrap_or(line));
    let lines: Vec<&str> = text.lines().map(bare).collect();
    lines.join("\n")
}

/// A wall-clock time in milliseconds as a cell; nothing for null.
pub fn time(value: &serde_json::Value) -> String {
    value.as_u64().map(iso).unwrap_or_default()
}

/// A wall-clock time in milliseconds, to the second.
pub fn iso(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).ok();
    let stamp = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| millis.to_string(), |stamp| stamp.to_string())
}

/// A JSON value as a cell: text without quotes, nothing for null.
pub fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(true) => "yes".to_owned(),
        serde_json::Value::Bool(false) => "no".to_owned(),
        serde_json::Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => format!("{float:.3}"),
            None => number.to_string(),
        },
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => value.to_string(),
    }
}
