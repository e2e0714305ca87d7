//! Events as bytes of a log: JSON, one object an entry. The log's version stands beside it in the store, which refuses a newer one.
//! It must never change what an old entry means.

use crate::soundness::{self, Unsound};
use model::RunId;
use model::event::Recorded;
use store::{LogId, Reader, StoreError};

/// An entry of a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {number} of run {run} cannot be read: {what}; restore a backup of the home, or remove the run with `towpath delete {run}`"
)]
pub struct Unreadable {
    run: String,
    number: u64,
    what: String,
}

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] Unreadable),
}

/// An event as an entry.
///
/// # Errors
/// It holds a number that JSON cannot (a NaN): nothing of ours does.
pub fn encode(recorded: &Recorded) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    serde_json::to_writer(&mut bytes, recorded).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Few entries have more.
const ENTRY_BYTES: usize = 256;

/// Entries as events. `first`: the number of the first of them.
///
/// # Errors
/// One of them is not what `encode` writes.
pub fn decode(run: &str, first: u64, entries: &[Vec<u8>]) -> Result<Vec<Recorded>, Unreadable> {
    let numbered = (first..).zip(entries);
    numbered
        .map(|(number, entry)| {
            serde_json::from_slice(entry).map_err(|error| Unreadable {
                run: run.into(),
                number,
                what: error.to_string(),
            })
        })
        .collect()
}

/// A whole log, or its beginning, as events that can be folded.
///
/// # Errors
/// One of them is not what `encode` writes, or does not fit those before it.
pub fn decode_log(run: &str, entries: &[Vec<u8>]) -> Result<Vec<Recorded>, Unreadable> {
    let events = decode(run, 0, entries)?;
    match soundness::check(&events) {
        Ok(()) => Ok(events),
        Err(Unsound { number, what }) => Err(Unreadable { run: run.into(), number, what }),
    }
}

/// Entries that are in memory at once.
const PIECE: usize = 4096;

/// Reads a log piece by piece, and gives its events one by one, each checked against those before it. Answers how many there were.
///
/// # Errors
/// The store cannot be read, or an event is not what `encode` writes or does not fit those before it.
pub fn read_log(reader: &Reader, run: &RunId, mut each: impl FnMut(Recorded)) -> Result<u64, ReadError> {
    let log = LogId::run(run.0.clone());
    let (mut sound, mut number) = (soundness::Log::default(), 0);
    let unsound = |Unsound { number, what }| Unreadable { run: run.0.clone(), number, what };
    loop {
        let entries = reader.read_log(&log, number, PIECE)?;
        for recorded in decode(&run.0, number, &entries)? {
            sound.follow(&recorded).map_err(unsound)?;
            each(recorded);
        }
        number += entries.len() as u64;
        if entries.len() < PIECE {
            break;
        }
    }
    sound.end().map_err(unsound)?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Event, NodeId, Time};

    #[test]
    fn events_come_back_as_they_were() {
        let event = Recorded {
            at: Time(7),
            event: Event::RetryDelayed { node: NodeId(3), until: Time(9), message: "Backoff for 2 seconds".into() },
        };
        let bytes = encode(&event).expect("encode");
        assert_eq!(decode("r", 0, std::slice::from_ref(&bytes)).expect("decode"), [event]);
        let error = decode("r", 5, &[bytes, b"{}".to_vec()]).expect_err("not an event");
        assert!(error.to_string().starts_with("event 6 of run r cannot be read"), "{error}");
    }
}
