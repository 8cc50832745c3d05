//! onnxruntime in a Python process, spoken to line by line (`testnet/python/embedding_onnx.py`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use llm_router::cache::embed::Vector;

const PROGRAM: &str = "testnet/python/embedding_onnx.py";

/// The process; it ends when its input does.
pub(super) struct Onnx {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Onnx {
    /// Starts it and waits until the model is built.
    pub(super) fn start(python: &Path, weights: &Path) -> anyhow::Result<Onnx> {
        let mut child = Command::new(python)
            .arg(PROGRAM)
            .arg(weights)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut onnx = Onnx {
            child,
            input,
            output,
        };
        let line = onnx.line()?;
        anyhow::ensure!(line.trim() == "ready", "onnxruntime did not start: {line}");
        Ok(onnx)
    }

    /// The milliseconds of each of `runs` runs.
    pub(super) fn run(
        &mut self,
        kind: &str,
        tokens: usize,
        texts: usize,
        runs: usize,
    ) -> anyhow::Result<Vec<f64>> {
        self.ask(&format!("run {kind} {tokens} {texts} {runs}"))
    }

    /// The vector of a text.
    pub(super) fn vector(&mut self, kind: &str, text: &[u32]) -> anyhow::Result<Vector> {
        let ids: Vec<String> = text.iter().map(u32::to_string).collect();
        let numbers: Vec<f32> = self.ask(&format!("vector {kind} {}", ids.join(" ")))?;
        Vector::new(numbers).context("onnxruntime gave no vector")
    }

    fn ask<T: serde::de::DeserializeOwned>(&mut self, line: &str) -> anyhow::Result<T> {
        let input = self.input.as_mut().context("the process has ended")?;
        writeln!(input, "{line}")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "onnxruntime's process has ended");
        Ok(line)
    }
}

impl Drop for Onnx {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.child.wait();
    }
}
