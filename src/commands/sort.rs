//! SORT and SORT_RO: collections in another order, by their elements or by other keys' values.
//!
//! Owns the options, the patterns and the order. Strings compare as bytes, whatever the locale.
//! Elements are copied once, into one buffer, since the patterns' lookups may change the keyspace
//! (expiry).

use std::cmp::Ordering;
use std::ops::Range;

use crate::config::NotifyFlags;
use crate::ds::listpack::Element;
use crate::keyspace::Entry;
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::{Caller, Ctx};
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::util::num::{self, IntBuf};
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::{Collection, Value};

const SORT: Command = Command {
    arity: -2,
    categories: Category::LIST
        .union(Category::SET)
        .union(Category::SORTEDSET)
        .union(Category::DANGEROUS),
    group: Group::Generic,
    complexity: "O(N+M*log(M)), N elements, of which M are sorted",
    ..Command::DEFAULT
};
const SOURCE: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
/// The keys that patterns name.
const PATTERNS: KeySpec = KeySpec {
    search: Search::Unknown,
    find: Find::Unknown,
    flags: KeyFlags::RO.union(KeyFlags::ACCESS),
    notes: "Keys that BY and GET name: unknown, as they depend on what is sorted",
};
/// The key after STORE.
const TARGET: KeySpec = KeySpec {
    search: Search::Unknown,
    find: Find::Unknown,
    flags: KeyFlags::OW.union(KeyFlags::UPDATE),
    notes: "The key after STORE: unknown, as the word may stand anywhere",
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sort",
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS),
        keys: &[SOURCE, PATTERNS, TARGET],
        get_keys: Some(sort_keys),
        summary: "Sorts the elements of a list, a set or a sorted set, and may store the result.",
        syntax: "key [BY by-pattern=pattern#1] [LIMIT offset count] [GET get-pattern=pattern#1]... \
             order=[ASC | DESC] [sorting=ALPHA] [STORE destination]",
        handler: sort,
        ..SORT
    },
    Command {
        name: "sort_ro",
        flags: Flags::READONLY.union(Flags::MOVABLEKEYS),
        keys: &[SOURCE, PATTERNS],
        get_keys: Some(source_key),
        since: "7.0.0",
        summary: "Returns the sorted elements of a list, a set or a sorted set.",
        syntax: "key [BY by-pattern=pattern#1] [LIMIT offset count] [GET get-pattern=pattern#1]... \
             order=[ASC | DESC] [sorting=ALPHA]",
        handler: sort_ro,
        ..SORT
    },
];

/// The source and the last STORE's key; options that take arguments hide them.
fn sort_keys(args: &Args<'_>) -> Option<Vec<usize>> {
    let (mut at, mut store) = (2, None);
    while at < args.len() {
        if args.is(at, "limit") {
            at += 2;
        } else if args.is(at, "by") || args.is(at, "get") {
            at += 1;
        } else if args.is(at, "store") && at + 1 < args.len() {
            store = Some(at + 1);
        }
        at += 1;
    }
    Some(std::iter::once(1).chain(store).collect())
}

fn source_key(_: &Args<'_>) -> Option<Vec<usize>> {
    Some(vec![1])
}

// ---- the request ----------------------------------------------------------------------------

