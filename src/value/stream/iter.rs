//! Walking a stream's entries between two IDs, in either direction. Never changes anything.

use super::id::StreamId;
use super::node::{Entry, Node, Reader};
use crate::ds::tree::{self, Tree};

/// The entries from one ID to another, both included, that are not deleted.
#[derive(Clone)]
pub struct Range<'a> {
    nodes: tree::Iter<'a, Node>,
    reader: Option<Reader<'a>>,
    start: StreamId,
    end: StreamId,
    reverse: bool,
}

impl std::fmt::Debug for Range<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Range")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("reverse", &self.reverse)
            .finish_non_exhaustive()
    }
}

impl<'a> Range<'a> {
    pub(super) fn new(
        nodes: &'a Tree<Node>,
        start: StreamId,
        end: StreamId,
        reverse: bool,
    ) -> Self {
        // The first entry may stand in the last node that begins before `start`.
        let ranks = match start {
            StreamId::MIN => 0,
            _ => nodes.upper_bound(&start).saturating_sub(1),
        }..match end {
            StreamId::MAX => nodes.len(),
            _ => nodes.upper_bound(&end),
        };
        Self { nodes: nodes.iter_range(ranks), reader: None, start, end, reverse }
    }

    fn next_node(&mut self) -> Option<()> {
        let node = if self.reverse { self.nodes.next_back() } else { self.nodes.next() }?;
        self.reader = node.reader();
        Some(())
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(reader) = &mut self.reader else {
                self.next_node()?;
                continue;
            };
            let raw = if self.reverse { reader.next_back() } else { reader.next() };
            let Some(raw) = raw else {
                self.reader = None;
                continue;
            };
            let id = raw.entry.id();
            let past = if self.reverse { id < self.start } else { id > self.end };
            if past {
                return None;
            }
            if raw.is_live() && (self.start..=self.end).contains(&id) {
                return Some(raw.entry);
            }
        }
    }
}
