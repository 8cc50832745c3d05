//! The `.proto` files of llm-router and the code generated from them. No hand-written type.
