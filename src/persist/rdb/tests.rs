//! The whole format: what is written is read as it was, and nothing else does harm.

use std::path::Path;

use proptest::prelude::*;

use super::dump::{self, Refused};
use super::save::{DbSnapshot, Failure};
use super::{Access, Progress, decode, load, save, value};
use crate::ds::dict::Keyed;
use crate::keyspace::{Db, Digest, Entry};
use crate::util::file::Disk;
use crate::util::file::sim::{EIO, ENOSPC, Fault, Loss, Op, SimDisk};
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::stream::{Stream, StreamId};
use crate::value::zset::ZSet;
use crate::value::{Collection, Limits};

const DEEP: value::Options = value::Options { deep: true, limits: SMALL };
const SMALL: Limits = Limits {
    hash_max_listpack_entries: 8,
    hash_max_listpack_value: 20,
    list_max_listpack_size: 5,
    set_max_intset_entries: 8,
    set_max_listpack_entries: 8,
    set_max_listpack_value: 20,
    zset_max_listpack_entries: 8,
    zset_max_listpack_value: 20,
    stream_node_max_bytes: 100,
    stream_node_max_entries: 4,
};

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        3 => (-200i64..200).prop_map(|n| n.to_string().into_bytes()),
        3 => "[a-c]{0,6}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..80),
        1 => (any::<u8>(), 10usize..3000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(text(), 1..20)
}

fn entry() -> impl Strategy<Value = Entry> {
    let deadline = proptest::option::of(any::<i64>());
    (text(), texts(), deadline, 0..7).prop_map(|(key, texts, deadline, kind)| {
        let value = match kind {
            0 => return Entry::string(&key, &texts[0], deadline),
            1 => {
                let mut list = List::default();
                texts.iter().for_each(|text| list.push(End::Right, text, &SMALL));
                list.into_value()
            }
            2 => {
                let mut set = Set::default();
                texts.iter().for_each(|text| {
                    let _ = set.add(text, &SMALL);
                });
                set.into_value()
            }
            3 => {
                let mut set = Set::default();
                (0..texts.len()).for_each(|i| {
                    set.add((i * 40_000).to_string().as_bytes(), &SMALL);
                });
                set.into_value()
            }
            4 => {
                let mut zset = ZSet::default();
                for (i, text) in texts.iter().enumerate() {
                    zset.set(text, f64::from(i as u8 / 3) - 1.5, &SMALL);
                }
                zset.into_value()
            }
            5 => {
                let mut stream = Stream::default();
                for (ms, text) in (1..).zip(&texts) {
                    let fields = [&texts[0], text].map(Vec::as_slice).into_iter();
                    let added = stream.log_mut().append(StreamId::new(ms, 0), fields, &SMALL);
                    assert!(added.is_ok());
                }
                stream.into_value()
            }
            _ => {
                let mut hash = Hash::default();
                texts.iter().for_each(|text| {
                    let _ = hash.set(text, &texts[0], &SMALL);
                });
                // Of every other hash some fields have deadlines.
                for (at, text) in
                    (1000..).zip(&texts).skip(texts.len() % 2 * texts.len()).step_by(2)
                {
                    hash.set_deadline(text, at, &SMALL);
                }
                hash.into_value()
            }
        };
        Entry::new(&key, value, deadline)
    })
}

/// The deadlines of a hash's fields.
fn field_deadlines(entry: &Entry) -> Vec<(Vec<u8>, i64)> {
    let mut all = Vec::new();
    if let Some(hash) = entry.collection::<Hash>() {
        hash.for_each_deadline(|field, at| all.push((field.to_vec(), at)));
    }
    all
}

fn same(a: &Entry, b: &Entry) -> bool {
    a.key() == b.key()
        && field_deadlines(a) == field_deadlines(b)
        && a.deadline() == b.deadline()
        && Digest::of_value(Some(a)) == Digest::of_value(Some(b))
}

