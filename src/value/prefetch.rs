//! Bringing a member of a collection into the processor's cache, step by step.
//!
//! Owns the way from a value to a member, as lookups take it. Never waits for memory itself, save
//! for what an earlier step asked for.

use super::Value;
use super::hash::Hash;
use super::list::{End, List};
use super::set::Set;
use super::zset::ZSet;
use crate::ds::dict::Step;
use crate::util::prefetch::prefetch;

/// A collection in which members are looked up.
pub(super) trait Prefetch {
    /// Asks for what the collection's own block points to: a listpack's bytes or a table's head.
    fn prefetch_body(&self);
    /// The hash of a member, if there is a table.
    fn member_hash(&self, _member: &[u8]) -> Option<u64> {
        None
    }
    /// One step of looking up a member's hash in the table.
    fn prefetch_member(&self, _hash: u64, _step: Step) {}
}

impl Value {
    /// Asks for the block of a collection or a string that stands apart.
    pub fn prefetch(&self) {
        match self {
            Self::Str(bytes) => prefetch::<Vec<u8>>(bytes),
            Self::Hash(hash) => prefetch::<Hash>(hash),
            Self::List(list) => prefetch::<List>(list),
            Self::Set(set) => prefetch::<Set>(set),
            Self::ZSet(zset) => prefetch::<ZSet>(zset),
            _ => {}
        }
    }

    /// Asks for a collection's listpack or table, or for a string's first bytes; its block is read.
    pub fn prefetch_body(&self) {
        match self {
            Self::Str(bytes) => bytes.first().into_iter().for_each(prefetch),
            _ => self.target().into_iter().for_each(Prefetch::prefetch_body),
        }
    }

    /// As [`prefetch_body`](Self::prefetch_body), where only an end of a list is needed.
    pub fn prefetch_end(&self, end: End) {
        match self {
            Self::List(list) => list.prefetch_end(end),
            _ => self.prefetch_body(),
        }
    }

    /// The hash of a member in a collection's table, for [`prefetch_member`](Self::prefetch_member).
    pub fn member_hash(&self, member: &[u8]) -> Option<u64> {
        self.target()?.member_hash(member)
    }

    /// Asks for what the lookup of a member will read, one step of the way.
    pub fn prefetch_member(&self, hash: u64, step: Step) {
        if let Some(target) = self.target() {
            target.prefetch_member(hash, step);
        }
    }

    fn target(&self) -> Option<&dyn Prefetch> {
        match self {
            Self::Hash(hash) => Some(&**hash),
            Self::List(list) => Some(&**list),
            Self::Set(set) => Some(&**set),
            Self::ZSet(zset) => Some(&**zset),
            _ => None,
        }
    }
}
