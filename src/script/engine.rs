//! The Lua engine: one VM, the cache of compiled scripts, and one run.
//!
//! Owns the VM and every script loaded into it. Never decides who may run a script, nor for how
//! long: see [`Host`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap};
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use sha1::{Digest, Sha1};

use super::convert;
use super::host::{self, Host, Tick};
use super::raise::{self, KILLED, Raise};
use super::sandbox;
use super::shebang::{self, Flags};
use crate::resp::{ArgBuf, Args, Proto, Reply};

/// Lua instructions between two calls of [`Host::tick`].
const TICK_INSTRUCTIONS: u32 = 100_000;
/// Bytes that the VM may hold while a script runs: past this a script gets Lua's memory error.
/// Without a limit a failed allocation would end the process.
const MEMORY_LIMIT: usize = 4 << 30;
/// Runs between two rounds of housekeeping in the VM.
const SWEEP_RUNS: u32 = 64;
/// Scratch buffers above this many bytes are given back after a run.
const KEEP_SCRATCH: usize = 64 * 1024;

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

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The reply is an error.
    pub failed: bool,
    /// The error was counted by the command that raised it: don't count it again.
    pub counted: bool,
}

/// What ended a run, as the error handler saw it while the stack stood.
#[derive(Debug)]
struct Failure {
    text: Vec<u8>,
    counted: bool,
    line: Option<(String, usize)>,
}

/// State that the engine and the native functions share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What `redis.setresp` chose.
    pub(super) proto: Cell<Proto>,
    /// The script has been told to end.
    pub(super) killed: Cell<bool>,
    /// Scripts see what Redis 7 took from them, unless configured.
    pub(super) deprecated_api: bool,
    /// State of `math.random`: 48 bits.
    pub(super) random: Cell<u64>,
    /// The command that a script is about to call.
    pub(super) args: RefCell<ArgBuf>,
    /// Its reply.
    pub(super) reply: RefCell<Reply>,
    failure: RefCell<Option<Failure>>,
}

impl Shared {
    fn new(deprecated_api: bool) -> Self {
        Self {
            deprecated_api,
            proto: Cell::new(Proto::Resp2),
            killed: Cell::new(false),
            random: Cell::new(sandbox::RANDOM_START),
            args: RefCell::new(ArgBuf::new()),
            reply: RefCell::new(Reply::new(Proto::Resp2)),
            failure: RefCell::new(None),
        }
    }

    fn begin_run(&self) {
        self.proto.set(Proto::Resp2);
        self.killed.set(false);
        self.failure.borrow_mut().take();
    }

    fn end_run(&self) {
        let mut args = self.args.borrow_mut();
        if args.heap_bytes() > KEEP_SCRATCH {
            *args = ArgBuf::new();
        }
        let mut reply = self.reply.borrow_mut();
        if reply.buf_mut().capacity() > KEEP_SCRATCH {
            *reply = Reply::new(Proto::Resp2);
        }
    }

    /// The message handler of a run: notes the error and its line.
    pub(super) fn note_failure(&self, lua: &Lua, error: &Value) {
        let (text, counted) = describe(lua, error);
        let line = raise::script_line(lua);
        *self.failure.borrow_mut() = Some(Failure { text, counted, line });
    }
}

/// An error value's text, code first, and whether it has been counted.
fn describe(lua: &Lua, error: &Value) -> (Vec<u8>, bool) {
    match error {
        Value::Table(table) => (convert::err_text(table), convert::is_counted(table)),
        Value::Error(inner) => match Raise::of(inner) {
            Raise::Reply { text, counted } => (text, counted),
            Raise::Text(text) => ([b"ERR ", &*text].concat(), false),
            Raise::Killed => (KILLED.to_vec(), false),
        },
        other => {
            let text = raise::text_of(other);
            let text = raise::relocate(lua, &text).unwrap_or(text);
            ([b"ERR ", &*text].concat(), false)
        }
    }
}

/// The VM with the sandbox built into it.
struct Vm {
    lua: Lua,
    compile: Function,
    run: Function,
    sweep: Function,
}

impl Vm {
    fn new(shared: &Rc<Shared>) -> mlua::Result<Self> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(libs, options)?;
        let entry: Table = sandbox::install(&lua, shared)?;
        let triggers = HookTriggers::new().every_nth_instruction(TICK_INSTRUCTIONS);
        let state = Rc::clone(shared);
        lua.set_global_hook(triggers, move |_, _| tick(&state))?;
        Ok(Self {
            compile: entry.get("compile")?,
            run: entry.get("run")?,
            sweep: entry.get("sweep")?,
            lua,
        })
    }
}

/// The count hook. Once a script is killed it is raised again and again: no `pcall` holds it.
pub(super) fn tick(shared: &Shared) -> mlua::Result<VmState> {
    if !shared.killed.get() {
        match host::with_host(|host| host.tick()) {
            Some(Tick::Kill) => shared.killed.set(true),
            Some(Tick::Continue) | None => return Ok(VmState::Continue),
        }
    }
    Err(Raise::Killed.into())
}

