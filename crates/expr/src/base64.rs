//! Base64 and base32 with the standard alphabets, as Go's `encoding` packages have them.
//! It must never know values.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Padded base64.
pub fn encode(bytes: &[u8]) -> String {
    encode_bits(bytes, BASE64, 6, 4)
}

/// Padded base32.
pub fn encode32(bytes: &[u8]) -> String {
    encode_bits(bytes, BASE32, 5, 8)
}

fn encode_bits(bytes: &[u8], alphabet: &[u8], bits: u32, group: usize) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / bits as usize + group);
    let (mut held, mut count) = (0u32, 0u32);
    for &byte in bytes {
        held = (held << 8 | u32::from(byte)) & 0xffff;
        count += 8;
        while count >= bits {
            count -= bits;
            out.push(char::from(alphabet[(held >> count) as usize & (alphabet.len() - 1)]));
        }
    }
    if count > 0 {
        out.push(char::from(alphabet[(held << (bits - count)) as usize & (alphabet.len() - 1)]));
    }
    while !out.len().is_multiple_of(group) {
        out.push('=');
    }
    out
}

/// Decodes padded base64; line breaks are skipped.
///
/// # Errors
/// Go's text, with the offset of the first wrong byte.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    decode_bits(text, BASE64, 6, 4).map_err(|at| format!("illegal base64 data at input byte {at}"))
}

/// Decodes padded base32; line breaks are skipped.
///
/// # Errors
/// Go's text, with the offset of the first wrong byte.
pub fn decode32(text: &[u8]) -> Result<Vec<u8>, String> {
    decode_bits(text, BASE32, 5, 8).map_err(|at| format!("illegal base32 data at input byte {at}"))
}

fn decode_bits(text: &[u8], alphabet: &[u8], bits: u32, group: usize) -> Result<Vec<u8>, usize> {
    let mut out = Vec::new();
    let (mut held, mut count, mut digits) = (0u32, 0u32, 0usize);
    let mut symbols = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r')).peekable();
    while let Some((at, &byte)) = symbols.next() {
        if byte == b'=' {
            let missing = group - digits % group;
            let allowed = if group == 4 { missing <= 2 } else { matches!(missing, 1 | 3 | 4 | 6) };
            if !allowed {
                return Err(at);
            }
            for _ in 1..missing {
                match symbols.next() {
                    Some((_, b'=')) => {}
                    Some((wrong, _)) => return Err(if group == 4 { wrong } else { at }),
                    None => return Err(text.len()),
                }
            }
            return match symbols.next() {
                Some((extra, _)) => Err(extra),
                None => Ok(out),
            };
        }
        let Some(digit) = alphabet.iter().position(|&symbol| symbol == byte) else { return Err(at) };
        digits += 1;
        held = (held << bits | digit as u32) & 0xffff;
        count += bits;
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    if digits % group == 0 { Ok(out) } else { Err(text.len() - digits % group) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_and_nothing_else() {
        assert_eq!(decode(b"UzAwcGVyU2VjcmV0\n").as_deref(), Ok(&b"S00perSecret"[..]));
        assert_eq!(decode(b"YQ==").as_deref(), Ok(&b"a"[..]));
        assert_eq!(decode(b"").as_deref(), Ok(&b""[..]));
        for wrong in ["YQ", "Y===", "a=b=", "!!!!"] {
            assert!(decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn round_trip() {
        for text in ["", "a", "ab", "abc", "hello world", "\u{e9}\n"] {
            assert_eq!(decode(encode(text.as_bytes()).as_bytes()).unwrap(), text.as_bytes());
            assert_eq!(decode32(encode32(text.as_bytes()).as_bytes()).unwrap(), text.as_bytes());
        }
        assert_eq!(encode(b"abc"), "YWJj");
        assert!(decode(b"aGVsbG8").is_err());
        assert!(decode(b"!").is_err());
    }
}
