//! The slow log: the last commands that took long, with their arguments cut to size.
//!
//! Owns the entries. Never decides what is slow, and never learns a secret: callers hide those.

use std::collections::VecDeque;

/// The most arguments that an entry keeps.
const ARGS_MAX: usize = 32;
/// The most bytes of an argument that an entry keeps.
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Debug, Clone)]
pub struct SlowCommand {
    /// Counts up, and never starts again.
    pub id: u64,
    /// When it ended, in Unix seconds.
    pub unix_s: i64,
    /// How long it took, in microseconds.
    pub us: u64,
    /// Its arguments, cut.
    pub args: Vec<Box<[u8]>>,
    /// The address of its client.
    pub addr: Box<str>,
    /// The name of its client.
    pub name: Box<[u8]>,
}

/// The slow log.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<SlowCommand>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry, which gets its `id` here, and forgets the oldest above `max`.
    pub fn add(&mut self, mut entry: SlowCommand, max: u64) {
        entry.id = self.next_id;
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    }

    /// The entries, the latest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SlowCommand> {
        self.entries.iter()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Arguments as an entry keeps them.
pub fn cut<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Box<[u8]>> {
    let len = args.len();
    let kept = if len > ARGS_MAX { ARGS_MAX - 1 } else { len };
    // Not collected: that could keep the whole allocation of what is iterated, however long.
    let mut out = Vec::with_capacity(len.min(ARGS_MAX));
    out.extend(args.take(kept).map(cut_arg));
    if kept < len {
        out.push(format!("... ({} more arguments)", len - kept).into_bytes().into());
    }
    out
}

fn cut_arg(arg: &[u8]) -> Box<[u8]> {
    match arg.split_at_checked(ARG_BYTES_MAX) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat().into()
        }
        _ => arg.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_cut() {
        let long = [b'x'; 129];
        let all: Vec<&[u8]> = std::iter::repeat_n(&long[..], 33).collect();
        let cut_args = cut(all.iter().copied());
        assert_eq!(cut_args.len(), 32);
        assert!(cut_args[0].ends_with(b"x... (1 more bytes)"));
        assert_eq!(&*cut_args[31], b"... (2 more arguments)");
        assert_eq!(cut(vec![&long[..]; 9999].into_iter()).capacity(), 32);
        assert_eq!(cut(all[..32].iter().copied()).len(), 32);
        assert_eq!(&*cut([&long[..128]].into_iter())[0], &long[..128]);
    }
}
