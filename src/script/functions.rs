//! Libraries of functions: what FUNCTION LOAD takes and FCALL finds.
//!
//! Owns the VM of functions, each library's code and what it has registered, and the rules about
//! names. Never decides who may call a function: see [`Host`].

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;

use super::engine::CompileError;
use super::host::Host;
use super::register::{BAD_NAME, Registered, Registering};
use super::shebang::Flags;
use super::vm::{Kind, Outcome, Target, Vm};
use crate::resp::{Args, Reply};
use crate::util::split::split_args;

/// The name of the only language there is, as FUNCTION LIST and FUNCTION STATS give it.
pub const LANGUAGE: &str = "LUA";

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its code, with the line that names it.
    pub code: Arc<[u8]>,
    functions: Vec<Registered>,
}

impl Library {
    /// Its functions, in the order in which they were registered.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Described<'_>> {
        self.functions.iter().map(|function| Described {
            name: &function.name,
            description: function.description.as_deref(),
            flags: function.flags,
        })
    }

    fn heap_bytes(&self) -> usize {
        let of_function = |function: &Registered| {
            size_of::<Registered>()
                + 2 * function.name.len()
                + size_of::<Function>()
                + function.description.as_ref().map_or(0, |text| text.len())
        };
        size_of::<Self>()
            + 2 * self.name.len()
            + self.code.len()
            + self.functions.iter().map(of_function).sum::<usize>()
    }
}

/// What a library tells of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// What it does, if that was given.
    pub description: Option<&'a [u8]>,
    /// What it declares about itself.
    pub flags: Flags,
}

/// A function that can be called. It may outlive its library, but must not be called then.
#[derive(Debug, Clone)]
pub struct Function {
    library: Rc<Library>,
    index: usize,
}

impl Function {
    fn registered(&self) -> &Registered {
        &self.library.functions[self.index]
    }

    /// Its name, as it was registered.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.registered().name
    }

    /// What it declares about itself.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.registered().flags
    }
}

/// What FUNCTION RESTORE does with the libraries that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestorePolicy {
    /// All go.
    Flush,
    /// All stay; a name that is taken is an error.
    Append,
    /// Those of the same names go.
    Replace,
}

/// The VM of functions while one of them runs.
pub struct FunctionVm(Box<Vm>);

impl FunctionVm {
    /// Calls a function and appends its reply to `out`, in the protocol that `out` is set to.
    pub fn run(
        &mut self,
        function: &Function,
        keys: Args<'_>,
        argv: Args<'_>,
        host: &mut dyn Host,
        out: &mut Reply,
    ) -> Outcome {
        let registered = function.registered();
        let target = Target { number: registered.number, name: &registered.name };
        self.0.run(target, keys, argv, host, out)
    }
}

/// Where the VM is.
#[derive(Default)]
enum Place {
    /// Nowhere: nothing needs one yet.
    #[default]
    Unmade,
    Here(Box<Vm>),
    /// With the run under way, which holds this many bytes of it.
    Running(usize),
}

/// All libraries.
#[derive(Default)]
pub struct Functions {
    vm: Place,
    /// `lua-enable-deprecated-api`.
    deprecated_api: bool,
    libraries: BTreeMap<Box<[u8]>, Rc<Library>>,
    /// By name in lower case.
    functions: HashMap<Box<[u8]>, Function, DefaultHashBuilder>,
    /// The number that what is loaded next gets in the VM.
    next: u32,
}

impl Functions {
    /// No libraries. `deprecated_api`: those to come see `getfenv`, `setfenv`, `newproxy`.
    #[must_use]
    pub fn new(deprecated_api: bool) -> Self {
        Self { deprecated_api, ..Self::default() }
    }

    /// Number of libraries.
    #[must_use]
    pub fn library_count(&self) -> usize {
        self.libraries.len()
    }

    /// Number of functions in all libraries.
    #[must_use]
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// The libraries by name.
    pub fn libraries(&self) -> impl Iterator<Item = &Library> {
        self.libraries.values().map(|library| &**library)
    }

    /// The code of every library, by name: what a dump or a snapshot holds.
    #[must_use]
    pub fn codes(&self) -> Vec<Arc<[u8]>> {
        self.libraries().map(|library| Arc::clone(&library.code)).collect()
    }

