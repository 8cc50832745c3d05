//! Who asks for a change that came through a door.

use llm_router_cluster::Author;
use llm_router_cluster::command::RequestId;

/// An author for a change that came through a door. A request id of ours, or a UUID, makes repeats
/// of the same request (the same `payload` under the same id) one change; any other is replaced.
pub fn author(request_id: Option<&str>, by: impl Into<String>, payload: &[&[u8]]) -> Author {
    let mut author = Author::new(by);
    let given = request_id.map(|id| id.strip_prefix("req_").unwrap_or(id));
    if let Some(id) = given.and_then(|id| uuid::Uuid::parse_str(id).ok()) {
        let mut digest = blake3::Hasher::new();
        digest.update(id.as_bytes());
        for part in payload {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut bytes = [0; 16];
        digest.finalize_xof().fill(&mut bytes);
        author.request = RequestId(u128::from_le_bytes(bytes));
    }
    author
}

#[cfg(test)]
mod tests {
    use super::author;

    const UUID: &str = "0191d5a0-7c1e-7000-8000-000000000001";

    #[test]
    fn a_repeated_request_is_one_request_and_another_body_another() {
        let of = |id, body: &str| author(Some(id), "operator", &[body.as_bytes()]).request;
        let ours = format!("req_{}", UUID.replace('-', ""));
        assert_eq!(of(UUID, "a"), of(UUID, "a"));
        assert_eq!(of(UUID, "a"), of(&ours, "a"));
        assert_ne!(of(UUID, "a"), of(UUID, "b"));
        assert_ne!(
            of("my-id", "a"),
            of("my-id", "a"),
            "not an id made to be unique"
        );
        let split = |parts: &[&[u8]]| author(Some(UUID), "operator", parts).request;
        assert_ne!(split(&[b"ab", b"c"]), split(&[b"a", b"bc"]));
    }
}
