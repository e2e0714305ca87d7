//! JSON, base64, base32 and digests.
//! It must never know values other than its arguments.

use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

use super::arguments::{bytes, text};
use crate::base64;
use crate::context::Budget;
use crate::json;
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let data = bytes(args, 0);
    budget.step(data.len() / 16)?;
    let decoded = |result: Result<Vec<u8>, String>| match result {
        Ok(bytes) => Value::from_bytes(bytes),
        Err(message) => message.into(),
    };
    let hex = |digest: &[u8]| Value::from(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let value = match name {
        "fromJson" => json::decode(&text(args, 0), json::Numbers::Float).unwrap_or(Value::Null),
        "mustFromJson" => json::decode(&text(args, 0), json::Numbers::Float)?,
        "toJson" => json::encode(&args[0]).unwrap_or_default().into(),
        "mustToJson" => json::encode(&args[0])?.into(),
        "toPrettyJson" => json::encode_indent(&args[0], true).unwrap_or_default().into(),
        "mustToPrettyJson" => json::encode_indent(&args[0], true)?.into(),
        "toRawJson" | "mustToRawJson" => json::encode_raw(&args[0])?.into(),
        "b64enc" => base64::encode(data).into(),
        "b64dec" => decoded(base64::decode(data)),
        "b32enc" => base64::encode32(data).into(),
        "b32dec" => decoded(base64::decode32(data)),
        "sha1sum" => hex(&Sha1::digest(data)),
        "sha256sum" => hex(&Sha256::digest(data)),
        "sha512sum" => hex(&Sha512::digest(data)),
        _ => adler32(data).to_string().into(),
    };
    budget.bytes(value.string_bytes().map_or(0, <[u8]>::len))?;
    Ok(value)
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}
