//! The engine of EVAL: a VM and the cache of compiled scripts.
//!
//! Owns every script loaded into its VM. Never decides who may run a script, nor for how long: see
//! [`Host`].

use std::fmt;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap};
use sha1::{Digest, Sha1};

use super::host::Host;
use super::shebang::{self, Flags};
use super::vm::{Kind, Outcome, Target, Vm};
use crate::resp::{Args, Reply};

/// A script's name: the SHA1 of its text in lower-case hexadecimal.
pub type Sha = [u8; 40];

/// The SHA1 of `body` in hexadecimal, as EVALSHA and `redis.sha1hex` use it.
#[must_use]
pub fn sha1_hex(body: &[u8]) -> Sha {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 40];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(Sha1::digest(body)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// Why a script can't be loaded: the error reply's text, code first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError(pub Vec<u8>);

impl CompileError {
    pub(super) fn new(text: &[u8]) -> Self {
        Self(text.to_vec())
    }

    pub(super) fn about(text: &[u8], what: &[u8]) -> Self {
        Self([text, what].concat())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for CompileError {}

/// A loaded script's number in its engine. Dead after [`Engine::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScriptId(u32);

/// What the engine keeps of a script besides its code.
#[derive(Debug)]
pub struct Script {
    /// Its name.
    pub sha: Sha,
    /// What its shebang line declares.
    pub flags: Flags,
    /// Its text.
    pub body: Rc<[u8]>,
}

/// A sandboxed Lua VM and the scripts loaded into it.
pub struct Engine {
    vm: Vm,
    scripts: Vec<Script>,
    by_sha: HashMap<Sha, ScriptId, DefaultHashBuilder>,
    by_body: HashMap<Rc<[u8]>, ScriptId, DefaultHashBuilder>,
    body_bytes: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Engine {
    /// An engine with no scripts. `deprecated_api`: they see `getfenv`, `setfenv`, `newproxy`
    /// (`lua-enable-deprecated-api`).
    ///
    /// # Panics
    /// If the sandbox's own code doesn't run: a defect, or no memory at all.
    #[must_use]
    pub fn new(deprecated_api: bool) -> Self {
        Self {
            vm: Vm::new(Kind::Scripts, deprecated_api),
            scripts: Vec::new(),
            by_sha: HashMap::default(),
            by_body: HashMap::default(),
            body_bytes: 0,
        }
    }

    /// Compiles a script, or finds it if it is loaded. A script seen before costs one lookup by
    /// its text: its SHA1 isn't computed again.
    ///
    /// # Errors
    /// The error reply's text, if the shebang line or the script is invalid.
    pub fn load(&mut self, body: &[u8]) -> Result<ScriptId, CompileError> {
        const FAILED: &[u8] = b"ERR Error compiling script (new function): ";
        if let Some(&id) = self.by_body.get(body) {
            return Ok(id);
        }
        let (flags, start) = shebang::parse(body)?;
        let number = u32::try_from(self.scripts.len())
            .map_err(|_| CompileError::new(b"ERR too many scripts"))?;
        let compiled = self.vm.compile(number, &body[start..]);
        compiled.map_err(|text| CompileError::about(FAILED, &text))?;
        let (id, sha, body) = (ScriptId(number), sha1_hex(body), Rc::<[u8]>::from(body));
        self.by_sha.insert(sha, id);
        self.by_body.insert(Rc::clone(&body), id);
        self.body_bytes += body.len();
        self.scripts.push(Script { sha, flags, body });
        Ok(id)
    }

    /// The script of this name, given in either case.
    #[must_use]
    pub fn find(&self, sha: &[u8]) -> Option<ScriptId> {
        let mut name: Sha = sha.try_into().ok()?;
        name.make_ascii_lowercase();
        self.by_sha.get(&name).copied()
    }

    /// What is known of a loaded script.
    ///
    /// # Panics
    /// If the number is of another engine, or from before a flush.
    #[must_use]
    pub fn script(&self, id: ScriptId) -> &Script {
        &self.scripts[id.0 as usize]
    }

    /// Forgets all scripts and starts a fresh VM. The old VM is freed here: it can't leave its
    /// thread, so an asynchronous flush is the same.
    pub fn flush(&mut self) {
        *self = Self::new(self.vm.shared.deprecated_api);
    }

    /// Number of scripts loaded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Whether no script is loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Bytes that the VM holds.
    #[must_use]
    pub fn vm_bytes(&self) -> usize {
        self.vm.bytes()
    }

    /// The same without what scripts left behind in a small VM (`used_memory_vm_eval`). It takes a
    /// moment: not for each command.
    #[must_use]
    pub fn vm_bytes_in_use(&self) -> usize {
        self.vm.bytes_in_use()
    }

    /// Bytes that the cache of scripts holds besides the VM (`used_memory_scripts_eval`).
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        const PER_SCRIPT: usize =
            size_of::<Script>() + size_of::<(Sha, ScriptId)>() + size_of::<(Rc<[u8]>, ScriptId)>();
        self.body_bytes + self.scripts.len() * PER_SCRIPT
    }

    /// Runs a script and appends its reply to `out`, in the protocol that `out` is set to.
    ///
    /// # Panics
    /// As [`script`](Self::script).
    pub fn run(
        &mut self,
        id: ScriptId,
        keys: Args<'_>,
        argv: Args<'_>,
        host: &mut dyn Host,
        out: &mut Reply,
    ) -> Outcome {
        let target = Target { number: id.0, name: &self.scripts[id.0 as usize].sha };
        self.vm.run(target, keys, argv, host, out)
    }
}
