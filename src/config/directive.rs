//! Owns what a directive is: the row type, and how a value is parsed, checked, shown and rewritten
//! by its kind. Never lists directives (see `table`) and never reads files.

use std::borrow::Cow;

use super::values::{Config, Text};
use crate::util::num::{parse_i64, parse_memory};
use crate::util::split::quote;

/// Why a value was refused, in Redis's words.
pub type Reason = Cow<'static, str>;

/// When a directive may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// By CONFIG SET too.
    Runtime,
    /// In the configuration file and on the command line only.
    Startup,
    /// By CONFIG SET only if `enable-protected-configs` permits.
    Protected,
}

/// Whether the feature behind a directive exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Full,
    /// It would turn on the named missing feature: any value but the default is refused.
    Off(&'static str),
    /// It tunes the named missing feature: kept and shown, and `Config::warnings` tells.
    Idle(&'static str),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// File, standard input or command line; `first` at the directive's first appearance.
    Startup {
        /// Nothing before it set this directive.
        first: bool,
    },
    /// CONFIG SET.
    Runtime,
}

/// How an integer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Decimal digits.
    Plain,
    /// Bytes, with an optional unit such as `kb`.
    Memory,
    /// Octal digits.
    Octal,
}

/// One line of `CONFIG REWRITE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What follows the directive's name, quoted where needed.
    pub value: Text,
    /// Write it even if the old file has no such line.
    pub force: bool,
}

/// Parses words into a field of `Config`.
pub type SetWords = fn(&mut Config, &[&[u8]], Origin) -> Result<(), Reason>;

/// The type of a directive, with access to its field of `Config`.
pub enum Kind {
    /// `yes` or `no`.
    Bool {
        /// Reads the field.
        get: fn(&Config) -> bool,
        /// Writes the field.
        set: fn(&mut Config, bool),
    },
    /// An integer within bounds, both inclusive.
    Int {
        /// Least value.
        min: i128,
        /// Greatest value.
        max: i128,
        /// How it is written.
        unit: Unit,
        /// Reads the field.
        get: fn(&Config) -> i128,
        /// Writes the field with a value within bounds.
        set: fn(&mut Config, i128),
    },
    /// One word of a list.
    Word {
        /// The words.
        words: &'static [&'static str],
        /// The current word.
        get: fn(&Config) -> &'static str,
        /// Writes the field, by index of a word.
        set: fn(&mut Config, usize),
    },
    /// Any text that passes `check`.
    Text {
        /// Reads the field.
        get: fn(&Config) -> &[u8],
        /// Writes the field.
        set: fn(&mut Config, Text),
        /// Refuses unsuitable text.
        check: fn(&[u8]) -> Result<(), &'static str>,
    },
    /// A form of its own.
    Special {
        /// Whether it takes several words. CONFIG SET then splits its one value at spaces.
        multi: bool,
        /// Reads the field in CONFIG GET's form.
        get: fn(&Config) -> Text,
        /// Parses the words into the field.
        set: SetWords,
        /// Lines for CONFIG REWRITE; none if the directive shall not appear.
        lines: fn(&Config) -> Vec<Line>,
    },
}

/// One row of the table.
pub struct Directive {
    /// Name in lower case.
    pub name: &'static str,
    /// Older name that works as well.
    pub alias: Option<&'static str>,
    /// Type and field.
    pub kind: Kind,
    /// When it may be set.
    pub mutability: Mutability,
    /// Whether its feature exists.
    pub support: Support,
    /// Shown by CONFIG GET only if named in full.
    pub hidden: bool,
    /// Its value must not appear in logs.
    pub sensitive: bool,
    /// Refused by CONFIG SET while data is being loaded.
    pub deny_loading: bool,
    /// Heading in the example file.
    pub section: Section,
    /// What it does, for the example file.
    pub doc: &'static str,
    /// A value to show, commented out, in the example file, if the default is empty.
    pub example: &'static str,
}

