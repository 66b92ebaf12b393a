//! Streams against a map of entries, with snapshots held across the changes; images of nodes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Fields = Vec<Vec<u8>>;
type Model = BTreeMap<StreamId, Fields>;

fn small() -> Limits {
    Limits { stream_node_max_entries: 4, stream_node_max_bytes: 120, ..Limits::default() }
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

fn append(log: &mut Log, id: StreamId, fields: &[Vec<u8>], limits: &Limits) {
    let fields = fields.iter().map(Vec::as_slice);
    log.append(id, fields, limits).expect("a later ID");
}

fn fields_of(entry: &Entry<'_>) -> Fields {
    entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
}

fn entries(range: Range<'_>) -> Vec<(StreamId, Fields)> {
    range.map(|entry| (entry.id(), fields_of(&entry))).collect()
}

/// Everything that reads agrees with the model, and the nodes are well-formed.
fn check(log: &Log, model: &Model) {
    let all: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(entries(log.iter()), all);
    let mut reversed = entries(log.range_rev(StreamId::MIN, StreamId::MAX));
    reversed.reverse();
    assert_eq!(reversed, all);
    assert_eq!(log.len(), model.len() as u64);
    let first = model.keys().next().copied();
    assert_eq!(log.meta().first_id, first.unwrap_or_default());
    assert_eq!(log.first().map(|entry| entry.id()), first);
    assert_eq!(log.last().map(|entry| entry.id()), model.keys().last().copied());
    let mut copy = Stream::default();
    for (id, image) in log.nodes() {
        copy.push_node(id, image.to_vec(), true).expect("a well-formed node");
    }
    copy.finish_load(log.len(), *log.meta(), true).expect("the same length");
    assert_eq!(entries(copy.log().iter()), all);
}

#[derive(Debug, Clone)]
enum Change {
    Append { ms: u64, seq: u64, names: u8, values: Vec<Vec<u8>> },
    Delete(usize),
    TrimLen { keep: u64, approximate: bool, limit: u64 },
    TrimId { at: usize, approximate: bool },
}

fn change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        (0u32..2000).prop_map(|int| int.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..70),
    ];
    let values = proptest::collection::vec(value, 1..4);
    prop_oneof![
        6 => (0u64..3, 1u64..3, 0u8..3, values)
            .prop_map(|(ms, seq, names, values)| Change::Append { ms, seq, names, values }),
        3 => (0usize..64).prop_map(Change::Delete),
        1 => (0u64..30, any::<bool>(), 0u64..9)
            .prop_map(|(keep, approximate, limit)| Change::TrimLen { keep, approximate, limit }),
        1 => (0usize..64, any::<bool>())
            .prop_map(|(at, approximate)| Change::TrimId { at, approximate }),
    ]
}

