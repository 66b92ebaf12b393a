//! COMMAND and COMMAND DOCS against redis-server 7.0.15: what a row says is what Redis says.

use std::collections::BTreeMap;

use rhubarb::commands::FAMILIES;
use rhubarb::spec::syntax;

use crate::harness::Harness;
use crate::process::Process;
use crate::wire::{Value, write_command};

/// What Redis 7.2 says otherwise than 7.0, and Rhubarb with it.
const CHANGED: &[(&str, &str, &str)] = &[
    ("acl|deluser", "tips", "a proxy sends it everywhere"),
    ("acl|log", "history", "entries have an identifier and two times"),
    ("acl|save", "tips", "a proxy sends it everywhere"),
    ("acl|setuser", "tips", "a proxy sends it everywhere"),
    ("bitop", "arguments", "operations are told now"),
    ("blmove", "flags", "scripts may call it, and it doesn't block there"),
    ("blpop", "flags", "scripts may call it, and it doesn't block there"),
    ("brpop", "flags", "scripts may call it, and it doesn't block there"),
    ("brpoplpush", "flags", "scripts may call it, and it doesn't block there"),
    ("bzpopmax", "flags", "scripts may call it, and it doesn't block there"),
    ("bzpopmin", "flags", "scripts may call it, and it doesn't block there"),
    ("client|kill", "arguments", "SKIPME takes one of two words, not any string"),
    ("client|list", "arguments", "IDs repeat as they are, not as a block of one"),
    ("client|pause", "since", "3.0.0 was the first release with it"),
    ("client|setname", "tips", "a proxy sends it everywhere"),
    ("command|getkeys", "arguments", "they are told now"),
    ("command|getkeys", "arity", "commands without arguments are looked at too"),
    ("command|getkeysandflags", "arguments", "they are told now"),
    ("command|getkeysandflags", "arity", "commands without arguments are looked at too"),
    ("config|get", "arguments", "patterns repeat as they are, not as a block of one"),
    ("config|resetstat", "tips", "a proxy sends it everywhere"),
    ("config|rewrite", "tips", "a proxy sends it everywhere"),
    ("latency|reset", "tips", "a proxy adds the numbers up"),
    ("module|loadex", "arguments", "arguments repeat as they are, not as a block of one"),
    ("msetnx", "tips", "it can't be split over shards"),
    ("psetex", "deprecated_since", "deprecated for SET"),
    ("psetex", "doc_flags", "deprecated for SET"),
    ("psubscribe", "arguments", "patterns repeat as they are, not as a block of one"),
    ("quit", "deprecated_since", "deprecated: clients close the connection"),
    ("quit", "doc_flags", "deprecated: clients close the connection"),
    ("randomkey", "tips", "a proxy chooses among the shards' replies"),
    ("scan", "tips", "a proxy has to translate the cursor"),
    ("set", "arguments", "IFEQ, of Valkey 8.1"),
    ("setex", "deprecated_since", "deprecated for SET"),
    ("setex", "doc_flags", "deprecated for SET"),
    ("setnx", "deprecated_since", "deprecated for SET"),
    ("setnx", "doc_flags", "deprecated for SET"),
    ("wait", "categories", "scripts may call it, and it doesn't block there"),
    ("wait", "flags", "scripts may call it, and it doesn't block there"),
    ("xinfo|consumers", "history", "inactive"),
    ("xinfo|stream", "history", "active-time"),
    ("zrank", "arguments", "WITHSCORE"),
    ("zrank", "arity", "WITHSCORE"),
    ("zrank", "history", "WITHSCORE"),
    ("zrevrank", "arguments", "WITHSCORE"),
    ("zrevrank", "arity", "WITHSCORE"),
    ("zrevrank", "history", "WITHSCORE"),
];

#[test]
fn every_syntax_can_be_read() {
    let rows = FAMILIES.iter().copied().flatten();
    for row in rows.flat_map(|row| std::iter::once(row).chain(row.subcommands)) {
        let read = syntax::parse(row.syntax);
        assert!(read.is_ok(), "{}: {}", row.name, read.unwrap_err());
    }
}

