//! The same use cases over gRPC.
