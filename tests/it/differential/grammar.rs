//! Random commands, from the rows of the command table: each argument of a row's syntax becomes a
//! word that suits it, mostly.

use rhubarb::commands::FAMILIES;
use rhubarb::server::command::Command;
use rhubarb::spec::syntax::{self, ArgFlags, ArgKind, Argument};
use rhubarb::spec::{Flags, Group};

/// The words of one command.
pub type Words = Vec<Vec<u8>>;

/// Commands that can't be compared, or not in a sequence that runs twice.
const LEFT_OUT: &[(&str, &str)] = &[
    ("spop", "takes random members"),
    ("randomkey", "random"),
    ("migrate", "needs another server"),
    ("restore", "needs a dump"),
    ("restore-asking", "needs a dump"),
    ("dump", "sets and hashes may be written in another order"),
    ("wait", "7.2 refuses a timeout that overflows"),
    ("waitaof", "of 7.2"),
    ("flushall", "empties what a sequence built up"),
    ("flushdb", "empties what a sequence built up"),
    ("object|idletime", "tells time"),
    ("object|freq", "depends on the policy"),
    ("object|help", "lists what 7.2 has"),
    ("xinfo|consumers", "tells time"),
    ("xinfo|stream", "tells of Redis's radix tree"),
    ("xinfo|help", "lists what 7.2 has"),
    ("xsetid", "7.2 refuses IDs below the greatest that was deleted"),
    ("xgroup|help", "lists what 7.2 has"),
    ("pfdebug", "looks inside"),
    ("pfselftest", "takes long"),
    ("debug", "looks inside"),
];

/// Words of the syntax that Redis 7.0 doesn't know, or that tell or take the time.
const LEFT_OUT_TOKENS: &[(&str, &str)] = &[
    // Where scores differ, ranges by member mean nothing.
    ("zrange", "BYLEX"),
    ("zrangestore", "BYLEX"),
    ("zrank", "WITHSCORE"),
    ("zrevrank", "WITHSCORE"),
    ("xadd", "*"),
    ("xclaim", "TIME"),
    ("xclaim", "IDLE"),
    ("xpending", "IDLE"),
    ("set", "IFEQ"),
];

/// A command of the table, and its arguments.
struct Rule {
    full_name: String,
    name: Vec<&'static str>,
    group: Group,
    flags: Flags,
    arguments: Vec<Argument>,
}

/// Makes commands.
pub struct Grammar {
    rules: Vec<Rule>,
}

impl Grammar {
    /// The commands of the data types that `known` says both servers have.
    pub fn new(known: impl Fn(&str) -> bool) -> Self {
        let mut rules = Vec::new();
        for command in FAMILIES.iter().copied().flatten() {
            add_rule(&mut rules, command, None);
            for subcommand in command.subcommands {
                add_rule(&mut rules, subcommand, Some(command.name));
            }
        }
        rules.retain(|rule| known(&rule.full_name));
        Self { rules }
    }

    /// A sequence of commands, the same for the same seed.
    pub fn sequence(&self, seed: u64, len: usize) -> Vec<Words> {
        let mut maker = Maker { rng: fastrand::Rng::with_seed(seed), deadlines: 0, numkeys: None };
        let mut out = vec![words(&["HELLO", if maker.rng.bool() { "2" } else { "3" }])];
        // A few families at a time, so that their commands meet.
        let families: Vec<Group> = (0..2).map(|_| maker.pick(&self.rules).group).collect();
        while out.len() < len {
            let rule = maker.pick(&self.rules);
            if !families.contains(&rule.group) && !maker.chance(8) {
                continue;
            }
            let command = maker.command(rule);
            if matches!(rule.full_name.as_str(), "xautoclaim" | "xclaim") && command.len() > 3 {
                // 7.2 creates the consumer in any case.
                let mut create = words(&["XGROUP", "CREATECONSUMER"]);
                create.extend_from_slice(&command[1..4]);
                out.push(create);
            }
            let blocking = rule.flags.contains(Flags::BLOCKING);
            match maker.rng.u8(0..20) {
                _ if blocking => {
                    out.extend([words(&["MULTI"]), command, words(&["EXEC"])]);
                }
                0 => out.extend([words(&["MULTI"]), command, words(&["EXEC"])]),
                1 if !rule.flags.contains(Flags::NOSCRIPT) => out.push(scripted(command)),
                2 => out.push(words(&["SELECT", ["0", "0", "1"][maker.rng.usize(0..3)]])),
                _ => out.push(command),
            }
        }
        out
    }

