//! The virtual machine: sandboxed Lua, and one run in it.
//!
//! Owns the VM, the state that it shares with native functions, and how a run ends. Never decides
//! who may run what, nor for how long: see [`Host`]. What is loaded into it is its owner's affair:
//! [`Engine`](super::Engine) for scripts, [`Functions`](super::Functions) for libraries.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::resume_unwind;
use std::rc::Rc;

use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use scoped_tls_hkt::scoped_thread_local;

use super::convert;
use super::host::{self, Host, Tick};
use super::raise::{self, KILLED, Raise};
use super::redis_api;
use super::register::Registering;
use super::sandbox;
use super::stack::{self, Native, Raised, Slot, Stack, TableAt};
use crate::resp::{ArgBuf, Args, Proto, Reply};

/// Lua instructions between two calls of [`Host::tick`].
const TICK_INSTRUCTIONS: u32 = 100_000;
/// Bytes that the VM may hold while a script runs: past this a script gets Lua's memory error.
/// Without a limit a failed allocation would end the process. Tests meet it sooner.
const MEMORY_LIMIT: usize = if cfg!(test) { 128 << 20 } else { 4 << 30 };
/// Runs between two rounds of housekeeping in the VM.
const SWEEP_RUNS: u32 = 64;
/// Bytes of a VM whose collector needs no steps besides those that it takes by itself.
const SMALL_HEAP: usize = 1 << 20;
/// Scratch buffers above this many bytes are given back after a run.
const KEEP_SCRATCH: usize = 64 * 1024;

/// The error of a function that has been killed.
const FUNCTION_KILLED: &[u8] = b"ERR Script killed by user with FUNCTION KILL.";
/// The error of a library whose code runs for too long.
const LOAD_TIMEOUT: &[u8] = b"ERR FUNCTION LOAD timeout";

/// What a VM runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Scripts of EVAL, which find KEYS and ARGV among their globals.
    Scripts,
    /// Functions of libraries, which get them as arguments.
    Functions,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The reply is an error, or holds one.
    pub failed: bool,
    /// The codes of the errors in the reply that no command has counted.
    pub uncounted: Vec<Box<str>>,
}

/// The most errors of one reply that are counted one by one.
const COUNTED_MAX: usize = 1_000;

impl Outcome {
    /// Notes an error in the reply.
    pub(super) fn fail(&mut self, text: &[u8], counted: bool) {
        self.failed = true;
        if !counted && self.uncounted.len() < COUNTED_MAX {
            let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
            self.uncounted.push(String::from_utf8_lossy(code).into());
        }
    }
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
    /// What is run.
    pub(super) kind: Kind,
    /// Scripts see what Redis 7 took from them, unless configured.
    pub(super) deprecated_api: bool,
    /// The library that is being loaded.
    pub(super) registering: RefCell<Option<Registering>>,
    /// State of `math.random`: 48 bits.
    pub(super) random: Cell<u64>,
    /// The command that a script is about to call.
    pub(super) args: RefCell<ArgBuf>,
    /// Its reply.
    pub(super) reply: RefCell<Reply>,
    /// The reply of the run, and the errors in it.
    result: RefCell<(Reply, Outcome)>,
    failure: RefCell<Option<Failure>>,
    /// What a native function on Lua's stack has left to be raised.
    left: RefCell<Option<Failed>>,
}

/// Why a native function on Lua's stack has no result.
#[derive(Debug)]
pub(super) enum Failed {
    /// An error that the script gets.
    Raise(Raise),
    /// A panic of the server, which goes on.
    Panic(Box<dyn Any + Send>),
}

impl From<Raise> for Failed {
    fn from(raise: Raise) -> Self {
        Self::Raise(raise)
    }
}

/// The run under way, for the native functions on Lua's stack.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    keys: Args<'a>,
    argv: Args<'a>,
}

scoped_thread_local!(
    static RUN: for<'a> &'a Run<'a>
);