#[test]
fn rows_are_those_of_redis() {
    let Some(redis) = Process::redis(&[]) else { return };
    let mut connection = redis.connect().unwrap();
    connection.call(&["HELLO", "3"]).unwrap();
    let mut theirs = |words: &[&str]| connection.call(words).unwrap();
    let mut harness = Harness::new();
    let client = harness.connect();
    harness.call(client, &[b"HELLO", b"3"]);
    let mut ours = |words: &[&str]| {
        let mut request = Vec::new();
        write_command(&mut request, words);
        Value::read(&mut harness.send(client, &request).as_slice()).unwrap()
    };
    let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
    add_infos(&mut expected, &theirs(&["COMMAND"]));
    add_infos(&mut found, &ours(&["COMMAND"]));
    add_docs(&mut expected, &theirs(&["COMMAND", "DOCS"]));
    add_docs(&mut found, &ours(&["COMMAND", "DOCS"]));
    let mut unused: Vec<_> = CHANGED.iter().map(|(name, aspect, _)| (*name, *aspect)).collect();
    let mut differences = Vec::new();
    for ((name, aspect), found) in &found {
        let Some(expected) = expected.get(&(name.clone(), *aspect)) else { continue };
        if found == expected {
            continue;
        }
        match unused.iter().position(|known| *known == (name.as_str(), *aspect)) {
            Some(known) => drop(unused.swap_remove(known)),
            None => differences
                .push(format!("{name} {aspect}:\n  Redis   {expected}\n  Rhubarb {found}")),
        }
    }
    unused.retain(|(name, aspect)| found.contains_key(&((*name).to_owned(), *aspect)));
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    assert!(unused.is_empty(), "no such differences: {unused:?}");
}

