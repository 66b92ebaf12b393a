//! Broken snapshots: the offset and the reason are those that redis-check-rdb tells, where one is
//! installed.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rhubarb::persist::rdb::{Progress, load, value};
use rhubarb::util::file::Disk;
use rhubarb::util::file::sim::SimDisk;
use rhubarb::value::Limits;

use crate::harness::Harness;

/// What the server logs of a file that it can't load.
fn told(image: &[u8]) -> Option<String> {
    let disk = SimDisk::new();
    disk.put("/d/dump.rdb", image);
    let file = disk.open(Path::new("/d/dump.rdb")).expect("a file");
    let options = load::Options {
        databases: 16,
        checksum: true,
        drop_before_ms: None,
        duplicates: false,
        values: value::Options { deep: false, limits: Limits::default() },
        access: &|_, _| {},
    };
    let error = load::load(&file, 0, &options, &Progress::default()).err()?;
    let context = error.context.expect("it was being read");
    Some(format!("[offset {}] {}\n{context}", error.offset, error.problem))
}

/// What redis-check-rdb says of it, if it is there.
fn checked(image: &[u8]) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(image).expect("written");
    let output = match Command::new("redis-check-rdb").arg(file.path()).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: can't run redis-check-rdb: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, error) = text.split_once("--- RDB ERROR DETECTED ---\n").expect("an error");
    // Before the first type it claims to read a string.
    let claims = |line: &&str| *line != "[additional info] Reading type 0 (string)";
    let named = error.contains("Reading key") || error.contains("read-key");
    // The one of 7.0 has no name for the newest of its own types.
    let error = error.replace("type 19 (unknown)", "type 19 (stream-v2)");
    let lines = error.lines().filter(|line| line.starts_with('[') && (named || claims(line)));
    // A reason comes with the line of the source that it was found at.
    let lines = lines.map(|line| match line.split_once("Internal error in RDB reading") {
        Some((offset, reason)) => {
            format!("{offset}{}", reason.split_once(" -> ").map_or(reason, |found| found.1))
        }
        None => line.to_owned(),
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn without_reason(text: &str) -> String {
    let (offset, rest) = text.split_once("] ").expect("an offset");
    let (_, context) = rest.split_once('\n').expect("what was being read");
    format!("{offset}]\n{context}")
}

#[test]
fn a_file_that_is_cut_off_anywhere() {
    let mut harness = Harness::new();
    let client = harness.connect();
    for line in [
        "SET text hello",
        "SET number 12345",
        "SET long 70000000000",
        "SET volatile 1 PXAT 99999999999999",
        "RPUSH list a b c",
        "SADD ints 1 2 3",
        "SELECT 3",
        "ZADD zset 1.5 a 2 b",
        "HSET hash a 1 b 2",
        "XADD stream 1-1 a b",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me STREAMS stream >",
        "SAVE",
    ] {
        harness.call(client, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    }
    let image = harness.disk.contents("/data/dump.rdb").expect("saved");
    for len in 0..image.len() {
        let told = told(&image[..len]).expect("it isn't whole");
        let Some(checked) = checked(&image[..len]) else { return };
        // Within a stream it has a reason of its own for each part that is missing.
        let in_stream = told.contains("Reading key 'stream'");
        let [told, checked] = [told, checked].map(|text| match in_stream {
            true => without_reason(&text),
            false => text,
        });
        assert_eq!(told, checked, "cut off after {len} bytes");
    }
}

#[test]
fn a_file_whose_parts_are_wrong() {
    let records: &[&[u8]] = &[
        b"\x63\x01a\x01b",
        b"\xfe\x00\x0a\x01a\x05abcde",
        b"\xfe\x00\x10\x01a\x05abcde",
        b"\xfe\x00\x0b\x01a\x05abcde",
        b"\xfe\x00\x09\x01a\x05abcde",
        b"\xfe\x00\x00\x01a\xc3\x05\x20abcde",
        b"\xfe\x00\x00\x01a\xc7",
        b"\xfe\x00\x00\x01a\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xfe\x00\x01\x01a\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xfe\x00\x00\x01x\x01y\x02\x01a\x02\x01a\x01a",
        b"\xfe\x00\xfc\xff\xff\xff\xff\xff\xff\xff\x00\x00\x01x\x01y\x03\x01a\x02\x01a\x011\x01a\x012",
        b"\xfe\x00\x03\x01a\x01\x01a\xfd",
        b"\xfe\x00\x05\x01a\x01\x01a\0\0\0\0\0\0\xf8\x7f",
        b"\xfe\x00\xf8\x64\x00\x01a\x01b\xf9\x0a\x00\x01c\x7f",
    ];
    for record in records {
        let image = [b"REDIS0009", *record, b"\xff\0\0\0\0\0\0\0\0"].concat();
        let told = told(&image).expect("it is wrong");
        let Some(checked) = checked(&image) else { return };
        assert_eq!(told, checked, "{record:?}");
    }
    let image = b"REDIS0009\xfe\x00\x00\x01a\x01b\xff\x01\0\0\0\0\0\0\0";
    let Some(checked) = checked(image) else { return };
    assert_eq!(told(image).expect("a wrong checksum"), checked);
}
