//! The arguments of a command: a line of syntax, read into the tree that `COMMAND DOCS` shows.
//!
//! Owns the notation and its parser. Knows no command, and never parses what clients send.
//!
//! The notation is the usual one, made exact:
//!
//! | written | means |
//! |---|---|
//! | `seconds` | a value; its type follows from the word |
//! | `NX`, `""` | the word itself, the empty word |
//! | `[...]`, `<...>` | what stands inside, optional or not |
//! | `A \| B` | one of these, inside a group |
//! | `[EX seconds]` | a word that introduces what follows it to the end of its group or alternative |
//! | `name=thing` | a name other than the word shown (groups that are shown have one) |
//! | `thing...` | once or more; of a group that begins with a word, each time with that word |
//! | `min{double}` | a type other than the word's usual one |
//! | `key#1` | the index of the key specification, if it isn't simply the next one |
//! | `GET@6.2.0`, `key^6.0.0` | since which version it is there, or deprecated |

use std::borrow::Cow;
use std::fmt;

bitflags::bitflags! {
    /// How often an argument may stand.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ArgFlags: u8 {
        /// May be left out.
        const OPTIONAL = 1 << 0;
        /// May be repeated.
        const MULTIPLE = 1 << 1;
        /// Repeats its token each time.
        const MULTIPLE_TOKEN = 1 << 2;
    }
}

impl ArgFlags {
    /// The names that `COMMAND DOCS` shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(ArgFlags, &str); 3] = [
            (ArgFlags::OPTIONAL, "optional"),
            (ArgFlags::MULTIPLE, "multiple"),
            (ArgFlags::MULTIPLE_TOKEN, "multiple_token"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

/// What an argument is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgKind {
    /// A value of the named type, which is written as `display`.
    Value {
        /// `key`, `string`, `integer`, `double`, `pattern` or `unix-time`.
        kind: &'static str,
        /// The word that stands for it.
        display: &'static str,
    },
    /// A word that stands for itself.
    PureToken,
    /// One of these.
    OneOf(Vec<Argument>),
    /// All of these in turn.
    Block(Vec<Argument>),
}

/// An argument as `COMMAND DOCS` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name, unique among those beside it.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: ArgKind,
    /// The word that introduces it, or that it is.
    pub token: Option<&'static str>,
    /// The index of the key specification that finds it.
    pub key_spec: Option<usize>,
    /// The version that brought it, if not the one that brought the command.
    pub since: Option<&'static str>,
    /// The version that deprecated it.
    pub deprecated: Option<&'static str>,
    /// How often it may stand.
    pub flags: ArgFlags,
}

impl Argument {
    fn new(name: impl Into<Cow<'static, str>>, kind: ArgKind) -> Self {
        Self {
            name: name.into(),
            kind,
            token: None,
            key_spec: None,
            since: None,
            deprecated: None,
            flags: ArgFlags::empty(),
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            ArgKind::Value { kind, .. } => kind,
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf(_) => "oneof",
            ArgKind::Block(_) => "block",
        }
    }

    /// What it consists of.
    pub fn parts(&self) -> &[Argument] {
        match &self.kind {
            ArgKind::OneOf(parts) | ArgKind::Block(parts) => parts,
            ArgKind::Value { .. } | ArgKind::PureToken => &[],
        }
    }
}

/// Where a line of syntax can't be understood: its rest from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(&'static str);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't understand the syntax from here on: {:?}", self.0)
    }
}

impl std::error::Error for SyntaxError {}

/// The types of the words that don't stand for a string, each list in order.
const TYPES: [(&str, &[&str]); 5] = [
    (
        "integer",
        &[
            "bit",
            "bits",
            "client-id",
            "cluster-bus-port",
            "config-epoch",
            "count",
            "cursor",
            "db",
            "decrement",
            "destination-db",
            "end",
            "end-slot",
            "entries-added",
            "entries-read",
            "frequency",
            "increment",
            "index",
            "index1",
            "index2",
            "len",
            "limit",
            "milliseconds",
            "min-match-len",
            "ms",
            "num-matches",
            "numfields",
            "numkeys",
            "numlocal",
            "numreplicas",
            "offset",
            "port",
            "protover",
            "rank",
            "seconds",
            "slot",
            "start",
            "start-slot",
            "stop",
            "ttl",
            "version",
            "weight",
        ],
    ),
    ("double", &["height", "latitude", "longitude", "radius", "score", "timeout", "width"]),
    (
        "key",
        &[
            "destination",
            "destkey",
            "dst",
            "key",
            "key1",
            "key2",
            "newkey",
            "source",
            "sourcekey",
            "src",
        ],
    ),
    ("pattern", &["pattern"]),
    ("unix-time", &["unix-time-milliseconds", "unix-time-seconds"]),
];