/// What is known of commands: by name and aspect, in a comparable form.
type Rows = BTreeMap<(String, &'static str), String>;

/// Takes the rows of COMMAND apart.
fn add_infos(rows: &mut Rows, reply: &Value) {
    const ASPECTS: [&str; 8] =
        ["arity", "flags", "first key", "last key", "step", "categories", "tips", "key specs"];
    for row in reply.elements() {
        let row = row.elements();
        let name = row[0].text();
        for (aspect, value) in ASPECTS.into_iter().zip(&row[1..]) {
            rows.insert((name.clone(), aspect), sorted(value));
        }
        add_infos(rows, &row[9]);
    }
}

/// Takes the rows of COMMAND DOCS apart; what stands in one's own words doesn't matter.
fn add_docs(rows: &mut Rows, reply: &Value) {
    let Value::Map(commands) = reply else { panic!("not a map: {reply}") };
    for (name, docs) in commands {
        let name = name.text();
        for aspect in ["since", "group", "doc_flags", "deprecated_since"] {
            let shown = docs.field(aspect).map_or_else(|| "none".into(), sorted);
            rows.insert((name.clone(), aspect), shown);
        }
        let history = docs.field("history").map_or(&[][..], Value::elements);
        let versions: Vec<String> =
            history.iter().map(|entry| entry.elements()[0].text()).collect();
        rows.insert((name.clone(), "history"), versions.join(" "));
        let arguments = docs.field("arguments").map_or(&[][..], Value::elements);
        rows.insert((name.clone(), "arguments"), shape(arguments));
        if let Some(subcommands) = docs.field("subcommands") {
            add_docs(rows, subcommands);
        }
    }
}

/// A value with the members of its sets, and the fields of its maps, in order.
fn sorted(value: &Value) -> String {
    match value {
        Value::Set(elements) => {
            let mut elements: Vec<String> = elements.iter().map(sorted).collect();
            elements.sort();
            format!("~[{}]", elements.join(", "))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(sorted).collect::<Vec<_>>().join(", "))
        }
        Value::Map(pairs) => {
            // Remarks are in one's own words.
            let shown = |key: &Value, value: &Value| match key.bytes() {
                b"notes" => "notes".to_owned(),
                _ => format!("{key}: {}", sorted(value)),
            };
            let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| shown(key, value)).collect();
            pairs.sort();
            format!("{{{}}}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// The structure of arguments, without their names, some of which changed in 7.2.
fn shape(arguments: &[Value]) -> String {
    let one = |argument: &Value| {
        let fields = ["type", "token", "key_spec_index", "since", "flags"];
        let mut shown: Vec<String> =
            fields.iter().filter_map(|field| argument.field(field).map(sorted)).collect();
        if let Some(parts) = argument.field("arguments") {
            shown.push(format!("({})", shape(parts.elements())));
        }
        shown.join(" ")
    };
    arguments.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn keys_are_those_of_redis() {
    let Some(redis) = Process::redis(&[]) else { return };
    let mut connection = redis.connect().unwrap();
    let mut harness = Harness::new();
    let client = harness.connect();
    let mut differences = Vec::new();
    for line in KEYED {
        for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let mut words = vec!["COMMAND", subcommand];
            words.extend(line.split(' '));
            let mut request = Vec::new();
            write_command(&mut request, &words);
            let ours = Value::read(&mut harness.send(client, &request).as_slice()).unwrap();
            if ours.text() == "ERR Invalid command specified" {
                // Not there yet.
                continue;
            }
            let theirs = connection.call(&words).unwrap();
            if in_order(&ours) != in_order(&theirs) {
                differences
                    .push(format!("{subcommand} {line}:\n  Redis   {theirs}\n  Rhubarb {ours}"));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// Flags of keys in order: RESP2 shows sets as arrays.
fn in_order(reply: &Value) -> Value {
    match reply {
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.iter().map(in_order).collect();
            if elements.iter().all(|element| matches!(element, Value::Simple(_))) {
                elements.sort();
            }
            Value::Array(elements)
        }
        other => other.clone(),
    }
}

/// Commands whose keys are told.
const KEYED: &[&str] = &[
    "GET k",
    "GET k x",
    "PING x",
    "NOSUCH k",
    "SET k v",
    "SET k v GET",
    "SET k v EX 10 get",
    "MSET a 1 b 2",
    "MSET a 1 b",
    "MSETNX a 1 b 2 c 3",
    "MGET a b c",
    "DEL a b",
    "RENAME a b",
    "COPY a b DB 2",
    "OBJECT ENCODING k",
    "OBJECT HELP",
    "MEMORY USAGE k SAMPLES 3",
    "MEMORY DOCTOR x",
    "SORT k",
    "SORT k BY w_* GET # GET o_* STORE dst",
    "SORT k LIMIT 0 STORE store x",
    "SORT_RO k BY w_* GET o_*",
    "EVAL script 2 a b arg",
    "EVAL script 0 arg",
    "EVAL script x a",
    "EVAL script -1 a",
    "EVAL script 3 a b",
    "EVALSHA sha 1 a",
    "EVAL_RO script 1 a",
    "FCALL f 1 a b",
    "ZUNIONSTORE dst 2 a b WEIGHTS 1 2",
    "ZUNIONSTORE dst 3 a b",
    "ZUNION 2 a b WITHSCORES",
    "ZINTERCARD 2 a b LIMIT 1",
    "ZDIFFSTORE dst 1 a",
    "ZRANGESTORE dst src 0 -1",
    "ZMPOP 2 a b MIN COUNT 3",
    "BZMPOP 0 2 a b MAX",
    "LMPOP 1 a LEFT",
    "BLMPOP 0 2 a b LEFT",
    "BLPOP a b 0",
    "BLMOVE a b LEFT RIGHT 0",
    "RPOPLPUSH a b",
    "SINTERSTORE dst a b",
    "SINTERCARD 2 a b",
    "SMOVE a b m",
    "SUNION a b",
    "LCS a b LEN",
    "PFCOUNT a b",
    "PFMERGE dst a b",
    "PFADD k e",
    "BITOP AND dst a b",
    "BITFIELD k GET u8 0",
    "BITFIELD k SET u8 0 1",
    "BITFIELD k GET u8 0 INCRBY u8 0 1",
    "BITFIELD_RO k GET u8 0",
    "GEOADD k 1 2 m",
    "GEORADIUS k 1 2 3 m STORE dst",
    "GEORADIUS k 1 2 3 m STOREDIST dst COUNT 1",
    "GEORADIUSBYMEMBER k m 3 m STORE dst",
    "GEORADIUS_RO k 1 2 3 m",
    "GEOSEARCHSTORE dst src FROMLONLAT 1 2 BYRADIUS 3 m",
    "XADD k * f v",
    "XREAD COUNT 1 STREAMS a b 0 0",
    "XREAD STREAMS a b 0",
    "XREAD BLOCK 0 STREAMS streams streams 0 0",
    "XREADGROUP GROUP g c COUNT 1 STREAMS a b > >",
    "XREADGROUP GROUP STREAMS STREAMS STREAMS a >",
    "XGROUP CREATE k g $",
    "XINFO STREAM k",
    "MIGRATE h 1 k 0 1000",
    // An empty key, and the keys at the end.
    "MIGRATE h 1  0 10 KEYS a b",
    "MIGRATE h 1 k 0 1000 COPY AUTH pw",
    "RESTORE k 0 x",
    "DUMP k",
    "PUBLISH c m",
    "SUBSCRIBE c",
    "SPUBLISH c m",
    "SSUBSCRIBE a b",
    "WATCH a b",
    "DEBUG OBJECT k",
    "CONFIG GET k",
    "CLIENT KILL x",
    "SWAPDB 0 1",
    "SCAN 0",
    "HSCAN k 0",
    "GETEX k PERSIST",
    "ACL SETUSER u",
    "FUNCTION LOAD x",
    "SCRIPT LOAD x",
    "EXISTS a b",
    "PFDEBUG encoding k",
    "REPLICAOF a b",
    "LATENCY RESET x",
];
