//! The digest of keys and databases that `DEBUG DIGEST` shows.
//!
//! Owns Redis's way to compute it, so that two servers with the same data show the same digest,
//! whatever their encodings and the order of their tables. Never looks at the clock: keys that are
//! due count until they are deleted.

use sha1::{Digest as _, Sha1};

use crate::ds::dict::Keyed;
use crate::keyspace::{Db, Entry};
use crate::util::num::IntBuf;
use crate::value::{Type, Value};

const LEN: usize = 20;

/// A digest that is being computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest([u8; LEN]);

impl Digest {
    /// The digest of all databases; empty ones don't count.
    pub fn of_dbs(dbs: &[Db]) -> Self {
        let mut all = Self::default();
        for (number, db) in dbs.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
            all.mix(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
            for entry in db.iter() {
                let mut one = Self::default();
                one.mix(entry.key());
                one.add_value(entry);
                all.xor(&one.0);
            }
        }
        all
    }

    /// The digest of a key's value and deadline; of no key, all zeroes.
    pub fn of_value(entry: Option<&Entry>) -> Self {
        let mut digest = Self::default();
        if let Some(entry) = entry {
            digest.add_value(entry);
        }
        digest
    }

    /// 40 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adds `bytes` regardless of the order of what else is added.
    fn xor(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(mine, its)| *mine ^= its);
    }

    /// Adds `bytes` so that the order matters.
    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    fn add_value(&mut self, entry: &Entry) {
        self.mix(&type_number(entry.kind()).to_be_bytes());
        match (entry.str(), entry.value()) {
            (Some(text), _) => self.mix(text.bytes(&mut IntBuf::new())),
            (None, Some(value)) => self.add_elements(value),
            (None, None) => {}
        }
        if entry.deadline().is_some() {
            self.xor(b"!!expire!!");
        }
    }

    fn add_elements(&mut self, value: &Value) {
        match value {
            Value::Int(_) | Value::Str(_) => {}
            Value::List(list) => {
                list.for_each(|element| self.mix(element.as_bytes(&mut IntBuf::new())));
            }
            Value::Set(set) => {
                set.iter().for_each(|member| self.xor(member.as_bytes(&mut IntBuf::new())));
            }
            Value::Hash(hash) => hash.iter().for_each(|(field, value)| {
                let mut pair = Self::default();
                let mut digits = IntBuf::new();
                let field = field.as_bytes(&mut digits);
                pair.mix(field);
                pair.mix(value.as_bytes(&mut IntBuf::new()));
                if hash.deadline(field).is_some() {
                    pair.xor(b"!!hexpire!!");
                }
                self.xor(&pair.0);
            }),
            Value::ZSet(zset) => zset.for_each(|member, score| {
                let mut pair = Self::default();
                pair.mix(member);
                pair.mix(seventeen_digits(score).as_bytes());
                self.xor(&pair.0);
            }),
            Value::Stream(stream) => {
                for entry in stream.log().iter() {
                    let id = entry.id();
                    self.mix(format!("{}.{}", id.ms, id.seq).as_bytes());
                    for (name, value) in entry.fields() {
                        self.mix(name.as_bytes(&mut IntBuf::new()));
                        self.mix(value.as_bytes(&mut IntBuf::new()));
                    }
                }
            }
        }
    }
}

/// The number that Redis gives to a type.
fn type_number(kind: Type) -> u32 {
    match kind {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::ZSet => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    }
}

/// A double as C's `%.17g` prints it.
fn seventeen_digits(value: f64) -> String {
    const DIGITS: i32 = 17;
    if !value.is_finite() {
        return format!("{value}").to_lowercase();
    }
    let text = format!("{value:.16e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    match exponent {
        -4..DIGITS => {
            let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
            bare(&format!("{value:.decimals$}"))
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", bare(mantissa), exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_c() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (1.5, "1.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (-1e300, "-1.0000000000000001e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(seventeen_digits(value), text);
        }
    }
}
