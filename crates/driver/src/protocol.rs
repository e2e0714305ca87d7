//! The frames between a client and the holder of a home: four bytes of length (little endian), then JSON.
//! It must never carry a rule; a change of meaning is a new `PROTOCOL`, and the one before is still served.

use executor::variables::Variables;
use model::event::Recorded;
use model::input::Shutdown;
use model::node::Parameter;
use model::{AttemptKey, NodeId, Plan, Refusal, RunId, RunRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Version of these frames. 3 has `Reopen` and `Places`.
pub const PROTOCOL: u32 = 4;
/// The oldest version that is still spoken, on either side.
pub const PROTOCOL_MIN: u32 = 2;

/// A larger frame is a fault of the other side.
const FRAME_BYTES_MAX: usize = 512 << 20;

/// The first frame on each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    pub protocol: u32,
    pub build: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// With the environment that its tasks get.
    Submit {
        record: Box<RunRecord>,
        variables: Variables,
    },
    Shutdown {
        run: RunId,
        strategy: Shutdown,
        by: String,
    },
    /// A node that waits for a person goes on; without one, the only one that does.
    Approve {
        run: RunId,
        node: Option<NodeId>,
        parameters: Vec<Parameter>,
        by: String,
    },
    /// An interrupted run goes on with this environment in place of the one before.
    Resume {
        run: RunId,
        by: String,
        variables: Variables,
    },
    /// An ended run goes on by this plan: what its tasks wrote elsewhere than they were to is collected.
    Reopen {
        run: RunId,
        by: String,
        plan: Box<Plan>,
        variables: Variables,
    },
    /// Events from number `from` on, and notes, until the client hangs up. The last request of a connection.
    Watch {
        run: RunId,
        from: u64,
    },
    /// Removes an ended run with its rows and logs.
    Delete {
        run: RunId,
    },
    Status,
    /// Who holds the places of the machine.
    Places,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Refused(Refusal),
    /// Another run of the home has the name.
    NameTaken(String),
    /// Only ended runs can be deleted.
    NotEnded,
    /// The store could not confirm it. It may have taken effect if the text says so: look again before repeating.
    Store(String),
    Status(Status),
    Places(Places),
    Events {
        first: u64,
        events: Vec<Recorded>,
    },
    /// A line for people that changes nothing: how far an environment is, what this machine lacks.
    Note(String),
}

/// Who holds the home, and what is in its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub pid: u32,
    pub build: String,
    /// Every commit survives a power cut.
    pub full_durability: bool,
    pub runs: Vec<Held>,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub run: RunId,
    /// It goes on by itself; false: interrupted.
    pub resumed: bool,
}

/// What the machine has for attempts, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    pub has: Amount,
    pub holders: Vec<HolderOfPlaces>,
    /// The larger request that was first, and that the rest is kept for.
    pub held_for: Option<AttemptKey>,
    /// Requirements whose environments are being made.
    pub preparing: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderOfPlaces {
    pub run: RunId,
    pub holds: Amount,
    /// Attempts of this run at once, at most.
    pub slots_max: u64,
}

/// So much of a machine; `slots`: attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub slots: u64,
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u64,
}

impl Greeting {
    pub fn own() -> Self {
        Self::of(PROTOCOL)
    }

    pub fn of(protocol: u32) -> Self {
        Self { protocol, build: env!("CARGO_PKG_VERSION").into() }
    }

    /// What a holder answers to a client's: the smaller of both, in which it then speaks; its own if it speaks with nobody that old.
    pub fn answer(&self) -> Self {
        Self::of(if self.is_spoken() { self.protocol.min(PROTOCOL) } else { PROTOCOL })
    }

    /// Whether the other side is not too old.
    pub fn is_spoken(&self) -> bool {
        self.protocol >= PROTOCOL_MIN
    }
}

impl Request {
    /// The first version that has it.
    pub fn since(&self) -> u32 {
        match self {
            Self::Approve { .. } => 4,
            Self::Reopen { .. } | Self::Places => 3,
            Self::Submit { .. }
            | Self::Shutdown { .. }
            | Self::Resume { .. }
            | Self::Watch { .. }
            | Self::Delete { .. }
            | Self::Status => 2,
        }
    }
}

/// Writes a frame.
///
/// # Errors
/// The other side is gone.
pub fn send<T: Serialize>(to: &mut impl Write, frame: &T) -> io::Result<()> {
    send_bytes(to, &serde_json::to_vec(frame)?)
}

/// Writes `Reply::Events` from entries of a log, which are JSON already.
///
/// # Errors
/// The other side is gone.
pub fn send_events(to: &mut impl Write, first: u64, entries: &[Vec<u8>]) -> io::Result<()> {
    let mut body = format!("{{\"Events\":{{\"first\":{first},\"events\":[").into_bytes();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(entry);
    }
    body.extend_from_slice(b"]}}");
    send_bytes(to, &body)
}

fn send_bytes(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a frame of {} bytes is too large", body.len()),
        ));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(body);
    to.write_all(&frame)
}

/// Reads a frame; `None` at the end of the stream.
///
/// # Errors
/// The other side is gone in the middle, or what it sent is not a frame.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is too large")));
    }
    let mut body = Vec::new();
    from.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Event, Time};

    #[test]
    fn entries_of_a_log_make_the_frame_that_events_make() {
        let event = Recorded { at: Time(5), event: Event::DeadlineExceeded };
        let entry = crate::encode::encode(&event).expect("encode");
        for count in 0..3 {
            let (mut raw, mut whole) = (Vec::new(), Vec::new());
            send_events(&mut raw, 9, &vec![entry.clone(); count]).expect("raw");
            send(&mut whole, &Reply::Events { first: 9, events: vec![event.clone(); count] }).expect("whole");
            assert_eq!(raw, whole);
            assert_eq!(
                receive::<Reply>(&mut raw.as_slice()).expect("frame"),
                Some(Reply::Events { first: 9, events: vec![event.clone(); count] })
            );
        }
    }

    #[test]
    fn a_torn_frame_is_an_error_and_an_end_is_not() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::Status).expect("send");
        assert_eq!(receive::<Request>(&mut &wire[..0]).expect("end"), None);
        assert!(receive::<Request>(&mut &wire[..wire.len() - 1]).is_err());
        assert!(receive::<Request>(&mut &[0xff_u8; 8][..]).is_err());
    }
}
