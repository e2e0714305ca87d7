//! Documents with random damage: whatever is cut out, doubled or swapped, there is an answer and no panic.

use spec::{Options, SourceFile, compile, render};

/// Everything that the language has here, in a few documents.
const SEED: &str = include_str!("seed.yaml");
const ROUNDS: u64 = 3_000;

/// xorshift64*: the same damage on each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

const BITS: [&str; 24] = [
    "{{", "}}", "\"", "'", "\n", "\t", ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "|", ">", "#", "é",
    "\u{2028}", "!!int ", "null", "{{=", "..",
];

fn damaged(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len());
        let end = (at + dice.below(12)).min(chars.len());
        match dice.below(4) {
            0 => drop(chars.drain(at..end)),
            1 => chars.splice(at..at, BITS[dice.below(BITS.len())].chars()).for_each(drop),
            2 => {
                let copy: Vec<char> = chars[at..end].to_vec();
                let to = dice.below(chars.len());
                chars.splice(to..to, copy).for_each(drop);
            }
            _ => {
                let other = dice.below(chars.len());
                chars.swap(at, other);
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn damaged_documents_are_answered() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut sound, mut faulty) = (0, 0);
    for _ in 0..ROUNDS {
        let files = [SourceFile { name: "w.yaml".into(), text: damaged(SEED, &mut dice) }];
        let compiled = compile(&files, &Options::default());
        for diagnostic in &compiled.diagnostics {
            assert!(render(diagnostic, &files, true).contains("w.yaml"));
        }
        if compiled.has_errors() {
            faulty += 1;
        } else {
            sound += 1;
        }
    }
    println!("{sound} sound, {faulty} faulty");
    assert!(faulty > ROUNDS / 4 && sound > 0);
}
