//! CLIENT LIST and CLIENT INFO: connections in words.

use crate::resp::{Args, Error};
use crate::server::client::{Client, ClientFlags};
use crate::server::ctx::Ctx;
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
    let mut text = match ctx.srv.clients.get(ctx.client) {
        Some(client) => ctx.srv.describe_client(client, Some(&ctx.out)),
        None => String::new(),
    };
    text.push('\n');
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

pub(super) fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut wanted_type = None;
    let mut wanted_ids: Option<Vec<u64>> = None;
    if args.is(2, "type") && args.len() == 4 {
        wanted_type = Some(ClientType::parse(args.at(3))?);
    } else if args.is(2, "id") && args.len() > 3 {
        // What can be no identifier is nobody's, as long as it is a number.
        let id = |arg| match num::parse_i64(arg) {
            Some(id) => Ok(u64::try_from(id).unwrap_or(0)),
            None => Err(Error::InvalidClientId),
        };
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
            text.push_str(&ctx.srv.describe_client(client, own));
            text.push('\n');
        }
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}
