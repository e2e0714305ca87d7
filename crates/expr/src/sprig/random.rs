//! Random values drawn from the context's seed: the same seed gives the same values.
//! It must never know a source of randomness.

use super::arguments::{int, text};
use crate::base64;
use crate::context::Budget;
use crate::value::Value;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    match name {
        "randInt" => {
            let (from, to) = (int(args, 0), int(args, 1));
            let span = to.wrapping_sub(from);
            if span <= 0 {
                return Err("invalid argument to Intn".to_owned());
            }
            Ok(Value::Int(from.wrapping_add((budget.draw() % span as u64) as i64)))
        }
        "uuidv4" => Ok(uuid(budget).into()),
        "shuffle" => {
            let mut chars: Vec<char> = text(args, 0).chars().collect();
            budget.step(chars.len())?;
            for index in (1..chars.len()).rev() {
                chars.swap(index, (budget.draw() % (index as u64 + 1)) as usize);
            }
            Ok(chars.into_iter().collect::<String>().into())
        }
        _ => {
            let Ok(count) = usize::try_from(int(args, 0)) else { return Ok("".into()) };
            budget.step(count)?;
            budget.bytes(count)?;
            if name == "randBytes" {
                let bytes: Vec<u8> = (0..count).map(|_| budget.draw() as u8).collect();
                return Ok(base64::encode(&bytes).into());
            }
            let ascii: String = (' '..='~').collect();
            let alphabet = match name {
                "randAlpha" => LETTERS.to_owned(),
                "randNumeric" => DIGITS.to_owned(),
                "randAscii" => ascii,
                _ => format!("{LETTERS}{DIGITS}"),
            };
            let symbols = alphabet.as_bytes();
            let made: String =
                (0..count).map(|_| char::from(symbols[(budget.draw() % symbols.len() as u64) as usize])).collect();
            Ok(made.into())
        }
    }
}

fn uuid(budget: &Budget<'_>) -> String {
    let (high, low) = (budget.draw(), budget.draw());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
