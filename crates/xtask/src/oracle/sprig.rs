//! The `sprig` table: its rows are expressions, read as those of the `expr` table.
//! It must never know how an expression is evaluated.

use super::{Row, Verdict, expr};

/// Functions that make keys, certificates or password digests: existing, refused.
const REFUSED: [&str; 6] =
    ["bcrypt", "htpasswd(\"u\"", "encryptAES(", "genPrivateKey(\"ecdsa\"", "genCA(\"x\"", "genPrivateKey(\"rsa\""];

/// Evaluates the row's expression and compares stage, Go type and value.
pub fn check(row: &Row) -> Verdict {
    let verdict = expr::check(row);
    if matches!(verdict, Verdict::Wrong { .. }) {
        let source = ::expr::Value::from_json(&row.text).map(|fields| expr::text(&fields, "expr")).unwrap_or_default();
        if REFUSED.iter().any(|name| source.contains(name)) {
            return Verdict::Deliberate("keys, certificates and password digests are not made inside an expression");
        }
    }
    verdict
}
