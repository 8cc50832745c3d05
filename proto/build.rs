//! Compiles the `.proto` files without protoc and keeps their descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 8] = [
    "llm_router/v1/types.proto",
    "llm_router/v1/router.proto",
    "llm_router/v1/stats.proto",
    "llm_router/v1/admin.proto",
    "llm_router/cluster/v1/raft.proto",
    "llm_router/cluster/v1/pulse.proto",
    "llm_router/cluster/v1/cache.proto",
    "llm_router/plugin/v1/backend.proto",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells build scripts where to write through it"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=llm_router");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("llm_router.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        // answers on their way between nodes are passed on, not copied
        .bytes(".llm_router.cluster.v1.Parcel")
        .bytes(".llm_router.cluster.v1.LookRequest")
        .bytes(".llm_router.cluster.v1.FlyAsk")
        .bytes(".llm_router.cluster.v1.FlyBegun")
        .bytes(".llm_router.cluster.v1.FlyPiece")
        .bytes(".llm_router.cluster.v1.FlyBroken")
        .bytes(".llm_router.cluster.v1.PutRequest")
        .bytes(".llm_router.cluster.v1.Offered")
        .bytes(".llm_router.cluster.v1.SampleReply")
        .bytes(".llm_router.plugin.v1.GenerateRequest")
        // it holds a key
        .skip_debug(["llm_router.cluster.v1.JoinResponse"])
        .compile_fds(descriptors)?;
    Ok(())
}
