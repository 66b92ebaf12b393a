//! Streams in the format: written as Redis 7.0 does, read in the three forms that there are.
//!
//! Owns what stands where. Whether it fits together is checked by [`crate::value::stream`].

use super::decode::{Decoder, Problem, Result, Source};
use super::encode::Encoder;
use super::kind;
use crate::value::stream::{CorruptStream, Group, GroupLoader, Meta, Stream, StreamId};

/// How an unknown number of entries read is written.
const UNKNOWN: u64 = u64::MAX;

impl Encoder<'_> {
    /// Writes a stream in the form [`kind::STREAM_LISTPACKS_2`].
    pub(super) fn stream(&mut self, stream: &Stream) {
        let log = stream.log();
        self.count(log.node_count());
        for (id, image) in log.nodes() {
            self.bytes(&id.to_bytes());
            self.bytes(image);
        }
        let Meta { last_id, first_id, max_deleted_id, entries_added } = *log.meta();
        self.len(log.len());
        self.id(last_id);
        self.id(first_id);
        self.id(max_deleted_id);
        self.len(entries_added);
        self.count(stream.group_count());
        stream.groups().for_each(|group| self.group(group));
    }

    /// Writes an ID as two integers.
    fn id(&mut self, id: StreamId) {
        self.len(id.ms);
        self.len(id.seq);
    }

    fn group(&mut self, group: &Group) {
        self.string(group.name().as_bytes());
        self.id(group.last_id);
        self.len(group.entries_read.unwrap_or(UNKNOWN));
        self.count(group.pending_len());
        for pending in group.pending_from(StreamId::MIN) {
            self.put(&pending.id.to_bytes());
            self.put(&pending.delivered_ms.to_le_bytes());
            self.len(pending.count);
        }
        self.count(group.consumers().len());
        for consumer in group.consumers() {
            self.string(consumer.name().as_bytes());
            self.put(&consumer.seen_ms.to_le_bytes());
            self.count(consumer.pending_len());
            consumer.pending_from(StreamId::MIN).for_each(|id| self.put(&id.to_bytes()));
        }
    }
}

fn corrupt(reason: &'static str) -> impl Fn(CorruptStream) -> Problem {
    move |_| Problem::Corrupt(reason)
}

impl<S: Source> Decoder<S> {
    /// Reads a stream of the form `kind`.
    pub(super) fn stream(&mut self, kind: u8, deep: bool) -> Result<Stream> {
        let mut stream = Stream::default();
        for _ in 0..self.length()? {
            let id = <[u8; 16]>::try_from(self.vec()?);
            let id = id.map_err(|_| {
                Problem::Corrupt("Stream node key entry is not the size of a stream ID")
            })?;
            let pushed = stream.push_node(StreamId::from_bytes(id), self.vec()?, deep);
            pushed.map_err(corrupt("Stream listpack integrity check failed."))?;
        }
        let len = self.length()?;
        let last_id = self.id()?;
        let finished = match kind {
            kind::STREAM_LISTPACKS => stream.finish_old_load(len, last_id, deep),
            _ => {
                let (first_id, max_deleted_id) = (self.id()?, self.id()?);
                let entries_added = self.length()?;
                let meta = Meta { last_id, first_id, max_deleted_id, entries_added };
                stream.finish_load(len, meta, deep)
            }
        };
        finished.map_err(corrupt("Stream length inconsistent with its entries"))?;
        for _ in 0..self.length()? {
            let group = self.group(kind, &stream)?;
            if !stream.add_group(group) {
                return Err(Problem::Corrupt("Duplicated consumer group name"));
            }
        }
        Ok(stream)
    }

    fn id(&mut self) -> Result<StreamId> {
        Ok(StreamId::new(self.length()?, self.length()?))
    }

    fn raw_id(&mut self) -> Result<StreamId> {
        self.array().map(StreamId::from_bytes)
    }