/// The type of what a word stands for.
fn type_of(word: &str) -> &'static str {
    let listed = TYPES.iter().find(|(_, words)| words.binary_search(&word).is_ok());
    listed.map_or("string", |(kind, _)| kind)
}

/// Reads a line of syntax.
pub fn parse(syntax: &'static str) -> Result<Vec<Argument>, SyntaxError> {
    let mut parser = Parser { rest: syntax, keys: 0 };
    let mut arguments = Vec::new();
    while parser.peek().is_some() {
        arguments.push(parser.item()?);
    }
    Ok(arguments)
}

struct Parser {
    rest: &'static str,
    /// Key specifications that arguments were given to so far.
    keys: usize,
}

impl Parser {
    /// The next character that isn't blank.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn error<T>(&self) -> Result<T, SyntaxError> {
        Err(SyntaxError(self.rest))
    }

    /// Takes `prefix`, if it is next.
    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the characters of a word.
    fn word(&mut self) -> Result<&'static str, SyntaxError> {
        let ends = |c: char| c.is_whitespace() || "=[]<>|{}#@^".contains(c);
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let end = self.rest[..end].find("...").unwrap_or(end);
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            // A lone `=` is a word too (`XADD key MAXLEN = 10`).
            return if self.take("=") { Ok("=") } else { self.error() };
        }
        self.rest = rest;
        Ok(word)
    }

    /// One argument: what it is, its name, and what follows it without a blank.
    fn item(&mut self) -> Result<Argument, SyntaxError> {
        let mut name = None;
        self.peek();
        let mut argument = match self.rest.as_bytes() {
            [b'[' | b'<', ..] => self.group()?,
            _ => {
                let word = self.word()?;
                match self.take("=") {
                    false => self.plain(word),
                    true => {
                        name = Some(word);
                        match self.rest.as_bytes() {
                            [b'[' | b'<', ..] => self.group()?,
                            _ => {
                                let shown = self.word()?;
                                self.plain(shown)
                            }
                        }
                    }
                }
            }
        };
        if let Some(name) = name {
            argument.name = name.into();
        }
        self.suffixes(&mut argument)?;
        Ok(argument)
    }

    /// A single word: a value if it is in lower case, else a token.
    fn plain(&mut self, word: &'static str) -> Argument {
        if is_token(word) {
            // Two quotes stand for the empty word.
            let token = Some(if word == "\"\"" { "" } else { word });
            return Argument {
                token,
                ..Argument::new(word.to_ascii_lowercase(), ArgKind::PureToken)
            };
        }
        Argument::new(word, ArgKind::Value { kind: type_of(word), display: word })
    }

    fn group(&mut self) -> Result<Argument, SyntaxError> {
        let optional = self.take("[");
        let end = if optional { ']' } else { '>' };
        if !optional && !self.take("<") {
            return self.error();
        }
        let mut alternatives = vec![self.sequence()?];
        while self.peek() == Some('|') {
            self.take("|");
            alternatives.push(self.sequence()?);
        }
        if !self.take(if end == ']' { "]" } else { ">" }) {
            return self.error();
        }
        let mut argument = match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Argument::new("", ArgKind::OneOf(alternatives)),
        };
        if optional {
            argument.flags |= ArgFlags::OPTIONAL;
        }
        if self.rest.starts_with("...") && argument.token.is_some() {
            argument.flags |= ArgFlags::MULTIPLE_TOKEN;
        }
        Ok(argument)
    }

    /// What stands between the ends of a group and its bars.
    fn sequence(&mut self) -> Result<Argument, SyntaxError> {
        self.peek();
        let begins_plain = !self.rest.starts_with(['[', '<']);
        let first = self.item()?;
        let mut rest = Vec::new();
        while !matches!(self.peek(), None | Some('|' | ']' | '>')) {
            rest.push(self.item()?);
        }
        let Some(token) = first.token.filter(|_| begins_plain && is_bare(&first)) else {
            if rest.is_empty() {
                return Ok(first);
            }
            rest.insert(0, first);
            return Ok(Argument::new("", ArgKind::Block(rest)));
        };
        let introduced = match rest.len() {
            0 => return Ok(first),
            // What has a word of its own stands behind this one as a block.
            1 if rest[0].token.is_none() => rest.remove(0),
            _ => Argument::new(token.to_ascii_lowercase(), ArgKind::Block(rest)),
        };
        Ok(Argument { token: Some(token), ..introduced })
    }

    fn suffixes(&mut self, argument: &mut Argument) -> Result<(), SyntaxError> {
        loop {
            if self.take("...") {
                argument.flags |= ArgFlags::MULTIPLE;
            } else if self.take("{") {
                let named = self.word()?;
                let ArgKind::Value { kind, .. } = &mut argument.kind else { return self.error() };
                *kind = named;
                if !self.take("}") {
                    return self.error();
                }
            } else if self.take("#") {
                let index = self.word()?.parse().map_err(|_| SyntaxError(self.rest))?;
                argument.key_spec = Some(index);
                self.keys = self.keys.max(index + 1);
            } else if self.take("@") {
                argument.since = Some(self.word()?);
            } else if self.take("^") {
                argument.deprecated = Some(self.word()?);
            } else {
                break;
            }
        }
        let is_key = matches!(argument.kind, ArgKind::Value { kind: "key", .. });
        if is_key && argument.key_spec.is_none() {
            argument.key_spec = Some(self.keys);
            self.keys += 1;
        }
        Ok(())
    }
}

