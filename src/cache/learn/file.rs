//! What was learnt, on disk: one line of heading with a checksum, then JSON.
//!
//! Written whole to a file beside it and renamed, so that a crash leaves the one before. A file that
//! cannot be read is not trusted in parts: the cache starts over and says so.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::book::{Book, Written};

const HEADING: &str = "llm-router cache learning 1 ";
/// Largest file read, in bytes: several times what full books come to.
const LARGEST: u64 = 64 << 20;

/// What was found on disk.
pub(super) enum Found {
    /// Nothing.
    None,
    /// A book.
    Book(Box<Book>),
    /// Something that is no book of ours, and why.
    Damaged(String),
}

/// Reads the book. Blocks.
pub(super) fn read(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::None,
        Ok(found) if found.len() > LARGEST => return Found::Damaged("too large".to_owned()),
        Ok(_) | Err(_) => {}
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    match parse(&text) {
        Some(book) => Found::Book(Box::new(book)),
        None => Found::Damaged("heading, checksum or content do not fit".to_owned()),
    }
}

fn parse(text: &str) -> Option<Book> {
    let (heading, json) = text.split_once('\n')?;
    let sum = heading.strip_prefix(HEADING)?;
    let sum = blake3::Hash::from_hex(sum).ok()?;
    if sum != blake3::hash(json.as_bytes()) {
        return None;
    }
    let written: Written = serde_json::from_str(json).ok()?;
    Book::read(written)
}

/// Writes the book and waits for the disk. Blocks.
pub(super) fn write(path: &Path, written: &Written) -> std::io::Result<()> {
    let json = serde_json::to_string(written)?;
    let sum = blake3::hash(json.as_bytes()).to_hex();
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(format!("{HEADING}{sum}\n{json}").as_bytes())?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&part, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