    /// The function of this name, in any case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Function> {
        self.functions.get(&*folded(name))
    }

    /// Bytes that the VM holds, without what functions left behind in a small one
    /// (`used_memory_vm_functions`). It takes a moment: not for each command.
    #[must_use]
    pub fn vm_bytes(&self) -> usize {
        match &self.vm {
            Place::Unmade => 0,
            Place::Here(vm) => vm.bytes_in_use(),
            Place::Running(bytes) => *bytes,
        }
    }

    /// Bytes that libraries hold besides the VM (`used_memory_functions`).
    #[must_use]
    pub fn library_bytes(&self) -> usize {
        self.libraries().map(Library::heap_bytes).sum()
    }

    /// Whether a function runs: then nothing can be loaded or removed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.vm, Place::Running(_))
    }

    /// Hands out the VM for a run; none if nothing is loaded, or a function runs already.
    pub fn begin_run(&mut self) -> Option<FunctionVm> {
        match std::mem::take(&mut self.vm) {
            Place::Here(vm) => {
                self.vm = Place::Running(vm.bytes());
                Some(FunctionVm(vm))
            }
            other => {
                self.vm = other;
                None
            }
        }
    }

    /// Takes the VM back.
    pub fn end_run(&mut self, vm: FunctionVm) {
        self.vm = Place::Here(vm.0);
    }

    /// Loads a library; returns its name. `host` is asked how long its code may run.
    ///
    /// # Errors
    /// The error reply's text; what was loaded before is as it was then.
    pub fn load(
        &mut self,
        code: &[u8],
        replace: bool,
        host: &mut dyn Host,
    ) -> Result<Box<[u8]>, CompileError> {
        let header = Header::parse(code)?;
        if !replace && self.libraries.contains_key(&*header.name) {
            return Err(quoted(b"ERR Library '", &header.name, b"' already exists"));
        }
        let library = self.compile(header, code, host)?;
        let name = library.name.clone();
        self.join(vec![library], |old| *old.name == *name)?;
        Ok(name)
    }

    /// Removes a library; says whether there was one.
    pub fn delete(&mut self, name: &[u8]) -> bool {
        let found = self.libraries.remove(name);
        if let Some(library) = &found {
            self.unlink(library);
            self.forget(library.functions.iter().map(|function| function.number));
        }
        found.is_some()
    }

    /// Removes all libraries, and the VM with them: it can't leave its thread, so an asynchronous
    /// flush is the same. Does nothing while a function runs.
    pub fn flush(&mut self) {
        if !self.is_running() {
            *self = Self::new(self.deprecated_api);
        }
    }

    /// Loads several libraries at once: all of them or none.
    ///
    /// # Errors
    /// The error reply's text; what was loaded before is as it was then.
    pub fn restore<'a>(
        &mut self,
        codes: impl Iterator<Item = &'a [u8]>,
        policy: RestorePolicy,
        host: &mut dyn Host,
    ) -> Result<(), CompileError> {
        let mut restored: Vec<Library> = Vec::new();
        for code in codes {
            let loaded = Header::parse(code).and_then(|header| {
                if restored.iter().any(|library| library.name == header.name) {
                    return Err(quoted(b"ERR Library '", &header.name, b"' already exists"));
                }
                self.compile(header, code, host)
            });
            match loaded {
                Ok(library) => restored.push(library),
                Err(error) => {
                    self.discard(&restored);
                    return Err(error);
                }
            }
        }
        let taken = restored.iter().find(|library| self.libraries.contains_key(&library.name));
        if let Some(taken) = taken.filter(|_| policy == RestorePolicy::Append) {
            let error = quoted(b"ERR Library ", &taken.name, b" already exists");
            self.discard(&restored);
            return Err(error);
        }
        let names: Vec<Box<[u8]>> = restored.iter().map(|library| library.name.clone()).collect();
        let flush = policy == RestorePolicy::Flush;
        self.join(restored, |old| flush || names.contains(&old.name))
    }

    /// Runs a library's code and collects what it registers.
    fn compile(
        &mut self,
        header: Header,
        code: &[u8],
        host: &mut dyn Host,
    ) -> Result<Library, CompileError> {
        if let Place::Unmade = self.vm {
            self.vm = Place::Here(Box::new(Vm::new(Kind::Functions, self.deprecated_api)));
        }
        let Place::Here(vm) = &self.vm else {
            return Err(CompileError::new(b"ERR a function is running"));
        };
        let number = self.next;
        let following = number.checked_add(1);
        let next = following.ok_or_else(|| CompileError::new(b"ERR too many functions"))?;
        vm.compile(number, &code[header.end..])
            .map_err(|text| CompileError::about(b"ERR Error compiling function: ", &text))?;
        let registering = Registering { loaded: vm.loaded.clone(), next, functions: Vec::new() };
        *vm.shared.registering.borrow_mut() = Some(registering);
        let result = vm.register(number, host);
        let registered = vm.shared.registering.borrow_mut().take();
        let (functions, next) = registered.map_or((Vec::new(), next), |r| (r.functions, r.next));
        self.next = next;
        self.forget([number].into_iter());
        let library = Library { name: header.name, code: code.into(), functions };
        let error = match result {
            Ok(()) if library.functions.is_empty() => {
                CompileError::new(b"ERR No functions registered")
            }
            Ok(()) => return Ok(library),
            Err(text) => CompileError::about(b"ERR Error registering functions: ", &text),
        };
        self.discard(&[library]);
        Err(error)
    }

    /// Puts libraries in the place of those that `goes` tells to go.
    fn join(
        &mut self,
        libraries: Vec<Library>,
        goes: impl Fn(&Library) -> bool,
    ) -> Result<(), CompileError> {
        if let Some(name) = self.taken(&libraries, &goes) {
            let error = quoted(b"ERR Function ", &name, b" already exists");
            self.discard(&libraries);
            return Err(error);
        }
        let old: Vec<Box<[u8]>> =
            self.libraries().filter(|old| goes(old)).map(|old| old.name.clone()).collect();
        for name in old {
            self.delete(&name);
        }
        for library in libraries {
            let library = Rc::new(library);
            for (index, function) in library.functions.iter().enumerate() {
                let called = Function { library: Rc::clone(&library), index };
                self.functions.insert((*folded(&function.name)).into(), called);
            }
            self.libraries.insert(library.name.clone(), library);
        }
        Ok(())
    }

    /// The first name of a function in `libraries` that another library has already.
    fn taken(&self, libraries: &[Library], goes: &impl Fn(&Library) -> bool) -> Option<Box<[u8]>> {
        let mut new: HashMap<SmallVec<[u8; 64]>, usize, DefaultHashBuilder> = HashMap::default();
        for (index, library) in libraries.iter().enumerate() {
            for function in &library.functions {
                let name = folded(&function.name);
                let stays = self.functions.get(&*name).is_some_and(|old| !goes(&old.library));
                if stays || *new.entry(name).or_insert(index) != index {
                    return Some(function.name.clone());
                }
            }
        }
        None
    }

    /// Forgets the names of a library's functions.
    fn unlink(&mut self, library: &Rc<Library>) {
        for function in &library.functions {
            let name = folded(&function.name);
            if self.functions.get(&*name).is_some_and(|found| Rc::ptr_eq(&found.library, library)) {
                self.functions.remove(&*name);
            }
        }
    }

    /// Lets go of libraries that never joined.
    fn discard(&mut self, libraries: &[Library]) {
        let functions = libraries.iter().flat_map(|library| &library.functions);
        self.forget(functions.map(|function| function.number));
    }

    /// Has the VM let go of what stands there under these numbers.
    fn forget(&self, numbers: impl Iterator<Item = u32>) {
        let Place::Here(vm) = &self.vm else { return };
        for number in numbers {
            // What can't be removed, for want of memory, only takes room.
            let _ = vm.loaded.raw_set(number, mlua::Nil);
        }
    }
}