/// Gives the run under way, or `None` outside of a run. It is lent in a way that Lua may jump out of.
pub(super) fn with_run<R>(f: impl FnOnce(&Run<'_>) -> R) -> Option<R> {
    RUN.is_set().then(|| RUN.with(f))
}

/// Leaves what is to be raised where [`Shared::raise`] finds it.
pub(super) fn leave(failed: Failed) -> Raised {
    with_run(|run| *run.shared.left.borrow_mut() = Some(failed));
    Raised
}

/// Runs what is loaded under a number and writes its reply to [`Shared::result`]; returns an error, and
/// whether there is none. Made with the message handler, the table of what is loaded, that of the globals,
/// and the names of keys and arguments among them.
struct Enter;

impl Native for Enter {
    fn run(stack: &mut Stack<'_>) -> Result<(), Raised> {
        let number = match stack.get(1) {
            Slot::Number(number) => number as usize,
            _ => 0,
        };
        stack.truncate(0);
        (1..=3).for_each(|upvalue| stack.push_upvalue(upvalue));
        let done = match (stack.table(2), stack.table(3)) {
            (Some(loaded), Some(globals)) => call(stack, loaded, globals, number),
            _ => false,
        };
        if done {
            keep_result(stack);
            stack.push_nil();
        }
        stack.move_to(1);
        stack.truncate(1);
        stack.push_bool(done);
        Ok(())
    }
}

/// Calls what is loaded under a number. Scripts find keys and arguments among their globals, functions get
/// them as parameters.
fn call(stack: &mut Stack<'_>, loaded: TableAt, globals: TableAt, number: usize) -> bool {
    let as_globals = with_run(|run| {
        let scripts = run.shared.kind == Kind::Scripts;
        if scripts {
            for (name, args) in [(4, run.keys), (5, run.argv)] {
                stack.push_upvalue(name);
                convert::push_args(args, stack);
                stack.set_pair(globals);
            }
        }
        stack.push_item(loaded, number);
        if !scripts {
            convert::push_args(run.keys, stack);
            convert::push_args(run.argv, stack);
        }
        scripts
    });
    let args = if as_globals == Some(false) { 2 } else { 0 };
    stack.call_protected(args, 1)
}

/// Writes the value on top of the stack as the run's reply.
fn keep_result(stack: &mut Stack<'_>) {
    with_run(|run| {
        let mut result = ManuallyDrop::new(run.shared.result.take());
        let (reply, outcome) = &mut *result;
        reply.truncate(0);
        convert::reply(stack, run.shared.proto.get(), reply, outcome);
        run.shared.result.replace(ManuallyDrop::into_inner(result));
    });
}

impl Shared {
    fn new(kind: Kind, deprecated_api: bool) -> Self {
        Self {
            kind,
            deprecated_api,
            registering: RefCell::new(None),
            proto: Cell::new(Proto::Resp2),
            killed: Cell::new(false),
            random: Cell::new(sandbox::RANDOM_START),
            args: RefCell::new(ArgBuf::new()),
            reply: RefCell::new(Reply::new(Proto::Resp2)),
            result: RefCell::default(),
            failure: RefCell::new(None),
            left: RefCell::new(None),
        }
    }

    /// Raises what a native function has left, in the place of it.
    fn raise(&self) -> mlua::Result<()> {
        match self.left.take() {
            Some(Failed::Raise(raise)) => Err(raise.into()),
            Some(Failed::Panic(panic)) => resume_unwind(panic),
            None => Err(redis_api::error("no script runs").into()),
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
        trim(&mut self.reply.borrow_mut());
    }

    /// The message handler of a run: notes the error and its line.
    pub(super) fn note_failure(&self, lua: &Lua, error: &Value) {
        let (text, counted) = describe(lua, error);
        let line = raise::script_line(lua);
        *self.failure.borrow_mut() = Some(Failure { text, counted, line });
    }
}

/// Gives back the storage of a large reply.
fn trim(reply: &mut Reply) {
    if reply.capacity() > KEEP_SCRATCH {
        *reply = Reply::new(Proto::Resp2);
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

/// What is run: its number in the VM, and the name that errors give it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) number: u32,
    pub(super) name: &'a [u8],
}

/// The VM with the sandbox built into it.
pub(super) struct Vm {
    pub(super) lua: Lua,
    pub(super) shared: Rc<Shared>,
    /// What is loaded, by number.
    pub(super) loaded: Table,
    load: Function,
    /// Runs the code of a library; none where there are no libraries.
    register: Option<Function>,
    run: Function,
    reset: Function,
    sweep: Function,
    runs: u32,
}

impl Vm {
    /// A VM in which nothing is loaded.
    ///
    /// # Panics
    /// If the sandbox's own code doesn't run: a defect, or no memory at all.
    pub(super) fn new(kind: Kind, deprecated_api: bool) -> Self {
        Self::build(Rc::new(Shared::new(kind, deprecated_api)))
            .unwrap_or_else(|error| panic!("the Lua sandbox fails: {error}"))
    }

    fn build(shared: Rc<Shared>) -> mlua::Result<Self> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        // With the stock `xpcall`, which makes no closure for each run. A panic that is caught goes
        // on: the sandbox hands what it catches to native functions, where the panic resumes.
        let options = LuaOptions::new().catch_rust_panics(true);
        let lua = Lua::new_with(libs, options)?;
        let state = Rc::clone(&shared);
        stack::set_raise(&lua, lua.create_function(move |_, ()| state.raise())?)?;
        let entry: Table = sandbox::install(&lua, &shared)?;
        let triggers = HookTriggers::new().every_nth_instruction(TICK_INSTRUCTIONS);
        let state = Rc::clone(&shared);
        lua.set_global_hook(triggers, move |_, _| tick(&state))?;
        let loaded: Table = entry.get("loaded")?;
        let handler: Function = entry.get("failed")?;
        let globals: Table = entry.get("globals")?;
        Ok(Self {
            run: stack::closure::<Enter>(&lua, (handler, &loaded, globals, "KEYS", "ARGV"))?,
            loaded,
            load: entry.get("load")?,
            register: entry.get("register")?,
            reset: entry.get("reset")?,
            sweep: entry.get("sweep")?,
            runs: 0,
            shared,
            lua,
        })
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Bytes that it holds, without what scripts left behind if it is quick to collect.
    pub(super) fn bytes_in_use(&self) -> usize {
        if self.bytes() <= SMALL_HEAP {
            // It fails only for want of memory, and then there is the more to tell of.
            let _ = self.lua.gc_collect();
        }
        self.bytes()
    }

    /// Compiles a source and keeps it under its number; the text of what is wrong with it.
    pub(super) fn compile(&self, number: u32, source: &[u8]) -> Result<(), Vec<u8>> {
        let compiled = self
            .lua
            .create_string(source)
            .and_then(|source| self.load.call::<Value>((number, source)));
        match compiled {
            Ok(Value::Nil) => Ok(()),
            Ok(error) => Err(raise::text_of(&error)),
            Err(error) => Err(raise::text_of(&Value::Error(Box::new(error)))),
        }
    }

    /// Runs what was compiled under this number as the code of a library, which may only register
    /// functions; the error's text, code first.
    pub(super) fn register(&self, number: u32, host: &mut dyn Host) -> Result<(), Vec<u8>> {
        let none = Args::new(&[], &[]);
        let Some(register) = &self.register else { return Ok(()) };
        let Err(error) = self.invoke(register, number, none, none, host) else { return Ok(()) };
        Err(match self.shared.killed.get() {
            true => LOAD_TIMEOUT.to_vec(),
            false => self.failure(&error).text,
        })
    }

    /// Runs something and appends its reply to `out`, in the protocol that `out` is set to.
    pub(super) fn run(
        &mut self,
        target: Target<'_>,
        keys: Args<'_>,
        argv: Args<'_>,
        host: &mut dyn Host,
        out: &mut Reply,
    ) -> Outcome {
        self.shared.result.borrow_mut().0.set_proto(out.proto());
        let outcome = match self.invoke(&self.run, target.number, keys, argv, host) {
            Ok(()) => self.take_result(out),
            Err(error) => self.reply_failure(target, &error, out),
        };
        self.shared.end_run();
        self.keep_house();
        outcome
    }

    fn invoke(
        &self,
        entry: &Function,
        number: u32,
        keys: Args<'_>,
        argv: Args<'_>,
        host: &mut dyn Host,
    ) -> Result<(), Value> {
        self.shared.begin_run();
        let run = Run { shared: &self.shared, keys, argv };
        let limited = self.lua.set_memory_limit(MEMORY_LIMIT);
        let result = limited.and_then(|_| {
            host::with_host_set(host, || RUN.set(&run, || entry.call::<(Value, bool)>(number)))
        });
        // Neither this nor what follows can fail, save for want of memory, of which the result tells.
        let _ = self.lua.set_memory_limit(0);
        let error = match result {
            Ok((_, true)) => return Ok(()),
            Ok((error, false)) => error,
            Err(error) => Value::Error(Box::new(error)),
        };
        let _ = self.reset.call::<()>(());
        Err(error)
    }

    /// Appends what the run has replied.
    fn take_result(&self, out: &mut Reply) -> Outcome {
        let (reply, outcome) = &mut *self.shared.result.borrow_mut();
        out.raw(reply.bytes());
        reply.truncate(0);
        trim(reply);
        std::mem::take(outcome)
    }

    /// What ended a run.
    fn failure(&self, error: &Value) -> Failure {
        let noted = self.shared.failure.borrow_mut().take();
        noted.unwrap_or_else(|| {
            let (text, counted) = describe(&self.lua, error);
            Failure { text, counted, line: None }
        })
    }

    /// The reply of a run that ended with an error, with its name and line.
    fn reply_failure(&self, target: Target<'_>, error: &Value, out: &mut Reply) -> Outcome {
        let mut failure = self.failure(error);
        if self.shared.killed.get() {
            failure.text = match self.shared.kind {
                Kind::Scripts => KILLED.to_vec(),
                Kind::Functions => FUNCTION_KILLED.to_vec(),
            };
        }
        if let Some((source, line)) = failure.line {
            failure.text.extend_from_slice(b" script: ");
            failure.text.extend_from_slice(target.name);
            failure.text.extend_from_slice(format!(", on {source}:{line}.").as_bytes());
        }
        out.error_text(&failure.text);
        let mut outcome = Outcome::default();
        outcome.fail(&failure.text, failure.counted);
        outcome
    }

    /// From time to time removes what scripts left behind in shared tables, and gives the
    /// collector a step, so that small scripts don't put its work off for ever. While there is
    /// little to collect, its own pace does.
    fn keep_house(&mut self) {
        self.runs += 1;
        if self.runs >= SWEEP_RUNS {
            self.runs = 0;
            // Neither can fail, save for want of memory; then the next round will do it.
            let _ = self.sweep.call::<()>(());
            if self.bytes() > SMALL_HEAP {
                let _ = self.lua.gc_step();
            }
        }
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
