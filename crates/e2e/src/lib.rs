//! End-to-end tests of the real binary; all of them are in `tests/it`.
