//! Writing requests: what the append only file and replicas are told.

/// Appends a request as RESP: an array of bulk strings.
pub fn write_request<'a>(buf: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    write_array(buf, words.len());
    words.for_each(|word| write_bulk(buf, word));
}

/// Appends the header of a request of so many words.
pub fn write_array(buf: &mut Vec<u8>, len: usize) {
    write_header(buf, b'*', len);
}

/// Appends a word of a request.
pub fn write_bulk(buf: &mut Vec<u8>, word: &[u8]) {
    write_header(buf, b'$', word.len());
    buf.extend_from_slice(word);
    buf.extend_from_slice(b"\r\n");
}

fn write_header(buf: &mut Vec<u8>, kind: u8, len: usize) {
    let mut digits = itoa::Buffer::new();
    buf.push(kind);
    buf.extend_from_slice(digits.format(len).as_bytes());
    buf.extend_from_slice(b"\r\n");
}

/// Appends the request that selects a database.
pub fn write_select(buf: &mut Vec<u8>, db: usize) {
    let mut digits = itoa::Buffer::new();
    write_request(buf, [b"SELECT".as_slice(), digits.format(db).as_bytes()].into_iter());
}
