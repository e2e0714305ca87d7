//! Go's text forms: `strconv.Quote`, `%v`, `Sprintf`, durations and times.
//! It must never know expressions or tags.

mod duration;
mod float;
mod quote;
mod sprintf;
mod strftime;
mod time_format;
mod time_parse;
mod verb;

pub use duration::{format_duration, parse_duration};
pub use float::{exponent, float, shortest};
pub use quote::{quote, quote_bytes};
pub use sprintf::sprintf;
pub use strftime::strftime;
pub use time_format::format_time;
pub use time_parse::parse_time;
pub(crate) use verb::integer;
pub use verb::value;
