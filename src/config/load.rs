//! Owns reading the configuration at start: redis.conf, standard input and the command line, in
//! this order, with `include`. Never touches a file but through `Files`; never applies a setting.

use std::collections::HashSet;
use std::{fmt, io};

use super::directive::{Origin, Reason, quoted};
use super::table::lookup;
use super::values::{Config, RenamedCommand, Text, UserLine};
use crate::util::split::split_args;

/// Version that error texts name.
const REDIS_VERSION: &str = "7.2.4";

/// How deep files may include each other.
const MAX_INCLUDES: usize = 16;

/// Directives of old versions that Redis reads and ignores too.
const OBSOLETE: [&[u8]; 3] =
    [b"list-max-ziplist-entries", b"list-max-ziplist-value", b"lua-replicate-commands"];

/// The files that a configuration may name.
pub trait Files {
    /// The content of the file at `path`.
    fn read(&self, path: &[u8]) -> io::Result<Text>;
    /// Paths that match a pattern with wildcards, in order.
    fn expand(&self, pattern: &[u8]) -> Vec<Text>;
}

/// A command line without the program's name, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Path of the configuration file: the first word if it begins with no dash.
    pub file: Option<Text>,
    /// The last word is `-`: read standard input as well.
    pub stdin: bool,
    /// The other words, as lines of a configuration file.
    pub options: Text,
}

impl CommandLine {
    /// Takes `words` apart.
    pub fn parse(words: &[Text]) -> Self {
        let (file, words) = match words {
            [file, rest @ ..] if !file.starts_with(b"-") => (Some(file.clone()), rest),
            _ => (None, words),
        };
        let (stdin, words) = match words {
            [rest @ .., last] if last == b"-" => (true, rest),
            _ => (false, words),
        };
        Self { file, stdin, options: option_lines(words) }
    }
}

/// `--name value...` as lines. A word after a bare name is a value even if it begins with dashes,
/// except that a bare `--save` before an option, or at the end, stands for `save ""`.
fn option_lines(words: &[Text]) -> Text {
    let mut out = Text::new();
    let mut may_be_name = true;
    for (at, word) in words.iter().enumerate() {
        let Some(name) = word.strip_prefix(b"--").filter(|_| may_be_name) else {
            out.extend(quoted(word));
            out.push(b' ');
            may_be_name = true;
            continue;
        };
        if !out.is_empty() {
            out.push(b'\n');
        }
        out.extend(name);
        out.push(b' ');
        let next = words.get(at + 1);
        let bare = split_args(word).is_some_and(|parts| parts.len() == 1);
        let empty_save = bare
            && name.trim_ascii().eq_ignore_ascii_case(b"save")
            && next.is_none_or(|next| next.starts_with(b"--"));
        if empty_save {
            out.extend(b"\"\"");
        }
        may_be_name = !bare || empty_save;
    }
    out
}

/// Why the configuration could not be read. `Display` is what the server prints before it exits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A line was refused.
    Line {
        /// Number, from 1; options of the command line count on after the file's lines.
        number: usize,
        /// The line, trimmed.
        text: Text,
        /// Why.
        reason: Reason,
    },
    /// A file could not be read.
    File {
        /// Its path.
        path: Text,
        /// The system's message.
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, text, reason } => write!(
                f,
                "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n\
                 Reading the configuration file, at line {number}\n>>> '{}'\n{reason}",
                String::from_utf8_lossy(text)
            ),
            Self::File { path, reason } => write!(
                f,
                "Fatal error, can't open config file '{}': {reason}",
                String::from_utf8_lossy(path)
            ),
        }
    }
}

impl std::error::Error for LoadError {}

impl RenamedCommand {
    /// The error of this line: only who knows the commands can tell.
    pub fn refused(&self, reason: impl Into<Reason>) -> LoadError {
        let (number, text) = self.line.clone();
        LoadError::Line { number, text, reason: reason.into() }
    }
}

impl Config {
    /// The defaults, changed by the file that the command line names, then by the text of standard
    /// input (if it asks for that), then by its options.
    pub fn load(line: &CommandLine, stdin: &[u8], files: &dyn Files) -> Result<Self, LoadError> {
        let mut loader = Loader { config: Self::default(), seen: HashSet::new(), files };
        let mut text = match &line.file {
            Some(path) => loader.read(path)?,
            None => Text::new(),
        };
        if line.stdin {
            text.extend(stdin);
        }
        text.push(b'\n');
        text.extend(&line.options);
        loader.text(&text, 0)?;
        Ok(loader.config)
    }
}

