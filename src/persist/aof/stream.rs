//! A stream as commands: its entries, what it remembers of others, its groups and what is pending.
//!
//! Owns the form. What commands can't say is lost: pending entries that have been deleted, and the
//! times of consumers.

use crate::resp::request::{write_array, write_bulk, write_request};
use crate::util::num::{self, IntBuf};
use crate::value::stream::{Group, IdBuf, Stream, StreamId};

/// Appends the requests that make a stream.
pub(super) fn write_stream(buf: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    let log = stream.log();
    let (mut id, mut deleted) = (IdBuf::new(), IdBuf::new());
    for entry in log.iter() {
        write_array(buf, 3 + 2 * entry.len());
        [b"XADD", key, entry.id().text(&mut id)].iter().for_each(|word| write_bulk(buf, word));
        for (name, value) in entry.fields() {
            write_bulk(buf, name.as_bytes(&mut IntBuf::new()));
            write_bulk(buf, value.as_bytes(&mut IntBuf::new()));
        }
    }
    let meta = log.meta();
    if log.is_empty() {
        // An entry that is trimmed at once leaves an empty stream.
        let first = meta.last_id.max(StreamId::new(0, 1)).text(&mut id);
        let words: [&[u8]; 7] = [b"XADD", key, b"MAXLEN", b"0", first, b"x", b"y"];
        write_request(buf, words.into_iter());
    }
    let mut digits = IntBuf::new();
    let words: [&[u8]; 7] = [
        b"XSETID",
        key,
        meta.last_id.text(&mut id),
        b"ENTRIESADDED",
        num::fmt_u64(meta.entries_added, &mut digits),
        b"MAXDELETEDID",
        meta.max_deleted_id.text(&mut deleted),
    ];
    write_request(buf, words.into_iter());
    stream.groups().for_each(|group| write_group(buf, key, group));
}

fn write_group(buf: &mut Vec<u8>, key: &[u8], group: &Group) {
    let (mut id, mut digits) = (IdBuf::new(), IntBuf::new());
    let name = group.name().as_bytes();
    let read: &[u8] = match group.entries_read {
        Some(read) => num::fmt_u64(read, &mut digits),
        None => b"-1",
    };
    let last_id = group.last_id.text(&mut id);
    let words: [&[u8]; 7] = [b"XGROUP", b"CREATE", key, name, last_id, b"ENTRIESREAD", read];
    write_request(buf, words.into_iter());
    for consumer in group.consumers() {
        let words: [&[u8]; 5] =
            [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name().as_bytes()];
        write_request(buf, words.into_iter());
    }
    for pending in group.pending_from(StreamId::MIN) {
        let (mut time, mut count) = (IntBuf::new(), IntBuf::new());
        let words: [&[u8]; 12] = [
            b"XCLAIM",
            key,
            name,
            pending.consumer.as_bytes(),
            b"0",
            pending.id.text(&mut id),
            b"TIME",
            num::fmt_i64(pending.delivered_ms, &mut time),
            b"RETRYCOUNT",
            num::fmt_u64(pending.count, &mut count),
            b"JUSTID",
            b"FORCE",
        ];
        write_request(buf, words.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Limits;
    use crate::value::stream::Meta;

    fn written(stream: &Stream) -> String {
        let mut buf = Vec::new();
        write_stream(&mut buf, b"s", stream);
        let text = String::from_utf8(buf).expect("text");
        let mut lines = text.split("\r\n").filter(|line| !line.starts_with(['*', '$']));
        let words: Vec<&str> = lines.by_ref().filter(|line| !line.is_empty()).collect();
        words.join(" ")
    }

    #[test]
    fn a_stream_becomes_commands() {
        let mut stream = Stream::default();
        let fields = [b"f".as_slice(), b"12"];
        for ms in 1..4 {
            let id = StreamId::new(ms, 1);
            stream.log_mut().append(id, fields.into_iter(), &Limits::default()).expect("later");
        }
        stream.log_mut().delete(StreamId::new(3, 1));
        let mut group = Group::new(b"g", StreamId::new(2, 1), Some(2));
        group.see(b"c", 5);
        group.see(b"d", 5);
        group.deliver(b"c", &[StreamId::new(1, 1)], 7);
        stream.add_group(group);
        stream.add_group(Group::new(b"h", StreamId::MIN, None));
        assert_eq!(
            written(&stream),
            "XADD s 1-1 f 12 XADD s 2-1 f 12 XSETID s 3-1 ENTRIESADDED 3 MAXDELETEDID 3-1 \
             XGROUP CREATE s g 2-1 ENTRIESREAD 2 XGROUP CREATECONSUMER s g c \
             XGROUP CREATECONSUMER s g d XCLAIM s g c 0 1-1 TIME 7 RETRYCOUNT 1 JUSTID FORCE \
             XGROUP CREATE s h 0-0 ENTRIESREAD -1"
        );
    }

    #[test]
    fn an_empty_stream_is_made_too() {
        let mut stream = Stream::default();
        assert_eq!(
            written(&stream),
            "XADD s MAXLEN 0 0-1 x y XSETID s 0-0 ENTRIESADDED 0 MAXDELETEDID 0-0"
        );
        stream.set_meta(Meta { last_id: StreamId::new(5, 0), entries_added: 9, ..Meta::default() });
        assert_eq!(
            written(&stream),
            "XADD s MAXLEN 0 5-0 x y XSETID s 5-0 ENTRIESADDED 9 MAXDELETEDID 0-0"
        );
    }
}
