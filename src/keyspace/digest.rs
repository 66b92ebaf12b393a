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
                pair.mix(field.as_bytes(&mut IntBuf::new()));
                pair.mix(value.as_bytes(&mut IntBuf::new()));
                self.xor(&pair.0);
            }),
            Value::ZSet(_) => {}
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
    }
}
