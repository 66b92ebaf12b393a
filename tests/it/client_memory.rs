//! `maxmemory-clients`: the largest clients go, and no more of them than must.

use rhubarb::server::client::{ClientFlags, ClientRef};

use crate::harness::Harness;

fn is_closing(harness: &Harness, client: ClientRef) -> bool {
    let client = harness.server.clients.get(client).expect("a client");
    client.flags.contains(ClientFlags::CLOSE_ASAP)
}

#[test]
fn the_largest_clients_are_closed_until_the_rest_fits_and_some_are_spared() {
    let mut harness = Harness::new();
    let [control, small, large, larger] = [(); 4].map(|()| harness.connect());
    harness.call(small, &[b"CLIENT", b"NO-EVICT", b"ON"]);
    let filler = vec![b'x'; 100_000];
    for (client, times) in [(small, 1), (large, 2), (larger, 3)] {
        harness.call(client, &[b"MULTI"]);
        for _ in 0..times {
            harness.call(client, &[b"SET", b"key", &filler]);
        }
    }
    harness.call(control, &[b"CONFIG", b"SET", b"maxmemory-clients", b"500000"]);
    let closing =
        |harness: &Harness| [control, small, large, larger].map(|c| is_closing(harness, c));
    assert_eq!(closing(&harness), [false, false, false, true]);
    harness.call(control, &[b"CONFIG", b"SET", b"maxmemory-clients", b"1"]);
    assert_eq!(closing(&harness), [true, false, true, true]);
    assert_eq!(harness.server.counters.evicted_clients, 3);
}

#[test]
fn the_peak_is_seen_by_the_cron_and_outlasts_a_reset() {
    let mut harness = Harness::new();
    let client = harness.connect();
    assert_eq!(harness.server.counters.peak_memory, 0);
    harness.advance(200);
    assert!(harness.server.counters.peak_memory > 0);
    harness.server.counters.peak_memory = 1 << 50;
    harness.call(client, &[b"CONFIG", b"RESETSTAT"]);
    assert_eq!(harness.server.counters.peak_memory, 1 << 50);
}