proptest! {
    #[test]
    fn payloads_come_back(entry in entry(), compress in any::<bool>()) {
        let payload = dump::dump(&entry, compress);
        let back = dump::restore(&payload, entry.key(), entry.deadline(), false, &DEEP);
        let back = back.expect("what was dumped");
        prop_assert!(same(&entry, &back), "{entry:?} {back:?}");
        prop_assert_eq!(entry.encoding(), back.encoding());
    }

    #[test]
    fn flipped_payloads_are_refused_or_values(
        entry in entry(),
        flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4),
        deep in any::<bool>(),
    ) {
        let mut payload = dump::dump(&entry, false);
        let len = payload.len() - 10;
        for (at, with) in flips {
            payload[at as usize % len] ^= with;
        }
        let options = value::Options { deep, limits: SMALL };
        if let Ok(mut back) = dump::restore(&payload, b"k", None, true, &options) {
            // Whatever it is, it can be read, copied, changed and saved.
            Digest::of_value(Some(&back));
            let copy = dump::dump(&back, true);
            change(&mut back);
            let again = dump::restore(&copy, b"k", None, false, &options);
            prop_assert!(!deep || again.is_ok());
        }
    }

    #[test]
    fn junk_is_refused_or_a_value(junk in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut payload = junk;
        payload.extend_from_slice(&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let _ = dump::restore(&payload, b"k", None, true, &DEEP).map(|mut back| change(&mut back));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_come_back(
        entries in proptest::collection::vec((0usize..3, entry()), 0..20),
        compress in any::<bool>(),
    ) {
        let mut dbs = vec![Db::new(), Db::new(), Db::new()];
        for (number, entry) in entries {
            dbs[number].put(entry);
        }
        let disk = SimDisk::new();
        disk.put_dir("/d");
        save_to(&disk, &dbs, compress).expect("saved");
        let loaded = load_from(&disk).expect("loaded");
        prop_assert_eq!(Digest::of_dbs(&dbs), Digest::of_dbs(&loaded.dbs));
        prop_assert_eq!(loaded.keys, dbs.iter().map(|db| db.len() as u64).sum::<u64>());
        for (before, after) in dbs.iter().zip(&loaded.dbs) {
            prop_assert_eq!(before.volatile_len(), after.volatile_len());
            let kept = |entry: &Entry| after.get(entry.key()).is_some_and(|found| same(entry, found));
            prop_assert!(before.iter().all(kept));
        }
        prop_assert_eq!(loaded.functions, [b"#!lua name=x".to_vec()]);
        prop_assert_eq!(loaded.end, disk.contents("/d/dump.rdb").expect("a file").len() as u64);
    }
}

/// Changes a value in ways that go through its structure.
fn change(entry: &mut Entry) {
    if let Some(list) = entry.collection_mut::<List>() {
        list.push(End::Left, b"x", &SMALL);
        list.insert(1, b"y", &SMALL);
        list.pop(End::Right, &SMALL, |_| ());
        list.remove_range(0, 2, &SMALL);
    } else if let Some(set) = entry.collection_mut::<Set>() {
        let members: Vec<Vec<u8>> = set.iter().map(|member| member.to_vec()).collect();
        set.add(b"x", &SMALL);
        members.iter().for_each(|member| {
            let _ = set.remove(member);
        });
    } else if let Some(zset) = entry.collection_mut::<ZSet>() {
        let mut members = Vec::new();
        zset.for_each(|member, _| members.push(member.to_vec()));
        (0..10).for_each(|i: u8| {
            let _ = zset.set(&[i], f64::from(i), &SMALL);
        });
        members.iter().for_each(|member| {
            let _ = zset.remove(member);
        });
        zset.remove_ranks(0..2);
    } else if let Some(hash) = entry.collection_mut::<Hash>() {
        let fields: Vec<Vec<u8>> = hash.iter().map(|(field, _)| field.to_vec()).collect();
        (0..10).for_each(|i: u8| {
            let _ = hash.set(&[i], b"v", &SMALL);
        });
        fields.iter().for_each(|field| {
            let _ = hash.remove(field);
        });
    }
}

fn save_to(disk: &SimDisk, dbs: &[Db], compress: bool) -> Result<u64, Failure> {
    let options = save::Options {
        compress,
        checksum: true,
        aux: vec![("redis-bits", "64".into())],
        functions: vec![b"#!lua name=x".as_slice().into()],
        ..Default::default()
    };
    let data = DbSnapshot::of(dbs);
    let (path, temp) = (Path::new("/d/dump.rdb"), Path::new("/d/temp-1.rdb"));
    save::save(disk, path, temp, data, &options, &Progress::default())
}

fn load_from(disk: &SimDisk) -> Result<load::Loaded, decode::Error> {
    let file = disk.open(Path::new("/d/dump.rdb")).expect("a file");
    load::load(&file, 0, &LOADING, &Progress::default())
}

const LOADING: load::Options<'static> = load::Options {
    databases: 3,
    checksum: true,
    drop_before_ms: None,
    duplicates: false,
    values: DEEP,
    access: &|_, _| {},
};

