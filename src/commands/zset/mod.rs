//! Sorted sets: the rows, and what their handlers share.

mod combine;
mod pop;
mod range;
mod read;
mod write;

use crate::commands::{DELETE_KEY, META_KEY, POP_KEY, READ_KEY};
use crate::resp::{Error, Reply};
use crate::server::command::Command;
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::util::num;

const ZSET: Command =
    Command { group: Group::SortedSet, categories: Category::SORTEDSET, ..Command::DEFAULT };
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const READ_MOVABLE: Flags = READ.union(Flags::MOVABLEKEYS);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const GROW: Flags = WRITE.union(Flags::DENYOOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const BLOCK: Flags = WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const POPS: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const UPDATE_KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const UPDATE_ACCESS: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];
const BLOCK_KEYS: &[KeySpec] = &[KeySpec::range(1, -2, 1, POPS)];
const STORE_RANGE: &[KeySpec] = &[KeySpec::one(1, STORES), KeySpec::one(2, READS)];
const NUM_KEYS: &[KeySpec] = &[KeySpec::numkeys(1, READS)];
const MPOP_KEYS: &[KeySpec] = &[KeySpec::numkeys(1, POPS)];
const BMPOP_KEYS: &[KeySpec] = &[numkeys_at(2, POPS)];
const STORE_KEYS: &[KeySpec] = &[KeySpec::one(1, STORES), numkeys_at(2, READS)];

