//! The command workloads: which data each starts from and which requests it sends.
//! Everything is drawn from a fixed seed, so both servers, and every run, get the same.

use std::rc::Rc;

use crate::Outcome;
use crate::load::Requests;
use crate::resp::Filler;

/// Keys of the plain workloads.
const KEYS: usize = 100_000;
/// Lists of the list workloads, sets of SADD.
const COLLECTIONS: usize = 1_000;
/// Length of a value, list element or field value, in bytes.
const VALUE: usize = 64;
/// Requests are encoded until there are this many, or so many bytes: more would only cool caches.
const MOST_REQUESTS: usize = 100_000;
const MOST_BYTES: usize = 16 << 20;
/// Arguments of one command when lists are filled.
const FILL_BATCH: usize = 100;
/// The script of EVAL, called by its digest as clients do.
const SCRIPT: &str = "return redis.call('GET', KEYS[1])";

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Get,
    Set,
    Incr,
    Lpush,
    Rpop,
    Sadd,
    Hset,
    Zadd,
    Lrange100,
    Mset,
    Eval,
}

impl Workload {
    pub const ALL: [Workload; 11] = [
        Workload::Get,
        Workload::Set,
        Workload::Incr,
        Workload::Lpush,
        Workload::Rpop,
        Workload::Sadd,
        Workload::Hset,
        Workload::Zadd,
        Workload::Lrange100,
        Workload::Mset,
        Workload::Eval,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Workload::Get => "GET",
            Workload::Set => "SET",
            Workload::Incr => "INCR",
            Workload::Lpush => "LPUSH",
            Workload::Rpop => "RPOP",
            Workload::Sadd => "SADD",
            Workload::Hset => "HSET",
            Workload::Zadd => "ZADD",
            Workload::Lrange100 => "LRANGE_100",
            Workload::Mset => "MSET",
            Workload::Eval => "EVAL",
        }
    }

    /// The workload of that name, in any case.
    pub fn named(name: &str) -> Outcome<Workload> {
        let found = Workload::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("unknown workload '{name}'; try --help").into())
    }

    /// True when a turn leaves other data behind than it found, in kind or in amount: then each
    /// turn starts from the seed again.
    pub fn drifts(self) -> bool {
        matches!(self, Workload::Lpush | Workload::Rpop | Workload::Sadd)
    }

    /// Elements in each reply, counting an array's header as one.
    pub fn elements_per_reply(self) -> u64 {
        if self == Workload::Lrange100 { 101 } else { 1 }
    }

    /// The requests of a turn. `digest` is the script's, as SCRIPT LOAD returned it.
    pub fn requests(self, digest: &str) -> Rc<Requests> {
        let mut source = Source::new();
        let mut requests = Requests::default();
        while requests.len() < MOST_REQUESTS && requests.size_in_bytes() < MOST_BYTES {
            self.push_request(&mut requests, &mut source, digest);
        }
        Rc::new(requests)
    }

    fn push_request(self, requests: &mut Requests, source: &mut Source, digest: &str) {
        let key = key(source.below(KEYS));
        let value = source.value();
        match self {
            Workload::Get => requests.push(&[b"GET", &key]),
            Workload::Set => requests.push(&[b"SET", &key, &value]),
            Workload::Incr => requests.push(&[b"INCR", &key]),
            Workload::Lpush => requests.push(&[b"LPUSH", &source.next_collection(), &value]),
            Workload::Rpop => requests.push(&[b"RPOP", &source.next_collection()]),
            Workload::Sadd => {
                let (set, member) = (source.below(COLLECTIONS), member(source.below(100)));
                requests.push(&[b"SADD", &self::key(set), &member]);
            }
            Workload::Hset => {
                let (hash, field) = (source.below(10_000), member(source.below(10)));
                requests.push(&[b"HSET", &self::key(hash), &field, &value]);
            }
            Workload::Zadd => {
                let (zset, member) = (source.below(100), member(source.below(1_000)));
                let score = source.below(1_000_000).to_string();
                requests.push(&[b"ZADD", &self::key(zset), score.as_bytes(), &member]);
            }
            Workload::Lrange100 => {
                requests.push(&[b"LRANGE", &source.next_collection(), b"0", b"99"]);
            }
            Workload::Mset => {
                let pairs: Vec<_> =
                    (0..10).map(|_| (self::key(source.below(KEYS)), source.value())).collect();
                let mut args: Vec<&[u8]> = vec![b"MSET"];
                args.extend(pairs.iter().flat_map(|(key, value)| [&key[..], value]));
                requests.push(&args);
            }
            Workload::Eval => requests.push(&[b"EVALSHA", digest.as_bytes(), b"1", &key]),
        }
    }

    /// Brings an empty server to the state from which `count` requests can be sent.
    pub fn seed(self, port: u16, requests: &Requests, count: u64) -> Outcome<()> {
        let mut filler = Filler::open(port)?;
        match self {
            Workload::Lpush | Workload::Sadd => {}
            Workload::Get | Workload::Set | Workload::Mset | Workload::Eval => {
                let mut source = Source::new();
                for number in 0..KEYS {
                    filler.push(&[b"SET", &key(number), &source.value()])?;
                }
            }
            // Every key, field and member of the turns then exists: they only change.
            Workload::Incr | Workload::Hset | Workload::Zadd => {
                requests.iter().try_for_each(|request| filler.push_encoded(request))?;
            }
            Workload::Rpop => {
                // The requests go round the lists evenly; a round may be cut short at the end of the
                // warm-up, of the list of requests and of the turn.
                fill_lists(&mut filler, count as usize / COLLECTIONS + 3)?;
            }
            Workload::Lrange100 => fill_lists(&mut filler, 100)?,
        }
        filler.finish()
    }
}

