//! Native functions that work on Lua's own stack.
//!
//! One of the two files with `unsafe`. mlua makes each value that passes between Lua and Rust an object of
//! its own, which costs more than most commands. What a script does for each command goes this way
//! instead: arguments are read where they are, results are pushed where they belong. Owns the calling of
//! such functions and the access to the stack. Knows nothing of commands.
//!
//! Lua reports errors (want of memory above all) by `longjmp`, over the frames of the Rust functions between.
//! That is sound while none of them has anything to drop or to catch. Hence the rule of [`Native::run`].

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use mlua::{Function, IntoLuaMulti, Lua, ffi};

/// Where the registry has the function that raises what a native function left for it.
const RAISE: &CStr = c"rhubarb.raise";
/// The same as mlua wants it.
const RAISE_NAME: &str = "rhubarb.raise";
/// Slots of the stack that an operation may take besides the one that it leaves filled.
const SPARE: c_int = 4;
/// Operations for which Lua has made room when it calls a function.
const GIVEN: u8 = ffi::LUA_MINSTACK as u8 - SPARE as u8;
/// Operations for which more room is made at once.
const MORE: u8 = 64;

/// A function that Lua code may call.
pub(super) trait Native {
    /// Reads its arguments and leaves its results, and no more than these, on the stack.
    ///
    /// While a method of [`Stack`] pushes something or changes a table, no value that has a destructor
    /// may be alive in this function or those that it calls: Lua may jump out of it for want of memory.
    /// Nothing is undefined if one is, but it is leaked.
    fn run(stack: &mut Stack<'_>) -> Result<(), Raised>;
}

/// An error waits where the function given to [`set_raise`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raised;

/// Sets the function that raises, as an error in Lua, what a native function left behind for it.
pub(super) fn set_raise(lua: &Lua, raise: Function) -> mlua::Result<()> {
    lua.set_named_registry_value(RAISE_NAME, raise)
}

/// The Lua function of a native one.
pub(super) fn function<N: Native>(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: `enter` is a C function as Lua 5.1 wants it: it takes the state, returns the number of
    // results, and leaves them on top of the stack.
    unsafe { lua.create_c_function(enter::<N>) }
}

/// The same with values that it finds by [`Stack::push_upvalue`].
pub(super) fn closure<N: Native>(lua: &Lua, upvalues: impl IntoLuaMulti) -> mlua::Result<Function> {
    // SAFETY: `bind` is a C function as Lua 5.1 wants it, which returns the closure that it leaves.
    let bind = unsafe { lua.create_c_function(bind::<N>)? };
    bind.call(upvalues)
}

/// # Safety
/// Lua calls it, with its state and at most 255 arguments.
unsafe extern "C-unwind" fn bind<N: Native>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the closure takes all that is on the stack, and there is room for it in their place. Making
    // it may jump away: there is nothing to drop.
    unsafe {
        let upvalues = ffi::lua_gettop(state);
        ffi::lua_pushcclosure(state, enter::<N>, upvalues);
    }
    1
}

/// # Safety
/// Lua calls it, with its state.
unsafe extern "C-unwind" fn enter<N: Native>(state: *mut ffi::lua_State) -> c_int {
    let mut stack = Stack { state, room: GIVEN, lives: PhantomData };
    if N::run(&mut stack).is_err() {
        // SAFETY: the state is valid during this call. After `lua_settop(0)` there is room for LUA_MINSTACK
        // values; `lua_call` takes the one that was pushed. Either may jump away: there is nothing to drop.
        unsafe {
            ffi::lua_settop(state, 0);
            ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, RAISE.as_ptr());
            ffi::lua_call(state, 0, 0);
        }
    }
    stack.len()
}

/// A value on the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slot<'a> {
    /// Nil, or nothing.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string's bytes.
    Text(&'a [u8]),
    /// A table.
    Table,
    /// Anything else.
    Other,
}

/// A table on the stack: its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableAt(c_int);

/// The part of Lua's stack that belongs to one call of a native function.
///
/// The state that it points to is valid, and running this call, for as long as a `Stack` exists: [`enter`]
/// alone makes one, and lends it to [`Native::run`]. Every method relies on that.
pub(super) struct Stack<'a> {
    state: *mut ffi::lua_State,
    /// How often something can be pushed before room must be made: each time a slot, and `SPARE` beyond.
    room: u8,
    lives: PhantomData<&'a mut ffi::lua_State>,
}

