//! What a command handler sees: the server, the client's reply, and lookups with Redis's rules.
//!
//! Owns the rules of looking up (lazy expiry, hit and miss counts, access clocks, type checks) and
//! of announcing changes (WATCH, notifications, the dirty count, keys that become ready). Never
//! parses arguments and never does I/O.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::config::NotifyFlags;
use crate::keyspace::{Db, Entry, StrView};
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::server::Server;
use crate::server::blocked::{Blocked, TimeoutReply};
use crate::server::client::{Client, ClientRef};
use crate::server::command::CommandId;
use crate::server::propagate::Targets;
use crate::util::num;
use crate::value::{Collection, Type, Value};

/// On whose behalf a command is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The client itself, directly.
    Client,
    /// EXEC.
    Exec,
    /// A script.
    Script,
    /// The server, since a key that the client waits for is ready.
    Unblocked,
}

/// The context of one call.
pub struct Ctx<'a> {
    /// The server.
    pub srv: &'a mut Server,
    /// Where the reply is written.
    pub out: Reply,
    /// The client; a script's commands run as the script's caller.
    pub client: ClientRef,
    /// The selected database.
    pub db: usize,
    /// The command called.
    pub command: CommandId,
    /// On whose behalf it is called.
    pub caller: Caller,
    /// Whether the handler asked to wait; see [`Ctx::block`].
    pub(in crate::server) blocks: bool,
    /// Whether what it changed was told by the handler; else the command is told as it was called.
    pub(in crate::server) told: bool,
    /// Whether the call counts as failed though the handler doesn't end with an error.
    pub(in crate::server) failed: bool,
}

/// The most that a reply may have which a few bytes of a request can make as long as they like.
const REPLY_MAX: usize = 1 << 30;

/// Where a reply of random elements began, and the length of `out` at which it stops.
#[derive(Debug, Clone, Copy)]
pub struct OutputCap {
    start: usize,
    /// The longest that `out` may become.
    pub max: usize,
    closes: bool,
}