/// What a pattern makes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// No `*`: nothing.
    Constant,
    /// The string, or field of a hash, at the key that the element stands in.
    Key { prefix: &'a [u8], suffix: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Self::Constant };
        let (prefix, suffix) = (&text[..star], &text[star + 1..]);
        // An arrow that ends the pattern belongs to the key.
        match memchr::memmem::find(suffix, b"->").filter(|arrow| arrow + 2 < suffix.len()) {
            None => Self::Key { prefix, suffix, field: None },
            Some(arrow) => {
                Self::Key { prefix, suffix: &suffix[..arrow], field: Some(&suffix[arrow + 2..]) }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Request<'a> {
    /// Compares strings, not numbers.
    alpha: bool,
    desc: bool,
    /// The first element, and how many; negative: all.
    limit: Option<(i64, i64)>,
    /// The weights, if not the elements themselves.
    by: Option<Pattern<'a>>,
    /// BY a constant: the collection's own order.
    nosort: bool,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, may_store: bool, may_look_up: bool) -> Result<Self, Error> {
        let mut request = Self::default();
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            if args.is(at, "asc") {
                request.desc = false;
            } else if args.is(at, "desc") {
                request.desc = true;
            } else if args.is(at, "alpha") {
                request.alpha = true;
            } else if args.is(at, "limit") && left >= 2 {
                request.limit = Some((args.int(at + 1)?, args.int(at + 2)?));
                at += 2;
            } else if args.is(at, "store") && may_store && left >= 1 {
                request.store = Some(args.at(at + 1));
                at += 1;
            } else if args.is(at, "by") && left >= 1 {
                request.order_by(args.at(at + 1));
                if !may_look_up && matches!(request.by, Some(Pattern::Key { .. })) {
                    return Err(Error::SortByDenied);
                }
                at += 1;
            } else if args.is(at, "get") && left >= 1 {
                if !may_look_up {
                    return Err(Error::SortGetDenied);
                }
                request.get.push(Pattern::parse(args.at(at + 1)));
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(request)
    }

    /// BY. A constant among several BY options wins, as in Redis.
    fn order_by(&mut self, pattern: &'a [u8]) {
        let pattern = Pattern::parse(pattern);
        self.by = Some(pattern);
        self.nosort |= !matches!(pattern, Pattern::Key { .. });
    }

    /// Which of `len` elements are wanted.
    fn window(&self, len: usize) -> Range<usize> {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start.max(0)).unwrap_or(len).min(len);
        let count = usize::try_from(count).unwrap_or(len).min(len - start);
        start..start + count
    }
}

// ---- the handlers ---------------------------------------------------------------------------

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let request = Request::parse(args, true, may_look_up(ctx, &args))?;
    run(ctx, args.at(1), request)
}

fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let request = Request::parse(args, false, may_look_up(ctx, &args))?;
    run(ctx, args.at(1), request)
}

/// Whether the user may read the keys that patterns name, that is all.
fn may_look_up(ctx: &Ctx<'_>, args: &Args<'_>) -> bool {
    ctx.srv.may_read_all_keys(ctx.client, ctx.command, args)
}

fn run(ctx: &mut Ctx<'_>, key: &[u8], mut request: Request<'_>) -> Result<(), Error> {
    let certain = request.store.is_some() || ctx.caller == Caller::Script;
    let elements = match ctx.lookup(key).map(Entry::value) {
        None => ArgBuf::new(),
        Some(value) => collect(value.ok_or(Error::WrongType)?, &mut request, certain)?,
    };
    let elements = elements.args();
    let wanted = order(ctx, elements, &request)?;
    match request.store {
        None => reply(ctx, elements, &wanted, &request.get),
        Some(target) => store(ctx, target, elements, &wanted, &request.get),
    }
    Ok(())
}

