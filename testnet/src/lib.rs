//! What is provable about llm-router from outside.
