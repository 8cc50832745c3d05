//! The request by which a node asks to be let in, kept until it was answered.
//!
//! A node that was let in and ended before it could note so asks again under the same id, and gets
//! the number it was given then, instead of "that name is taken".

use std::fs;
use std::io;
use std::path::Path;

use crate::command::RequestId;
use crate::error::Error;

/// Where it is kept, in the store's directory.
const NAME: &str = "joining";

/// The id to ask under: the one of a request that got no answer, else a new one.
pub(super) fn request(dir: &Path) -> Result<RequestId, Error> {
    let path = dir.join(NAME);
    let kept = match fs::read_to_string(&path) {
        Ok(text) => u128::from_str_radix(text.trim(), 16).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unkept(&path, &error)),
    };
    if let Some(kept) = kept {
        return Ok(RequestId(kept));
    }
    let fresh: u128 = rand::random();
    fs::write(&path, format!("{fresh:032x}")).map_err(|error| unkept(&path, &error))?;
    Ok(RequestId(fresh))
}

/// It was answered, and the answer is kept.
pub(super) fn answered(dir: &Path) {
    let path = dir.join(NAME);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        // nobody reads it again once the directory has an owner
        tracing::warn!(%error, "cannot remove {}", path.display());
    }
}

fn unkept(path: &Path, error: &io::Error) -> Error {
    Error::Store(format!("cannot use {}: {error}", path.display()))
}
