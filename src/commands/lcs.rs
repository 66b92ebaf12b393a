//! LCS: the longest common subsequence of two strings.
//!
//! Owns the command and its table, which lives for one call and is bounded by `proto-max-bulk-len`.

use std::ops::RangeInclusive;

use crate::keyspace::StrView;
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::String,
    categories: Category::STRING,
    keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    since: "7.0.0",
    complexity: "O(N*M), N and M the strings' lengths",
    summary: "Finds the longest common subsequence of two strings.",
    syntax: "key1 key2#0 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    handler: lcs,
    ..Command::DEFAULT
}];

/// What is asked for.
#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            match () {
                () if args.is(at, "len") => options.len = true,
                () if args.is(at, "idx") => options.idx = true,
                () if args.is(at, "withmatchlen") => options.with_match_len = true,
                () if args.is(at, "minmatchlen") && at + 1 < args.len() => {
                    at += 1;
                    options.min_match_len = usize::try_from(args.int(at)?).unwrap_or(0);
                }
                () => return Err(Error::Syntax),
            }
            at += 1;
        }
        if options.len && options.idx {
            return Err(Error::other(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (a, b) = (text(ctx, args.at(1))?, text(ctx, args.at(2))?);
    let options = Options::parse(args)?;
    let table = Table::new(&a, &b, ctx.srv.config.proto_max_bulk_len)?;
    if options.len {
        ctx.out.len_int(table.len());
        return Ok(());
    }
    let (text, matches) = table.walk(&a, &b);
    match options.idx {
        true => reply_matches(&mut ctx.out, &options, &matches, text.len()),
        false => ctx.out.bulk(&text),
    }
    Ok(())
}

fn text(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Vec<u8>, Error> {
    match ctx.read_str(key) {
        Ok((found, _)) => Ok(found.map_or_else(Vec::new, StrView::to_vec)),
        Err(_) => Err(Error::other("ERR The specified keys must contain string values")),
    }
}

fn reply_matches(out: &mut Reply, options: &Options, matches: &[Match], len: usize) {
    let long = |found: &&Match| found.len() >= options.min_match_len;
    let range = |out: &mut Reply, range: &RangeInclusive<usize>| {
        out.array(2);
        out.len_int(*range.start());
        out.len_int(*range.end());
    };
    out.map(2);
    out.bulk(b"matches");
    out.array(matches.iter().filter(long).count());
    for found in matches.iter().filter(long) {
        out.array(2 + usize::from(options.with_match_len));
        range(out, &found.a);
        range(out, &found.b);
        if options.with_match_len {
            out.len_int(found.len());
        }
    }
    out.bulk(b"len");
    out.len_int(len);
}

/// A run of bytes that both strings have.
struct Match {
    a: RangeInclusive<usize>,
    b: RangeInclusive<usize>,
}

impl Match {
    fn len(&self) -> usize {
        self.a.end() - self.a.start() + 1
    }
}

/// For each pair of prefixes, the length of their longest common subsequence.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8], max_bytes: u64) -> Result<Self, Error> {
        let fits = |len: usize| u32::try_from(len).is_ok_and(|len| len < u32::MAX - 1);
        if !fits(a.len()) || !fits(b.len()) {
            return Err(Error::other("ERR String too long for LCS"));
        }
        let (height, width) = (a.len() + 1, b.len() + 1);
        let cells = height.checked_mul(width).filter(|&cells| {
            cells.checked_mul(size_of::<u32>()).is_some_and(|bytes| bytes as u64 <= max_bytes)
        });
        let cells = cells.ok_or(Error::other(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ))?;
        let mut cells = vec![0; cells];
        for (i, byte) in a.iter().enumerate() {
            let (above, row) = cells[i * width..][..2 * width].split_at_mut(width);
            for (j, other) in b.iter().enumerate() {
                row[j + 1] = match byte == other {
                    true => above[j] + 1,
                    false => above[j + 1].max(row[j]),
                };
            }
        }
        Ok(Self { cells, width })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// The length for the whole strings.
    fn len(&self) -> usize {
        self.cells.last().map_or(0, |&len| len as usize)
    }

    /// The subsequence, and its runs from the last to the first.
    fn walk(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let (mut text, mut matches) = (Vec::with_capacity(self.len()), Vec::new());
        // The ends of the run under way, exclusive.
        let mut run = None;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                run.get_or_insert((i, j));
                (i, j) = (i - 1, j - 1);
                text.push(a[i]);
                if i > 0 && j > 0 {
                    continue;
                }
            }
            if let Some((a_end, b_end)) = run.take() {
                matches.push(Match { a: i..=a_end - 1, b: j..=b_end - 1 });
                continue;
            }
            match self.at(i - 1, j) > self.at(i, j - 1) {
                true => i -= 1,
                false => j -= 1,
            }
        }
        text.reverse();
        (text, matches)
    }
}
