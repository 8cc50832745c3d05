//! The `demo` provider.