    fn time(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn group(&mut self, kind: u8, stream: &Stream) -> Result<Group> {
        let name = self.vec()?;
        let last_id = self.id()?;
        let entries_read = match kind {
            kind::STREAM_LISTPACKS => stream.log().position(last_id),
            _ => Some(self.length()?),
        };
        let entries_read = entries_read.filter(|read| i64::try_from(*read).is_ok());
        let mut loader = GroupLoader::new(Group::new(&name, last_id, entries_read));
        for _ in 0..self.length()? {
            let (id, delivered_ms, count) = (self.raw_id()?, self.time()?, self.length()?);
            let added = loader.pending(id, delivered_ms, count);
            added.map_err(corrupt("Duplicated global PEL entry loading stream consumer group"))?;
        }
        for _ in 0..self.length()? {
            self.consumer(kind, &mut loader)?;
        }
        loader.finish().map_err(corrupt("NACK not assigned to any consumer"))
    }

    fn consumer(&mut self, kind: u8, loader: &mut GroupLoader) -> Result<()> {
        let (name, seen_ms) = (self.vec()?, self.time()?);
        let active_ms = match kind {
            kind::STREAM_LISTPACKS_3 => self.time()?,
            // Nothing better is known.
            _ => seen_ms,
        };
        let active_ms = (active_ms >= 0).then_some(active_ms);
        let added = loader.consumer(&name, seen_ms, active_ms);
        added.map_err(corrupt("Duplicate stream consumer detected"))?;
        for _ in 0..self.length()? {
            let id = self.raw_id()?;
            let reason = match loader.has_pending(id) {
                true => "Stream consumer PEL entry already has a consumer assigned",
                false => "Consumer entry not found in group global PEL",
            };
            loader.give(id, &name).map_err(corrupt(reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::dump::{dump, restore};
    use super::super::value::Options;
    use super::*;
    use crate::keyspace::Entry;
    use crate::value::{Collection, Limits, Value};

    const TRUSTING: bool = true;

    /// What redis-server 7.0.15 wrote (`DUMP`) for a stream with a group of two consumers.
    const PAYLOAD: &str = "13011000000000000003e80000000000000005404f4f0000001900020101010201846e616d650581\
        6e0200010201000100018161020c01050103010101dffb02816202dffd0205010001f2880d010402\
        010101856f74686572068576616c7565060601ff0280000111700743e80543e90003010567726f75\
        70800001117007030200000000000003e80000000000000005d00700000000000001000000000001\
        11700000000000000007e803000000000000090205616c696365dd9ff20fa2010000010000000000\
        0003e8000000000000000503626f62989ff20fa20100000100000000000111700000000000000007\
        0a0063dda3c085d0eff8";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn options(deep: bool) -> Options {
        Options { deep, limits: Limits::default() }
    }

    fn stream(entry: &Entry) -> &Stream {
        match entry.value() {
            Some(Value::Stream(stream)) => stream,
            _ => panic!("not a stream"),
        }
    }

    #[test]
    fn what_redis_wrote_is_read_and_written_alike() {
        let payload = bytes(PAYLOAD);
        let entry = restore(&payload, b"s", None, false, &options(true)).expect("a stream");
        assert_eq!(dump(&entry, false), payload);
        let stream = stream(&entry);
        assert_eq!((stream.len(), stream.group_count()), (2, 1));
        let group = stream.group(b"group").expect("the group");
        let owners: Vec<_> =
            group.pending_from(StreamId::MIN).map(|p| p.consumer.as_bytes()).collect();
        assert_eq!(owners, [&b"alice"[..], b"bob"]);
        assert_eq!((group.last_id, group.entries_read), (StreamId::new(70_000, 7), Some(3)));
    }

    /// The payload in the form of another version of Redis.
    fn in_form(form: u8) -> Vec<u8> {
        let entry = restore(&bytes(PAYLOAD), b"s", None, false, &options(true)).expect("a stream");
        let stream = stream(&entry);
        let mut encoder = Encoder::whole(false);
        encoder.byte(form);
        encoder.count(stream.log().node_count());
        for (id, image) in stream.log().nodes() {
            encoder.bytes(&id.to_bytes());
            encoder.bytes(image);
        }
        let Meta { last_id, first_id, max_deleted_id, entries_added } = *stream.log().meta();
        encoder.len(stream.log().len());
        encoder.id(last_id);
        if form != kind::STREAM_LISTPACKS {
            encoder.id(first_id);
            encoder.id(max_deleted_id);
            encoder.len(entries_added);
        }
        encoder.len(1);
        encoder.string(b"group");
        encoder.id(last_id);
        if form != kind::STREAM_LISTPACKS {
            encoder.len(UNKNOWN);
        }
        encoder.len(0);
        encoder.len(1);
        encoder.string(b"alice");
        encoder.put(&5i64.to_le_bytes());
        if form == kind::STREAM_LISTPACKS_3 {
            encoder.put(&(-1i64).to_le_bytes());
        }
        encoder.len(0);
        let mut payload = encoder.into_bytes();
        payload.extend_from_slice(&[0; 10]);
        payload
    }

    #[test]
    fn forms_of_other_versions_are_read() {
        let read = |form: u8| {
            restore(&in_form(form), b"s", None, TRUSTING, &options(true)).expect("a stream")
        };
        for (form, added, entries_read, active) in [
            (kind::STREAM_LISTPACKS, 2, Some(2), Some(5)),
            (kind::STREAM_LISTPACKS_2, 3, None, Some(5)),
            (kind::STREAM_LISTPACKS_3, 3, None, None),
        ] {
            let entry = read(form);
            let stream = stream(&entry);
            let group = stream.group(b"group").expect("the group");
            assert_eq!(stream.log().entries_added(), added);
            assert_eq!(stream.log().meta().first_id, StreamId::new(1000, 5));
            assert_eq!(group.entries_read, entries_read);
            let consumer = group.consumer(b"alice").expect("the consumer");
            assert_eq!((consumer.seen_ms, consumer.active_ms), (5, active));
        }
    }

    #[test]
    fn every_cut_and_every_flip_is_refused_or_read() {
        let payload = bytes(PAYLOAD);
        let body = payload.len() - 10;
        for len in 0..body {
            let cut = [&payload[..len], &[0; 10]].concat();
            assert!(restore(&cut, b"s", None, TRUSTING, &options(true)).is_err(), "{len}");
        }
        for at in 1..body {
            for bit in 0..8 {
                let mut flipped = payload.clone();
                flipped[at] ^= 1 << bit;
                for deep in [true, false] {
                    let Ok(entry) = restore(&flipped, b"s", None, TRUSTING, &options(deep)) else {
                        continue;
                    };
                    // Whatever it is, it can be read, changed and saved.
                    let mut stream = stream(&entry).clone();
                    stream.log().range_rev(StreamId::MIN, StreamId::MAX).for_each(drop);
                    stream.log_mut().delete(StreamId::new(1000, 5));
                    let fields = [b"f".as_slice(), b"v"].into_iter();
                    if let Some(next) = stream.log().last_id().next() {
                        stream.log_mut().append(next, fields, &Limits::default()).expect("later");
                    }
                    stream.with_group(b"group", |_, group| {
                        group.acknowledge(StreamId::new(1000, 5));
                        group.remove_consumer(b"bob");
                    });
                    dump(&Entry::new(b"s", stream.into_value(), None), true);
                }
            }
        }
    }
}
