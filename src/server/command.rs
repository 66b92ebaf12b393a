//! The command table: one row per command, and how a row is found by name.
//!
//! Owns the [`Command`] type and the [`Table`]. Knows no particular command: `main` injects them.

use std::sync::OnceLock;

use hashbrown::HashMap;

use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::spec::syntax::{self, Argument};
use crate::spec::{Category, Channels, Find, Flags, Group, KeySpec, Search};
use crate::value::list::End;

/// What executes a command: writes its reply into `ctx.out`, or fails with an error reply.
pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Result<(), Error>;

/// Tells the positions of keys that key specifications can't describe; `None` if the arguments
/// don't fit.
pub type GetKeys = fn(&Args<'_>) -> Option<Vec<usize>>;

/// A command: one row of a family's table.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; of a subcommand, its own name only.
    pub name: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub arity: i32,
    /// Flags.
    pub flags: Flags,
    /// ACL categories, beside those that follow from the flags.
    pub categories: Category,
    /// Where its keys stand.
    pub keys: &'static [KeySpec],
    /// Where its keys stand, if `keys` can't say.
    pub get_keys: Option<GetKeys>,
    /// What it needs of its first key's value, if that isn't what its group's commands mostly do.
    pub inside: Option<Inside>,
    /// Which of its arguments are channels.
    pub channels: Channels,
    /// Group in the documentation.
    pub group: Group,
    /// The version of Redis that first had it.
    pub since: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Its arguments, in the notation of [`crate::spec::syntax`].
    pub syntax: &'static str,
    /// Versions of Redis that changed it, and how.
    pub history: &'static [(&'static str, &'static str)],
    /// The version of Redis that deprecated it, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Hints to clients and proxies.
    pub tips: &'static [&'static str],
    /// Its subcommands; the handler then runs only without or with an unknown one.
    pub subcommands: &'static [Command],
    /// What executes it.
    pub handler: Handler,
}

impl Command {
    /// The fields that most rows leave as they are.
    pub const DEFAULT: Self = Self {
        name: "",
        arity: 1,
        flags: Flags::empty(),
        categories: Category::empty(),
        keys: &[],
        get_keys: None,
        inside: None,
        channels: Channels::None,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        syntax: "",
        history: &[],
        deprecated: None,
        tips: &[],
        subcommands: &[],
        handler: no_handler,
    };

    /// Whether a call with `len` arguments, the name included, has the right number of them.
    pub fn fits(&self, len: usize) -> bool {
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let arity = i64::from(self.arity);
        if arity >= 0 { len == arity } else { len >= -arity }
    }
}

fn no_handler(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    Err(Error::other("ERR unknown command"))
}

/// A command's place in the [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandId(u16);

impl CommandId {
    /// The index of the command's statistics.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a command needs of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// The member that stands at this place in its arguments, or what that leads to in a string of
    /// bits. A call without that argument needs nothing.
    Member(usize),
    /// This end of a list.
    End(End),
}

/// A command in the table.
#[derive(Debug)]
pub struct Registered {
    /// Its row.
    pub command: &'static Command,
    /// The container that it is a subcommand of.
    pub parent: Option<CommandId>,
    /// Its name, with its container's: `client|kill`.
    pub full_name: Box<str>,
    /// Where its first key stands in calls that have one, if that is the same in all of them.
    pub first_key: Option<usize>,
    /// What it needs of its first key's value, if that stands apart.
    pub inside: Option<Inside>,
    /// Its arguments, read from its syntax when they are first asked for.
    arguments: OnceLock<Vec<Argument>>,
    subcommands: Vec<(&'static str, CommandId)>,
}

/// All commands by name.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Registered>,
    by_name: HashMap<Box<[u8]>, CommandId>,
    short: ShortNames,
}

/// Why a name leads to no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such command.
    Command,
    /// There is no such subcommand of this one.
    Subcommand(CommandId),
}

