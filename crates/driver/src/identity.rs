//! Ids and names of new runs.
//! It must never read the clock or chance itself: both are arguments.

use model::{RunId, Time};

/// What Kubernetes' name generator draws from: no vowels, nothing that looks like something else (`rand.SafeEncodeString`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A UUID of version 7 (RFC 9562): milliseconds, then chance.
pub fn run_id(now: Time, random: [u8; 10]) -> RunId {
    let millis = (now.0 / 1000).max(0) as u64;
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    RunId(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// `prefix` and five characters, as Kubernetes makes a name from `generateName`.
pub fn generated_name(prefix: &str, random: [u8; 5]) -> String {
    let suffix = random.iter().map(|byte| ALPHABET[usize::from(*byte) % ALPHABET.len()] as char);
    prefix.chars().chain(suffix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_sort_by_time() {
        let early = run_id(Time(1_700_000_000_000_000), [0xff; 10]);
        let late = run_id(Time(1_700_000_000_001_000), [0; 10]);
        assert_eq!(early.0, "018bcfe5-6800-7fff-bfff-ffffffffffff");
        assert!(early < late);
    }

    #[test]
    fn generated_names_have_the_prefix_and_five_characters() {
        assert_eq!(generated_name("hello-", [0, 1, 26, 27, 255]), "hello-bc9bq");
    }
}
