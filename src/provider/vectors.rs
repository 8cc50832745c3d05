//! What every upstream's vectors must be: one for each input, none empty, every number finite.

use bytes::Bytes;

use super::{Class, Failure, classify};

/// `vectors`, where they are what was asked for.
///
/// # Errors
/// [`Class::Hard`] where they are not.
pub(super) fn checked(vectors: Vec<Vec<f32>>, asked: usize) -> Result<Vec<Vec<f32>>, Failure> {
    if vectors.len() != asked {
        let message = format!("upstream sent {} vectors for {asked} inputs", vectors.len());
        return Err(Failure::new(Class::Hard, message));
    }
    let sound =
        |vector: &Vec<f32>| !vector.is_empty() && vector.iter().all(|value| value.is_finite());
    if !vectors.iter().all(sound) {
        let message = "upstream sent a vector that is empty or holds something else than numbers";
        return Err(Failure::new(Class::Hard, message));
    }
    Ok(vectors)
}

/// What came in place of vectors; its text may quote the upstream.
pub(super) fn garbled(raw: &Bytes, error: serde_json::Error) -> Failure {
    let reported = serde_json::from_slice::<serde_json::Value>(raw)
        .is_ok_and(|given| given.get("error").is_some_and(|error| !error.is_null()));
    if reported {
        return classify::reported(raw, "upstream reported an error in place of vectors");
    }
    let message = format!("upstream sent something that are no vectors: {error}");
    Failure::hard(message, error)
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn too_few_empty_and_infinite_vectors_are_refused() {
        assert!(checked(vec![vec![1.0]], 2).is_err());
        assert!(checked(vec![vec![1.0], vec![2.0]], 1).is_err());
        assert!(checked(vec![vec![]], 1).is_err());
        assert!(checked(vec![vec![f32::NAN]], 1).is_err());
        assert_eq!(checked(vec![vec![1.0]], 1).unwrap(), [[1.0]]);
        assert!(checked(Vec::new(), 0).unwrap().is_empty());
    }
}