/// Copies the elements. Those that stay in the collection's own order come in it, cut to the
/// limit, which is then done with. `certain`: a set's own order won't do, since it is random.
fn collect(value: &Value, request: &mut Request<'_>, certain: bool) -> Result<ArgBuf, Error> {
    let mut elements = ArgBuf::new();
    let mut add = |element: Element<'_>| elements.push(element.as_bytes(&mut IntBuf::new()));
    match value {
        Value::List(list) if request.nosort => {
            let window = request.window(list.len());
            request.limit = None;
            let mut left = window.len();
            if left > 0 {
                let (start, to) = match request.desc {
                    false => (window.start, End::Right),
                    true => (list.len() - 1 - window.start, End::Left),
                };
                list.walk(start, to, |element| {
                    add(element);
                    left -= 1;
                    left > 0
                });
            }
        }
        Value::List(list) => list.for_each(add),
        Value::Set(set) => {
            if request.nosort && certain {
                (request.nosort, request.alpha, request.by) = (false, true, None);
            }
            set.iter().for_each(add);
        }
        Value::ZSet(zset) if request.nosort => {
            let (window, len) = (request.window(zset.len()), zset.len());
            request.limit = None;
            let ranks = match request.desc {
                false => window,
                true => len - window.end..len - window.start,
            };
            zset.walk(ranks, request.desc, |member, _| {
                add(Element::Str(member));
                true
            });
        }
        Value::ZSet(zset) => zset.for_each(|member, _| add(Element::Str(member))),
        Value::Hash(_) | Value::Stream(_) | Value::Str(_) | Value::Int(_) => {
            return Err(Error::WrongType);
        }
    }
    Ok(elements)
}

// ---- patterns -------------------------------------------------------------------------------

/// Calls `f` with what `pattern` makes of `element`, if anything. `key` is scratch space.
fn fetch<R>(
    ctx: &mut Ctx<'_>,
    pattern: Pattern<'_>,
    element: &[u8],
    key: &mut Vec<u8>,
    f: impl FnOnce(Option<&[u8]>, &mut Reply) -> R,
) -> R {
    let Pattern::Key { prefix, suffix, field } = pattern else {
        return f((pattern == Pattern::Element).then_some(element), &mut ctx.out);
    };
    key.clear();
    [prefix, element, suffix].into_iter().for_each(|part| key.extend_from_slice(part));
    let (entry, out) = ctx.lookup_reply(key);
    let mut digits = IntBuf::new();
    match field {
        None => {
            let found = entry.and_then(Entry::str);
            f(found.map(|found| found.bytes(&mut digits)), out)
        }
        Some(field) => {
            let hash = entry.and_then(Entry::collection::<Hash>);
            let found = hash.and_then(|hash| hash.get(field));
            f(found.as_ref().map(|found| found.as_bytes(&mut digits)), out)
        }
    }
}

// ---- the order ------------------------------------------------------------------------------

/// An element among the others, and its weight.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// Its index.
    at: usize,
    /// Its number.
    score: f64,
    /// The index of its string weight.
    weight: Option<usize>,
}

/// The wanted elements' indices, in order.
fn order(
    ctx: &mut Ctx<'_>,
    elements: Args<'_>,
    request: &Request<'_>,
) -> Result<Vec<usize>, Error> {
    let window = request.window(elements.len());
    if request.nosort {
        return Ok(window.collect());
    }
    let mut weights = ArgBuf::new();
    let mut items = weigh(ctx, elements, request, &mut weights)?;
    let weights = weights.args();
    let compare = |a: &Item, b: &Item| {
        let order = match (request.alpha, request.by) {
            (false, _) => {
                let scores = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
                scores.then_with(|| elements.at(a.at).cmp(elements.at(b.at)))
            }
            (true, None) => elements.at(a.at).cmp(elements.at(b.at)),
            // Without a weight comes first.
            (true, Some(_)) => {
                a.weight.map(|at| weights.at(at)).cmp(&b.weight.map(|at| weights.at(at)))
            }
        };
        if request.desc { order.reverse() } else { order }
    };
    if !window.is_empty() && window.end < items.len() {
        items.select_nth_unstable_by(window.end - 1, compare);
        items.truncate(window.end);
    }
    items.sort_by(compare);
    Ok(items[window].iter().map(|item| item.at).collect())
}

