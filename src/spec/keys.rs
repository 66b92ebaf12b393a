//! Key specifications: where a command's keys stand, and what it does to them.

use smallvec::SmallVec;

use crate::resp::Args;
use crate::util::num;

bitflags::bitflags! {
    /// What a command does to the keys of one specification.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads the value.
        const RO = 1 << 0;
        /// Modifies the value, with regard to what it was.
        const RW = 1 << 1;
        /// Overwrites the value.
        const OW = 1 << 2;
        /// Deletes the key.
        const RM = 1 << 3;
        /// Returns, copies or uses the user's data.
        const ACCESS = 1 << 4;
        /// Updates data.
        const UPDATE = 1 << 5;
        /// Adds data and never changes what is there.
        const INSERT = 1 << 6;
        /// Deletes data.
        const DELETE = 1 << 7;
        /// Not truly a key.
        const NOT_KEY = 1 << 8;
        /// May miss some keys.
        const INCOMPLETE = 1 << 9;
        /// What it does depends on other arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

impl KeyFlags {
    /// The names that `COMMAND INFO` shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(KeyFlags, &str); 11] = [
            (KeyFlags::RO, "RO"),
            (KeyFlags::RW, "RW"),
            (KeyFlags::OW, "OW"),
            (KeyFlags::RM, "RM"),
            (KeyFlags::ACCESS, "access"),
            (KeyFlags::UPDATE, "update"),
            (KeyFlags::INSERT, "insert"),
            (KeyFlags::DELETE, "delete"),
            (KeyFlags::NOT_KEY, "not_key"),
            (KeyFlags::INCOMPLETE, "incomplete"),
            (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

/// Where the search for keys begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// At an argument's index.
    Index(usize),
    /// After a keyword, looked for from an index (negative: backwards from the end).
    Keyword(&'static str, i32),
    /// Nowhere that could be said.
    Unknown,
}

/// Which arguments are keys, from where the search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// A range: the last key's index relative to the first (negative: from the end), the step,
    /// and the part of the arguments to look at (0 and 1: all; 2: the first half; ...).
    Range {
        /// Relative to the first key; negative: from the end of the arguments.
        last: i32,
        /// Distance between keys.
        step: usize,
        /// Divisor of the remaining arguments.
        limit: usize,
    },
    /// A number of keys stands at `index` (relative), the first key at `first`.
    Numkeys {
        /// Where the number stands, relative to the begin.
        index: usize,
        /// Where the first key stands, relative to the begin.
        first: usize,
        /// Distance between keys.
        step: usize,
    },
    /// Nowhere that could be said.
    Unknown,
}

/// One key specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the search begins.
    pub search: Search,
    /// Which arguments are keys.
    pub find: Find,
    /// What the command does to them.
    pub flags: KeyFlags,
    /// What explains this, or nothing.
    pub notes: &'static str,
}

impl KeySpec {
    /// One key at `index`.
    pub const fn one(index: usize, flags: KeyFlags) -> Self {
        Self::range(index, 0, 1, flags)
    }

    /// Keys from `index` to `last` (relative to the first; negative: from the end), each `step`th.
    pub const fn range(index: usize, last: i32, step: usize, flags: KeyFlags) -> Self {
        let find = Find::Range { last, step, limit: 0 };
        Self { search: Search::Index(index), find, flags, notes: "" }
    }

    /// Their number at `index`, and the keys after it.
    pub const fn numkeys(index: usize, flags: KeyFlags) -> Self {
        let find = Find::Numkeys { index: 0, first: 1, step: 1 };
        Self { search: Search::Index(index), find, flags, notes: "" }
    }

    /// The same with notes.
    pub const fn noted(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// The keys of one command, as indices into its arguments; `None` if the arguments don't fit.
    pub fn positions(&self, args: &Args<'_>) -> Option<KeyRange> {
        let begin = match self.search {
            Search::Index(index) => index,
            Search::Keyword(word, from) => find_keyword(args, word, from)? + 1,
            Search::Unknown => return Some(KeyRange::EMPTY),
        };
        match self.find {
            Find::Range { last, step, limit } => {
                let last = match usize::try_from(last) {
                    Ok(distance) => begin + distance,
                    Err(_) => {
                        let back = usize::try_from(last.unsigned_abs()).ok()?;
                        let rest = args.len().checked_sub(begin)?;
                        let span = if back == 1 && limit > 1 { rest / limit } else { rest };
                        begin + span.checked_sub(if limit > 1 { 1 } else { back })?
                    }
                };
                (last < args.len()).then_some(KeyRange { next: begin, last, step })
            }
            Find::Numkeys { index, first, step } => {
                let count = num::parse_i64(args.get(begin + index)?)?;
                let count = usize::try_from(count).ok()?;
                if count == 0 {
                    return Some(KeyRange::EMPTY);
                }
                let next = begin + first;
                let last = count.checked_sub(1)?.checked_mul(step)?.checked_add(next)?;
                (last < args.len()).then_some(KeyRange { next, last, step })
            }
            Find::Unknown => Some(KeyRange::EMPTY),
        }
    }
}

fn find_keyword(args: &Args<'_>, word: &str, from: i32) -> Option<usize> {
    match usize::try_from(from) {
        Ok(from) => (from..args.len()).find(|&i| args.is(i, word)),
        Err(_) => {
            let back = usize::try_from(from.unsigned_abs()).ok()?;
            (1..=args.len().checked_sub(back)?).rev().find(|&i| args.is(i, word))
        }
    }
}

/// Indices of the keys that one specification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    next: usize,
    last: usize,
    step: usize,
}

impl KeyRange {
    const EMPTY: Self = Self { next: 1, last: 0, step: 1 };
}

impl Iterator for KeyRange {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = (self.next <= self.last).then_some(self.next)?;
        self.next += self.step.max(1);
        Some(index)
    }
}

/// Keys of a call: indices into its arguments, and what is done to each.
pub type Keys = SmallVec<[(usize, KeyFlags); 4]>;

/// The keys of a command by its specifications, with what it does to each, and whether its
/// arguments fit them all: where they don't, the specification's keys are left out.
pub fn key_positions(specs: &[KeySpec], args: &Args<'_>) -> (Keys, bool) {
    let mut found = Keys::new();
    let mut fits = true;
    for spec in specs {
        if spec.flags.contains(KeyFlags::NOT_KEY) {
            continue;
        }
        match (spec.positions(args), spec.search) {
            (Some(positions), _) => found.extend(positions.map(|index| (index, spec.flags))),
            // An optional keyword that isn't there has no keys.
            (None, Search::Keyword(..)) => {}
            (None, _) => fits = false,
        }
    }
    (found, fits)
}
