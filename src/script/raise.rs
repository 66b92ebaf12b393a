//! Errors that native functions raise in a script, and how they reach it.
//!
//! mlua raises a Rust error as an opaque object. Scripts must see what Redis raises: a string with
//! its place, or a table with an `err` field. The sandbox's `pcall` and its kin pass each error
//! through [`Raise::of`]. Owns also the search for the script's line.

use std::fmt;

use mlua::{Error, Lua, Value};

/// The chunk name of the sandbox's own Lua code, as error texts show it.
pub(super) const SANDBOX_CHUNK: &str = "\u{1}";

/// The error of a killed script.
pub(super) const KILLED: &[u8] = b"ERR Script killed by user with SCRIPT KILL.";

/// An error on its way through Lua.
#[derive(Debug, Clone)]
pub enum Raise {
    /// A string, as `error("...")` raises.
    Text(Vec<u8>),
    /// A table with an `err` field: its text, and whether a command has counted it already.
    Reply {
        /// The error's text, code first.
        text: Vec<u8>,
        /// Whether the command that failed has counted the error in the statistics.
        counted: bool,
    },
    /// The script has been killed.
    Killed,
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Reply { text, .. } => {
                f.write_str(&String::from_utf8_lossy(text))
            }
            Self::Killed => f.write_str("killed"),
        }
    }
}

impl std::error::Error for Raise {}

impl From<Raise> for Error {
    fn from(raise: Raise) -> Self {
        Error::external(raise)
    }
}

impl Raise {
    /// The error within an mlua error. Other errors of mlua (memory, stack) become text.
    pub(super) fn of(error: &Error) -> Raise {
        match error {
            Error::CallbackError { cause, .. } => Self::of(cause),
            Error::ExternalError(inner) => match inner.downcast_ref::<Raise>() {
                Some(raise) => raise.clone(),
                None => Raise::Text(inner.to_string().into_bytes()),
            },
            Error::MemoryError(_) => Raise::Text(b"not enough memory".to_vec()),
            Error::StackError => Raise::Text(b"stack overflow".to_vec()),
            other => Raise::Text(other.to_string().into_bytes()),
        }
    }
}

/// An error whose text begins with the place of the call, as `luaL_error` raises it.
pub(super) fn here(lua: &Lua, text: impl AsRef<[u8]>) -> Error {
    let mut message = place(lua, 1);
    message.extend_from_slice(text.as_ref());
    Raise::Text(message).into()
}

/// `bad argument #1 to 'name' (text)`, with the place of the call.
pub(super) fn bad_arg(lua: &Lua, index: usize, name: &str, text: &str) -> Error {
    here(lua, format!("bad argument #{index} to '{name}' ({text})"))
}

/// `chunk:line: ` of the function at this level of the stack, or nothing for a native one.
fn place(lua: &Lua, level: usize) -> Vec<u8> {
    let found = lua.inspect_stack(level, |frame| {
        let line = frame.current_line()?;
        Some(format!("{}:{line}: ", frame.source().short_src?))
    });
    found.flatten().unwrap_or_default().into_bytes()
}

/// The source (`@user_script`) and line of the innermost script function on the stack.
pub(super) fn script_line(lua: &Lua) -> Option<(String, usize)> {
    for level in 1.. {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let inner = source.short_src.as_deref() == Some(SANDBOX_CHUNK);
            let line = frame.current_line().filter(|_| !inner)?;
            Some((source.source?.into_owned(), line))
        })?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Puts the script's place for the sandbox's in an error text that begins with the latter.
pub(super) fn relocate(lua: &Lua, text: &[u8]) -> Option<Vec<u8>> {
    let rest = text.strip_prefix(SANDBOX_CHUNK.as_bytes())?.strip_prefix(b":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let message = rest[digits..].strip_prefix(b": ")?;
    let mut out = Vec::with_capacity(message.len() + 24);
    if let Some((source, line)) = script_line(lua) {
        let name = source.strip_prefix(['@', '=']).unwrap_or(&source);
        out.extend_from_slice(format!("{name}:{line}: ").as_bytes());
    }
    out.extend_from_slice(message);
    Some(out)
}

/// What `tostring` makes of an error value, metamethods aside.
pub(super) fn text_of(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Error(error) => match Raise::of(error) {
            Raise::Text(text) | Raise::Reply { text, .. } => text,
            Raise::Killed => KILLED.to_vec(),
        },
        Value::Integer(int) => int.to_string().into_bytes(),
        other => other.to_string().unwrap_or_default().into_bytes(),
    }
}
