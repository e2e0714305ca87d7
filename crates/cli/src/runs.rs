//! Finds runs: by name, id, unique prefix, or `@` for the latest; and whether they go on.
//! It must never start a holder.

use crate::exit_codes::Fault;
use crate::wire::Place;
use driver::encode::{decode_log, read_log};
use driver::protocol::{Held, Places, Reply, Request};
use driver::{Client, ClientError};
use model::event::Recorded;
use model::row::Cell;
use model::{Event, RunId, RunRecord, Time};
use std::time::Duration;
use store::{Filter, LogId, Reader, StoreError};
use views::History;
use views::rows::RUNS;

/// A row of the list of runs.
#[derive(Clone, Debug)]
pub struct RunLine {
    pub id: RunId,
    pub name: String,
    pub phase: String,
    pub state: String,
    pub message: String,
    pub created_at: Time,
    pub ended_at: Option<Time>,
    pub leaves_done: i64,
    pub leaves: i64,
    pub trigger: String,
}

/// Runs of a home.
pub struct Runs {
    pub reader: Reader,
}

impl Runs {
    /// # Errors
    /// There is no store yet: then there is no run either.
    pub fn open(place: &Place) -> Result<Self, Fault> {
        Self::open_any(place)?.ok_or_else(|| {
            Fault::usage(format!("no run in {} yet; start one with `towpath run FILE`", place.home.root().display()))
        })
    }

    /// As `open`; `None` if there is no store yet.
    pub fn open_any(place: &Place) -> Result<Option<Self>, Fault> {
        let Some(reader) = place.reader()? else { return Ok(None) };
        let probe = Filter { limit: Some(0), ..Filter::default() };
        if let Err(StoreError::StaleTable { .. }) = reader.select(&RUNS, &probe) {
            // Another version wrote the rows: a holder makes them again when it starts.
            place.client()?;
        }
        Ok(Some(Self { reader }))
    }

    /// Newest first.
    pub fn list(&self, limit: Option<u64>, offset: u64) -> Result<Vec<RunLine>, Fault> {
        let filter = Filter { order_by: Some("created_at"), descending: true, limit, offset, ..Filter::default() };
        Ok(self.reader.select(&RUNS, &filter)?.into_iter().filter_map(line).collect())
    }

    /// The run that is meant.
    ///
    /// # Errors
    /// None, or several: the nearest names.
    pub fn find(&self, wanted: &str) -> Result<RunLine, Fault> {
        if let Some(back) = wanted.strip_prefix('@') {
            let number: u64 = if back.is_empty() { 1 } else { back.parse().unwrap_or(0) };
            if number == 0 {
                return Err(Fault::usage(format!("'{wanted}' is no run; @ is the latest, @2 the one before")));
            }
            let found = self.list(Some(1), number - 1)?.pop();
            return found.ok_or_else(|| Fault::usage(format!("there is no {wanted}: this home has fewer runs")));
        }
        let named = |column: &'static str| {
            let filter =
                Filter { equals: vec![(column, Cell::Text(wanted.into()))], limit: Some(1), ..Filter::default() };
            self.reader.select(&RUNS, &filter).map(|rows| rows.into_iter().find_map(line))
        };
        if let Some(found) = named("name")? {
            return Ok(found);
        }
        if let Some(found) = named("id")? {
            return Ok(found);
        }
        let all = self.list(None, 0)?;
        let begins =
            |run: &&RunLine| !wanted.is_empty() && (run.name.starts_with(wanted) || run.id.0.starts_with(wanted));
        let mut matching: Vec<&RunLine> = all.iter().filter(begins).collect();
        match (matching.pop(), matching.is_empty()) {
            (Some(only), true) => Ok(only.clone()),
            (Some(last), false) => {
                matching.push(last);
                let names: Vec<&str> = matching.iter().take(8).map(|run| run.name.as_str()).collect();
                Err(Fault::usage(format!(
                    "'{wanted}' begins the names of {} runs: {}",
                    matching.len(),
                    names.join(", ")
                )))
            }
            (None, _) => {
                let near = nearest(wanted, all.iter().map(|run| run.name.as_str()));
                let help = near.map_or_else(
                    || "`towpath list` shows what there is".into(),
                    |near| format!("did you mean '{near}'?"),
                );
                Err(Fault::usage(format!("no run '{wanted}' in this home; {help}")))
            }
        }
    }

    /// Gives each event of a run's log, as it is read.
    pub fn events(&self, run: &RunId, each: impl FnMut(Recorded)) -> Result<(), Fault> {
        read_log(&self.reader, run, each)?;
        Ok(())
    }

    /// A run's state.
    pub fn state(&self, run: &RunId) -> Result<engine::State, Fault> {
        let mut state = engine::State::default();
        self.events(run, |event| engine::evolve(&mut state, &event))?;
        Ok(state)
    }

    /// What was run, by whom, from what; `None` if its log does not begin with it.
    pub fn record(&self, run: &RunId) -> Result<Option<Box<RunRecord>>, Fault> {
        let entries = self.reader.read_log(&LogId::run(run.0.clone()), 0, 1)?;
        let first = decode_log(&run.0, &entries)?.into_iter().next();
        Ok(first.and_then(|first| if let Event::RunCreated(record) = first.event { Some(record) } else { None }))
    }

    /// A run's history.
    pub fn history(&self, run: &RunId) -> Result<History, Fault> {
        let mut history = History::default();
        self.events(run, |event| history.apply(&event))?;
        Ok(history)
    }
}

