//! Sorted sets: the rows of the family, and how members and scores are replied.

mod add;
mod algebra;
mod bounds;
mod pop;
mod range;

use std::ops::Range;

pub(super) use add::{AddOptions, add_scored};

use crate::commands::{DELETE_KEY, META_KEY, POP_KEY, READ_KEY, UPDATE_KEY, reply_len};
use crate::resp::Reply;
use crate::server::command::{Command, Inside};
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::value::zset::ZSet;

const ZSET: Command =
    Command { group: Group::SortedSet, categories: Category::SORTEDSET, ..Command::DEFAULT };
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const GROW: Flags = Flags::WRITE.union(Flags::DENYOOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const SHRINK: Flags = Flags::WRITE;
const SHRINK_FAST: Flags = SHRINK.union(Flags::FAST);
const BLOCK: Flags = Flags::WRITE.union(Flags::BLOCKING);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const POP: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const RW_UPDATE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const BLOCK_KEYS: &[KeySpec] = &[KeySpec::range(1, -2, 1, POP)];
const READ_NUMKEYS: &[KeySpec] = &[KeySpec::numkeys(1, READS)];
const STORE_KEYS: &[KeySpec] = &[KeySpec::one(1, STORES), KeySpec::numkeys(2, READS)];
const RANGE_STORE_KEYS: &[KeySpec] = &[KeySpec::one(1, STORES), KeySpec::one(2, READS)];
/// The member behind a score or an increment.
const SCORED: Option<Inside> = Some(Inside::Member(3));
const RANGE: &str = "O(log N + M), M members returned";
const REMOVE: &str = "O(log N + M), M members removed";

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        flags: GROW_FAST,
        keys: RW_UPDATE,
        inside: SCORED,
        since: "1.2.0",
        complexity: "O(log N) for each member",
        summary: "Adds members to a sorted set, or changes their scores.",
        syntax: "key condition=[NX | XX]@3.0.2 comparison=[GT | LT]@6.2.0 [change=CH]@3.0.2 \
             [increment=INCR]@3.0.2 data=<score member>...",
        history: &[
            ("2.4.0", "Several pairs of `score` and `member` may be given."),
            ("3.0.2", "`XX`, `NX`, `CH` and `INCR` are new."),
            ("6.2.0", "`GT` and `LT` are new."),
        ],
        handler: add::zadd,
        ..ZSET
    },
    Command {
        name: "zincrby",
        arity: 4,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        inside: SCORED,
        since: "1.2.0",
        complexity: "O(log N)",
        summary: "Adds to the score of a member.",
        syntax: "key increment member",
        handler: add::zincrby,
        ..ZSET
    },
    Command {
        name: "zrem",
        arity: -3,
        flags: SHRINK_FAST,
        keys: DELETE_KEY,
        since: "1.2.0",
        complexity: "O(M log N), M members removed",
        summary: "Removes members from a sorted set, and deletes the sorted set when none is left.",
        syntax: "key member...",
        history: &[("2.4.0", "Several members may be given.")],
        handler: add::zrem,
        ..ZSET
    },
    Command {
        name: "zcard",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        since: "1.2.0",
        summary: "Returns the number of members of a sorted set.",
        syntax: "key",
        handler: reply_len::<ZSet>,
        ..ZSET
    },
    Command {
        name: "zscore",
        arity: 3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "1.2.0",
        summary: "Returns the score of a member.",
        syntax: "key member",
        handler: add::zscore,
        ..ZSET
    },
    Command {
        name: "zmscore",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(N), N members",
        summary: "Returns the scores of members.",
        syntax: "key member...",
        handler: add::zmscore,
        ..ZSET
    },
    Command {
        name: "zrank",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Returns how many members come before a member, by ascending score.",
        syntax: "key member [WITHSCORE]",
        history: &[("7.2.0", "`WITHSCORE` is new.")],
        handler: add::zrank,
        ..ZSET
    },
    Command {
        name: "zrevrank",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Returns how many members come before a member, by descending score.",
        syntax: "key member [WITHSCORE]",
        history: &[("7.2.0", "`WITHSCORE` is new.")],
        handler: add::zrevrank,
        ..ZSET
    },
    Command {
        name: "zscan",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.0",
        complexity: "O(1) for each call",
        summary: "Iterates over the members and scores of a sorted set.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        tips: &["nondeterministic_output"],
        handler: add::zscan,
        ..ZSET
    },
    Command {
        name: "zrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.2.0",
        complexity: RANGE,
        summary: "Returns the members in a range of ranks, scores or members.",
        syntax: "key start{string} stop{string} sortby=[BYSCORE | BYLEX]@6.2.0 [REV]@6.2.0 [LIMIT \
             offset count]@6.2.0 [WITHSCORES]",
        history: &[("6.2.0", "`REV`, `BYSCORE`, `BYLEX` and `LIMIT` are new.")],
        handler: range::zrange,
        ..ZSET
    },
    Command {
        name: "zrangestore",
        arity: -5,
        flags: GROW,
        keys: RANGE_STORE_KEYS,
        since: "6.2.0",
        complexity: "O(log N + M log M), M members stored",
        summary: "Stores the members in a range of a sorted set in another.",
        syntax: "dst src min max sortby=[BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        handler: range::zrangestore,
        ..ZSET
    },
    Command {
        name: "zrevrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.2.0",
        complexity: RANGE,
        summary: "Returns the members in a range of ranks, from the greatest score down.",
        syntax: "key start stop [WITHSCORES]",
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV`")),
        handler: range::zrevrange,
        ..ZSET
    },
    Command {
        name: "zrangebyscore",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "1.0.5",
        complexity: RANGE,
        summary: "Returns the members in a range of scores.",
        syntax: "key min{double} max{double} [WITHSCORES]@2.0.0 [LIMIT offset count]",
        history: &[("2.0.0", "`WITHSCORES` is new.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with `BYSCORE`")),
        handler: range::zrangebyscore,
        ..ZSET
    },
    Command {
        name: "zrevrangebyscore",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.2.0",
        complexity: RANGE,
        summary: "Returns the members in a range of scores, from the greatest score down.",
        syntax: "key max{double} min{double} [WITHSCORES] [LIMIT offset count]",
        history: &[("2.1.6", "The ends of the range can be exclusive.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYSCORE`")),
        handler: range::zrevrangebyscore,
        ..ZSET
    },
    Command {
        name: "zrangebylex",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.9",
        complexity: RANGE,
        summary: "Returns the members in a lexicographical range.",
        syntax: "key min max [LIMIT offset count]",
        deprecated: Some(("6.2.0", "`ZRANGE` with `BYLEX`")),
        handler: range::zrangebylex,
        ..ZSET
    },
    Command {
        name: "zrevrangebylex",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.9",
        complexity: RANGE,
        summary: "Returns the members in a lexicographical range, from the last to the first.",
        syntax: "key max min [LIMIT offset count]",
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYLEX`")),
        handler: range::zrevrangebylex,
        ..ZSET
    },
    Command {
        name: "zcount",
        arity: 4,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "2.0.0",
        complexity: "O(log N)",
        summary: "Counts the members in a range of scores.",
        syntax: "key min{double} max{double}",
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
        summary: "Counts the members in a lexicographical range.",
        syntax: "key min max",
        handler: range::zlexcount,
        ..ZSET
    },
    Command {
        name: "zremrangebyrank",
        arity: 4,
        flags: SHRINK,
        keys: DELETE_KEY,
        since: "2.0.0",
        complexity: REMOVE,
        summary: "Removes the members in a range of ranks.",
        syntax: "key start stop",
        handler: range::zremrangebyrank,
        ..ZSET
    },
    Command {
        name: "zremrangebyscore",
        arity: 4,
        flags: SHRINK,
        keys: DELETE_KEY,
        since: "1.2.0",
        complexity: REMOVE,
        summary: "Removes the members in a range of scores.",
        syntax: "key min{double} max{double}",
        handler: range::zremrangebyscore,
        ..ZSET
    },
    Command {
        name: "zremrangebylex",
        arity: 4,
        flags: SHRINK,
        keys: DELETE_KEY,
        since: "2.8.9",
        complexity: REMOVE,
        summary: "Removes the members in a lexicographical range.",
        syntax: "key min max",
        handler: range::zremrangebylex,
        ..ZSET
    },
    Command {
        name: "zpopmin",
        arity: -2,
        flags: SHRINK_FAST,
        keys: POP_KEY,
        since: "5.0.0",
        complexity: "O(M log N), M members",
        summary: "Removes and returns the members of the least scores.",
        syntax: "key [count]",
        handler: pop::zpopmin,
        ..ZSET
    },
    Command {
        name: "zpopmax",
        arity: -2,
        flags: SHRINK_FAST,
        keys: POP_KEY,
        since: "5.0.0",
        complexity: "O(M log N), M members",
        summary: "Removes and returns the members of the greatest scores.",
        syntax: "key [count]",
        handler: pop::zpopmax,
        ..ZSET
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: SHRINK.union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::numkeys(1, POP)],
        since: "7.0.0",
        complexity: "O(K + M log N), K keys, M members",
        summary: "Removes and returns members of the first sorted set that isn't empty.",
        syntax: "numkeys key... where=<MIN | MAX> [COUNT count]",
        handler: pop::zmpop,
        ..ZSET
    },
    Command {
        name: "bzpopmin",
        arity: -3,
        flags: BLOCK.union(Flags::FAST),
        keys: BLOCK_KEYS,
        since: "5.0.0",
        complexity: "O(log N)",
        summary: "Removes and returns the member of the least score, and waits for one.",
        syntax: "key... timeout",
        history: &[("6.0.0", "`timeout` may have decimals.")],
        handler: pop::bzpopmin,
        ..ZSET
    },
    Command {
        name: "bzpopmax",
        arity: -3,
        flags: BLOCK.union(Flags::FAST),
        keys: BLOCK_KEYS,
        since: "5.0.0",
        complexity: "O(log N)",
        summary: "Removes and returns the member of the greatest score, and waits for one.",
        syntax: "key... timeout",
        history: &[("6.0.0", "`timeout` may have decimals.")],
        handler: pop::bzpopmax,
        ..ZSET
    },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: BLOCK.union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::numkeys(2, POP)],
        since: "7.0.0",
        complexity: "O(K + M log N), K keys, M members",
        summary: "Removes and returns members of a sorted set, and waits for some.",
        syntax: "timeout numkeys key... where=<MIN | MAX> [COUNT count]",
        handler: pop::bzmpop,
        ..ZSET
    },
    Command {
        name: "zrandmember",
        arity: -2,
        flags: READ,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(N), N members returned",
        summary: "Returns random members of a sorted set.",
        syntax: "key options=[count [WITHSCORES]]",
        tips: &["nondeterministic_output"],
        handler: pop::zrandmember,
        ..ZSET
    },
    Command {
        name: "zunion",
        arity: -3,
        flags: READ.union(Flags::MOVABLEKEYS),
        keys: READ_NUMKEYS,
        since: "6.2.0",
        complexity: "O(N) + O(M log M), N members in all, M in the result",
        summary: "Returns the union of sorted sets.",
        syntax: "numkeys key... [WEIGHTS weight...] [AGGREGATE aggregate=<SUM | MIN | MAX>] \
             [WITHSCORES]",
        handler: algebra::zunion,
        ..ZSET
    },
    Command {
        name: "zunionstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "2.0.0",
        complexity: "O(N) + O(M log M), N members in all, M in the result",
        summary: "Stores the union of sorted sets.",
        syntax: "destination numkeys key... [WEIGHTS weight...] [AGGREGATE aggregate=<SUM | MIN | \
             MAX>]",
        handler: algebra::zunionstore,
        ..ZSET
    },
    Command {
        name: "zinter",
        arity: -3,
        flags: READ.union(Flags::MOVABLEKEYS),
        keys: READ_NUMKEYS,
        since: "6.2.0",
        complexity: "O(N K) + O(M log M), N members in the smallest of K, M in the result",
        summary: "Returns the intersection of sorted sets.",
        syntax: "numkeys key... [WEIGHTS weight...] [AGGREGATE aggregate=<SUM | MIN | MAX>] \
             [WITHSCORES]",
        handler: algebra::zinter,
        ..ZSET
    },
    Command {
        name: "zinterstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "2.0.0",
        complexity: "O(N K) + O(M log M), N members in the smallest of K, M in the result",
        summary: "Stores the intersection of sorted sets.",
        syntax: "destination numkeys key... [WEIGHTS weight...] [AGGREGATE aggregate=<SUM | MIN | \
             MAX>]",
        handler: algebra::zinterstore,
        ..ZSET
    },
    Command {
        name: "zintercard",
        arity: -3,
        flags: READ.union(Flags::MOVABLEKEYS),
        keys: READ_NUMKEYS,
        since: "7.0.0",
        complexity: "O(N K), N members in the smallest of K",
        summary: "Counts the members of the intersection of sorted sets.",
        syntax: "numkeys key... [LIMIT limit]",
        handler: algebra::zintercard,
        ..ZSET
    },
    Command {
        name: "zdiff",
        arity: -3,
        flags: READ.union(Flags::MOVABLEKEYS),
        keys: READ_NUMKEYS,
        since: "6.2.0",
        complexity: "O(N K), N members in the first of K",
        summary: "Returns the difference of sorted sets.",
        syntax: "numkeys key... [WITHSCORES]",
        handler: algebra::zdiff,
        ..ZSET
    },
    Command {
        name: "zdiffstore",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: STORE_KEYS,
        since: "6.2.0",
        complexity: "O(N K), N members in the first of K",
        summary: "Stores the difference of sorted sets.",
        syntax: "destination numkeys key...",
        handler: algebra::zdiffstore,
        ..ZSET
    },
];

/// How members are replied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Without scores.
    Members,
    /// Members and scores in turn.
    Flat,
    /// An array of member and score for each.
    Nested,
}

impl Shape {
    /// The shape of a reply with or without scores: RESP3 nests pairs.
    fn new(with_scores: bool, out: &Reply) -> Self {
        match with_scores {
            false => Self::Members,
            true if out.resp3() => Self::Nested,
            true => Self::Flat,
        }
    }

    /// Writes the header of a reply of `len` members.
    fn header(self, out: &mut Reply, len: usize) {
        out.array(if self == Self::Flat { len.saturating_mul(2) } else { len });
    }
}

fn reply_member(out: &mut Reply, member: &[u8], score: f64, shape: Shape) {
    if shape == Shape::Nested {
        out.array(2);
    }
    out.bulk(member);
    if shape != Shape::Members {
        out.double(score);
    }
}

/// Replies the members of these ranks, from the last on if `reverse`.
fn reply_range(out: &mut Reply, zset: &ZSet, ranks: Range<usize>, reverse: bool, shape: Shape) {
    shape.header(out, ranks.len());
    zset.walk(ranks, reverse, |member, score| {
        reply_member(out, member, score, shape);
        true
    });
}
