//! Spans on disk, one JSON object a line: a file that is begun anew when it is full, and the one
//! before it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::span::Span;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
    lost: u64,
}

impl Journal {
    /// Every span in the file and in the one before it, oldest first. Lines that are none, as the last
    /// one after a crash, are passed over.
    pub(super) fn read(path: &Path, mut take: impl FnMut(Span)) -> anyhow::Result<()> {
        for path in [before(path), path.to_owned()] {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).context(path.display().to_string()),
            };
            for line in BufReader::new(file).lines() {
                let line = line.with_context(|| path.display().to_string())?;
                if let Ok(span) = serde_json::from_str(&line) {
                    take(span);
                }
            }
        }
        Ok(())
    }

    /// Goes on at the file's end; `most` bytes may be in it.
    pub(super) fn open(path: &Path, most: u64) -> anyhow::Result<Self> {
        let file = append_to(path).with_context(|| path.display().to_string())?;
        Ok(Journal {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            most,
            lost: 0,
        })
    }

    /// Writes spans. A disk that is full costs their lines, and nothing else.
    pub(super) fn write(&mut self, spans: &[Span]) {
        for span in spans {
            if let Err(error) = self.line(span) {
                if self.lost == 0 {
                    let path = self.path.display();
                    crate::say(&format!("spans are not written to {path}: {error:#}"));
                }
                self.lost += 1;
            }
        }
    }

    /// Spans that could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn line(&mut self, span: &Span) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(span)?;
        line.push(b'\n');
        let length = line.len() as u64;
        anyhow::ensure!(length <= self.most, "a span of {length} bytes");
        if self.bytes + length > self.most {
            std::fs::rename(&self.path, before(&self.path))?;
            self.file = append_to(&self.path)?;
            self.bytes = 0;
        }
        self.file.write_all(&line)?;
        self.bytes += length;
        Ok(())
    }
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Where the file before this one lies.
fn before(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}
