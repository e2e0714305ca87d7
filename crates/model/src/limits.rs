//! Every limit of the product, by name. A limit is an error with a remedy, never an abort.

/// Nesting of templates (upstream's `maxRecursionDepth` is 100): so deep that a loop may be written as a template that calls itself.
pub const TEMPLATE_DEPTH_MAX: u32 = 20_000;
/// Nodes that are nested deeper than upstream admits have short names: with the whole path in each, the names of a run would grow with
/// the square of its depth.
pub const WHOLE_NAMES_DEPTH_MAX: u32 = 100;
/// A declared value of one node, bytes. Beyond it: use an artifact.
pub const VALUE_BYTES_MAX: usize = 1_000_000;
/// `outputs.result`: the last bytes of standard output that are kept (upstream: 256 KiB).
pub const RESULT_BYTES_MAX: usize = 256 * 1024;
/// Leaves of one run that wait or run at once: further children of its loops, and further tasks, come into being as these end, so that a
/// loop of a million items neither fills the memory nor keeps the first of them waiting. A run that wants more places (`-j`) has
/// twice as many of them instead.
pub const OPEN_LEAVES_MAX: u32 = 10_000;
/// Nodes of one run.
pub const NODES_MAX: u32 = 4_000_000;
/// A workflow file, bytes.
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Metadata of one artifact, bytes.
pub const ARTIFACT_METADATA_BYTES_MAX: usize = 64 << 10;
/// Captured output of one attempt, bytes; what is beyond is dropped from the middle, with a marker.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// Files of one attempt that are listed by name though no output declares them; the others are counted.
pub const WRITTEN_FILES_MAX: usize = 50;
/// Bytes of the names in such a list.
pub const WRITTEN_NAMES_BYTES_MAX: usize = 16 << 10;
/// Files of one attempt that are looked at for it; beyond them nothing is counted.
pub const WRITTEN_WALK_MAX: u64 = 200_000;
/// Hours for which they are kept (setting `keep_hours`).
pub const KEEP_HOURS: u32 = 24;
/// Attempts of a home whose files are kept, the youngest.
pub const KEPT_ATTEMPTS_MAX: usize = 2_000;
/// Bytes of all that is kept in a home; the youngest attempt's count towards it, but are never removed for it.
pub const KEPT_BYTES_MAX: u64 = 20 << 30;
/// Of the file system, what stays free: with less, what was kept longest is removed. The smaller of the two.
pub const KEPT_FREE_BYTES_MIN: u64 = 1 << 30;
pub const KEPT_FREE_PERCENT_MIN: u64 = 5;
/// Seconds between SIGTERM and SIGKILL (Kubernetes' `terminationGracePeriodSeconds`).
pub const GRACE_SECONDS: u32 = 30;