    /// Whether the row of a command passes a test.
    pub fn is(&self, words: &[Vec<u8>], test: impl Fn(&Command) -> bool) -> bool {
        let row = |name: &[u8], rows: &'static [Command]| {
            rows.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
        };
        let found = FAMILIES.iter().find_map(|rows| row(&words[0], rows));
        let inner = found.and_then(|found| row(words.get(1)?, found.subcommands));
        inner.or(found).is_some_and(test)
    }
}

fn add_rule(rules: &mut Vec<Rule>, command: &'static Command, parent: Option<&'static str>) {
    let full_name = match parent {
        Some(parent) => format!("{parent}|{}", command.name),
        None => command.name.to_owned(),
    };
    let compared = !matches!(
        command.group,
        Group::Server | Group::Connection | Group::Cluster | Group::Scripting | Group::Transactions
    ) && command.group != Group::PubSub;
    let left_out = LEFT_OUT.iter().any(|(name, _)| *name == full_name);
    if !compared || left_out || !command.subcommands.is_empty() {
        return;
    }
    let mut arguments = syntax::parse(command.syntax).expect("a syntax that can be read");
    let unwanted: Vec<&str> = LEFT_OUT_TOKENS
        .iter()
        .filter(|(name, _)| *name == full_name)
        .map(|(_, token)| *token)
        .collect();
    leave_out(&mut arguments, &unwanted);
    rules.push(Rule {
        full_name,
        name: parent.into_iter().chain([command.name]).collect(),
        group: command.group,
        flags: command.flags,
        arguments,
    });
}

fn leave_out(arguments: &mut Vec<Argument>, unwanted: &[&str]) {
    arguments.retain(|argument| argument.token.is_none_or(|token| !unwanted.contains(&token)));
    for argument in arguments {
        if let ArgKind::OneOf(parts) | ArgKind::Block(parts) = &mut argument.kind {
            leave_out(parts, unwanted);
        }
    }
}

