//! The `ollama` provider.
