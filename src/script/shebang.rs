//! The first line of a script that declares flags: `#!lua flags=no-writes,allow-oom`.
//!
//! Owns the flags and the parser of that line. Never touches the VM.

use bitflags::bitflags;

use super::engine::CompileError;
use crate::util::split::split_args;

bitflags! {
    /// What a script declares about itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// It never writes: it may run on a read-only replica and by EVAL_RO.
        const NO_WRITES = 1;
        /// It may run when memory is full.
        const ALLOW_OOM = 1 << 1;
        /// It may run on a stale replica.
        const ALLOW_STALE = 1 << 2;
        /// It refuses to run in cluster mode.
        const NO_CLUSTER = 1 << 3;
        /// It may touch keys of several slots.
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
        /// It has no shebang line: each command is judged by itself, as before Redis 7.
        const EVAL_COMPAT = 1 << 5;
    }
}

/// The flags of a script and where its Lua text begins: at the line break after the shebang, so
/// that line numbers hold.
pub(super) fn parse(body: &[u8]) -> Result<(Flags, usize), CompileError> {
    if !body.starts_with(b"#!") {
        return Ok((Flags::EVAL_COMPAT, 0));
    }
    let end = memchr::memchr(b'\n', body)
        .ok_or_else(|| CompileError::new(b"ERR Invalid script shebang"))?;
    let words = split_args(&body[..end]).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| CompileError::new(b"ERR Invalid engine in script shebang"))?;
    if words[0] != b"#!lua" {
        return Err(CompileError::about(b"ERR Unexpected engine in script shebang: ", &words[0]));
    }
    let mut flags = Flags::empty();
    for word in &words[1..] {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(CompileError::about(b"ERR Unknown lua shebang option: ", word));
        };
        if !list.is_empty() {
            flags |= parse_flags(list)?;
        }
    }
    Ok((flags, end))
}

fn parse_flags(list: &[u8]) -> Result<Flags, CompileError> {
    let mut flags = Flags::empty();
    for name in list.split(|&byte| byte == b',') {
        flags |= Flags::of_name(name)
            .ok_or_else(|| CompileError::about(b"ERR Unexpected flag in script shebang: ", name))?;
    }
    Ok(flags)
}

/// The flags that can be declared, by name.
const NAMES: &[(&str, Flags)] = &[
    ("no-writes", Flags::NO_WRITES),
    ("allow-oom", Flags::ALLOW_OOM),
    ("allow-stale", Flags::ALLOW_STALE),
    ("no-cluster", Flags::NO_CLUSTER),
    ("allow-cross-slot-keys", Flags::ALLOW_CROSS_SLOT_KEYS),
];

impl Flags {
    /// What a script declares, if it does and is right.
    #[must_use]
    pub fn of_script(body: &[u8]) -> Option<Self> {
        parse(body).ok().map(|(flags, _)| flags)
    }

    /// The flag of this name.
    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, flag)| *flag)
    }

    /// The names of the flags that are set, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, flag)| self.contains(*flag)).map(|(name, _)| *name)
    }
}
