//! Text to vector: the MiniLM encoder, its weights, its workers.