fn words(texts: &[&str]) -> Words {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The command, called by a script.
fn scripted(command: Words) -> Words {
    let mut out = words(&["EVAL", "return redis.pcall(unpack(ARGV))", "0"]);
    out.extend(command);
    out
}

struct Maker {
    rng: fastrand::Rng,
    /// Deadlines made so far: no two are the same, since two servers' clocks never are.
    deadlines: u64,
    /// Number of keys that a command said it has.
    numkeys: Option<usize>,
}

impl Maker {
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.rng.usize(0..from.len())]
    }

    fn one_of(&mut self, texts: &[&str]) -> Vec<u8> {
        texts[self.rng.usize(0..texts.len())].into()
    }

    /// True once in so many times.
    fn chance(&mut self, times: u32) -> bool {
        self.rng.u32(0..times) == 0
    }

    fn command(&mut self, rule: &Rule) -> Words {
        self.numkeys = None;
        let mut out = words(&rule.name);
        for argument in &rule.arguments {
            self.argument(rule, argument, &mut out);
        }
        if let Some(by) = out.iter().position(|word| word == b"BY")
            && out.get(by + 1).is_some_and(|pattern| !pattern.contains(&b'*'))
        {
            out.drain(by..(by + 2).min(out.len()));
        }
        if rule.full_name.starts_with("sort") && out.contains(&b"BY".to_vec()) {
            // Texts that are equal, or missing, come in any order.
            out.retain(|word| word != b"ALPHA");
        }
        if rule.full_name == "zadd" && self.chance(6) {
            return self.equal_scores();
        }
        // WITHSCORE is new in 7.2.
        if !matches!(rule.full_name.as_str(), "zrank" | "zrevrank") && self.chance(60) {
            // Too few arguments, or one too many.
            if self.rng.bool() && out.len() > rule.name.len() {
                out.pop();
            } else {
                out.push(b"more".to_vec());
            }
        }
        out
    }

    /// Members with one score, at a key for ranges by member.
    fn equal_scores(&mut self) -> Words {
        let mut out = vec![b"zadd".to_vec(), format!("y{}", self.rng.u8(0..2)).into()];
        for _ in 0..self.rng.usize(1..6) {
            out.extend([b"0".to_vec(), self.member()]);
        }
        out
    }

    fn argument(&mut self, rule: &Rule, argument: &Argument, out: &mut Words) {
        let flags = argument.flags;
        if flags.contains(ArgFlags::OPTIONAL) && self.rng.u8(0..3) > 0 {
            return;
        }
        let is_key = matches!(argument.kind, ArgKind::Value { kind: "key", .. });
        let times = match (flags.contains(ArgFlags::MULTIPLE), self.numkeys) {
            (true, Some(numkeys)) if is_key => numkeys,
            (true, Some(numkeys)) if argument.name == "weight" => numkeys,
            (true, Some(keys)) if rule.full_name.starts_with("xread") => keys,
            (true, None) if rule.full_name.starts_with("xread") && is_key => {
                let keys = self.rng.usize(1..4);
                self.numkeys = Some(keys);
                keys
            }
            (true, _) => self.rng.usize(1..5),
            (false, _) => 1,
        };
        for time in 0..times {
            let token = argument.token.filter(|_| argument.kind != ArgKind::PureToken);
            if let Some(token) = token
                && (time == 0 || flags.contains(ArgFlags::MULTIPLE_TOKEN))
            {
                out.push(token.into());
            }
            match &argument.kind {
                ArgKind::PureToken => out.push(argument.token.unwrap_or_default().into()),
                ArgKind::OneOf(parts) if !parts.is_empty() => {
                    let part = self.pick(parts);
                    self.argument(rule, part, out);
                }
                ArgKind::OneOf(_) => {}
                ArgKind::Block(parts) => {
                    parts.iter().for_each(|part| self.argument(rule, part, out));
                }
                ArgKind::Value { kind, display } => {
                    let word = self.value(rule, kind, display);
                    out.push(word);
                }
            }
        }
    }

    fn value(&mut self, rule: &Rule, kind: &str, display: &str) -> Vec<u8> {
        if display == "milliseconds" && rule.full_name.starts_with("xread") {
            // 7.2 refuses a time that can't be added to the clock.
            return self.one_of(&["0", "1", "1000", "-1", "x"]);
        }
        if self.chance(80) {
            return self.one_of(&["", "x", "-1", "9223372036854775807", "nan", "1e400"]);
        }
        match (kind, display) {
            // A large negative count has Redis write a reply without end.
            (_, "count") if rule.full_name.contains("rand") => {
                self.rng.i8(-10..=10).to_string().into()
            }
            ("key", _) if rule.full_name.contains("lex") => {
                format!("y{}", self.rng.u8(0..2)).into()
            }
            ("key", _) => self.key(rule.group),
            // Sorting by a pattern without a star leaves a set in an order of its own.
            ("pattern", _) if rule.full_name.starts_with("sort") => {
                self.one_of(&["*", "w:*", "h*->f1", "#", "s*"])
            }
            ("pattern", _) => self.one_of(&["*", "[hls]*", "?1", "w:*", "h*->f1", "#", "\\*"]),
            ("unix-time", _) => {
                self.deadlines += 1;
                let ms = display.contains("milli");
                let unit = if ms { 1000 } else { 1 };
                let at = if self.chance(6) { 1 } else { (4_000_000_000 + self.deadlines) * unit };
                at.to_string().into()
            }
            (_, "seconds" | "milliseconds" | "ttl") => {
                self.deadlines += 1;
                let unit = if display == "seconds" { 1 } else { 1000 };
                let time = (100_000 + self.deadlines * 10) * unit;
                let past = ["0", "-1", "-100000"];
                if self.chance(8) { self.one_of(&past) } else { time.to_string().into() }
            }
            (_, "numkeys") => {
                let count = self.rng.usize(1..4);
                self.numkeys = Some(count);
                let told = if self.chance(30) { count + 1 } else { count };
                told.to_string().into()
            }
            (_, "cursor") => b"0".into(),
            (_, "db" | "destination-db" | "index1" | "index2") => self.one_of(&["0", "1"]),
            (_, "timeout") => self.one_of(&["0", "1", "0.5", "-1"]),
            (_, "offset") if rule.group == Group::Bitmap => {
                self.one_of(&["0", "1", "7", "8", "63", "100", "#1", "-1", "65"])
            }
            (_, "offset") => self.one_of(&["0", "1", "3", "10", "-1", "100"]),
            (_, "encoding") => self.one_of(&["u8", "i8", "u1", "i64", "u63", "i5", "u64"]),
            (_, "bit") => self.one_of(&["0", "1", "1", "2"]),
            (_, "longitude" | "latitude") => self.number(85),
            (_, "radius" | "width" | "height") => self.one_of(&["1", "100", "5000", "1e9", "-1"]),
            (_, "id" | "last-id" | "lastid" | "max-deleted-id") => self.stream_id(),
            (_, "start" | "end" | "min" | "max" | "stop") => self.bound(rule),
            (_, "min-idle-time") => self.one_of(&["0", "0", "100000000"]),
            (_, "group") => self.one_of(&["g1", "g2"]),
            (_, "consumer") => self.one_of(&["c1", "c2"]),
            (_, "threshold") => self.one_of(&["0", "1", "2", "5", "3-1"]),
            (_, "type") => self.one_of(&["string", "list", "hash", "set", "zset", "stream"]),
            ("double", _) => self.number(20),
            (_, "increment" | "decrement" | "count" | "limit" | "rank" | "weight" | "score") => {
                self.number(6)
            }
            ("integer", _) => self.integer(8),
            (_, "field") => format!("f{}", self.rng.u8(0..6)).into(),
            (_, "member" | "member1" | "member2") => self.member(),
            _ => self.text(),
        }
    }

    /// A key, mostly one of its own type's.
    fn key(&mut self, group: Group) -> Vec<u8> {
        let own = match group {
            Group::String | Group::Bitmap => 's',
            Group::List => 'l',
            Group::Set => 'e',
            Group::SortedSet => 'z',
            Group::Hash => 'h',
            Group::HyperLogLog => 'p',
            Group::Geo => 'g',
            Group::Stream => 'x',
            _ => *self.pick(&['s', 'l', 'e', 'z', 'h', 'p', 'g', 'x']),
        };
        // Sets take part in the algebra of sorted sets; anything meets what it can't work with.
        let letter = match self.rng.u8(0..24) {
            0 => *self.pick(&['s', 'l', 'e', 'z', 'h', 'p', 'g', 'x', 'n']),
            1 if own == 'z' => 'e',
            _ => own,
        };
        format!("{letter}{}", self.rng.u8(0..3)).into()
    }

    fn integer(&mut self, size: i64) -> Vec<u8> {
        let size = if self.chance(12) { i64::MAX / 2 } else { size };
        self.rng.i64(-size..=size).to_string().into()
    }

    fn number(&mut self, size: i64) -> Vec<u8> {
        match self.rng.u8(0..8) {
            0 => self.one_of(&["0.5", "-1.25", "3.0e2", "1e3", "inf", "-inf", "0.1", "1e-5"]),
            1 => format!("{:.3}", self.rng.f64() * size as f64).into(),
            2 => self.integer(size),
            _ => self.rng.i64(0..=size).to_string().into(),
        }
    }

    fn bound(&mut self, rule: &Rule) -> Vec<u8> {
        let by_lex = rule.full_name.contains("lex");
        if rule.group == Group::Stream {
            return if self.chance(3) {
                self.one_of(&["-", "+", "(1-1"])
            } else {
                self.stream_id()
            };
        }
        match self.rng.u8(0..10) {
            _ if by_lex => self.one_of(&["-", "+", "[m1", "(m2", "[m3", "(", "[", "m"]),
            0 => self.one_of(&["-inf", "+inf", "inf", "(1", "(2.5", "[m1", "(m3", "-", "+"]),
            1 => self.number(10),
            _ => self.rng.i64(-6..=8).to_string().into(),
        }
    }

    fn stream_id(&mut self) -> Vec<u8> {
        match self.rng.u8(0..10) {
            0 => self.one_of(&["0", "0-0", "$", ">", "5-*", "1-18446744073709551615"]),
            1 | 2 => self.rng.u8(0..30).to_string().into(),
            _ => format!("{}-{}", self.rng.u8(0..30), self.rng.u8(0..3)).into(),
        }
    }

    fn member(&mut self) -> Vec<u8> {
        match self.rng.u8(0..12) {
            0 => self.text(),
            1..4 => self.rng.i64(-20..20).to_string().into(),
            _ => format!("m{}", self.rng.u8(0..8)).into(),
        }
    }

    /// Any string: short, long, a number, or bytes.
    fn text(&mut self) -> Vec<u8> {
        match self.rng.u8(0..12) {
            0 => Vec::new(),
            1 => vec![b'x'; self.rng.usize(40..80)],
            2 => (0..self.rng.usize(1..12)).map(|_| self.rng.u8(..)).collect(),
            3 => "y".repeat(self.rng.usize(1..3000)).into(),
            4..7 => self.rng.i64(-200..200).to_string().into(),
            7 => self.integer(1 << 40),
            8 => self.number(10),
            _ => format!("v{}", self.rng.u8(0..10)).into(),
        }
    }
}