impl Stack<'_> {
    /// Number of values on the stack: at first, the arguments.
    pub(super) fn len(&self) -> c_int {
        // SAFETY: the state is valid.
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// The value at a place, counted from 1.
    pub(super) fn get(&self, place: c_int) -> Slot<'_> {
        if !(1..=self.len()).contains(&place) {
            return Slot::Nil;
        }
        // SAFETY: there is a value at this place. `lua_tolstring` changes nothing of a string and can't
        // fail. The bytes stay where they are while the value is on the stack, and nothing takes it from
        // there while `self` is borrowed.
        unsafe {
            match ffi::lua_type(self.state, place) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let text = ffi::lua_tolstring(self.state, place, &raw mut len);
                    Slot::Text(std::slice::from_raw_parts(text.cast::<u8>(), len))
                }
                ffi::LUA_TNUMBER => Slot::Number(ffi::lua_tonumber(self.state, place)),
                ffi::LUA_TTABLE => Slot::Table,
                ffi::LUA_TBOOLEAN => Slot::Bool(ffi::lua_toboolean(self.state, place) != 0),
                ffi::LUA_TNIL => Slot::Nil,
                _ => Slot::Other,
            }
        }
    }

    /// The value on top.
    pub(super) fn top(&self) -> Slot<'_> {
        self.get(self.len())
    }

    /// Leaves no more than the first `len` values.
    pub(super) fn truncate(&mut self, len: c_int) {
        let len = len.clamp(0, self.len());
        // SAFETY: the state is valid, and the stack doesn't grow.
        unsafe { ffi::lua_settop(self.state, len) }
    }

    /// Makes room for one more operation, or raises Lua's error of a full stack.
    #[inline]
    fn reserve(&mut self) {
        if self.room == 0 {
            self.room = MORE;
            let slots = c_int::from(MORE) + SPARE;
            // SAFETY: the state is valid. `luaL_checkstack` jumps away if there is no room.
            unsafe { ffi::luaL_checkstack(self.state, slots, c"too many results".as_ptr()) }
        }
        self.room -= 1;
    }

    /// Moves the value on top of the stack to a place, over what is there.
    pub(super) fn move_to(&mut self, place: c_int) {
        if (1..self.len()).contains(&place) {
            // SAFETY: there are two values, one on top and one at the place.
            unsafe { ffi::lua_replace(self.state, place) }
        }
    }

    /// Pushes nil.
    pub(super) fn push_nil(&mut self) {
        self.reserve();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.state) }
    }

    /// Pushes a boolean.
    pub(super) fn push_bool(&mut self, value: bool) {
        self.reserve();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.state, c_int::from(value)) }
    }

    /// Pushes a number.
    pub(super) fn push_number(&mut self, value: f64) {
        self.reserve();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.state, value) }
    }

    /// Pushes a string.
    pub(super) fn push_text(&mut self, text: &[u8]) {
        self.reserve();
        // SAFETY: there is room; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.state, text.as_ptr().cast(), text.len()) }
    }

    /// Pushes an empty table with room for a sequence and other fields.
    pub(super) fn push_table(&mut self, sequence: usize, fields: usize) -> TableAt {
        let size = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
        self.reserve();
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.state, size(sequence), size(fields)) }
        TableAt(self.len())
    }

    /// Pushes the value at a place once more; nil if there is none.
    pub(super) fn push_copy(&mut self, place: c_int) {
        self.reserve();
        match (1..=self.len()).contains(&place) {
            // SAFETY: there is room, and a value at the place.
            true => unsafe { ffi::lua_pushvalue(self.state, place) },
            false => self.push_nil(),
        }
    }

    /// Pushes a value that the function was made with, counted from 1; nil if there are fewer.
    pub(super) fn push_upvalue(&mut self, number: u8) {
        self.reserve();
        // SAFETY: there is room. For a number past the last one Lua pushes nil; 0 would be the globals.
        unsafe { ffi::lua_pushvalue(self.state, ffi::lua_upvalueindex(c_int::from(number.max(1)))) }
    }

    /// Pushes the field of this name of the table at a place, without metamethods.
    pub(super) fn push_field(&mut self, table: TableAt, name: &[u8]) {
        self.push_text(name);
        self.check_table(table);
        // SAFETY: the key is on top of the stack, and at the place is a table.
        unsafe { ffi::lua_rawget(self.state, table.0) };
    }

    /// Pushes this item of the sequence of the table at a place.
    pub(super) fn push_item(&mut self, table: TableAt, index: usize) {
        self.reserve();
        self.check_table(table);
        let index = c_int::try_from(index).unwrap_or(c_int::MAX);
        // SAFETY: there is room, and at the place is a table.
        unsafe { ffi::lua_rawgeti_(self.state, table.0, index) }
    }

    /// A border of the table at a place: what `#` gives.
    pub(super) fn raw_len(&self, table: TableAt) -> usize {
        self.check_table(table);
        // SAFETY: at the place is a table.
        unsafe { ffi::lua_objlen(self.state, table.0) }
    }

    /// Takes a key from the top of the stack and pushes the table's next key and its value; false, and
    /// nothing is pushed, if there is none. Before the first key stands nil.
    pub(super) fn next(&mut self, table: TableAt) -> bool {
        self.reserve();
        self.check(table, 1);
        // SAFETY: at the place is a table, and above it one value, the key; there is room. Lua jumps away
        // if it isn't a key of the table.
        unsafe { ffi::lua_next(self.state, table.0) != 0 }
    }

    /// The value at a place, as a table; none if it is something else.
    pub(super) fn table(&self, place: c_int) -> Option<TableAt> {
        (self.get(place) == Slot::Table).then_some(TableAt(place))
    }

    /// Calls the function below the upper `args` values with these. In the place of all of them it leaves
    /// one result, and tells true; or an error, as the function at the place `handler` shows it.
    pub(super) fn call_protected(&mut self, args: c_int, handler: c_int) -> bool {
        let function = self.len() - args;
        assert!((1..function).contains(&handler) && args >= 0, "a script's stack is out of step");
        // SAFETY: function and arguments are on top of the stack, and below them there is a handler. Either
        // may be of any type: Lua reports one that can't be called as an error. The result takes the
        // function's place.
        unsafe { ffi::lua_pcall(self.state, args, 1, handler) == ffi::LUA_OK }
    }

    /// Moves the value on top of the stack into the table below it, as its field of this name.
    pub(super) fn set_field(&mut self, table: TableAt, name: &[u8]) {
        self.check(table, 1);
        self.push_text(name);
        // SAFETY: on top of the stack are the value and the key, and below them a table, which was just
        // checked. There is room for one copy of the value.
        unsafe {
            ffi::lua_insert(self.state, -2);
            ffi::lua_rawset(self.state, table.0);
        }
    }

    /// Moves the value on top of the stack into the table below it, as this item of its sequence.
    pub(super) fn set_item(&mut self, table: TableAt, index: usize) {
        self.check(table, 1);
        let index = c_int::try_from(index).unwrap_or(c_int::MAX);
        // SAFETY: the value is on top of the stack, and the table below it, as was just checked.
        unsafe { ffi::lua_rawseti_(self.state, table.0, index) }
    }

    /// Moves the two values on top of the stack into the table below them: a key, and above it its value. A
    /// key of nil is left out.
    pub(super) fn set_pair(&mut self, table: TableAt) {
        self.check(table, 2);
        // SAFETY: key and value are on top of the stack, and the table below them, as was just checked.
        unsafe {
            match ffi::lua_type(self.state, -2) {
                ffi::LUA_TNIL => ffi::lua_settop(self.state, table.0),
                _ => ffi::lua_rawset(self.state, table.0),
            }
        }
    }

    /// # Panics
    /// If what lies above the table isn't so many values, or it isn't a table: a defect.
    fn check(&self, table: TableAt, above: c_int) {
        assert_eq!(self.len(), table.0 + above, "a script's stack is out of step");
        self.check_table(table);
    }

    /// # Panics
    /// If there is no table at this place any more: a defect.
    fn check_table(&self, table: TableAt) {
        // SAFETY: the place is positive and at most one that has been used, for which there is room.
        let kind = unsafe { ffi::lua_type(self.state, table.0) };
        assert_eq!(kind, ffi::LUA_TTABLE, "a script's stack is out of step");
    }
}