struct Loader<'a> {
    config: Config,
    /// Names of directives that were set.
    seen: HashSet<&'static str>,
    files: &'a dyn Files,
}

impl Loader<'_> {
    /// The file at `path`, or all files together that a pattern finds (perhaps none).
    fn read(&self, path: &[u8]) -> Result<Text, LoadError> {
        let paths = if path.iter().any(|byte| b"*?[".contains(byte)) {
            self.files.expand(path)
        } else {
            vec![path.to_vec()]
        };
        let mut text = Text::new();
        for path in paths {
            let content = self
                .files
                .read(&path)
                .map_err(|error| LoadError::File { reason: system_message(&error), path })?;
            text.extend(content);
        }
        Ok(text)
    }

    fn text(&mut self, text: &[u8], depth: usize) -> Result<(), LoadError> {
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let refused =
                |reason: Reason| LoadError::Line { number: at + 1, text: line.to_vec(), reason };
            let words = split_args(line)
                .ok_or_else(|| refused("Unbalanced quotes in configuration line".into()))?;
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let [name, values @ ..] = words.as_slice() else { continue };
            match values {
                [path] if name.eq_ignore_ascii_case(b"include") => {
                    if depth == MAX_INCLUDES {
                        return Err(refused("too many levels of include".into()));
                    }
                    let included = self.read(path)?;
                    self.text(&included, depth + 1)?;
                }
                [from, to] if name.eq_ignore_ascii_case(b"rename-command") => {
                    self.config.renamed_commands.push(RenamedCommand {
                        from: from.to_vec(),
                        to: to.to_vec(),
                        line: (at + 1, line.to_vec()),
                    });
                }
                [user, ..] if name.eq_ignore_ascii_case(b"user") => {
                    let place = (at + 1, line.to_vec());
                    self.user(user, values, place).map_err(refused)?;
                }
                _ => self.directive(name, values).map_err(refused)?,
            }
        }
        Ok(())
    }

    fn directive(&mut self, name: &[u8], values: &[&[u8]]) -> Result<(), Reason> {
        let Some(directive) = lookup(name) else { return self.unlisted(name, values) };
        let split;
        let words = match values {
            [one] if directive.is_multi() && !one.is_empty() => {
                split = split_args(one).ok_or(Reason::Borrowed("Unbalanced quotes"))?;
                &split.iter().map(Vec::as_slice).collect::<Vec<_>>()
            }
            _ => values,
        };
        let first = self.seen.insert(directive.name);
        directive.set(&mut self.config, words, Origin::Startup { first })
    }

    /// A user's declaration. Its rules are for others to read, who know the commands.
    fn user(&mut self, name: &[u8], values: &[&[u8]], place: (usize, Text)) -> Result<(), Reason> {
        let is_same = |known: &UserLine| known.words.first().is_some_and(|known| known == name);
        if self.config.users.iter().any(is_same) {
            let name = String::from_utf8_lossy(name);
            return Err(format!(
                "Error in user declaration '{name}': Duplicate user found. A user can only be \
                 defined once in config files"
            )
            .into());
        }
        let words = values.iter().map(|word| word.to_vec()).collect();
        self.config.users.push(UserLine { words, place });
        Ok(())
    }

    /// Directives that are no settings.
    fn unlisted(&mut self, name: &[u8], values: &[&[u8]]) -> Result<(), Reason> {
        let name = name.to_ascii_lowercase();
        match (name.as_slice(), values) {
            (_, [_]) if OBSOLETE.contains(&name.as_slice()) => {
                self.config.obsolete_directives.push(name);
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err("loadmodule: modules are not supported".into()),
            (b"sentinel", [_, ..]) => Err("sentinel directive while not in sentinel mode".into()),
            (b"sentinel", []) => Err("sentinel: sentinel mode is not supported".into()),
            (dotted, [_]) if dotted.contains(&b'.') => {
                Err("Module Configuration detected without \
                loadmodule directive or no ApplyConfig call: aborting"
                    .into())
            }
            (dotted, _) if dotted.contains(&b'.') => {
                Err("Module config specified without value".into())
            }
            _ => Err("Bad directive or wrong number of arguments".into()),
        }
    }
}

/// The system's message without Rust's error number.
fn system_message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
