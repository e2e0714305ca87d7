//! Frames on the runner's socket: four bytes of length (little endian), then JSON.
//! It must never know what the frames mean.

use serde::{Serialize, de::DeserializeOwned};
use std::io;

/// A larger frame is a fault of the other side.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Appends a frame.
///
/// # Errors
/// The frame is too large.
pub fn encode<T: Serialize>(frame: &T, buffer: &mut Vec<u8>) -> io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *buffer, frame)?;
    let length = buffer.len() - start - 4;
    if length > FRAME_BYTES_MAX {
        buffer.truncate(start);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a frame of {length} bytes is too large")));
    }
    buffer[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Bytes received so far, from which frames are taken.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    taken: usize,
}

impl Incoming {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > (64 << 10) {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, `None` as long as there is none.
    ///
    /// # Errors
    /// What was received is not a frame; the connection is of no use any more.
    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let rest = &self.bytes[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is too large")));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = serde_json::from_slice(body)?;
        self.taken += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut wire = Vec::new();
        for n in 0..50_u32 {
            encode(&vec![n; n as usize], &mut wire).expect("encode");
        }
        for cut in [1, 3, 7, 64, wire.len()] {
            let (mut incoming, mut seen) = (Incoming::default(), Vec::new());
            for piece in wire.chunks(cut) {
                incoming.push(piece);
                while let Some(frame) = incoming.next::<Vec<u32>>().expect("frame") {
                    seen.push(frame.len());
                }
            }
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn noise_is_an_error() {
        let mut incoming = Incoming::default();
        incoming.push(&[0xff; 16]);
        assert!(incoming.next::<u32>().is_err());
    }
}
