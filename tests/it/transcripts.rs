//! Transcripts: what is sent (`>`), what must come back (`<`), and the clock (`+ms`).
//!
//! `> WORDS` sends a command (quotes as in redis.conf); `2> WORDS` sends it as the second client;
//! the `<` lines after it are the reply's RESP lines, all of them; `2<` are lines that the second
//! client gets by itself. `+100` turns the clock by 100 ms. `#` begins a comment.

use rhubarb::util::split::split_args;

use crate::harness::Harness;

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_string).collect();
    assert_eq!(lines.pop().as_deref(), Some(""), "a reply ends with a line break");
    lines
}

/// Splits `2> rest` into the client's index and the rest.
fn addressed(line: &str, mark: char) -> Option<(usize, &str)> {
    let (digits, rest) = line.split_once(mark)?;
    let client = if digits.is_empty() { 1 } else { digits.parse::<usize>().ok()? };
    Some((client - 1, rest.trim_start()))
}

fn run(name: &str, text: &str) {
    let mut harness = Harness::new();
    let clients: Vec<_> = (0..3).map(|_| harness.connect()).collect();
    let mut got: Vec<std::collections::VecDeque<String>> = vec![Default::default(); 3];
    let mut steps = 0;
    for (i, line) in text.lines().enumerate() {
        let at = format!("{name}:{}: {line}", i + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((client, words)) = addressed(line, '>') {
            assert!(got.iter().all(|lines| lines.is_empty()), "{at}: unread before this: {got:?}");
            let words = split_args(words.as_bytes()).unwrap_or_else(|| panic!("{at}: quotes"));
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = harness.call(clients[client], &words);
            got[client].extend(lines(&reply));
            steps += 1;
        } else if let Some(ms) = line.strip_prefix('+').and_then(|ms| ms.parse::<i64>().ok()) {
            harness.advance(ms);
        } else if let Some((client, wanted)) = addressed(line, '<') {
            let late = harness.receive(clients[client]);
            got[client].extend(lines(&late));
            assert_eq!(got[client].pop_front().as_deref(), Some(wanted), "{at}");
        } else {
            panic!("{at}: not a step");
        }
    }
    assert!(got.iter().all(|lines| lines.is_empty()), "{name}: unread at the end: {got:?}");
    assert!(steps > 0, "{name} tests nothing");
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), include_str!(concat!("transcripts/", stringify!($name), ".txt")));
        }
    )*};
}

transcripts!(
    strings,
    expiry,
    transactions,
    pubsub,
    scripts,
    functions,
    tracking,
    sort,
    hashes,
    lists,
    sets,
    introspection,
    debug_denied,
    stream_blocking,
    stream_groups,
    streams,
    bitmaps,
    hyperloglog,
    geo,
    field_expiry,
    conditions,
    acl,
    pause,
);