/// A sandboxed Lua VM and the scripts loaded into it.
pub struct Engine {
    shared: Rc<Shared>,
    vm: Vm,
    scripts: Vec<Script>,
    by_sha: HashMap<Sha, ScriptId, DefaultHashBuilder>,
    by_body: HashMap<Rc<[u8]>, ScriptId, DefaultHashBuilder>,
    body_bytes: usize,
    runs: u32,
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
        let shared = Rc::new(Shared::new(deprecated_api));
        let vm = Vm::new(&shared).unwrap_or_else(|error| panic!("the Lua sandbox fails: {error}"));
        Self {
            shared,
            vm,
            scripts: Vec::new(),
            by_sha: HashMap::default(),
            by_body: HashMap::default(),
            body_bytes: 0,
            runs: 0,
        }
    }

    /// Compiles a script, or finds it if it is loaded. A script seen before costs one lookup by
    /// its text: its SHA1 isn't computed again.
    ///
    /// # Errors
    /// The error reply's text, if the shebang line or the script is invalid.
    pub fn load(&mut self, body: &[u8]) -> Result<ScriptId, CompileError> {
        if let Some(&id) = self.by_body.get(body) {
            return Ok(id);
        }
        let (flags, start) = shebang::parse(body)?;
        let number = u32::try_from(self.scripts.len())
            .map_err(|_| CompileError::new(b"ERR too many scripts"))?;
        self.compile(number, &body[start..])?;
        let (id, sha, body) = (ScriptId(number), sha1_hex(body), Rc::<[u8]>::from(body));
        self.by_sha.insert(sha, id);
        self.by_body.insert(Rc::clone(&body), id);
        self.body_bytes += body.len();
        self.scripts.push(Script { sha, flags, body });
        Ok(id)
    }

    fn compile(&self, number: u32, source: &[u8]) -> Result<(), CompileError> {
        let failed =
            |text: &[u8]| CompileError::about(b"ERR Error compiling script (new function): ", text);
        let source = self.vm.lua.create_string(source).map_err(|e| failed(&lua_error(&e)))?;
        match self.vm.compile.call::<Value>((number, source)) {
            Ok(Value::Nil) => Ok(()),
            Ok(error) => Err(failed(&raise::text_of(&error))),
            Err(error) => Err(failed(&lua_error(&error))),
        }
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
        *self = Self::new(self.shared.deprecated_api);
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

    /// Bytes that the VM holds (`used_memory_vm_eval`).
    #[must_use]
    pub fn vm_bytes(&self) -> usize {
        self.vm.lua.used_memory()
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
        self.shared.begin_run();
        let result = host::with_host_set(host, || self.invoke(id, keys, argv));
        let outcome = match result {
            Ok((true, value)) => convert::reply(&value, self.shared.proto.get(), out),
            Ok((false, error)) => self.reply_failure(id, &error, out),
            Err(error) => self.reply_failure(id, &Value::Error(Box::new(error)), out),
        };
        self.shared.end_run();
        self.keep_house();
        outcome
    }

    fn invoke(&self, id: ScriptId, keys: Args<'_>, argv: Args<'_>) -> mlua::Result<(bool, Value)> {
        let lua = &self.vm.lua;
        let keys = lua.create_sequence_from(keys.iter().map(convert::string))?;
        let argv = lua.create_sequence_from(argv.iter().map(convert::string))?;
        lua.set_memory_limit(MEMORY_LIMIT)?;
        let result = self.vm.run.call((id.0, keys, argv));
        lua.set_memory_limit(0)?;
        result
    }

    /// The reply of a script that ended with an error, with its name and line.
    fn reply_failure(&self, id: ScriptId, error: &Value, out: &mut Reply) -> Outcome {
        let noted = self.shared.failure.borrow_mut().take();
        let mut failure = noted.unwrap_or_else(|| {
            let (text, counted) = describe(&self.vm.lua, error);
            Failure { text, counted, line: None }
        });
        if self.shared.killed.get() {
            failure.text = KILLED.to_vec();
        }
        if let Some((source, line)) = failure.line {
            failure.text.extend_from_slice(b" script: ");
            failure.text.extend_from_slice(&self.script(id).sha);
            failure.text.extend_from_slice(format!(", on {source}:{line}.").as_bytes());
        }
        out.error_text(&failure.text);
        Outcome { failed: true, counted: failure.counted }
    }

    /// From time to time removes what scripts left behind in shared tables, and gives the
    /// collector a step, so that small scripts don't put its work off for ever.
    fn keep_house(&mut self) {
        self.runs += 1;
        if self.runs >= SWEEP_RUNS {
            self.runs = 0;
            // Neither can fail, save for want of memory; then the next round will do it.
            let _ = self.vm.sweep.call::<()>(());
            let _ = self.vm.lua.gc_step();
        }
    }
}

/// Runs native code without the memory limit, under which each step costs a protected call. What it
/// takes still counts: the script's own next allocation meets the limit.
pub(super) fn unlimited<R>(lua: &Lua, f: impl FnOnce() -> mlua::Result<R>) -> mlua::Result<R> {
    lua.set_memory_limit(0)?;
    let result = f();
    lua.set_memory_limit(MEMORY_LIMIT)?;
    result
}

/// As [`unlimited`], if what is worked on has few bytes; else as it is.
pub(super) fn unlimited_if_small<R>(
    lua: &Lua,
    bytes: usize,
    f: impl FnOnce() -> mlua::Result<R>,
) -> mlua::Result<R> {
    const SMALL: usize = 1 << 20;
    if bytes <= SMALL { unlimited(lua, f) } else { f() }
}

fn lua_error(error: &mlua::Error) -> Vec<u8> {
    match Raise::of(error) {
        Raise::Text(text) | Raise::Reply { text, .. } => text,
        Raise::Killed => KILLED.to_vec(),
    }
}
