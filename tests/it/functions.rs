//! FUNCTION DUMP and FUNCTION RESTORE, with payloads of our own, of Redis, and of nobody.

use rhubarb::server::client::ClientRef;

use crate::harness::Harness;

const ONE: &str = "#!lua name=lib1\nredis.register_function('f', function() return 1 end)";
const TWO: &str = "#!lua name=lib1\nredis.register_function('f', function() return 2 end)";
const OTHER: &str = "#!lua name=lib2\nredis.register_function('g', function() return 3 end)";
const CLASH: &str = "#!lua name=lib3\nredis.register_function('F', function() return 4 end)";

struct Session {
    harness: Harness,
    client: ClientRef,
}

impl Session {
    fn new() -> Self {
        let mut harness = Harness::new();
        let client = harness.connect();
        Self { harness, client }
    }

    fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.harness.call(self.client, words)
    }

    fn text(&mut self, words: &[&[u8]]) -> String {
        String::from_utf8_lossy(&self.call(words)).into_owned()
    }

    fn load(&mut self, code: &str) {
        let reply = self.text(&[b"FUNCTION", b"LOAD", code.as_bytes()]);
        assert!(reply.starts_with('$'), "{reply}");
    }

    fn dump(&mut self) -> Vec<u8> {
        let reply = self.call(&[b"FUNCTION", b"DUMP"]);
        let start = reply.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
        reply[start..reply.len() - 2].to_vec()
    }

    fn restore(&mut self, payload: &[u8], policy: &str) -> String {
        self.text(&[b"FUNCTION", b"RESTORE", payload, policy.as_bytes()])
    }

    fn results(&mut self) -> [String; 2] {
        [b"f", b"g"].map(|name| self.text(&[b"FCALL", name, b"0"]))
    }
}

const MISSING: &str = "-ERR Function not found\r\n";

#[test]
fn policies_decide_about_libraries_that_are_there() {
    let mut session = Session::new();
    session.load(ONE);
    let payload = session.dump();
    session.call(&[b"FUNCTION", b"FLUSH"]);
    assert_eq!(session.restore(&payload, "APPEND"), "+OK\r\n");
    assert_eq!(session.results(), [":1\r\n", MISSING]);
    assert_eq!(session.restore(&payload, "append"), "-ERR Library lib1 already exists\r\n");
    session.call(&[b"FUNCTION", b"FLUSH"]);
    session.load(TWO);
    session.load(OTHER);
    assert_eq!(session.restore(&payload, "REPLACE"), "+OK\r\n");
    assert_eq!(session.results(), [":1\r\n", ":3\r\n"]);
    assert_eq!(session.restore(&payload, "FLUSH"), "+OK\r\n");
    assert_eq!(session.results(), [":1\r\n", MISSING]);
    session.call(&[b"FUNCTION", b"FLUSH"]);
    session.load(CLASH);
    session.load(OTHER);
    assert_eq!(session.restore(&payload, "REPLACE"), "-ERR Function f already exists\r\n");
    assert_eq!(session.results(), [":4\r\n", ":3\r\n"]);
}

#[test]
fn a_payload_of_redis_is_read() {
    const PAYLOAD: &str = "f5c3405640811f23216c7561206e616d653d6d796c69620a72656469732e72656769737465725f0f66756e6374696f6e28226f6e65222c20e0000f0e292072657475726e203120656e6429e011370274776fe00c370032403701290a0a00fcb101ad869996b5";
    let byte = |i: usize| u8::from_str_radix(&PAYLOAD[2 * i..2 * i + 2], 16).expect("digits");
    let payload: Vec<u8> = (0..PAYLOAD.len() / 2).map(byte).collect();
    let mut session = Session::new();
    assert_eq!(session.restore(&payload, "FLUSH"), "+OK\r\n");
    assert_eq!(session.text(&[b"FCALL", b"two", b"0"]), ":2\r\n");
}

#[test]
fn no_damaged_payload_changes_anything() {
    let mut session = Session::new();
    session.load(ONE);
    let payload = session.dump();
    session.load(OTHER);
    for i in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[i] ^= 0x10;
        let cut = session.restore(&payload[..i], "FLUSH");
        for reply in [session.restore(&damaged, "FLUSH"), cut] {
            assert_eq!(reply, "-ERR DUMP payload version or checksum are wrong\r\n");
        }
    }
    // What isn't a library, under a footer that is right.
    for (body, reply) in [
        (&b"\x00\x01a"[..], "-ERR given type is not a function\r\n"),
        (b"\xf5", "-ERR Failed loading library data\r\n"),
        (b"\xf5\x05abc", "-ERR Failed loading library data\r\n"),
        (b"\xf5\xc3\x01\x05a", "-ERR Failed loading library data\r\n"),
        (b"\xf5\x03abc", "-ERR Missing library metadata\r\n"),
    ] {
        let mut sealed = [body, &[10, 0]].concat();
        sealed.extend(crc64::crc64(0, &sealed).to_le_bytes());
        assert_eq!(session.restore(&sealed, "FLUSH"), reply, "{body:?}");
    }
    assert_eq!(session.results(), [":1\r\n", ":3\r\n"]);
    let policy = session.restore(&payload, "KEEP");
    assert!(policy.starts_with("-ERR Wrong restore policy given"), "{policy}");
}