/// A name as it is looked up: in lower case.
fn folded(name: &[u8]) -> SmallVec<[u8; 64]> {
    name.iter().map(u8::to_ascii_lowercase).collect()
}

fn quoted(before: &[u8], name: &[u8], after: &[u8]) -> CompileError {
    CompileError([before, name, after].concat())
}

/// Whether libraries and functions may be called so.
pub(super) fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The first line of a library: `#!lua name=mylib`.
struct Header {
    name: Box<[u8]>,
    /// Where the line ends: at the line break, so that line numbers hold.
    end: usize,
}

impl Header {
    fn parse(code: &[u8]) -> Result<Self, CompileError> {
        let invalid = || CompileError::new(b"ERR Invalid library metadata");
        let rest = code.strip_prefix(b"#!");
        let rest = rest.ok_or_else(|| CompileError::new(b"ERR Missing library metadata"))?;
        let len = memchr::memchr(b'\n', rest).ok_or_else(invalid)?;
        // The language follows at once: with a space between, it is the empty one.
        let line = &code[..len + 2];
        let words = split_args(line).filter(|words| !words.is_empty()).ok_or_else(invalid)?;
        let language = words[0].strip_prefix(b"#!").unwrap_or_default();
        let mut name: Option<&[u8]> = None;
        for word in &words[1..] {
            let (key, value) = word.split_at(word.len().min(5));
            if !key.eq_ignore_ascii_case(b"name=") {
                return Err(CompileError::about(b"ERR Invalid metadata value given: ", word));
            }
            if name.replace(value).is_some() {
                return Err(CompileError::new(
                    b"ERR Invalid metadata value, name argument was given multiple times",
                ));
            }
        }
        let name = name.ok_or_else(|| CompileError::new(b"ERR Library name was not given"))?;
        if !is_valid_name(name) {
            return Err(CompileError::about(b"ERR ", BAD_NAME.as_bytes()));
        }
        if !language.eq_ignore_ascii_case(LANGUAGE.as_bytes()) {
            return Err(quoted(b"ERR Engine '", language, b"' not found"));
        }
        Ok(Self { name: name.into(), end: len + 2 })
    }
}
