//! Every limit of the product, by name. A limit is an error with a remedy, never an abort.

/// Nesting of templates (upstream's `maxRecursionDepth`).
pub const TEMPLATE_DEPTH_MAX: u32 = 100;
/// A declared value of one node, bytes. Beyond it: use an artifact.
pub const VALUE_BYTES_MAX: usize = 1_000_000;
/// `outputs.result`: the last bytes of standard output that are kept (upstream: 256 KiB).
pub const RESULT_BYTES_MAX: usize = 256 * 1024;
/// Nodes of one run.
pub const NODES_MAX: u32 = 4_000_000;
/// A workflow file, bytes.
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Metadata of one artifact, bytes.
pub const ARTIFACT_METADATA_BYTES_MAX: usize = 64 << 10;
/// Captured output of one attempt, bytes; what is beyond is dropped from the middle, with a marker.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// Seconds between SIGTERM and SIGKILL (Kubernetes' `terminationGracePeriodSeconds`).
pub const GRACE_SECONDS: u32 = 30;
