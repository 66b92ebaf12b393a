//! A client in words: the line of CLIENT LIST, which ACL LOG keeps too.

use crate::resp::Reply;
use crate::server::Server;
use crate::server::client::{Client, ClientFlags};
use crate::server::tracking::Mode;

/// Output beyond this counts as queued in blocks of this size, as in Redis.
const OUT_BLOCK: usize = 16 * 1024;

impl Client {
    /// The connection that it redirects to: -1 if it doesn't track, 0 for its own.
    pub fn redirection(&self) -> i64 {
        match self.tracking.as_deref() {
            None => -1,
            Some(tracking) => i64::try_from(tracking.redirect.unwrap_or(0)).unwrap_or(i64::MAX),
        }
    }
}

impl Server {
    /// One line about a client, without its end. `own` is the reply buffer of the client whose
    /// command runs: it isn't with the client meanwhile.
    pub fn describe_client(&self, client: &Client, own: Option<&Reply>) -> String {
        let age = (self.now_ms - client.created_ms).max(0) / 1000;
        let idle = (self.now_ms - client.active_ms).max(0) / 1000;
        let multi = if client.in_multi() { client.queued.len() as i64 } else { -1 };
        let command = match client.last_command {
            Some(id) => &*self.commands.get(id).full_name,
            None => "NULL",
        };
        let pending = client.pending_out();
        // A reply that waits is one block here, which Redis would keep in a list of blocks.
        let (obl, oll) =
            if pending > OUT_BLOCK { (0, pending.div_ceil(OUT_BLOCK)) } else { (pending, 0) };
        let redir = client.redirection();
        let out = own.unwrap_or(&client.out);
        let resp = if out.resp3() { 3 } else { 2 };
        format!(
            "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={} db={} sub={} psub={} \
             ssub={} multi={multi} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} \
             obl={obl} oll={oll} omem={} tot-mem={} events={} cmd={command} user={} redir={redir} \
             resp={resp} lib-name={} lib-ver={}",
            client.id.id,
            client.addr,
            client.laddr,
            client.fd,
            String::from_utf8_lossy(&client.name),
            flags(client),
            client.db,
            client.subs.channels.len(),
            client.subs.patterns.len(),
            client.subs.shard.len(),
            client.query_buf.0,
            client.query_buf.1,
            client.argv_bytes,
            client.queued_bytes,
            out.capacity(),
            client.out.len(),
            if oll > 0 { pending } else { 0 },
            client.memory() + own.map_or(0, Reply::capacity),
            if pending > 0 { "rw" } else { "r" },
            String::from_utf8_lossy(&self.users.get(client.user).name),
            String::from_utf8_lossy(&client.lib_name),
            String::from_utf8_lossy(&client.lib_ver),
        )
    }
}

fn flags(client: &Client) -> String {
    let mut text = String::new();
    let mut flag = |is: bool, letter: char| {
        if is {
            text.push(letter);
        }
    };
    flag(client.flags.contains(ClientFlags::MONITOR), 'O');
    flag(!client.subs.is_empty(), 'P');
    flag(client.in_multi(), 'x');
    flag(client.must_wait(), 'b');
    let mode = client.tracking.as_deref().map(|tracking| tracking.mode);
    flag(mode.is_some(), 't');
    flag(mode.is_some_and(|mode| mode.contains(Mode::BROKEN_REDIRECT)), 'R');
    flag(mode.is_some_and(|mode| mode.contains(Mode::BCAST)), 'B');
    flag(client.flags.contains(ClientFlags::DIRTY_CAS), 'd');
    flag(client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY), 'c');
    flag(client.flags.contains(ClientFlags::CLOSE_ASAP), 'A');
    flag(client.flags.contains(ClientFlags::UNIX_SOCKET), 'U');
    flag(client.flags.contains(ClientFlags::NO_EVICT), 'e');
    flag(client.flags.contains(ClientFlags::NO_TOUCH), 'T');
    if text.is_empty() {
        text.push('N');
    }
    text
}
