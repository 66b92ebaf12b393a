//! CLIENT KILL: by address, or by filters that must all fit.

use super::list::ClientType;
use crate::acl::{UserId, Users};
use crate::resp::{Args, Error};
use crate::server::client::{Client, ClientFlags, ClientRef};
use crate::server::ctx::Ctx;
use crate::util::num;

/// What a connection must be like to be closed.
#[derive(Debug, Default)]
struct Filter {
    id: Option<u64>,
    addr: Option<String>,
    laddr: Option<String>,
    kind: Option<ClientType>,
    user: Option<UserId>,
    max_age_s: Option<i64>,
    spare_me: bool,
}

impl Filter {
    fn parse(args: Args<'_>, users: &Users) -> Result<Self, Error> {
        let mut filter = Self { spare_me: true, ..Self::default() };
        let mut i = 2;
        while i < args.len() {
            let Some(value) = args.get(i + 1) else { return Err(Error::Syntax) };
            let text = || String::from_utf8_lossy(value).into_owned();
            if args.is(i, "id") {
                let id = num::parse_i64(value)
                    .and_then(|id| u64::try_from(id).ok())
                    .filter(|&id| id > 0);
                filter.id = Some(id.ok_or(Error::ClientIdPositive)?);
            } else if args.is(i, "type") {
                filter.kind = Some(ClientType::parse(value)?);
            } else if args.is(i, "addr") {
                filter.addr = Some(text());
            } else if args.is(i, "laddr") {
                filter.laddr = Some(text());
            } else if args.is(i, "maxage") {
                filter.max_age_s = Some(num::parse_i64(value).ok_or(Error::NotInteger)?);
            } else if args.is(i, "user") {
                let none = || Error::other(format!("ERR No such user '{}'", text()));
                filter.user = Some(users.find(value).ok_or_else(none)?);
            } else if args.is(i, "skipme") && value.eq_ignore_ascii_case(b"yes") {
                filter.spare_me = true;
            } else if args.is(i, "skipme") && value.eq_ignore_ascii_case(b"no") {
                filter.spare_me = false;
            } else {
                return Err(Error::Syntax);
            }
            i += 2;
        }
        Ok(filter)
    }

    fn fits(&self, client: &Client, me: ClientRef, now_ms: i64) -> bool {
        self.id.is_none_or(|id| client.id.id == id)
            && self.addr.as_deref().is_none_or(|addr| *client.addr == *addr)
            && self.laddr.as_deref().is_none_or(|addr| *client.laddr == *addr)
            && self.kind.is_none_or(|kind| kind.has(client))
            && self.user.is_none_or(|user| client.user == user)
            && self.max_age_s.is_none_or(|age| (now_ms - client.created_ms) / 1000 >= age)
            && !(self.spare_me && client.id == me)
    }
}

pub(super) fn kill(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let old_form = args.len() == 3;
    let filter = match old_form {
        true => {
            let addr = String::from_utf8_lossy(args.at(2)).into_owned();
            Filter { addr: Some(addr), ..Filter::default() }
        }
        false => Filter::parse(args, &ctx.srv.users)?,
    };
    let (me, now_ms) = (ctx.client, ctx.now_ms());
    let chosen: Vec<ClientRef> = (ctx.srv.clients.iter())
        .filter(|client| filter.fits(client, me, now_ms))
        .map(|client| client.id)
        .collect();
    for &id in &chosen {
        match id == me {
            true => ctx.client().flags.insert(ClientFlags::CLOSE_AFTER_REPLY),
            false => ctx.srv.close_client(id),
        }
    }
    match old_form {
        true if chosen.is_empty() => return Err(Error::NoSuchClient),
        true => ctx.out.ok(),
        false => ctx.out.len_int(chosen.len()),
    }
    Ok(())
}
