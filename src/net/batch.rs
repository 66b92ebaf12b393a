//! A pipeline's commands, parsed ahead of their execution.
//!
//! Owns the look ahead: the commands of a read are found first, then their keys are brought into
//! the processor's cache together, so that the misses of one don't wait for those of another.
//! Never executes anything.

use smallvec::SmallVec;

use crate::ds::dict::Step;
use crate::keyspace::{Db, Entry, KnownHash};
use crate::resp::{ArgBuf, Args, Limits, Parsed, ProtocolError, RequestParser, Span, parse_whole};
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::server::command::{CommandId, Inside, NotFound, Table};
use crate::value::Value;
use crate::value::list::{self, List, NodeStep};

/// The most commands that are parsed ahead: enough to hide the memory's latency, and few enough
/// for the cache.
const AHEAD: usize = 32;
/// The most spans whose memory is kept from batch to batch.
const SPANS_KEPT: usize = 4096;

/// How the look ahead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is more to parse.
    More,
    /// The rest is a part of a command.
    Incomplete,
    /// The rest breaks the protocol.
    Broken(ProtocolError),
}

/// A command that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it begins in the data.
    start: usize,
    /// Where it ends in the data.
    pub(super) end: usize,
    /// Where its arguments end in the batch's spans; they begin where those of the one before end.
    spans_end: usize,
    /// The arguments, if they don't stand in the data as they are.
    inline: Option<ArgBuf>,
    /// Its row.
    pub(super) command: Result<CommandId, NotFound>,
}

/// A key that a command will look up.
#[derive(Debug)]
struct Lookup<'a> {
    key: &'a [u8],
    hash: u64,
    /// Whether the command before looks up the same key.
    repeated: bool,
    /// What it will need of the value, if that stands apart.
    inside: Option<Wanted<'a>>,
}

/// As [`Inside`], of one call.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    Member(&'a [u8]),
    End(list::End),
}

/// Commands parsed ahead, in their order. The memory is kept from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    found: Vec<Found>,
    spans: Vec<Span>,
    /// The hash of each command's first key, if the look ahead got to it.
    hashes: Vec<KnownHash>,
}

