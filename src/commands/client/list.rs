//! CLIENT LIST and CLIENT INFO: connections in words.

use std::fmt::Write;

use crate::resp::{Args, Error, Reply};
use crate::server::Server;
use crate::server::client::{Client, ClientFlags};
use crate::server::ctx::Ctx;
use crate::server::tracking::Mode;
use crate::util::num;

/// The classes that `TYPE` chooses among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientType {
    Normal,
    PubSub,
    /// Masters and replicas: there are none.
    Replication,
}

impl ClientType {
    pub(super) fn parse(word: &[u8]) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"pubsub" => Ok(Self::PubSub),
            b"master" | b"replica" | b"slave" => Ok(Self::Replication),
            _ => {
                let word = String::from_utf8_lossy(word);
                Err(Error::other(format!("ERR Unknown client type '{word}'")))
            }
        }
    }

    pub(super) fn has(self, client: &Client) -> bool {
        match self {
            Self::Normal => client.subs.is_empty(),
            Self::PubSub => !client.subs.is_empty(),
            Self::Replication => false,
        }
    }
}

pub(super) fn info(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let mut text = String::new();
    if let Some(client) = ctx.srv.clients.get(ctx.client) {
        describe(ctx.srv, client, Some(&ctx.out), &mut text);
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

pub(super) fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut wanted_type = None;
    let mut wanted_ids: Option<Vec<u64>> = None;
    if args.is(2, "type") && args.len() == 4 {
        wanted_type = Some(ClientType::parse(args.at(3))?);
    } else if args.is(2, "id") && args.len() > 3 {
        let id = |arg| num::parse_u64(arg).filter(|&id| id > 0).ok_or(Error::InvalidClientId);
        wanted_ids = Some(args.from(3).iter().map(id).collect::<Result<_, _>>()?);
    } else if args.len() > 2 {
        return Err(Error::Syntax);
    }
    let mut text = String::new();
    for client in ctx.srv.clients.sorted() {
        let fits = wanted_type.is_none_or(|kind| kind.has(client))
            && wanted_ids.as_ref().is_none_or(|ids| ids.contains(&client.id.id));
        if fits && !client.flags.contains(ClientFlags::CLOSE_ASAP) {
            let own = (client.id == ctx.client).then_some(&ctx.out);
            describe(ctx.srv, client, own, &mut text);
        }
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
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
    flag(client.is_blocked(), 'b');
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

/// Appends one line about a client. `own` is the reply buffer of the client that asks: it isn't with
/// the client while its command runs.
fn describe(srv: &Server, client: &Client, own: Option<&Reply>, text: &mut String) {
    let age = (srv.now_ms - client.created_ms).max(0) / 1000;
    let idle = (srv.now_ms - client.active_ms).max(0) / 1000;
    let multi = if client.in_multi() { client.queued.len() as i64 } else { -1 };
    let command = match client.last_command {
        Some(id) => &*srv.commands.get(id).full_name,
        None => "NULL",
    };
    let pending = client.pending_out();
    // A reply that waits is one block here, which Redis would keep in a list of blocks.
    let (obl, oll) =
        if pending > OUT_BLOCK { (0, pending.div_ceil(OUT_BLOCK)) } else { (pending, 0) };
    let redir = super::tracking::redirection(client);
    let out = own.unwrap_or(&client.out);
    let resp = if out.resp3() { 3 } else { 2 };
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={} db={} sub={} psub={} \
         ssub={} multi={multi} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} \
         obl={obl} oll={oll} omem={} tot-mem={} events={} cmd={command} user=default redir={redir} \
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
        String::from_utf8_lossy(&client.lib_name),
        String::from_utf8_lossy(&client.lib_ver),
    );
}

/// Output beyond this counts as queued in blocks of this size, as in Redis.
const OUT_BLOCK: usize = 16 * 1024;