impl Table {
    /// A table of the given families.
    pub fn new(families: &[&'static [Command]]) -> Self {
        let mut table = Self::default();
        for command in families.iter().copied().flatten() {
            let id = table.register(command, None);
            table.by_name.insert(command.name.as_bytes().into(), id);
            for sub in command.subcommands {
                let sub_id = table.register(sub, Some(id));
                table.rows[id.index()].subcommands.push((sub.name, sub_id));
            }
        }
        table.short = ShortNames::of(&table.by_name);
        table
    }

    fn register(&mut self, command: &'static Command, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(u16::try_from(self.rows.len()).expect("a few hundred commands"));
        let full_name = match parent {
            Some(parent) => format!("{}|{}", self.rows[parent.index()].command.name, command.name),
            None => command.name.to_string(),
        };
        let full_name = full_name.into_boxed_str();
        let first_key = command.keys.first().and_then(|spec| match (spec.search, spec.find) {
            (Search::Index(begin), Find::Range { .. }) => Some(begin),
            (Search::Index(begin), Find::Numkeys { first, .. }) => Some(begin + first),
            _ => None,
        });
        // Commands that count their keys have one in the member's place.
        let looks_inside = command.group.looks_inside() && first_key < Some(2);
        let inside = command.inside.or(looks_inside.then_some(Inside::Member(2)));
        let (arguments, subcommands) = (OnceLock::new(), Vec::new());
        self.rows.push(Registered {
            command,
            parent,
            full_name,
            first_key,
            inside,
            arguments,
            subcommands,
        });
        id
    }

    /// Gives a command another name, or none if `to` is empty (`rename-command`).
    ///
    /// # Errors
    /// The reason, in Redis's words, if there is no such command or one of the new name.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), &'static str> {
        let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
        let Some(&id) = self.by_name.get(from.as_slice()) else {
            return Err("No such command in rename-command");
        };
        if from != to && self.by_name.contains_key(to.as_slice()) {
            return Err("Target command name already exists");
        }
        self.by_name.remove(from.as_slice());
        if !to.is_empty() {
            self.by_name.insert(to.into(), id);
        }
        self.short = ShortNames::of(&self.by_name);
        Ok(())
    }

    /// The command that `args` calls: of a container, the subcommand.
    #[inline]
    pub fn find(&self, args: &Args<'_>) -> Result<CommandId, NotFound> {
        let id = self.by_name(args.at(0)).ok_or(NotFound::Command)?;
        let row = &self.rows[id.index()];
        match args.get(1) {
            Some(name) if !row.subcommands.is_empty() => {
                row.subcommand(name).ok_or(NotFound::Subcommand(id))
            }
            _ => Ok(id),
        }
    }

    /// The command of that name, in any case; not of a subcommand.
    #[inline]
    pub fn by_name(&self, name: &[u8]) -> Option<CommandId> {
        match ShortNames::pack(name) {
            Some(packed) => self.short.get(packed),
            None => self.by_long_name(name),
        }
    }

    fn by_long_name(&self, name: &[u8]) -> Option<CommandId> {
        const LONGEST: usize = 64;
        let mut lower = [0u8; LONGEST];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).copied()
    }

    /// The command of that name, or the subcommand of a name like `client|kill`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<CommandId> {
        match memchr::memchr(b'|', name) {
            None => self.by_name(name),
            Some(bar) => self.get(self.by_name(&name[..bar])?).subcommand(&name[bar + 1..]),
        }
    }

    /// A command by its place.
    #[inline]
    pub fn get(&self, id: CommandId) -> &Registered {
        &self.rows[id.index()]
    }

    /// Every command and subcommand in the order of the families.
    pub fn iter(&self) -> impl Iterator<Item = (CommandId, &Registered)> {
        self.rows.iter().enumerate().map(|(i, row)| (CommandId(i as u16), row))
    }

    /// Every command that can be called by name, without subcommands, in the families' order.
    pub fn top_level(&self) -> impl Iterator<Item = (CommandId, &Registered)> {
        self.iter().filter(|(_, row)| row.parent.is_none())
    }

    /// Number of commands, without subcommands.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Number of commands and subcommands: the length that per-command statistics need.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// The names of at most seven bytes, each packed into an integer: most calls use one of these, and