fn sample_dbs(keys: usize) -> Vec<Db> {
    let mut db = Db::new();
    for i in 0..keys {
        let deadline = (i % 3 == 0).then_some(i as i64);
        db.put(Entry::string(format!("key:{i}").as_bytes(), &vec![b'v'; i % 500], deadline));
    }
    vec![db]
}

#[test]
fn what_spans_chunks_comes_back() {
    let mut dbs = sample_dbs(1500);
    dbs[0].put(Entry::string(
        b"big",
        &(0..700_000u32).map(|i| (i * 7) as u8).collect::<Vec<_>>(),
        None,
    ));
    let disk = SimDisk::new();
    disk.put_dir("/d");
    for compress in [false, true] {
        save_to(&disk, &dbs, compress).expect("saved");
        let loaded = load_from(&disk).expect("loaded");
        assert_eq!(Digest::of_dbs(&dbs), Digest::of_dbs(&loaded.dbs));
    }
}

#[test]
fn a_failing_disk_never_leaves_half_a_file() {
    let (old, new) = (sample_dbs(3), sample_dbs(300));
    let (before, after) = (Digest::of_dbs(&old), Digest::of_dbs(&new));
    for fault in [Fault::Error(ENOSPC), Fault::Error(EIO), Fault::Short, Fault::PowerCut] {
        for loss in [Loss::All, Loss::Nothing, Loss::Some(1), Loss::Some(2)] {
            for at in 0.. {
                let disk = SimDisk::new();
                disk.put_dir("/d");
                save_to(&disk, &old, false).expect("saved");
                let first = disk.ops();
                disk.fail_at(first + at, fault);
                let saved = save_to(&disk, &new, false);
                let passed = disk.ops() <= first + at;
                assert!(saved.is_err() || passed || fault == Fault::Short);
                if fault != Fault::PowerCut {
                    let names: Vec<_> = disk.files();
                    assert_eq!(names, [Path::new("/d/dump.rdb")], "a temporary file stays");
                }
                disk.reboot(loss);
                let found = load_from(&disk).expect("a whole file, whatever happened");
                let found = Digest::of_dbs(&found.dbs);
                assert!(found == after || saved.is_err() && found == before);
                if passed {
                    break;
                }
            }
        }
    }
}

#[test]
fn full_disks_are_told() {
    let disk = SimDisk::new();
    disk.put_dir("/d");
    disk.set_capacity(10_000);
    let failure = save_to(&disk, &sample_dbs(2000), false).expect_err("no room");
    assert_eq!(failure.to_string(), "(rdbSaveRio): No space left on device");
    disk.heal();
    disk.break_op(Op::Sync, EIO);
    let failure = save_to(&disk, &sample_dbs(20), false).expect_err("no sync");
    assert_eq!(failure.to_string(), "(fsync): Input/output error");
    assert!(disk.files().is_empty());
}

#[test]
fn a_save_that_is_stopped_leaves_nothing() {
    let disk = SimDisk::new();
    disk.put_dir("/d");
    let progress = Progress::default();
    assert!(progress.stop());
    let data = DbSnapshot::of(&sample_dbs(10));
    let (path, temp) = (Path::new("/d/dump.rdb"), Path::new("/d/temp-1.rdb"));
    let saved = save::save(&disk, path, temp, data.clone(), &save::Options::default(), &progress);
    assert!(matches!(saved, Err(Failure::Stopped)));
    assert!(disk.files().is_empty());
    let progress = Progress::default();
    let saved = save::save(&disk, path, temp, data, &save::Options::default(), &progress);
    assert!(saved.is_ok() && !progress.stop(), "too late");
}

#[test]
fn corrupt_files_are_refused_with_their_offset() {
    let disk = SimDisk::new();
    disk.put_dir("/d");
    save_to(&disk, &sample_dbs(20), false).expect("saved");
    let image = disk.contents("/d/dump.rdb").expect("a file");
    for at in 0..image.len() {
        let mut bad = image.clone();
        bad[at] ^= 1 << (at % 8);
        disk.put("/d/dump.rdb", &bad);
        let error = load_from(&disk).err().expect("a wrong checksum at least");
        assert!(error.offset <= image.len() as u64);
    }
    for len in 0..image.len() {
        disk.put("/d/dump.rdb", &image[..len]);
        let error = load_from(&disk).err().expect("the end is missing");
        assert!(matches!(error.problem, decode::Problem::Eof), "{error} of {len}");
        assert!(error.offset <= len as u64 && error.context.is_some());
    }
    let [a, b, c] = [b"REDIS0013".as_slice(), b"REDIS0000", b"RHUBA0010"].map(|image| {
        disk.put("/d/dump.rdb", image);
        load_from(&disk).err().expect("no such file").to_string()
    });
    assert_eq!(a, "Can't handle RDB format version 13 (offset 9)");
    assert_eq!(b, "Can't handle RDB format version 0 (offset 9)");
    assert_eq!(c, "Wrong signature trying to load DB from file (offset 9)");
}