/// How long reading waits for the word of a holder.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a run that has not ended is neither running nor interrupted for us.
pub const UNKNOWN: &str = "the process that holds this home does not answer (is it stopped?)";

/// What the holder of a home has in its memory.
pub enum Heard {
    Runs(Vec<Held>),
    /// Nobody holds the home.
    Nobody,
    /// It does not answer: nothing is known.
    Silence,
}

/// Whether a run that has not ended goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    On,
    Interrupted,
    Unknown,
}

/// Asks the holder, if there is one, and does not wait long.
pub fn held(place: &Place) -> Heard {
    let mut client = match Client::connect_within(&place.home, PATIENCE) {
        Ok(Some(client)) => client,
        Ok(None) => return Heard::Nobody,
        Err(_) => return Heard::Silence,
    };
    match client.ask(&Request::Status) {
        Ok(Reply::Status(status)) => Heard::Runs(status.runs),
        // It ended just now.
        Err(ClientError::Gone(_)) => Heard::Nobody,
        _ => Heard::Silence,
    }
}

/// What the holder says of the machine's places; `None` without an answer.
pub fn places_of(place: &Place) -> Option<Places> {
    let mut client = Client::connect_within(&place.home, PATIENCE).ok()??;
    match client.ask(&Request::Places) {
        Ok(Reply::Places(places)) => Some(places),
        _ => None,
    }
}

impl Heard {
    /// Of a run that has not ended: it goes on by itself if a living holder says so.
    pub fn going(&self, run: &RunId) -> Going {
        match self {
            Self::Runs(runs) if runs.iter().any(|held| held.resumed && held.run == *run) => Going::On,
            Self::Runs(_) | Self::Nobody => Going::Interrupted,
            Self::Silence => Going::Unknown,
        }
    }
}

fn line(cells: Vec<Cell>) -> Option<RunLine> {
    let text = |name: &str| match cell(&cells, name) {
        Some(Cell::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let number = |name: &str| match cell(&cells, name) {
        Some(Cell::Integer(number)) => Some(*number),
        _ => None,
    };
    Some(RunLine {
        id: RunId(text("id")),
        name: text("name"),
        phase: text("phase"),
        state: text("state"),
        message: text("message"),
        created_at: Time(number("created_at")?),
        ended_at: number("ended_at").map(Time),
        leaves_done: number("leaves_done").unwrap_or(0),
        leaves: number("leaves").unwrap_or(0),
        trigger: text("trigger"),
    })
}

fn cell<'a>(cells: &'a [Cell], name: &str) -> Option<&'a Cell> {
    cells.get(RUNS.columns.iter().position(|column| column.name == name)?)
}

/// The nearest of the candidates by edits, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().max(3) / 3 + 1;
    let near = candidates.map(|candidate| (distance(word, candidate), candidate)).filter(|(edits, _)| *edits <= limit);
    near.min().map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) that turn one into the other; long texts are cut.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            row.push((last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1));
        }
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("helo-x", ["hello-x", "digits-y"].into_iter()), Some("hello-x"));
        assert_eq!(nearest("banana", ["hello-x", "digits-y"].into_iter()), None);
    }
}
