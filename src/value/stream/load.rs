//! Building a consumer group from outside, such as an RDB file: first its pending entries, then its
//! consumers and what is theirs.
//!
//! Owns the check that each pending entry is one consumer's. Never repairs anything.

use super::CorruptStream;
use super::group::{Group, Name, Pending};
use super::id::StreamId;

/// A group that is being loaded.
#[derive(Debug)]
pub struct GroupLoader {
    group: Group,
    /// Whose the pending entries are before a consumer is known.
    nobody: Name,
    unowned: usize,
}

impl GroupLoader {
    /// A group without pending entries and consumers.
    pub fn new(group: Group) -> Self {
        Self { group, nobody: Name::new(b""), unowned: 0 }
    }

    /// Adds a pending entry; it must not be there yet.
    ///
    /// # Errors
    /// If it is.
    pub fn pending(
        &mut self,
        id: StreamId,
        delivered_ms: i64,
        count: u64,
    ) -> Result<(), CorruptStream> {
        let consumer = self.nobody.clone();
        let count = count.min(i64::MAX as u64);
        let new = self.group.add_pending(Pending { id, delivered_ms, count, consumer });
        self.unowned += usize::from(new);
        if new { Ok(()) } else { Err(CorruptStream) }
    }

    /// Adds a consumer; there must be none of that name yet.
    ///
    /// # Errors
    /// If there is.
    pub fn consumer(
        &mut self,
        name: &[u8],
        seen_ms: i64,
        active_ms: Option<i64>,
    ) -> Result<(), CorruptStream> {
        let new = self.group.add_consumer(name, seen_ms, active_ms);
        if new { Ok(()) } else { Err(CorruptStream) }
    }

    /// Whether there is such a pending entry.
    pub fn has_pending(&self, id: StreamId) -> bool {
        self.group.pending(id).is_some()
    }

    /// Gives a pending entry to a consumer; it must be there and nobody's yet.
    ///
    /// # Errors
    /// If it isn't.
    pub fn give(&mut self, id: StreamId, consumer: &[u8]) -> Result<(), CorruptStream> {
        let pending = self.group.pending(id).ok_or(CorruptStream)?;
        if !pending.consumer.is_same(&self.nobody) || self.group.consumer(consumer).is_none() {
            return Err(CorruptStream);
        }
        self.group.claim(id, consumer, |_| {});
        self.unowned -= 1;
        Ok(())
    }

    /// The group.
    ///
    /// # Errors
    /// If a pending entry is nobody's.
    pub fn finish(self) -> Result<Group, CorruptStream> {
        if self.unowned == 0 { Ok(self.group) } else { Err(CorruptStream) }
    }
}