/// Loads the records between header and end mark.
fn load_records(
    records: &[u8],
    options: &load::Options<'_>,
) -> Result<load::Loaded, decode::Error> {
    let disk = SimDisk::new();
    let image = [b"REDIS0010", records, &[0xff], &[0; 8]].concat();
    disk.put("/d/dump.rdb", &image);
    let file = disk.open(Path::new("/d/dump.rdb")).expect("a file");
    load::load(&file, 0, options, &Progress::default())
}

#[test]
fn records_of_all_kinds() {
    let twice = b"\x00\x01a\x01x\x00\x01a\x01y";
    let error = load_records(twice, &LOADING).err().expect("twice");
    assert_eq!(error.problem.to_string(), "RDB has duplicated key 'a' in DB 0");
    let options = load::Options { duplicates: true, drop_before_ms: Some(2000), ..LOADING };
    let loaded = load_records(twice, &options).expect("the last one counts");
    assert_eq!(loaded.dbs[0].get(b"a").and_then(Entry::str).map(|s| s.to_vec()), Some(b"y".into()));
    // A deadline in seconds that is over, an idle time, a frequency, slots, a module, and a set
    // without members.
    let records = [
        &b"\xfd\x01\0\0\0\x00\x01a\x01x"[..],
        b"\xf8\x05\x00\x01b\x01x",
        b"\xf9\x07\x00\x01c\x01x",
        b"\xf4\x01\x02\x03",
        b"\xf7\x81\x04\x10\x41\x04\x10\x41\x04\x00\x02\x01\x02\x05\x05\x01q\x00",
        b"\x02\x01d\x00",
        b"\xfe\x02\xfb\x01\x00\x00\x01e\xc1\x00\x01",
    ]
    .concat();
    let seen = parking_lot::Mutex::new(Vec::new());
    let access = |entry: &Entry, access| seen.lock().push((entry.key().to_vec(), access));
    let options = load::Options { drop_before_ms: Some(2000), access: &access, ..LOADING };
    let loaded = load_records(&records, &options).expect("loaded");
    assert_eq!((loaded.keys, loaded.expired, loaded.empty, loaded.modules.len()), (3, 1, 1, 1));
    assert!(loaded.unchecked);
    assert_eq!(
        loaded.dbs[2].get(b"e").and_then(Entry::str).map(|s| s.to_vec()),
        Some(b"256".into())
    );
    let seen = seen.into_inner();
    let expected = [(b"b", Access::Idle(5)), (b"c", Access::Freq(7)), (b"e", Access::Unknown)];
    assert_eq!(seen, expected.map(|(key, access)| (key.to_vec(), access)));
    let too_many = load_records(b"\xfe\x03", &LOADING).err().expect("three databases only");
    assert!(too_many.to_string().contains("more than 3 databases"));
}

#[test]
fn huge_lengths_take_no_memory() {
    let cases: [&[u8]; 6] = [
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xf7",
        b"\x00\x81\x00\x00\x00\xff\xff\xff\xff\xffabc",
        b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x01a",
        b"\x05\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x01a",
        b"\x04\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x01a",
        b"\x00\xc3\x03\x81\x00\x00\x00\xff\xff\xff\xff\xff\x00ab",
    ];
    for body in cases {
        let payload = [body, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        let refused = dump::restore(&payload, b"k", None, true, &DEEP);
        assert!(matches!(refused, Err(Refused::Corrupt(_))), "{body:?}");
    }
}

#[test]
fn footers_are_checked() {
    let payload = dump::dump(&Entry::string(b"k", b"v", None), true);
    assert!(dump::checked(&payload, false).is_some());
    for at in 0..payload.len() {
        let mut bad = payload.clone();
        bad[at] ^= 1;
        assert!(dump::checked(&bad, false).is_none(), "byte {at}");
    }
    assert!(dump::checked(b"short", true).is_none());
    assert!(dump::checked(b"\x00\x01a\x0d\x00........", true).is_none(), "version 13");
}
