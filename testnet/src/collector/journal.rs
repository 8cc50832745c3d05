//! Spans on disk, one JSON object a line: a file that is begun anew when it is full, and the one
//! before it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::span::Span;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// What was written last is not a whole line.
    torn: bool,
    most: u64,
    lost: u64,
}

impl Journal {
    /// Every span in the file and in the one before it, oldest first. Lines that are none, as the last
    /// one after a crash, are passed over, whatever bytes they are made of.
    pub(super) fn read(path: &Path, mut take: impl FnMut(Span)) -> anyhow::Result<()> {
        for path in [before(path), path.to_owned()] {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).context(path.display().to_string()),
            };
            let mut file = BufReader::new(file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = file.read_until(b'\n', &mut line);
                if read.with_context(|| path.display().to_string())? == 0 {
                    break;
                }
                if let Ok(span) = serde_json::from_slice(&line) {
                    take(span);
                }
            }
        }
        Ok(())
    }

    /// Goes on at the file's end, on a line of its own; `most` bytes may be in it.
    pub(super) fn open(path: &Path, most: u64) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let file = append_to(path).with_context(named)?;
        Ok(Journal {
            path: path.to_owned(),
            bytes: file.metadata().with_context(named)?.len(),
            torn: is_torn(path).with_context(named)?,
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
        if self.bytes + u64::from(self.torn) + length > self.most {
            std::fs::rename(&self.path, before(&self.path))?;
            self.file = append_to(&self.path)?;
            (self.bytes, self.torn) = (0, false);
        }
        if self.torn {
            line.insert(0, b'\n');
        }
        if let Err(error) = self.file.write_all(&line) {
            // a part of it may be there: the next line must not go on where it stops
            self.torn = true;
            self.bytes = self.file.metadata().map_or(self.bytes, |file| file.len());
            return Err(error.into());
        }
        self.torn = false;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

/// The file's last line has no end.
fn is_torn(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str) -> Span {
        Span {
            trace: "t".to_owned(),
            id: id.to_owned(),
            ..Span::default()
        }
    }

    fn read(path: &Path) -> Vec<String> {
        let mut ids = Vec::new();
        Journal::read(path, |span| ids.push(span.id)).unwrap();
        ids
    }

    #[test]
    fn a_line_that_a_crash_tore_costs_itself_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spans.jsonl");
        Journal::open(&path, 1 << 20).unwrap().write(&[span("a")]);
        let mut file = append_to(&path).unwrap();
        file.write_all(b"{\"name\":\"\xc3").unwrap();
        assert_eq!(read(&path), ["a"]);
        let mut journal = Journal::open(&path, 1 << 20).unwrap();
        journal.write(&[span("b"), span("c")]);
        assert_eq!(journal.lost(), 0);
        assert_eq!(journal.bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!(read(&path), ["a", "b", "c"]);
    }

    #[test]
    fn a_file_that_ends_well_gets_no_empty_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spans.jsonl");
        for id in ["a", "b"] {
            Journal::open(&path, 1 << 20).unwrap().write(&[span(id)]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert_eq!(read(&path), ["a", "b"]);
    }

    #[test]
    fn a_line_that_could_not_be_written_whole_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spans.jsonl");
        let mut journal = Journal::open(&path, 1 << 20).unwrap();
        journal.write(&[span("a")]);
        // a disk that takes nothing
        let whole = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
        journal.write(&[span("b")]);
        assert_eq!((journal.lost(), journal.torn), (1, true));
        journal.file = whole;
        journal.file.write_all(b"{\"id\":\"b").unwrap();
        journal.write(&[span("c")]);
        assert_eq!(journal.lost(), 1);
        assert_eq!(read(&path), ["a", "c"]);
    }
}
