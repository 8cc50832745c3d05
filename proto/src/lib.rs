//! The `.proto` files of llm-router and the code generated from them. No hand-written type.

/// Package `llm_router`.
pub mod llm_router {
    /// Package `llm_router.v1`: what applications and operators call.
    #[allow(missing_docs, clippy::all, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("llm_router.v1");
    }

    /// Package `llm_router.cluster`.
    pub mod cluster {
        /// Package `llm_router.cluster.v1`: what nodes call of one another.
        #[allow(missing_docs, clippy::all, reason = "generated code")]
        pub mod v1 {
            tonic::include_proto!("llm_router.cluster.v1");
        }
    }

    /// Package `llm_router.plugin`.
    pub mod plugin {
        /// Package `llm_router.plugin.v1`: what a node calls of models that are not its own.
        #[allow(missing_docs, clippy::all, reason = "generated code")]
        pub mod v1 {
            tonic::include_proto!("llm_router.plugin.v1");
        }
    }
}

/// Descriptors of every package here, encoded as a `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/llm_router.bin"));