impl Ctx<'_> {
    /// The time of the call, in Unix milliseconds; it stands still in a script or transaction.
    pub fn now_ms(&self) -> i64 {
        self.srv.now_ms
    }

    /// The selected database, without lookup rules.
    pub fn db(&self) -> &Db {
        &self.srv.dbs[self.db]
    }

    /// The same to change, without announcing anything.
    pub fn db_mut(&mut self) -> &mut Db {
        &mut self.srv.dbs[self.db]
    }

    /// The calling client.
    ///
    /// # Panics
    /// Never while its command runs: clients are removed between commands.
    pub fn client(&mut self) -> &mut Client {
        self.srv.clients.get_mut(self.client).expect("a client outlives its command")
    }

    /// How far a reply may grow that draws `count` random elements; a negative count draws each from
    /// all of them, as often as it says.
    ///
    /// # Errors
    /// If the reply would have more than [`REPLY_MAX`] bytes whatever is drawn, and nobody would close
    /// the client for it.
    pub fn output_cap(&mut self, count: i64) -> Result<OutputCap, Error> {
        let start = self.out.len();
        if count >= 0 {
            return Ok(OutputCap { start, max: usize::MAX, closes: false });
        }
        let class = self.client().class();
        let limit = self.srv.config.output_limit(class).hard_bytes;
        if limit > 0 && !self.denies_blocking() {
            let max = usize::try_from(limit).unwrap_or(usize::MAX);
            return Ok(OutputCap { start, max, closes: true });
        }
        const SHORTEST: u64 = b"$0\r\n\r\n".len() as u64;
        if count.unsigned_abs().saturating_mul(SHORTEST) > REPLY_MAX as u64 {
            return Err(Error::OutOfRange);
        }
        Ok(OutputCap { start, max: start.saturating_add(REPLY_MAX), closes: false })
    }

    /// Ends a reply that may have stopped at its cap: takes it back, unless the client will be closed
    /// for it.
    pub fn end_capped(&mut self, cap: OutputCap) -> Result<(), Error> {
        if cap.closes || self.out.len() <= cap.max {
            return Ok(());
        }
        self.out.truncate(cap.start);
        Err(Error::OutOfRange)
    }

    /// The command's name as error texts give it.
    pub fn command_name(&self) -> &'static str {
        self.srv.commands.get(self.command).command.name
    }

    /// Whether the caller can't be made to wait: a script or transaction.
    pub fn denies_blocking(&self) -> bool {
        matches!(self.caller, Caller::Script | Caller::Exec)
    }

    // ---- lookups ----------------------------------------------------------------------------

    /// Deletes the key if it is due. Every lookup does so first, save that what reads deletes nothing
    /// while clients are paused.
    #[inline]
    pub fn expire_if_due(&mut self, key: &[u8]) {
        self.srv.expire_if_due(self.db, key);
    }

    /// The entry of a key, for reading: counts a hit or miss and touches the access clock.
    pub fn lookup(&mut self, key: &[u8]) -> Option<&Entry> {
        self.lookup_reply(key).0
    }

    /// As [`lookup`](Self::lookup), with the reply to write to while the entry is borrowed.
    pub fn lookup_reply(&mut self, key: &[u8]) -> (Option<&Entry>, &mut Reply) {
        (self.srv.lookup_read(self.db, key, self.client, true), &mut self.out)
    }

    /// As [`lookup`](Self::lookup), but the access clock stays: for EXISTS, TYPE and TTL.
    pub fn lookup_untouched(&mut self, key: &[u8]) -> Option<&Entry> {
        self.srv.lookup_read(self.db, key, self.client, false)
    }

    /// As [`lookup`](Self::lookup), but the access clock moves in any case: TOUCH does what it says.
    pub fn lookup_touched(&mut self, key: &[u8]) -> Option<&Entry> {
        let (eviction, clock) = (self.srv.eviction, self.srv.access_clock());
        let entry = self.lookup_untouched(key)?;
        eviction.touch(entry, clock);
        Some(entry)
    }

    /// The entry of a key without any trace: no statistics, no access clock. Expiry applies.
    pub fn peek(&mut self, key: &[u8]) -> Option<&Entry> {
        self.srv.peek(self.db, key)
    }

    /// Whether there is such a key; no statistics.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// The entry of a key, to change its value. Its deadline stays: see
    /// [`set_deadline`](Self::set_deadline).
    pub fn lookup_write(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.expire_if_due(key);
        let clock = self.srv.access_clock();
        let hash = self.srv.hash(self.db, key);
        let srv = &mut *self.srv;
        let entry = srv.dbs[self.db].get_mut_hashed(hash, key)?;
        srv.eviction.touch_for(&srv.clients, self.client, entry, clock);
        Some(entry)
    }

    /// The string at a key, for reading, with the reply to write to.
    pub fn read_str(&mut self, key: &[u8]) -> Result<(Option<StrView<'_>>, &mut Reply), Error> {
        match self.lookup_reply(key) {
            (None, out) => Ok((None, out)),
            (Some(entry), out) => Ok((Some(entry.str().ok_or(Error::WrongType)?), out)),
        }
    }

    /// The collection at a key, for reading, with the reply to write to.
    pub fn read<T: Collection>(&mut self, key: &[u8]) -> Result<(Option<&T>, &mut Reply), Error> {
        match self.lookup_reply(key) {
            (None, out) => Ok((None, out)),
            (Some(entry), out) => Ok((Some(entry.collection().ok_or(Error::WrongType)?), out)),
        }
    }

    /// The collection at a key, to change, with the reply to write to. Announce the change by
    /// [`modified`](Self::modified), and call [`drop_if_empty`](Self::drop_if_empty) after a
    /// removal.
    pub fn write<T: Collection>(
        &mut self,
        key: &[u8],
    ) -> Result<(Option<&mut T>, &mut Reply), Error> {
        self.expire_if_due(key);
        let clock = self.srv.access_clock();
        let hash = self.srv.hash(self.db, key);
        let srv = &mut *self.srv;
        let Some(entry) = srv.dbs[self.db].get_mut_hashed(hash, key) else {
            return Ok((None, &mut self.out));
        };
        if entry.kind() != T::TYPE {
            return Err(Error::WrongType);
        }
        srv.eviction.touch_for(&srv.clients, self.client, entry, clock);
        Ok((entry.collection_mut(), &mut self.out))
    }

    /// As [`write`](Self::write), but a missing key is created with an empty collection. If
    /// nothing is then added, [`drop_if_empty`](Self::drop_if_empty) must follow.
    pub fn upsert<T: Collection>(&mut self, key: &[u8]) -> Result<(&mut T, &mut Reply), Error> {
        let (entry, _, out) = self.upsert_entry(key, || T::default().into_value())?;
        entry.collection_mut().map(|found| (found, out)).ok_or(Error::WrongType)
    }

    /// The entry of a key, to change its value, which is made by `new` if there is none; says
    /// whether it was. With it comes the reply to write to.
    #[inline]
    pub fn upsert_entry(
        &mut self,
        key: &[u8],
        new: impl FnOnce() -> Value,
    ) -> Result<(&mut Entry, bool, &mut Reply), Error> {
        self.expire_if_due(key);
        let clock = self.srv.access_clock();
        let srv = &mut *self.srv;
        let hash = srv.hash(self.db, key);
        let found = srv.dbs[self.db].locate(hash, key);
        let slot = match found {
            Some(slot) => slot,
            None => {
                let entry = Entry::new(key, new(), None);
                srv.added(self.db, &entry);
                srv.dbs[self.db].put_hashed(hash, entry);
                srv.dbs[self.db].locate(hash, key).ok_or(Error::NoSuchKey)?
            }
        };
        let entry = srv.dbs[self.db].entry_mut(hash, slot).ok_or(Error::NoSuchKey)?;
        if found.is_some() {
            srv.eviction.touch_for(&srv.clients, self.client, entry, clock);
        }
        Ok((entry, found.is_none(), &mut self.out))
    }

    /// The string at a key as bytes to change in place.
    pub fn write_str(&mut self, key: &[u8]) -> Result<Option<&mut Vec<u8>>, Error> {
        match self.lookup_write(key) {
            None => Ok(None),
            Some(entry) => entry.str_mut().map(Some).ok_or(Error::WrongType),
        }
    }

    /// As [`write_str`](Self::write_str), but a missing key is created with an empty string.
    pub fn upsert_str(&mut self, key: &[u8]) -> Result<&mut Vec<u8>, Error> {
        let (entry, ..) = self.upsert_entry(key, || Value::Str(triomphe::Arc::default()))?;
        entry.str_mut().ok_or(Error::WrongType)
    }

    /// Refuses a key that holds something else than a `T`, without a trace.
    pub fn kind_is<T: Collection>(&mut self, key: &[u8]) -> Result<(), Error> {
        match self.kind_of(key) {
            Some(kind) if kind != T::TYPE => Err(Error::WrongType),
            _ => Ok(()),
        }
    }

    /// The type of a key's value, without a trace.
    pub fn kind_of(&mut self, key: &[u8]) -> Option<Type> {
        self.peek(key).map(Entry::kind)
    }

    // ---- changes ----------------------------------------------------------------------------

    /// Puts an entry in the place of whatever its key held. Announces nothing but the new key
    /// to those who are blocked on it; call [`modified`](Self::modified).
    pub fn put(&mut self, entry: Entry) {
        self.srv.put(self.db, entry);
    }

    /// Stores a string at a key, without a deadline unless given, in place where possible.
    pub fn put_str(&mut self, key: &[u8], value: &[u8], deadline: Option<i64>) {
        let srv = &mut *self.srv;
        let clock = srv.access_clock();
        let hash = srv.hash(self.db, key);
        let db = &mut srv.dbs[self.db];
        if let Some(entry) = db.get_mut_hashed(hash, key)
            && entry.overwrite(value, deadline)
        {
            srv.eviction.touch(entry, clock);
            return;
        }
        srv.put_hashed(self.db, hash, Entry::string(key, value, deadline));
    }

    /// Deletes a key; says whether there was one. `lazy` frees any value on the background thread
    /// (large ones go there anyway).
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.expire_if_due(key);
        self.srv.delete(self.db, key)
    }

    /// Deletes a key that holds an empty collection, with the `del` event; says whether it did.
    pub fn drop_if_empty(&mut self, key: &[u8]) -> bool {
        let hash = self.srv.hash(self.db, key);
        let found = self.db().get_hashed(hash, key);
        let empty = found.and_then(Entry::value).is_some_and(|value| value.is_empty());
        if empty && self.srv.delete(self.db, key) {
            self.srv.notify(NotifyFlags::GENERIC, "del", self.db, key);
        }
        empty
    }

    /// As [`drop_if_empty`](Self::drop_if_empty), without an event: undoes an `upsert` that added
    /// nothing.
    pub fn undo_upsert(&mut self, key: &[u8]) {
        let empty = self.db().get(key).and_then(Entry::value).is_some_and(|v| v.is_empty());
        if empty {
            self.db_mut().take(key);
        }
    }

    /// Sets or clears a key's deadline; says whether there is such a key.
    pub fn set_deadline(&mut self, key: &[u8], deadline: Option<i64>) -> bool {
        self.db_mut().set_deadline(key, deadline)
    }

    /// Announces a change of a key: to WATCH and tracking, to subscribers of its event, to the dirty count.
    #[inline]
    pub fn modified(&mut self, class: NotifyFlags, event: &str, key: &[u8]) {
        self.modified_by(1, class, event, key);
    }

    /// As [`modified`](Self::modified), where the dirty count grows by `changes`.
    #[inline]
    pub fn modified_by(&mut self, changes: usize, class: NotifyFlags, event: &str, key: &[u8]) {
        self.touched(key);
        self.srv.dirty += changes as u64;
        self.srv.notify(class, event, self.db, key);
    }

    /// Marks a key as changed for those who WATCH it or may hold it, and no more.
    #[inline]
    pub fn touched(&mut self, key: &[u8]) {
        self.srv.key_changed(self.db, key, Some(self.client));
    }

    /// Publishes a keyspace event.
    pub fn notify(&mut self, class: NotifyFlags, event: &str, key: &[u8]) {
        self.srv.notify(class, event, self.db, key);
    }

    /// Notes that a key may now serve clients that wait for it: after adding to a collection.
    #[inline]
    pub fn signal_ready(&mut self, key: &[u8]) {
        self.srv.blocked.signal(self.db, key);
    }

    /// Notes that a key was taken from its place, for those who wait and need it.
    pub fn signal_gone(&mut self, key: &[u8]) {
        self.srv.blocked.signal_gone(self.db, key);
    }

    // ---- propagation ------------------------------------------------------------------------

    /// Tells the AOF and replicas of a change by this command instead of the one called: for what
    /// isn't the same when it is executed again (random choice, relative time, floating point).
    /// Several calls add up, in their order. Does nothing while nobody listens.
    #[inline]
    pub fn propagate_as(&mut self, words: &[&[u8]]) {
        self.propagate_words(words.iter().copied());
    }

    /// As [`propagate_as`](Self::propagate_as), for any number of words.
    pub fn propagate_words<'w>(&mut self, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        self.told = true;
        self.srv.propagation.add_command(self.db, words);
    }

    /// As [`propagate_as`](Self::propagate_as), with a number as the last word.
    #[inline]
    pub fn propagate_number(&mut self, words: &[&[u8]], number: i64) {
        self.told = true;
        if self.srv.propagation.listens(Targets::all()) {
            let mut digits = num::IntBuf::new();
            let words: SmallVec<[&[u8]; 6]> =
                words.iter().copied().chain([num::fmt_i64(number, &mut digits)]).collect();
            self.srv.propagation.add_command(self.db, words.into_iter());
        }
    }

    /// Tells that a key was deleted, where the setting `lazy` says by which of both words.
    pub fn propagate_deleted(&mut self, key: &[u8], lazy: bool) {
        self.propagate_as(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
    }

    /// Whether anybody is told of changes: if not, what is told need not be made up.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.srv.propagation.listens(Targets::all())
    }

    /// Keeps the command from being told: it changed nothing that its effects don't tell.
    pub fn propagate_nothing(&mut self) {
        self.told = true;
    }

    /// Has the call count as failed: the reply holds an error, which is counted already.
    pub fn failed(&mut self) {
        self.failed = true;
    }

    // ---- waiting ----------------------------------------------------------------------------

    /// Makes the client wait until one of `keys` holds a value of type `kind`; the command is then
    /// executed again. Where the caller can't wait, the timeout's reply is given at once.
    /// `timeout_ms` of 0 is for ever. The handler must return without a reply after this.
    pub fn block<'k>(
        &mut self,
        args: Args<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
        kind: Type,
        timeout_ms: i64,
        on_timeout: TimeoutReply,
    ) -> Result<(), Error> {
        self.block_until(args, keys, kind, false, timeout_ms, on_timeout)
    }

    /// As [`block`](Self::block), and the command is also executed again when one of `keys` is gone
    /// or has another type. The timeout's reply is a null array.
    pub fn block_on_group<'k>(
        &mut self,
        args: Args<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
        timeout_ms: i64,
    ) -> Result<(), Error> {
        self.block_until(args, keys, Type::Stream, true, timeout_ms, TimeoutReply::NullArray)
    }

    /// Blocks the client until the command, executed again, finds what the client did where it is
    /// to be.
    pub fn block_for_acks(
        &mut self,
        args: Args<'_>,
        timeout_ms: i64,
        on_timeout: TimeoutReply,
    ) -> Result<(), Error> {
        let none = std::iter::empty();
        self.block_until(args, none, Type::String, false, timeout_ms, on_timeout)?;
        if self.blocks && on_timeout == TimeoutReply::Durability {
            self.srv.wait_for_sync(self.client);
        }
        Ok(())
    }

    fn block_until<'k>(
        &mut self,
        args: Args<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
        kind: Type,
        needs_keys: bool,
        timeout_ms: i64,
        on_timeout: TimeoutReply,
    ) -> Result<(), Error> {
        if self.denies_blocking() {
            on_timeout.write(self.srv.is_durable(self.client), &mut self.out);
            return Ok(());
        }
        self.blocks = true;
        if self.caller == Caller::Unblocked {
            return Ok(());
        }
        let deadline_ms = match timeout_ms {
            0 => None,
            timeout_ms => {
                Some(self.now_ms().checked_add(timeout_ms).ok_or(Error::TimeoutOutOfRange)?)
            }
        };
        let blocked = Blocked {
            command: self.command,
            args: ArgBuf::from(args),
            db: self.db,
            keys: keys.map(Into::into).collect(),
            kind,
            needs_keys,
            deadline_ms,
            on_timeout,
            spent_ns: 0,
        };
        self.srv.block_client(self.client, blocked);
        Ok(())
    }

    /// Reads a timeout in milliseconds (an integer), which ends at a time that can be told.
    pub fn timeout_ms(&self, arg: &[u8]) -> Result<i64, Error> {
        let ms = crate::util::num::parse_i64(arg).ok_or(Error::TimeoutNotInteger)?;
        match () {
            () if ms < 0 => Err(Error::TimeoutNegative),
            () if self.now_ms().checked_add(ms).is_none() => Err(Error::TimeoutOutOfRange),
            () => Ok(ms),
        }
    }

    /// Reads a timeout in seconds (a float), as blocking commands take it, in milliseconds.
    pub fn parse_timeout(arg: &[u8]) -> Result<i64, Error> {
        let parsed = match arg.first() {
            None | Some(b' ' | b'\t'..=b'\r') => None,
            Some(_) => crate::util::num::parse_f64_lax(arg),
        };
        let seconds = parsed.ok_or(Error::TimeoutNotFloat)?;
        let ms = (seconds * 1000.0).ceil();
        if ms < 0.0 {
            return Err(Error::TimeoutNegative);
        }
        if ms >= i64::MAX as f64 {
            return Err(Error::TimeoutOutOfRange);
        }
        Ok(ms as i64)
    }

    /// An error reply with the command's name put in, for texts that quote it.
    pub fn arity_error(&self) -> Error {
        Error::wrong_arity(self.full_name())
    }

    /// The command's full name: `config|get`.
    pub fn full_name(&self) -> Cow<'static, str> {
        let row = self.srv.commands.get(self.command);
        match row.parent {
            Some(_) => Cow::Owned(row.full_name.to_string()),
            None => Cow::Borrowed(row.command.name),
        }
    }
}
