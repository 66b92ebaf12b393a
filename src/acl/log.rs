//! The log of refusals: who was refused what, how often.

use std::collections::VecDeque;

/// A refusal within this time after a like one counts as the same, in milliseconds.
const MERGE_MS: i64 = 60_000;
/// So many of the latest entries are searched for a like one.
const MERGE_AMONG: usize = 10;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// A login.
    Auth,
}

impl Reason {
    /// The word that ACL LOG shows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

/// Where the command came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A client.
    Toplevel,
    /// A transaction.
    Multi,
    /// A script.
    Lua,
}

impl Context {
    /// The word that ACL LOG shows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Toplevel => "toplevel",
            Self::Multi => "multi",
            Self::Lua => "lua",
        }
    }
}

/// A refusal, or several of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts up, and never starts again.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// What was refused.
    pub reason: Reason,
    /// Where the command came from.
    pub context: Context,
    /// The command, key or channel.
    pub object: Box<[u8]>,
    /// The user.
    pub username: Box<[u8]>,
    /// The client, as CLIENT LIST describes it, when it last happened.
    pub client: Box<str>,
    /// When it first happened, in Unix milliseconds.
    pub created_ms: i64,
    /// When it last happened, in Unix milliseconds.
    pub updated_ms: i64,
}

impl Entry {
    fn is_like(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && self.updated_ms.abs_diff(other.updated_ms) <= MERGE_MS.unsigned_abs()
            && self.object == other.object
            && self.username == other.username
    }
}

/// The refusals, the latest first.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl AclLog {
    /// Adds a refusal, which gets its `id` here, or counts it with a like one, and forgets the
    /// oldest above `max`.
    pub fn add(&mut self, mut entry: Entry, max: u64) {
        let like = self.entries.iter().take(MERGE_AMONG).position(|old| old.is_like(&entry));
        if let Some(old) = like.and_then(|at| self.entries.remove(at)) {
            entry = Entry {
                client: entry.client,
                updated_ms: entry.updated_ms,
                count: old.count + 1,
                ..old
            };
        } else {
            entry.id = self.next_id;
            self.next_id += 1;
        }
        self.entries.push_front(entry);
        self.entries.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    }

    /// The entries, the latest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