/// Headings of the example file, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Sockets.
    Network,
    /// TLS.
    Tls,
    /// Process, log, databases.
    General,
    /// Snapshots.
    Snapshotting,
    /// Append-only file.
    AppendOnly,
    /// Replication.
    Replication,
    /// Passwords and users.
    Security,
    /// Clients and their buffers.
    Clients,
    /// Memory, eviction, freeing.
    Memory,
    /// Scripts.
    Scripting,
    /// Cluster.
    Cluster,
    /// Slow log and latency.
    Monitoring,
    /// Keyspace notifications.
    Events,
    /// Encodings of values.
    Encodings,
    /// Background work and threads.
    Advanced,
}

/// What rows leave out.
pub(super) const ROW: Directive = Directive {
    name: "",
    alias: None,
    kind: Kind::Bool { get: |_| false, set: |_, _| {} },
    mutability: Mutability::Runtime,
    support: Support::Full,
    hidden: false,
    sensitive: false,
    deny_loading: false,
    section: Section::General,
    doc: "",
    example: "",
};

/// `Kind::Bool` over a field.
macro_rules! flag {
    ($field:ident) => {
        Kind::Bool { get: |c| c.$field, set: |c, on| c.$field = on }
    };
}
/// `Kind::Int` over a field, of any integer type that holds the bounds.
macro_rules! int {
    ($($field:ident).+, $min:expr, $max:expr) => {
        int!($($field).+, $min, $max, Plain)
    };
    ($($field:ident).+, $min:expr, $max:expr, $unit:ident) => {
        Kind::Int {
            min: $min as i128,
            max: $max as i128,
            unit: Unit::$unit,
            get: |c| c.$($field).+ as i128,
            set: |c, value| store(&mut c.$($field).+, value),
        }
    };
}
/// `Kind::Word` over a field whose type `words!` declared.
macro_rules! word {
    ($field:ident, $enum:ident) => {
        Kind::Word {
            words: $enum::WORDS,
            get: |c| c.$field.word(),
            set: |c, index| {
                if let Some(value) = $enum::VALUES.get(index) {
                    c.$field = *value;
                }
            },
        }
    };
}
/// `Kind::Text` over a field.
macro_rules! text {
    ($field:ident) => {
        text!($field, |_| Ok(()))
    };
    ($field:ident, $check:expr) => {
        Kind::Text { get: |c| &c.$field, set: |c, text| c.$field = text, check: $check }
    };
}
pub(super) use {flag, int, text, word};

/// Puts a value that was checked against the row's bounds into its field.
pub(super) fn store<T: TryFrom<i128>>(field: &mut T, value: i128) {
    if let Ok(value) = T::try_from(value) {
        *field = value;
    }
}

impl Directive {
    /// Whether `name` names this directive, in any case.
    pub fn is_named(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
            || self.alias.is_some_and(|alias| name.eq_ignore_ascii_case(alias.as_bytes()))
    }

    /// Whether CONFIG SET splits the value into words.
    pub fn is_multi(&self) -> bool {
        matches!(self.kind, Kind::Special { multi: true, .. })
    }

    /// The value as CONFIG GET shows it.
    pub fn get(&self, config: &Config) -> Text {
        match &self.kind {
            Kind::Bool { get, .. } => yes_no(get(config)).into(),
            Kind::Int { unit: Unit::Octal, get, .. } => format!("{:o}", get(config)).into(),
            Kind::Int { get, .. } => get(config).to_string().into(),
            Kind::Word { get, .. } => get(config).into(),
            Kind::Text { get, .. } => get(config).to_vec(),
            Kind::Special { get, .. } => get(config),
        }
    }

    /// Whether the value is the default.
    pub fn is_default(&self, config: &Config) -> bool {
        self.get(config) == self.get(&Config::default())
    }