impl Batch {
    /// Number of commands.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// The command at `index` and its arguments, in the data that it was found in.
    pub(super) fn get<'a>(&'a self, index: usize, data: &'a [u8]) -> (&'a Found, Args<'a>) {
        let found = &self.found[index];
        let spans_start = index.checked_sub(1).map_or(0, |before| self.found[before].spans_end);
        let args = match &found.inline {
            Some(args) => args.args(),
            None => Args::new(&data[found.start..], &self.spans[spans_start..found.spans_end]),
        };
        (found, args)
    }

    /// Finds the next commands in `data` from `start` on; says how that ended, and where.
    pub(super) fn fill(
        &mut self,
        commands: &Table,
        parser: &mut RequestParser,
        data: &[u8],
        start: usize,
        limits: &Limits,
    ) -> (End, usize) {
        self.found.clear();
        match self.spans.capacity() > SPANS_KEPT {
            true => self.spans = Vec::new(),
            false => self.spans.clear(),
        }
        self.hashes.clear();
        // What a client may send changes when it authenticates: it is looked at one by one till then.
        let most = if limits.authenticated { AHEAD } else { 1 };
        let mut at = start;
        // Pipelines mostly call one command again and again.
        let mut last: Option<(&[u8], CommandId)> = None;
        while self.found.len() < most {
            let rest = &data[at..];
            if limits.authenticated
                && parser.is_idle()
                && let Some(consumed) = parse_whole(rest, limits, &mut self.spans)
            {
                let start = self.found.last().map_or(0, |last| last.spans_end);
                let Span { start: name_start, len } = self.spans[start];
                let name = &rest[name_start..name_start + len];
                let command = match last {
                    Some((last, id)) if last == name => Ok(id),
                    _ => {
                        let found = commands.find(&Args::new(rest, &self.spans[start..]));
                        let by_name = found.ok().filter(|&id| commands.get(id).is_found_by_name());
                        last = by_name.map(|id| (name, id));
                        found
                    }
                };
                self.add(at, consumed, None, command);
                at += consumed;
                continue;
            }
            match parser.parse(rest, limits) {
                Ok(Parsed::Incomplete) => return (End::Incomplete, at),
                Ok(Parsed::Empty { consumed }) => at += consumed,
                Ok(Parsed::Command { consumed }) => {
                    let command = commands.find(&parser.args(rest));
                    let inline = parser.take_inline();
                    if inline.is_none() {
                        self.spans.extend_from_slice(parser.spans());
                        parser.release();
                    }
                    self.add(at, consumed, inline, command);
                    at += consumed;
                }
                Err(error) => return (End::Broken(error), at),
            }
        }
        (End::More, at)
    }

    /// Adds a command whose arguments are the last spans, or `inline`.
    #[inline]
    fn add(
        &mut self,
        start: usize,
        len: usize,
        inline: Option<ArgBuf>,
        command: Result<CommandId, NotFound>,
    ) {
        let spans_end = self.spans.len();
        self.found.push(Found { start, end: start + len, spans_end, inline, command });
    }

    /// Brings the keys of the batch, and the members that are looked up in collections, into the
    /// processor's cache.
    pub(super) fn prefetch(&mut self, server: &Server, id: ClientRef, data: &[u8]) {
        let Some(client) = server.clients.get(id) else { return };
        let db = &server.dbs[client.db];
        if self.len() < 2 || db.is_empty() {
            return;
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.resize(self.len(), KnownHash::default());
        let mut lookups = SmallVec::<[Lookup<'_>; AHEAD]>::new();
        for (index, known) in hashes.iter_mut().enumerate() {
            let (found, args) = self.get(index, data);
            let Ok(command) = found.command else { continue };
            let row = server.commands.get(command);
            let Some(key) = row.first_key.and_then(|at| args.get(at)) else { continue };
            let last = lookups.last().filter(|last| last.key == key);
            let (repeated, hash) = match last {
                Some(last) => (true, last.hash),
                None => (false, db.hash(key)),
            };
            *known = KnownHash::of(key, hash);
            let inside = row.inside.and_then(|inside| match inside {
                Inside::Member(at) => args.get(at).map(Wanted::Member),
                Inside::End(end) => Some(Wanted::End(end)),
            });
            lookups.push(Lookup { key, hash, repeated, inside });
        }
        for step in Step::ALL {
            let new = lookups.iter().filter(|lookup| !lookup.repeated);
            new.for_each(|lookup| db.prefetch(lookup.hash, step));
        }
        prefetch_inside(db, &lookups);
        drop(lookups);
        self.hashes = hashes;
    }

    /// What is known of the first key of the command at `index`.
    #[inline]
    pub(super) fn known(&self, index: usize) -> KnownHash {
        self.hashes.get(index).copied().unwrap_or_default()
    }
}

/// As [`Batch::prefetch`], from the keys on.
fn prefetch_inside(db: &Db, lookups: &[Lookup<'_>]) {
    let mut bodies = SmallVec::<[(&Value, Wanted<'_>); AHEAD]>::new();
    let mut values = SmallVec::<[(&Value, &[u8]); AHEAD]>::new();
    let mut last = None;
    for lookup in lookups {
        let Some(inside) = lookup.inside else { continue };
        if !lookup.repeated {
            last = db.get_hashed(lookup.hash, lookup.key).and_then(Entry::value);
            last.into_iter().for_each(Value::prefetch);
            bodies.extend(last.map(|value| (value, inside)));
        }
        if let (Some(value), Wanted::Member(member)) = (last, inside) {
            values.push((value, member));
        }
    }
    bodies.iter().for_each(|(value, inside)| match *inside {
        Wanted::Member(_) => value.prefetch_body(),
        Wanted::End(end) => value.prefetch_end(end),
    });
    prefetch_outer_nodes(&bodies);
    let hashed =
        values.iter().filter_map(|(value, member)| Some((*value, value.member_hash(member)?)));
    let members = hashed.collect::<SmallVec<[(&Value, u64); AHEAD]>>();
    for step in Step::ALL {
        members.iter().for_each(|(value, hash)| value.prefetch_member(*hash, step));
    }
}

/// As [`prefetch_inside`], for the ends of lists that are trees, from the root on.
fn prefetch_outer_nodes(bodies: &[(&Value, Wanted<'_>)]) {
    let trees = bodies.iter().filter_map(|&(value, inside)| match (value, inside) {
        (Value::List(list), Wanted::End(end)) if list.has_nodes() => Some((&**list, end)),
        _ => None,
    });
    let trees = trees.collect::<SmallVec<[(&List, list::End); AHEAD]>>();
    for step in NodeStep::ALL {
        trees.iter().for_each(|(list, end)| list.prefetch_node(*end, step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Limits = Limits { bulk_len_max: 1 << 20, authenticated: true };

    #[test]
    fn looking_ahead_finds_what_looking_one_by_one_finds() {
        let table = crate::commands::table();
        let mut data = Vec::new();
        for number in 0..AHEAD + 8 {
            match number % 4 {
                0 => data.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n"),
                1 => data.extend_from_slice(b"set k2 \"a b\"\r\n"),
                2 => data.extend_from_slice(b"\r\n*1\r\n$4\r\nnope\r\n"),
                _ => data.extend_from_slice(b"*0\r\n*3\r\n$3\r\nsEt\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"),
            }
        }
        let whole = data.len();
        data.extend_from_slice(b"*2\r\n$3\r\nGE");
        let (mut parser, mut batch) = (RequestParser::new(), Batch::default());
        let (end, at) = batch.fill(&table, &mut parser, &data, 0, &OPEN);
        assert_eq!((end, batch.len()), (End::More, AHEAD));
        let words = |index| batch.get(index, &data).1.iter().collect::<Vec<_>>();
        assert_eq!(words(0), [&b"GET"[..], b"k1"]);
        assert_eq!(words(1), [&b"set"[..], b"k2", b"a b"]);
        assert_eq!(words(AHEAD - 1), [&b"sEt"[..], b"k", b"\r\n"]);
        assert!(batch.get(0, &data).0.command.is_ok());
        assert_eq!(batch.get(2, &data).0.command, Err(NotFound::Command));
        let (end, at) = batch.fill(&table, &mut parser, &data, at, &OPEN);
        assert_eq!((end, at, batch.len()), (End::Incomplete, whole, 8));
        // What was looked at in part is found when it is whole, be it given again or gone on with.
        parser.restart();
        data.extend_from_slice(b"T\r\n$1\r\nx\r\n$");
        let (end, _) = batch.fill(&table, &mut parser, &data, whole, &OPEN);
        assert_eq!((end, batch.len()), (End::Incomplete, 1));
        assert_eq!(batch.get(0, &data).1.at(1), b"x");
    }

    #[test]
    fn a_name_in_a_row_is_looked_up_as_the_first_was() {
        let table = crate::commands::table();
        let data = b"*1\r\n$6\r\nCLIENT\r\n*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n\
            *2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n\
            *2\r\n$3\r\nGET\r\n$1\r\nb\r\n*2\r\n$3\r\nget\r\n$1\r\nb\r\n*1\r\n$3\r\nGEX\r\n\
            *1\r\n$3\r\nGEX\r\n";
        let (mut parser, mut batch) = (RequestParser::new(), Batch::default());
        batch.fill(&table, &mut parser, data, 0, &OPEN);
        let name = |found: &Found| found.command.map(|id| &*table.get(id).full_name);
        let names: Vec<_> = batch.found.iter().map(name).collect();
        let expected = ["client", "client|id", "client|list", "get", "get", "get"].map(Ok);
        assert_eq!(names[..6], expected);
        assert_eq!(names[6..], [Err(NotFound::Command); 2]);
    }

    #[test]
    fn a_broken_request_ends_the_look_ahead_behind_the_whole_ones() {
        let table = crate::commands::table();
        let data = b"PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n!4\r\n";
        let (mut parser, mut batch) = (RequestParser::new(), Batch::default());
        let (end, at) = batch.fill(&table, &mut parser, data, 0, &OPEN);
        assert_eq!(end, End::Broken(ProtocolError::ExpectedDollar(b'!')));
        assert_eq!((batch.len(), at), (2, 20));
        // Who hasn't authenticated is looked at command by command.
        let closed = Limits { authenticated: false, ..OPEN };
        let mut parser = RequestParser::new();
        assert_eq!(batch.fill(&table, &mut parser, data, 0, &closed), (End::More, 6));
        assert_eq!(batch.len(), 1);
    }
}