/// this finds them without hashing a string.
#[derive(Debug, Default)]
struct ShortNames {
    /// A power of two of slots, at most half of them taken; a name's place is the first free one
    /// from its hash on.
    slots: Vec<Option<(u64, CommandId)>>,
}

impl ShortNames {
    fn of(names: &HashMap<Box<[u8]>, CommandId>) -> Self {
        let slots = vec![None; (names.len() * 2).next_power_of_two()];
        let mut short = Self { slots };
        for (name, id) in names {
            if let Some(packed) = Self::pack(name) {
                let at = short.place(packed);
                short.slots[at] = Some((packed, *id));
            }
        }
        short
    }

    /// The name in lower case and its length as an integer, if it is short enough.
    #[inline]
    fn pack(name: &[u8]) -> Option<u64> {
        const LEN: usize = 7;
        let mut bytes = [0u8; LEN + 1];
        bytes[..LEN].get_mut(..name.len())?.copy_from_slice(name);
        bytes.make_ascii_lowercase();
        bytes[LEN] = name.len() as u8;
        Some(u64::from_le_bytes(bytes))
    }

    #[inline]
    fn get(&self, packed: u64) -> Option<CommandId> {
        self.slots.get(self.place(packed)).copied().flatten().map(|(_, id)| id)
    }

    /// The slot that holds the name, or is free for it.
    #[inline]
    fn place(&self, packed: u64) -> usize {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = (packed.wrapping_mul(SPREAD) >> 32) as usize & mask;
        while self.slots.get(at).is_some_and(|slot| slot.is_some_and(|(name, _)| name != packed)) {
            at = (at + 1) & mask;
        }
        at
    }
}

impl Registered {
    /// The subcommand of that name, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<CommandId> {
        let found = |(sub, _): &&(&str, CommandId)| sub.as_bytes().eq_ignore_ascii_case(name);
        self.subcommands.iter().find(found).map(|(_, id)| *id)
    }

    /// Its arguments; none if its syntax is wrong, which a test rules out.
    pub fn arguments(&self) -> &[Argument] {
        self.arguments.get_or_init(|| syntax::parse(self.command.syntax).unwrap_or_default())
    }

    /// Whether its name alone tells that it is called: it neither is nor has a subcommand.
    #[inline]
    pub fn is_found_by_name(&self) -> bool {
        self.parent.is_none() && self.subcommands.is_empty()
    }

    /// Its subcommands.
    pub fn subcommands(&self) -> impl ExactSizeIterator<Item = CommandId> {
        self.subcommands.iter().map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_and_case_are_found() {
        const FAMILY: &[Command] = &[
            Command { name: "get", ..Command::DEFAULT },
            Command { name: "getrange", ..Command::DEFAULT },
            Command { name: "incrbyfloat", ..Command::DEFAULT },
        ];
        let mut table = Table::new(&[FAMILY]);
        for name in ["get", "GeT", "GETRANGE", "IncrByFloat"] {
            let found = table.by_name(name.as_bytes()).map(|id| table.get(id).command.name);
            assert_eq!(found, Some(&*name.to_ascii_lowercase()));
        }
        for name in ["", "ge", "get\0", "getrange1", "incrbyfloa", &"x".repeat(100)] {
            assert_eq!(table.by_name(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(table.rename(b"GET", b"fetch-it-all"), Ok(()));
        assert_eq!(table.rename(b"getrange", b""), Ok(()));
        assert!(table.rename(b"getrange", b"x").is_err_and(|reason| reason.starts_with("No such")));
        assert!(
            table
                .rename(b"fetch-it-all", b"incrbyfloat")
                .is_err_and(|reason| reason.starts_with("Target"))
        );
        assert!(table.by_name(b"get").is_none() && table.by_name(b"getrange").is_none());
        assert!(table.by_name(b"Fetch-It-All").is_some());
    }
}
