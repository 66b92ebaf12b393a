//! The keys of a call: by the command's specifications, by its own function, and what is done to
//! them where that depends on other arguments.

use crate::resp::Args;
use crate::server::command::Command;
use crate::spec::{KeyFlags, KeySpec, Keys, key_positions};

impl Command {
    /// Whether a call may have keys.
    pub fn has_keys(&self) -> bool {
        let is_key = |spec: &KeySpec| !spec.flags.contains(KeyFlags::NOT_KEY);
        self.get_keys.is_some() || self.keys.iter().any(is_key)
    }

    /// The keys of a call, and whether its arguments fit the specifications: where they don't, some
    /// keys may be missing, and the handler refuses the call.
    pub fn keys_of(&self, args: &Args<'_>) -> (Keys, bool) {
        let (specified, fits) = key_positions(self.keys, args);
        let (mut keys, fits) = match self.get_keys.map(|get_keys| get_keys(args)) {
            None => (specified, fits),
            Some(None) => (specified, false),
            Some(Some(found)) => (with_flags(found, &specified), true),
        };
        if self.keys.iter().any(|spec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS)) {
            refine(self.name, args, &mut keys);
        }
        (keys, fits)
    }
}

/// Keys that a command's own function found, with the flags that the specifications have for them,
/// save that nothing is missing. What these can't place is written to, as far as one can know.
fn with_flags(found: Vec<usize>, specified: &Keys) -> Keys {
    let flags_at = |index| {
        let found = specified.iter().find(|(at, _)| *at == index);
        found.map(|(_, flags)| flags.difference(KeyFlags::INCOMPLETE))
    };
    let written = KeyFlags::OW.union(KeyFlags::UPDATE);
    found.into_iter().map(|index| (index, flags_at(index).unwrap_or(written))).collect()
}

/// What a command does to its keys, where that depends on its other arguments.
fn refine(name: &str, args: &Args<'_>, keys: &mut Keys) {
    let read_and_written = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
    let has = |word| (2..args.len()).any(|i| args.is(i, word));
    let flags = match name {
        "set" if (3..args.len()).any(|i| args.is(i, "get")) => read_and_written,
        "set" => KeyFlags::OW.union(KeyFlags::UPDATE),
        "bitfield" if has("set") || has("incrby") => read_and_written,
        "bitfield" => KeyFlags::RO.union(KeyFlags::ACCESS),
        _ => return,
    };
    keys.iter_mut().for_each(|(_, found)| *found = flags);
}
