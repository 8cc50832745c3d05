//! The JSON Schema of a configuration file, made from the structs that read it.

use std::sync::LazyLock;

use serde_json::Value;

use super::file::File;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(File).to_value();
    if let Some(top) = schema.as_object_mut() {
        top.insert("title".to_owned(), "llm-router configuration".into());
        top.insert("$id".to_owned(), "urn:llm-router:schema:config".into());
    }
    schema
});

/// The schema of a whole file, node part and routing part, as JSON Schema 2020-12.
pub fn schema() -> &'static Value {
    &SCHEMA
}
