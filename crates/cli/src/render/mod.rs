//! What people see: one file a form.

pub mod depths;
pub mod plain;
pub mod progress;
pub mod summary;
pub mod table;
pub mod time;
pub mod tree;
pub mod used;
pub mod waiting;
pub mod written;
pub mod yaml;
