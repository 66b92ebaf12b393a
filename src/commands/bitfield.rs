//! BITFIELD: integers of any width at any bit of a string.
//!
//! Owns the subcommands' parsing and their execution in order. Fields themselves are the business
//! of `ds::bits`.

use smallvec::SmallVec;

use crate::commands::READ_KEY;
use crate::commands::bitmap::{check_offset, reach};
use crate::config::NotifyFlags;
use crate::ds::bits::{FieldType, Overflow};
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::num::{self, IntBuf};

const BITFIELD_KEYS: &[KeySpec] = &[KeySpec::one(
    1,
    KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
)
.noted("Its subcommands read, write, or do both")];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitfield",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Category::BITMAP,
        keys: BITFIELD_KEYS,
        group: Group::Bitmap,
        since: "3.2.0",
        complexity: "O(1) for each subcommand",
        summary: "Reads, sets and increments integers of any width inside a string.",
        syntax: "key operation=[GET encoding offset | write=<wrap-sat-fail=[OVERFLOW <WRAP | \
             SAT | FAIL>] write-operation=<SET encoding offset value{integer} | INCRBY \
             encoding offset increment>>]...",
        handler: bitfield,
        ..Command::DEFAULT
    },
    Command {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Category::BITMAP,
        keys: READ_KEY,
        group: Group::Bitmap,
        since: "6.0.0",
        complexity: "O(1) for each subcommand",
        summary: "Reads integers of any width inside a string.",
        syntax: "key [GET encoding offset]...",
        handler: bitfield_ro,
        ..Command::DEFAULT
    },
];

/// What is done to a field.
#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One subcommand.
#[derive(Debug, Clone, Copy)]
struct Op {
    action: Action,
    field: FieldType,
    /// In bits.
    offset: u64,
    overflow: Overflow,
}

impl Op {
    /// The last bit that it touches.
    fn last_bit(&self) -> u64 {
        self.offset + u64::from(self.field.width()) - 1
    }
}

type Ops = SmallVec<[Op; 4]>;

fn field_type(text: &[u8]) -> Result<FieldType, Error> {
    let (signed, width) = match text {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(Error::BitfieldType),
    };
    let width = num::parse_i64(width).and_then(|width| u32::try_from(width).ok());
    width.and_then(|width| FieldType::new(signed, width)).ok_or(Error::BitfieldType)
}

/// An offset in bits, or after `#` in fields.
fn field_offset(ctx: &Ctx<'_>, text: &[u8], field: FieldType) -> Result<u64, Error> {
    let offset = match text {
        [b'#', index @ ..] => {
            num::parse_i64(index).and_then(|index| index.checked_mul(i64::from(field.width())))
        }
        _ => num::parse_i64(text),
    };
    check_offset(ctx, offset)
}

fn parse(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Ops, Error> {
    let mut ops = Ops::new();
    let mut overflow = Overflow::default();
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        if args.is(at, "overflow") && left >= 1 {
            overflow = match () {
                () if args.is(at + 1, "wrap") => Overflow::Wrap,
                () if args.is(at + 1, "sat") => Overflow::Saturate,
                () if args.is(at + 1, "fail") => Overflow::Fail,
                () => return Err(Error::BitfieldOverflow),
            };
            at += 2;
            continue;
        }
        let action: fn(i64) -> Action = match () {
            () if args.is(at, "get") && left >= 2 => |_| Action::Get,
            () if args.is(at, "set") && left >= 3 => Action::Set,
            () if args.is(at, "incrby") && left >= 3 => Action::Add,
            () => return Err(Error::Syntax),
        };
        let reads = matches!(action(0), Action::Get);
        let field = field_type(args.at(at + 1))?;
        let offset = field_offset(ctx, args.at(at + 2), field)?;
        let action = action(if reads { 0 } else { args.int(at + 3)? });
        ops.push(Op { action, field, offset, overflow });
        at += if reads { 3 } else { 4 };
    }
    Ok(ops)
}

fn bitfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let ops = parse(ctx, args)?;
    let writes = ops.iter().filter(|op| !matches!(op.action, Action::Get));
    match writes.map(Op::last_bit).max() {
        None => read(ctx, args.at(1), &ops),
        Some(last) => write(ctx, args.at(1), &ops, last),
    }
}

fn bitfield_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let ops = parse(ctx, args)?;
    if ops.iter().any(|op| !matches!(op.action, Action::Get)) {
        return Err(Error::BitfieldReadOnly);
    }
    read(ctx, args.at(1), &ops)
}

fn read(ctx: &mut Ctx<'_>, key: &[u8], ops: &[Op]) -> Result<(), Error> {
    let (found, out) = ctx.read_str(key)?;
    let mut digits = IntBuf::new();
    let bytes = found.map_or(&b""[..], |found| found.bytes(&mut digits));
    out.array(ops.len());
    ops.iter().for_each(|op| out.int(op.field.get(bytes, op.offset)));
    Ok(())
}

/// Executes subcommands that write up to the bit at `last`.
fn write(ctx: &mut Ctx<'_>, key: &[u8], ops: &[Op], last: u64) -> Result<(), Error> {
    // The replies are written while the string is borrowed from the context.
    let mut out = std::mem::take(&mut ctx.out);
    let changes = execute(ctx, &mut out, key, ops, last);
    ctx.out = out;
    let changes = changes?;
    if changes > 0 {
        ctx.modified_by(changes, NotifyFlags::STRING, "setbit", key);
    }
    Ok(())
}

/// Executes subcommands in order; returns how many changed something.
fn execute(
    ctx: &mut Ctx<'_>,
    out: &mut Reply,
    key: &[u8],
    ops: &[Op],
    last: u64,
) -> Result<usize, Error> {
    let (grew, bytes) = reach(ctx, key, last)?;
    out.array(ops.len());
    let mut changes = 0;
    for op in ops {
        let old = op.field.get(bytes, op.offset);
        let (new, reply) = match op.action {
            Action::Get => {
                out.int(old);
                continue;
            }
            Action::Set(value) => (op.field.fit(value, op.overflow), Some(old)),
            Action::Add(by) => {
                let sum = op.field.add(old, by, op.overflow);
                (sum, sum)
            }
        };
        match (new, reply) {
            (Some(new), Some(reply)) => {
                op.field.set(bytes, op.offset, new);
                changes += usize::from(grew || new != old);
                out.int(reply);
            }
            _ => out.null(),
        }
    }
    // A string that only grew has changed, too.
    Ok(if grew { changes.max(1) } else { changes })
}
