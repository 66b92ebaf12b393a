//! A selector: one set of permissions for commands, keys and channels.
//!
//! Owns its rules and its text form. Command rules are kept in words too, in their order, so that
//! what is shown gives the same permissions again, even for commands of later versions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::catalog::Catalog;
use super::error::RuleError;
use super::rules::{Rules, has_spaces};
use crate::spec::{Category, KeyFlags};
use crate::util::glob::GlobPattern;
use crate::util::split::{quoted_if_needed, split_args};

bitflags::bitflags! {
    /// What a key pattern lets one do to the keys.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Access: u8 {
        /// `%R`: reading.
        const READ = 1;
        /// `%W`: writing.
        const WRITE = 2;
    }
}

impl Access {
    /// What a command needs that has these flags for a key.
    pub fn needed(flags: KeyFlags) -> Self {
        let writes = KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE);
        let mut needed = Self::empty();
        needed.set(Self::READ, flags.contains(KeyFlags::ACCESS));
        needed.set(Self::WRITE, flags.intersects(writes));
        needed
    }

    fn prefix(self) -> &'static [u8] {
        match (self.contains(Self::READ), self.contains(Self::WRITE)) {
            (true, true) => b"~",
            (true, false) => b"%R~",
            (false, _) => b"%W~",
        }
    }
}

/// The first eight bytes of a text; zeros stand for those that it doesn't have.
#[inline]
pub(super) fn head_of(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(head) => u64::from_le_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..text.len()].copy_from_slice(text);
            u64::from_le_bytes(head)
        }
    }
}

/// A pattern, as it was written and ready for matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: Box<[u8]>,
    glob: GlobPattern,
    /// How every text begins that matches: most patterns of a user are ruled out by this, at the
    /// cost of one comparison of what lies at hand.
    head: u64,
    /// Which bits of it count.
    mask: u64,
}

impl Pattern {
    fn new(text: &[u8]) -> Self {
        let plain = text.iter().take(8).take_while(|byte| !b"*?[\\".contains(byte)).count();
        let mask = if plain == 8 { u64::MAX } else { (1 << (8 * plain)) - 1 };
        Self { text: text.into(), glob: GlobPattern::new(text), head: head_of(text) & mask, mask }
    }

    /// Whether a text matches; `head` is its head.
    #[inline]
    pub(super) fn matches(&self, head: u64, text: &[u8]) -> bool {
        head & self.mask == self.head && self.glob.matches(text)
    }
}

/// A command rule in words: `+get`, `-@string`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandRule {
    allows: bool,
    /// In lower case.
    name: Box<[u8]>,
}

/// One set of permissions.
#[derive(Debug, Clone)]
pub struct Selector {
    /// Everything is allowed, and no rule has taken anything away.
    pub(super) all_commands: bool,
    /// Whether the rules began with `+@all`: what commands that don't exist yet would get.
    begins_with_all: bool,
    /// The commands allowed, by identifier.
    allowed: Box<[u64]>,
    /// First arguments that are allowed of commands that aren't.
    pub(super) first_args: BTreeMap<usize, Vec<Box<[u8]>>>,
    rules: Vec<CommandRule>,
    pub(super) all_keys: bool,
    pub(super) keys: Vec<(Access, Pattern)>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Pattern>,
}

impl Selector {
    /// No permission, save for all channels if that is the default.
    pub(super) fn new(rules: &Rules<'_>) -> Self {
        Self {
            all_commands: false,
            begins_with_all: false,
            allowed: vec![0; rules.catalog.len().div_ceil(64)].into(),
            first_args: BTreeMap::new(),
            rules: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels: rules.all_channels,
            channels: Vec::new(),
        }
    }