    /// Sets the value from its words. On an error `config` may be half changed: work on a clone.
    pub fn set(&self, config: &mut Config, words: &[&[u8]], origin: Origin) -> Result<(), Reason> {
        match (&self.kind, words) {
            (Kind::Special { multi, set, .. }, _) if *multi || words.len() == 1 => {
                set(config, words, origin)?;
            }
            (Kind::Special { .. }, _) => return Err("wrong number of arguments".into()),
            (kind, [value]) => set_single(kind, config, value)?,
            _ => return Err("wrong number of arguments".into()),
        }
        match self.support {
            Support::Off(feature) if !self.is_default(config) => {
                let name = if origin == Origin::Runtime { "" } else { self.name };
                let colon = if name.is_empty() { "" } else { ": " };
                Err(format!("{name}{colon}not supported yet: {feature}").into())
            }
            _ => Ok(()),
        }
    }

    /// Lines for CONFIG REWRITE, and for the example file.
    pub fn lines(&self, config: &Config) -> Vec<Line> {
        let force = !self.is_default(config);
        let value = match &self.kind {
            Kind::Special { lines, .. } => return lines(config),
            Kind::Text { get, .. } if get(config).is_empty() && !force => return Vec::new(),
            Kind::Text { get, .. } => quoted(get(config)),
            Kind::Int { unit: Unit::Memory, get, .. } => memory(get(config)),
            _ => self.get(config),
        };
        vec![Line { value, force }]
    }
}

fn set_single(kind: &Kind, config: &mut Config, value: &[u8]) -> Result<(), Reason> {
    match kind {
        Kind::Bool { set, .. } => set(config, parse_bool(value)?),
        Kind::Int { min, max, unit, set, .. } => {
            let int = parse_int(value, *unit)?;
            check_bounds(int, *min, *max, *unit)?;
            set(config, int);
        }
        Kind::Word { words, set, .. } => set(config, word_index(words, value)?),
        Kind::Text { set, check, .. } => {
            check(value)?;
            set(config, value.to_vec());
        }
        Kind::Special { .. } => {}
    }
    Ok(())
}

fn parse_bool(value: &[u8]) -> Result<bool, Reason> {
    if value.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

/// The words `yes` and `no`.
pub(super) fn yes_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn parse_int(value: &[u8], unit: Unit) -> Result<i128, Reason> {
    let (parsed, reason) = match unit {
        Unit::Plain => {
            (parse_i64(value).map(i128::from), "argument couldn't be parsed into an integer")
        }
        Unit::Memory => (parse_memory(value).map(i128::from), "argument must be a memory value"),
        Unit::Octal => (parse_octal(value), "argument couldn't be parsed as an octal number"),
    };
    parsed.ok_or(Reason::Borrowed(reason))
}

fn parse_octal(value: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(value).ok()?;
    i64::from_str_radix(text, 8).ok().map(i128::from)
}

/// Refuses an integer out of bounds.
pub(super) fn check_bounds(int: i128, min: i128, max: i128, unit: Unit) -> Result<(), Reason> {
    if (min..=max).contains(&int) {
        return Ok(());
    }
    Err(match unit {
        Unit::Octal => format!("argument must be between {min:o} and {max:o} inclusive"),
        _ => format!("argument must be between {min} and {max} inclusive"),
    }
    .into())
}

/// Position of a word in a list, in any case.
pub(super) fn word_index(words: &[&str], value: &[u8]) -> Result<usize, Reason> {
    let found = words.iter().position(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    found.ok_or_else(|| {
        format!("argument(s) must be one of the following: {}", words.join(", ")).into()
    })
}

/// Bytes in the largest unit of 1024 that divides them.
pub(super) fn memory(bytes: i128) -> Text {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    let unit = units.into_iter().find(|(size, _)| bytes != 0 && bytes % size == 0);
    let (size, name) = unit.unwrap_or((1, ""));
    format!("{}{name}", bytes / size).into()
}

/// Text in double quotes, with escapes that the file's parser undoes.
pub(super) fn quoted(text: &[u8]) -> Text {
    let mut out = Text::new();
    quote(text, &mut out);
    out
}
