//! DEBUG DIGEST: the digests are what redis-server 7.0.15 shows for the same data.

use rhubarb::config::{Allow, Config};

use crate::harness::Harness;

#[test]
fn digests_are_those_of_redis() {
    let config = Config { enable_debug_command: Allow::Yes, ..Config::default() };
    let mut harness = Harness::with(config);
    let client = harness.connect();
    let mut call = |line: &str| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        String::from_utf8(harness.call(client, &words)).unwrap()
    };
    assert_eq!(call("DEBUG DIGEST"), format!("+{}\r\n", "0".repeat(40)));
    for line in [
        "SET a 1",
        "SET c 1.50",
        "RPUSH l a 3",
        "SADD s 1 b",
        "HSET h f v",
        "PEXPIRE a 100000",
        "ZADD z 1.5 m 3 n",
    ] {
        call(line);
    }
    let values = [
        "5279988c5d1911f474bcbbf2f0a87012d40f8459",
        "f24ac75515fe1a69fe659323e9e15a6bdf1bdd9a",
        "e8c2509c131ea0c99610ceed9318dd9a76236f7a",
        "6e04cf8ce07c18af9dd57a02f6f31423d7774ed5",
        "90c76e9e9f4c62d642a34fc97c7dad503b51f906",
        "f74710215bc194579fdce66fcbf8a6f01a0837bf",
    ];
    let values: String = values.iter().map(|value| format!("+{value}\r\n")).collect();
    assert_eq!(call("DEBUG DIGEST-VALUE a c l s h z"), format!("*6\r\n{values}"));
    assert_eq!(call("DEBUG DIGEST"), "+9bb76901baa14c3ccee36b7ad2abdf41f4f2f4c7\r\n");
    for line in ["XADD x 1-1 a 1 b 2.5", "XADD x 5-0 c hello", "XADD x 6-0 c gone", "XDEL x 6-0"] {
        call(line);
    }
    let stream = "09dde913f6dac2852fef781fdde9f464389a7097";
    assert_eq!(call("DEBUG DIGEST-VALUE x"), format!("*1\r\n+{stream}\r\n"));
}