/// The elements' weights; strings go to `weights`.
fn weigh(
    ctx: &mut Ctx<'_>,
    elements: Args<'_>,
    request: &Request<'_>,
    weights: &mut ArgBuf,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::with_capacity(elements.len());
    let (mut key, mut count, mut bad) = (Vec::new(), 0, false);
    for (at, element) in elements.iter().enumerate() {
        let mut item = Item { at, score: 0.0, weight: None };
        let mut take = |value: Option<&[u8]>| match value {
            None => {}
            Some(value) if request.alpha => {
                weights.push(value);
                item.weight = Some(count);
                count += 1;
            }
            Some(value) => match number(value) {
                Some(score) => item.score = score,
                None => bad = true,
            },
        };
        match request.by {
            Some(pattern) => fetch(ctx, pattern, element, &mut key, |value, _| take(value)),
            None if request.alpha => {}
            None => take(Some(element)),
        }
        items.push(item);
    }
    if bad {
        return Err(Error::NotDouble);
    }
    Ok(items)
}

/// A number as `strtod` reads it from a C string: blanks before it, and nothing at all, are fine.
fn number(text: &[u8]) -> Option<f64> {
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    num::parse_f64(&text[text.iter().position(|byte| !blank(byte))?..])
}

// ---- the result -----------------------------------------------------------------------------

fn reply(ctx: &mut Ctx<'_>, elements: Args<'_>, wanted: &[usize], get: &[Pattern<'_>]) {
    let mut key = Vec::new();
    ctx.out.array(wanted.len().saturating_mul(get.len().max(1)));
    for &at in wanted {
        let element = elements.at(at);
        if get.is_empty() {
            ctx.out.bulk(element);
        }
        for &pattern in get {
            fetch(ctx, pattern, element, &mut key, |value, out| out.bulk_or_null(value));
        }
    }
}

fn store(
    ctx: &mut Ctx<'_>,
    target: &[u8],
    elements: Args<'_>,
    wanted: &[usize],
    get: &[Pattern<'_>],
) {
    let (mut list, mut key, limits) = (List::default(), Vec::new(), ctx.srv.limits);
    for &at in wanted {
        let element = elements.at(at);
        if get.is_empty() {
            list.push(End::Right, element, &limits);
        }
        for &pattern in get {
            // What isn't there is stored as an empty string.
            fetch(ctx, pattern, element, &mut key, |value, _| {
                list.push(End::Right, value.unwrap_or_default(), &limits);
            });
        }
    }
    let len = list.len();
    if len > 0 {
        ctx.put(Entry::new(target, list.into_value(), None));
        ctx.modified(NotifyFlags::LIST, "sortstore", target);
        ctx.srv.dirty += len as u64 - 1;
    } else if ctx.delete(target) {
        ctx.modified(NotifyFlags::GENERIC, "del", target);
    }
    ctx.out.len_int(len);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Limits;
    use crate::value::zset::ZSet;

    fn collected(options: &[&str]) -> Vec<u8> {
        let mut zset = ZSet::default();
        for (member, score) in [("a", 1.0), ("b", 5.0), ("c", 2.0), ("d", 10.0)] {
            zset.set(member.as_bytes(), score, &Limits::default());
        }
        let words: ArgBuf = ["sort", "z", "by", "nosort"].iter().chain(options).collect();
        let mut request = Request::parse(words.args(), true, true).unwrap();
        let elements = collect(&zset.into_value(), &mut request, false).unwrap();
        assert!(request.nosort && request.limit.is_none());
        elements.args().iter().flatten().copied().collect()
    }

    #[test]
    fn a_sorted_set_keeps_its_order() {
        assert_eq!(collected(&[]), b"acbd");
        assert_eq!(collected(&["desc"]), b"dbca");
        assert_eq!(collected(&["limit", "1", "2"]), b"cb");
        assert_eq!(collected(&["desc", "limit", "1", "2"]), b"bc");
        assert_eq!(collected(&["desc", "limit", "3", "9"]), b"a");
        assert_eq!(collected(&["limit", "5", "10"]), b"");
        assert_eq!(collected(&["limit", "-10", "100"]), b"acbd");
    }
}