const fn numkeys_at(index: usize, flags: KeyFlags) -> KeySpec {
    let find = Find::Numkeys { index: 0, first: 1, step: 1 };
    KeySpec { search: Search::Index(index), find, flags }
}

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        flags: GROW_FAST,
        keys: UPDATE_KEYS,
        since: "1.2.0",
        complexity: "O(log N) for each member",
        summary: "Adds members or changes their scores.",
        handler: write::zadd,
        ..ZSET
    },
    Command {
        name: "zincrby",
        arity: 4,
        flags: GROW_FAST,
        keys: UPDATE_ACCESS,
        since: "1.2.0",
        complexity: "O(log N)",
        summary: "Adds to a member's score.",
        handler: write::zincrby,
        ..ZSET
    },
    Command {
        name: "zrem",
        arity: -3,
        flags: WRITE_FAST,
        keys: DELETE_KEY,
        since: "1.2.0",
        complexity: "O(M log N), M members",
        summary: "Removes members.",
        handler: write::zrem,
        ..ZSET
    },
    Command {
        name: "zremrangebyrank",
        arity: 4,
        flags: WRITE,
        keys: DELETE_KEY,
        since: "2.0.0",
        complexity: "O(log N + M), M members removed",
        summary: "Removes the members of a range of ranks.",
        handler: write::zremrangebyrank,
        ..ZSET
    },
    Command {
        name: "zremrangebyscore",
        arity: 4,
        flags: WRITE,
        keys: DELETE_KEY,
        since: "1.2.0",
        complexity: "O(log N + M), M members removed",
        summary: "Removes the members of a range of scores.",
        handler: write::zremrangebyscore,
        ..ZSET
    },
    Command {
        name: "zremrangebylex",
        arity: 4,
        flags: WRITE,
        keys: DELETE_KEY,
        since: "2.8.9",
        complexity: "O(log N + M), M members removed",
        summary: "Removes the members of a lexicographic range.",
        handler: write::zremrangebylex,
        ..ZSET
    },
    Command {
        name: "zcard",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        since: "1.2.0",
        summary: "Returns the number of members.",
        handler: read::zcard,
        ..ZSET
    },
    Command {
        name: "zscore",
        arity: 3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "1.2.0",
        summary: "Returns a member's score.",
        handler: read::zscore,
        ..ZSET
    },
    Command {
        name: "zmscore",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(M), M members",
        summary: "Returns the scores of members.",
        handler: read::zmscore,
        ..ZSET
    },
    Command {
        name: "zrank",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Returns a member's rank, lowest score first.",
        handler: read::zrank,
        ..ZSET
    },
    Command {
        name: "zrevrank",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Returns a member's rank, highest score first.",
        handler: read::zrank,
        ..ZSET
    },
    Command {
        name: "zcount",
        arity: 4,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Counts the members of a range of scores.",
        handler: range::zcount,
        ..ZSET
    },
    Command {
        name: "zlexcount",
        arity: 4,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.8.9",
        complexity: "O(log N)",
        summary: "Counts the members of a lexicographic range.",
        handler: range::zlexcount,
        ..ZSET
    },
    Command {
        name: "zrandmember",
        arity: -2,
        flags: READ,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(M log N), M members returned",
        summary: "Returns random members.",
        tips: &["nondeterministic_output"],
        handler: read::zrandmember,
        ..ZSET
    },
    Command {
        name: "zscan",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all N members",
        summary: "Iterates over members and scores.",
        tips: &["nondeterministic_output"],
        handler: read::zscan,
        ..ZSET
    },
    Command {
        name: "zrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.2.0",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a range of ranks, scores or names.",
        handler: range::zrange,
        ..ZSET
    },
    Command {
        name: "zrangestore",
        arity: -5,
        flags: GROW,
        keys: STORE_RANGE,
        since: "6.2.0",
        complexity: "O(log N + M), M members stored",
        summary: "Stores the members of a range at a key.",
        handler: range::zrangestore,
        ..ZSET
    },
    Command {
        name: "zrevrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.2.0",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a range of ranks, highest score first.",
        handler: range::zrevrange,
        ..ZSET
    },
    Command {
        name: "zrangebyscore",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.0.5",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a range of scores.",
        handler: range::zrangebyscore,
        ..ZSET
    },
    Command {
        name: "zrevrangebyscore",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.2.0",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a range of scores, highest first.",
        handler: range::zrevrangebyscore,
        ..ZSET
    },
    Command {
        name: "zrangebylex",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.9",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a lexicographic range.",
        handler: range::zrangebylex,
        ..ZSET
    },
    Command {
        name: "zrevrangebylex",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.9",
        complexity: "O(log N + M), M members returned",
        summary: "Returns the members of a lexicographic range, last first.",
        handler: range::zrevrangebylex,
        ..ZSET
    },
    Command {
        name: "zpopmin",
        arity: -2,
        flags: WRITE_FAST,
        keys: POP_KEY,
        since: "5.0.0",
        complexity: "O(M log N), M members removed",
        summary: "Removes and returns the members of the lowest scores.",
        handler: pop::zpop,
        ..ZSET
    },
    Command {
        name: "zpopmax",
        arity: -2,
        flags: WRITE_FAST,
        keys: POP_KEY,
        since: "5.0.0",
        complexity: "O(M log N), M members removed",
        summary: "Removes and returns the members of the highest scores.",
        handler: pop::zpop,
        ..ZSET
    },
    Command {
        name: "bzpopmin",
        arity: -3,
        flags: BLOCK,
        keys: BLOCK_KEYS,
        since: "5.0.0",
        complexity: "O(log N)",
        summary: "Removes and returns the member of the lowest score, and waits for one.",
        handler: pop::bzpop,
        ..ZSET
    },
    Command {
        name: "bzpopmax",
        arity: -3,
        flags: BLOCK,
        keys: BLOCK_KEYS,
        since: "5.0.0",
        complexity: "O(log N)",
        summary: "Removes and returns the member of the highest score, and waits for one.",
        handler: pop::bzpop,
        ..ZSET
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: WRITE.union(Flags::MOVABLEKEYS),
        keys: MPOP_KEYS,
        since: "7.0.0",
        complexity: "O(K) + O(M log N), K keys, M members removed",
        summary: "Removes and returns members of the first sorted set that isn't empty.",
        handler: pop::zmpop,
        ..ZSET
    },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: WRITE.union(Flags::BLOCKING).union(Flags::MOVABLEKEYS),
        keys: BMPOP_KEYS,
        since: "7.0.0",
        complexity: "O(K) + O(M log N), K keys, M members removed",
        summary: "Removes and returns members of a sorted set, and waits for some.",
        handler: pop::bzmpop,
        ..ZSET
    },
    Command {
        name: "zunion",
        arity: -3,
        flags: READ_MOVABLE,
        keys: NUM_KEYS,
        since: "6.2.0",
        complexity: "O(N) + O(M log M), N members in, M out",
        summary: "Returns the union of sorted sets.",
        handler: combine::zunion,
        ..ZSET
    },
    Command {
        name: "zinter",
        arity: -3,
        flags: READ_MOVABLE,
        keys: NUM_KEYS,
        since: "6.2.0",
        complexity: "O(N K) + O(M log M), N members of the smallest of K sets, M out",
        summary: "Returns the intersection of sorted sets.",
        handler: combine::zinter,
        ..ZSET
    },
    Command {
        name: "zdiff",
        arity: -3,
        flags: READ_MOVABLE,
        keys: NUM_KEYS,
        since: "6.2.0",
        complexity: "O(L + (N-K) log N), L members in, N in the first set, K out",
        summary: "Returns the first sorted set without the others' members.",
        handler: combine::zdiff,
        ..ZSET
    },
    Command {
        name: "zintercard",
        arity: -3,
        flags: READ_MOVABLE,
        keys: NUM_KEYS,
        since: "7.0.0",
        complexity: "O(N K), N members of the smallest of K sets",
        summary: "Returns the number of members of an intersection.",
        handler: combine::zintercard,
        ..ZSET
    },
    Command {
        name: "zunionstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "2.0.0",
        complexity: "O(N) + O(M log M), N members in, M out",
        summary: "Stores the union of sorted sets at a key.",
        handler: combine::zunionstore,
        ..ZSET
    },
    Command {
        name: "zinterstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "2.0.0",
        complexity: "O(N K) + O(M log M), N members of the smallest of K sets, M out",
        summary: "Stores the intersection of sorted sets at a key.",
        handler: combine::zinterstore,
        ..ZSET
    },
    Command {
        name: "zdiffstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "6.2.0",
        complexity: "O(L + (N-K) log N), L members in, N in the first set, K out",
        summary: "Stores the first sorted set without the others' members at a key.",
        handler: combine::zdiffstore,
        ..ZSET
    },
];

/// A score argument: a double that is a number.
fn parse_score(arg: &[u8]) -> Result<f64, Error> {
    num::parse_f64(arg).ok_or(Error::NotFloat)
}

/// Writes a member and its score, as pairs are replied: nested in RESP3.
fn reply_pair(out: &mut Reply, member: &[u8], score: Option<f64>) {
    if score.is_some() && out.resp3() {
        out.array(2);
    }
    out.bulk(member);
    if let Some(score) = score {
        out.double(score);
    }
}

/// The header of `count` members, with their scores or without.
fn reply_header(out: &mut Reply, count: usize, scores: bool) {
    let flat = scores && !out.resp3();
    out.array(if flat { count * 2 } else { count });
}