    /// The selector that `(rule rule ...)` describes.
    pub(super) fn parse(text: &[u8], rules: &mut Rules<'_>) -> Result<Self, RuleError> {
        let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")"));
        let words = inner.and_then(split_args).ok_or(RuleError::Syntax)?;
        let mut selector = Self::new(rules);
        words.iter().try_for_each(|word| selector.apply(word, rules))?;
        Ok(selector)
    }

    /// Whether everything is allowed.
    pub(super) fn allows_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Whether a command is allowed, whatever its arguments.
    #[inline]
    pub(super) fn allows_command(&self, id: usize) -> bool {
        self.allowed.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Applies one rule.
    pub(super) fn apply(&mut self, rule: &[u8], rules: &mut Rules<'_>) -> Result<(), RuleError> {
        match (rule.to_ascii_lowercase().as_slice(), rule) {
            (b"allkeys" | b"~*", _) => self.set_keys(true),
            (b"resetkeys", _) => self.set_keys(false),
            (b"allchannels" | b"&*", _) => self.set_channels(true),
            (b"resetchannels", _) => self.set_channels(false),
            (b"allcommands" | b"+@all", _) => self.set_commands(true),
            (b"nocommands" | b"-@all", _) => self.set_commands(false),
            (_, [b'~', pattern @ ..]) => self.add_key(Access::all(), pattern)?,
            (_, [b'%', rest @ ..]) => {
                let (access, pattern) = parse_access(rest)?;
                self.add_key(access, pattern)?;
            }
            (_, [b'&', pattern @ ..]) => self.add_channel(pattern)?,
            (lower, [sign @ (b'+' | b'-'), b'@', ..]) => {
                self.change_category(&lower[1..], *sign == b'+', rules.catalog)?;
            }
            (_, [b'+', name @ ..]) => self.allow(name, rules)?,
            (_, [b'-', name @ ..]) => {
                let id = rules.catalog.find(name).ok_or(RuleError::Unknown)?;
                self.change_command(id, false, rules.catalog);
                self.note(name, false);
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    /// `+@all ~* &*`.
    pub(super) fn allow_everything(&mut self) {
        self.set_commands(true);
        self.set_keys(true);
        self.set_channels(true);
    }

    fn set_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn set_commands(&mut self, all: bool) {
        self.all_commands = all;
        self.begins_with_all = all;
        self.allowed.fill(if all { u64::MAX } else { 0 });
        self.first_args.clear();
        self.rules.clear();
    }

    fn add_key(&mut self, access: Access, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeyAfterAll);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|(_, known)| *known.text == *pattern) {
            Some((known, _)) => *known |= access,
            None => self.keys.push((access, Pattern::new(pattern))),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelAfterAll);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| *known.text == *pattern) {
            self.channels.push(Pattern::new(pattern));
        }
        Ok(())
    }

    /// `+command`, `+container|subcommand`, `+command|first-argument`.
    fn allow(&mut self, name: &[u8], rules: &mut Rules<'_>) -> Result<(), RuleError> {
        let catalog = rules.catalog;
        let Some(bar) = memchr::memrchr(b'|', name) else {
            let id = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.change_command(id, true, catalog);
            self.note(name, true);
            return Ok(());
        };
        let (command, sub) = (&name[..bar], &name[bar + 1..]);
        let id = catalog.find(command).ok_or(RuleError::Unknown)?;
        if catalog.get(id).is_some_and(|row| row.parent.is_some()) {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if sub.is_empty() || has_spaces(sub) {
            return Err(RuleError::Syntax);
        }
        if catalog.subcommands(id).is_empty() {
            rules.deprecated.push(name.to_vec());
            let known = self.first_args.entry(id).or_default();
            if !known.iter().any(|known| known.eq_ignore_ascii_case(sub)) {
                known.push(sub.into());
            }
        } else {
            let id = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.change_command(id, true, catalog);
        }
        self.note(name, true);
        Ok(())
    }

    /// `name` is `@category`, in lower case.
    fn change_category(
        &mut self,
        name: &[u8],
        allows: bool,
        catalog: &Catalog,
    ) -> Result<(), RuleError> {
        let category: Category = Catalog::category(&name[1..]).ok_or(RuleError::Unknown)?;
        self.note(name, allows);
        for (id, row) in catalog.iter() {
            if row.categories.contains(category) {
                self.change_command(id, allows, catalog);
            }
        }
        Ok(())
    }

    /// Allows or denies a command and its subcommands.
    fn change_command(&mut self, id: usize, allows: bool, catalog: &Catalog) {
        self.first_args.remove(&id);
        self.all_commands &= allows;
        for &id in std::iter::once(&id).chain(catalog.subcommands(id)) {
            if let Some(word) = self.allowed.get_mut(id / 64) {
                let bit = 1 << (id % 64);
                *word = if allows { *word | bit } else { *word & !bit };
            }
        }
    }

    /// Keeps a command rule in words; it takes the place of those about the same, and about parts
    /// of it.
    fn note(&mut self, name: &[u8], allows: bool) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|old| match old.name.strip_prefix(name.as_slice()) {
            Some(rest) => !rest.is_empty() && rest[0] != b'|',
            None => true,
        });
        self.rules.push(CommandRule { allows, name: name.into() });
    }

    /// Whether all keys may be accessed so, by whatever name.
    pub(super) fn reaches_all_keys(&self, access: Access) -> bool {
        let all =
            |(has, pattern): &(Access, Pattern)| has.contains(access) && *pattern.text == *b"*";
        self.all_keys || self.keys.iter().any(all)
    }

    // ---- in words -----------------------------------------------------------------------------

    /// The command rules: `-@all +get`.
    pub fn command_words(&self) -> Vec<u8> {
        let mut text = if self.begins_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.rules {
            text.extend_from_slice(if rule.allows { b" +" } else { b" -" });
            text.extend_from_slice(&rule.name);
        }
        text
    }

    /// The key patterns: `~a:* %R~b:*`.
    pub fn key_words(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let word = |(access, pattern): &(Access, Pattern)| match &*pattern.text {
            // `~*` would stand for all keys: no pattern could follow it.
            b"*" if access.is_all() => b"%RW~*".to_vec(),
            text => [access.prefix(), text].concat(),
        };
        self.keys.iter().map(word).collect::<Vec<_>>().join(&b' ')
    }

    /// The channel patterns: `&a:* &b`.
    pub fn channel_words(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let word = |pattern: &Pattern| [b"&".as_slice(), &pattern.text].concat();
        self.channels.iter().map(word).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules: `~a:* resetchannels &b -@all +get`.
    pub fn describe(&self) -> Vec<u8> {
        let channels: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        let parts = [self.key_words(), channels.into(), self.channel_words(), self.command_words()];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(&b' ')
    }

    /// The rule that adds this selector to a user: `(~a:* resetchannels -@all +get)`. Unlike words
    /// outside of parentheses, those inside may be quoted, and sometimes have to be.
    pub fn describe_as_rule(&self) -> Vec<u8> {
        let words = self.describe();
        let word = |word| match quoted_if_needed(word) {
            Cow::Borrowed(word) if word.ends_with(b")") => {
                Cow::Owned([b"\"", word, b"\""].concat())
            }
            word => word,
        };
        let words: Vec<_> = words.split(|byte| *byte == b' ').map(word).collect();
        [b"(".as_slice(), &words.join(&b' '), b")"].concat()
    }
}

/// Reads `R~pattern`, `W~pattern`, `RW~pattern` after a `%`. As in Redis the `~` may be missing if
/// nothing follows.
fn parse_access(rest: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let mut access = Access::empty();
    let mut rest = rest;
    while let [letter, after @ ..] = rest {
        rest = after;
        let new = match letter.to_ascii_uppercase() {
            b'R' => Access::READ,
            b'W' => Access::WRITE,
            b'~' => break,
            _ => return Err(RuleError::Syntax),
        };
        if access.contains(new) {
            return Err(RuleError::Syntax);
        }
        access |= new;
    }
    if access.is_empty() { Err(RuleError::Syntax) } else { Ok((access, rest)) }
}