fn apply(log: &mut Log, model: &mut Model, change: Change, limits: &Limits) {
    match change {
        Change::Append { ms, seq, names, values } => {
            let last = log.last_id();
            let id = id(last.ms + ms, if ms > 0 { seq } else { last.seq + seq });
            let names = (0..values.len()).map(|i| vec![b'a' + names, b'0' + i as u8]);
            let fields: Fields =
                names.zip(values).flat_map(|(name, value)| [name, value]).collect();
            append(log, id, &fields, limits);
            model.insert(id, fields);
        }
        Change::Delete(at) => {
            let Some(id) = model.keys().nth(at).copied() else {
                assert!(!log.delete(id(u64::MAX, 0)));
                return;
            };
            assert!(log.delete(id));
            assert!(!log.delete(id), "it is gone");
            assert!(log.meta().max_deleted_id >= id);
            model.remove(&id);
        }
        Change::TrimLen { keep, approximate, limit } => {
            let limit = if approximate { limit } else { 0 };
            let removed = log.trim(&Trim { to: TrimTo::MaxLen(keep), approximate, limit });
            let excess = (model.len() as u64).saturating_sub(keep);
            let most = if limit > 0 { limit.min(excess) } else { excess };
            assert!(if approximate { removed <= most } else { removed == excess });
            (0..removed).for_each(|_| drop(model.pop_first()));
        }
        Change::TrimId { at, approximate } => {
            let min = model.keys().nth(at).copied().unwrap_or(StreamId::MAX);
            let removed = log.trim(&Trim { to: TrimTo::MinId(min), approximate, limit: 0 });
            let excess = model.range(..min).count() as u64;
            assert!(if approximate { removed <= excess } else { removed == excess });
            (0..removed).for_each(|_| drop(model.pop_first()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_agree_with_a_map(changes in proptest::collection::vec(change(), 1..80), bounds in any::<[u8; 4]>()) {
        let (mut stream, mut model) = (Stream::default(), Model::new());
        let mut held = Vec::new();
        for (i, change) in changes.into_iter().enumerate() {
            let limits = if i % 2 == 0 { small() } else { Limits::default() };
            apply(stream.log_mut(), &mut model, change, &limits);
            check(stream.log(), &model);
            if i % 9 == 0 {
                held.push((stream.clone(), model.clone()));
            }
        }
        for (stream, model) in &held {
            check(stream.log(), model);
        }
        let [a, b, c, d] = bounds.map(|bound| u64::from(bound % 60));
        let (start, end) = (id(a, b % 3), id(c, d % 3));
        let wanted: Vec<_> = match start <= end {
            true => model.range(start..=end).map(|(id, fields)| (*id, fields.clone())).collect(),
            false => Vec::new(),
        };
        prop_assert_eq!(entries(stream.log().range(start, end)), wanted.clone());
        let reversed: Vec<_> = wanted.into_iter().rev().collect();
        prop_assert_eq!(entries(stream.log().range_rev(start, end)), reversed);
        prop_assert_eq!(stream.log().get(start).is_some(), model.contains_key(&start));
    }

    #[test]
    fn any_bytes_are_read_without_panic(edits in proptest::collection::vec((0usize..200, any::<u8>()), 1..6)) {
        let mut stream = Stream::default();
        for ms in 1..9 {
            let name = if ms % 3 == 0 { b"f".to_vec() } else { b"name".to_vec() };
            append(stream.log_mut(), id(ms, 0), &[name, b"value".to_vec()], &Limits::default());
        }
        let (first, image) = stream.log().nodes().next().expect("a node");
        let mut image = image.to_vec();
        for (at, byte) in edits {
            let at = at % image.len();
            image[at] = byte;
        }
        for deep in [true, false] {
            let mut copy = Stream::default();
            if copy.push_node(first, image.clone(), deep).is_err() {
                continue;
            }
            let meta = Meta { last_id: id(8, 0), ..Meta::default() };
            if copy.finish_load(8, meta, deep).is_err() {
                continue;
            }
            let log = copy.log_mut();
            let ids: Vec<StreamId> = log.range_rev(StreamId::MIN, StreamId::MAX).map(|entry| entry.id()).collect();
            prop_assert!(ids.len() < 100);
            let last = log.last_id();
            if let Some(next) = last.next() {
                append(log, next, &[b"f".to_vec(), b"v".to_vec()], &Limits::default());
            }
            for id in ids.iter().take(3) {
                log.delete(*id);
            }
            log.trim(&Trim { to: TrimTo::MaxLen(2), approximate: false, limit: 0 });
            entries(log.iter());
        }
    }

    #[test]
    fn groups_agree_with_a_map(changes in proptest::collection::vec((0u8..5, 0u64..12, 0u8..3), 1..80)) {
        let mut stream = Stream::default();
        prop_assert!(stream.add_group(Group::new(b"g", StreamId::MIN, None)));
        prop_assert!(!stream.add_group(Group::new(b"g", StreamId::MIN, None)));
        let mut model: BTreeMap<StreamId, (Vec<u8>, u64)> = BTreeMap::new();
        let mut held = Vec::new();
        for (i, (what, number, consumer)) in changes.into_iter().enumerate() {
            let (id, name) = (id(number, 1), vec![b'a' + consumer]);
            stream.with_group(b"g", |_, group| {
                group.see(&name, 5);
                match what {
                    0 => {
                        group.deliver(&name, &[id], 7);
                        model.insert(id, (name.clone(), 1));
                    }
                    1 => {
                        group.claim(id, &name, Pending::count_delivery);
                        model.entry(id).and_modify(|pending| *pending = (name.clone(), pending.1 + 1));
                    }
                    2 => {
                        group.claim_or_create(id, &name, 7, Pending::count_delivery);
                        let count = model.get(&id).map_or(1, |pending| pending.1);
                        model.insert(id, (name.clone(), count + 1));
                    }
                    3 => assert_eq!(group.acknowledge(id), model.remove(&id).is_some()),
                    _ => {
                        let before = model.len();
                        model.retain(|_, pending| pending.0 != name);
                        assert_eq!(group.remove_consumer(&name), Some(before - model.len()));
                    }
                }
            });
            check_group(&stream, &model);
            if i % 9 == 0 {
                held.push((stream.clone(), model.clone()));
            }
        }
        held.iter().for_each(|(stream, model)| check_group(stream, model));
    }
}

fn check_group(stream: &Stream, model: &BTreeMap<StreamId, (Vec<u8>, u64)>) {
    let group = stream.group(b"g").expect("the group");
    let pending: BTreeMap<_, _> = group
        .pending_from(StreamId::MIN)
        .map(|pending| (pending.id, (pending.consumer.as_bytes().to_vec(), pending.count)))
        .collect();
    assert_eq!(&pending, model);
    assert_eq!(group.pending_len(), model.len());
    let mut by_consumer = BTreeMap::new();
    for consumer in group.consumers() {
        let ids: Vec<StreamId> = consumer.pending_from(StreamId::MIN).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids.len(), consumer.pending_len());
        by_consumer.extend(ids.into_iter().map(|id| (id, consumer.name().as_bytes().to_vec())));
    }
    assert!(model.iter().map(|(id, pending)| (*id, pending.0.clone())).eq(by_consumer));
    // Saved and loaded it is the same.
    let mut loader = GroupLoader::new(Group::new(b"g", group.last_id, group.entries_read));
    for (id, (_, count)) in model {
        loader.pending(*id, 7, *count).expect("new");
        assert!(loader.pending(*id, 7, *count).is_err(), "twice");
    }
    for consumer in group.consumers() {
        loader.consumer(consumer.name().as_bytes(), 1, None).expect("new");
        for id in consumer.pending_from(StreamId::MIN) {
            loader.give(id, consumer.name().as_bytes()).expect("nobody's");
            assert!(loader.give(id, consumer.name().as_bytes()).is_err(), "twice");
        }
    }
    assert_eq!(loader.finish().expect("all are somebody's").pending_len(), model.len());
}

/// The node that redis-server 7.0.15 wrote (`DUMP`) for these entries.
#[test]
fn images_are_as_redis_writes_them() {
    let mut stream = Stream::default();
    let fields =
        |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Fields>();
    let limits = Limits::default();
    let log = stream.log_mut();
    append(log, id(1000, 5), &fields(&["name", "a", "n", "12"]), &limits);
    append(log, id(1001, 0), &fields(&["name", "b", "n", "-3"]), &limits);
    append(log, id(70_000, 7), &fields(&["other", "value"]), &limits);
    assert!(log.delete(id(1001, 0)));
    let nodes: Vec<_> = log.nodes().collect();
    let hex: String = nodes[0].1.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((nodes.len(), nodes[0].0), (1, id(1000, 5)));
    assert_eq!(hex, IMAGE);
}

const IMAGE: &str = "4f0000001900020101010201846e616d6505816e0200010201000100018161020c01050103010101\
                     dffb02816202dffd0205010001f2880d010402010101856f74686572068576616c7565060601ff";

#[test]
fn an_id_that_is_not_later_is_refused() {
    let mut stream = Stream::default();
    let fields = [b"f".as_slice(), b"v"];
    let log = stream.log_mut();
    assert_eq!(log.append(id(5, 5), fields.into_iter(), &small()), Ok(()));
    for earlier in [id(5, 5), id(5, 4), StreamId::MIN] {
        let refused = log.append(earlier, fields.into_iter(), &small());
        assert_eq!(refused, Err(AppendError::NotLater));
    }
    assert_eq!(log.append(StreamId::MAX, fields.into_iter(), &small()), Ok(()));
    assert_eq!(log.len(), 2);
}

#[test]
fn an_entry_costs_what_its_bytes_do() {
    let mut stream = Stream::default();
    let fields = [b"field".as_slice(), b"12345", b"other", b"value"];
    for ms in 1..10_001 {
        stream.log_mut().append(id(ms, 0), fields.into_iter(), &Limits::default()).expect("later");
    }
    let bytes: usize = stream.log().nodes().map(|(_, image)| image.len()).sum();
    assert!(stream.heap_bytes() < bytes + bytes / 10, "{} for {bytes}", stream.heap_bytes());
}