/// Loads the script and returns its digest.
pub fn load_script(port: u16) -> Outcome<String> {
    let reply = crate::resp::Connection::open(port)?.ask(&["SCRIPT", "LOAD", SCRIPT])?;
    let digest = reply.split("\r\n").nth(1).ok_or("SCRIPT LOAD returned no digest")?;
    Ok(digest.to_owned())
}

fn fill_lists(filler: &mut Filler, length: usize) -> Outcome<()> {
    let mut source = Source::new();
    for number in 0..COLLECTIONS {
        let list = key(number);
        let mut left = length;
        while left > 0 {
            let count = left.min(FILL_BATCH);
            left -= count;
            let values: Vec<_> = (0..count).map(|_| source.value()).collect();
            let mut args: Vec<&[u8]> = vec![b"RPUSH", &list];
            args.extend(values.iter().map(|value| &value[..]));
            filler.push(&args)?;
        }
    }
    Ok(())
}

/// A key of 16 bytes.
pub fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// A field or member of 16 bytes.
pub fn member(number: usize) -> Vec<u8> {
    format!("member:{number:09}").into_bytes()
}

/// Pseudo-random numbers and values from a fixed seed.
pub struct Source {
    random: fastrand::Rng,
    text: Vec<u8>,
    /// What is left of the current round over all collections.
    round: Vec<usize>,
}

impl Source {
    pub fn new() -> Source {
        let mut random = fastrand::Rng::with_seed(0x7275_6261_7262);
        let text = (0..64 << 10).map(|_| random.alphanumeric() as u8).collect();
        Source { random, text, round: Vec::new() }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound)
    }

    /// 64 bytes of text.
    pub fn value(&mut self) -> [u8; VALUE] {
        let start = self.random.usize(..self.text.len() - VALUE);
        let mut value = [0; VALUE];
        value.copy_from_slice(&self.text[start..start + VALUE]);
        value
    }

    /// The key of a collection: each once, in random order, then each again.
    fn next_collection(&mut self) -> Vec<u8> {
        if self.round.is_empty() {
            self.round.extend(0..COLLECTIONS);
            self.random.shuffle(&mut self.round);
        }
        key(self.round.pop().unwrap_or(0))
    }
}