/// Whether a word stands for itself.
fn is_token(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether this is a token as it was written, with no name and no version.
fn is_bare(argument: &Argument) -> bool {
    argument.kind == ArgKind::PureToken && argument.since.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line: what a test compares.
    fn shown(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let mut text = format!("{}:{}", argument.name, argument.type_name());
            if let Some(token) = argument.token {
                text += &format!(" {token}");
            }
            if let ArgKind::Value { display, .. } = argument.kind
                && display != argument.name
            {
                text += &format!(" shown {display}");
            }
            if let Some(index) = argument.key_spec {
                text += &format!(" #{index}");
            }
            for version in argument.since.iter().chain(&argument.deprecated) {
                text += &format!(" {version}");
            }
            for flag in argument.flags.names() {
                text += &format!(" {flag}");
            }
            match argument.parts() {
                [] => text,
                parts => text + &format!(" ({})", shown(parts)),
            }
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn read(syntax: &'static str) -> String {
        shown(&parse(syntax).unwrap())
    }

    #[test]
    fn values_have_the_types_of_their_words() {
        assert_eq!(
            read("key seconds value timeout pattern unix-time-seconds min{double} ip:port"),
            "key:key #0, seconds:integer, value:string, timeout:double, pattern:pattern, \
             unix-time-seconds:unix-time, min:double, ip:port:string"
        );
        for (_, words) in TYPES {
            assert!(words.is_sorted(), "{words:?}");
        }
    }

    #[test]
    fn words_introduce_what_follows_them() {
        assert_eq!(
            read("key [EX seconds | PX milliseconds | KEEPTTL]"),
            "key:key #0, :oneof optional (seconds:integer EX, milliseconds:integer PX, \
             keepttl:pure-token KEEPTTL)"
        );
        assert_eq!(
            read("limit=[LIMIT offset count] [GET by=pattern]..."),
            "limit:block LIMIT optional (offset:integer, count:integer), \
             by:pattern GET shown pattern optional multiple multiple_token"
        );
        assert_eq!(
            read("NOW [OVERFLOW how=<WRAP | SAT>] [<A> b]"),
            "now:pure-token NOW, how:oneof OVERFLOW optional (wrap:pure-token WRAP, \
             sat:pure-token SAT), :block optional (a:pure-token A, b:string)"
        );
    }

    #[test]
    fn keys_count_and_things_repeat() {
        assert_eq!(
            read("destination key... data=<field value>... [key#0...]"),
            "destination:key #0, key:key #1 multiple, data:block multiple (field:string, \
             value:string), key:key #0 optional multiple"
        );
    }

    #[test]
    fn versions_and_odd_tokens() {
        assert_eq!(
            read("how=[equal== | near=~]@6.2.0 auto=*^7.0.0 key"),
            "how:oneof 6.2.0 optional (equal:pure-token =, near:pure-token ~), \
             auto:pure-token * 7.0.0, key:key #0"
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for syntax in ["[key", "key]", "<a | >", "a{b", "A{integer}", "key#x", "[]", "a@"] {
            assert!(parse(syntax).is_err(), "{syntax}");
        }
    }
}
