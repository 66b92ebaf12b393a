//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: client side caching.

use crate::resp::{Args, Error};
use crate::server::client::Client;
use crate::server::ctx::Ctx;
use crate::server::tracking::Mode;

/// What CLIENT TRACKING ON asks for.
#[derive(Debug, Default)]
struct Options<'a> {
    mode: Mode,
    redirect: Option<u64>,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(ctx: &Ctx<'_>, args: Args<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut i = 3;
        while i < args.len() {
            let value = args.get(i + 1);
            if args.is(i, "redirect") && value.is_some() {
                if options.redirect.is_some() {
                    return Err(Error::other(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                i += 1;
                options.redirect = redirect(ctx, args.int(i)?)?;
            } else if args.is(i, "bcast") {
                options.mode |= Mode::BCAST;
            } else if args.is(i, "optin") {
                options.mode |= Mode::OPTIN;
            } else if args.is(i, "optout") {
                options.mode |= Mode::OPTOUT;
            } else if args.is(i, "noloop") {
                options.mode |= Mode::NOLOOP;
            } else if let Some(prefix) = value.filter(|_| args.is(i, "prefix")) {
                i += 1;
                options.prefixes.push(prefix);
            } else {
                return Err(Error::Syntax);
            }
            i += 1;
        }
        Ok(options)
    }

    /// Whether the options go together, and with what the client does already.
    fn check(&self, client: &Client) -> Result<(), Error> {
        let has = |mode| self.mode.contains(mode);
        if !has(Mode::BCAST) && !self.prefixes.is_empty() {
            return Err(Error::other("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        let old = client.tracking.as_deref();
        if old.is_some_and(|old| old.mode.contains(Mode::BCAST) != has(Mode::BCAST)) {
            return Err(Error::other(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        if has(Mode::BCAST) && self.mode.intersects(Mode::OPTIN | Mode::OPTOUT) {
            return Err(Error::other("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if has(Mode::OPTIN) && has(Mode::OPTOUT) {
            return Err(Error::other("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let had = |mode| old.is_some_and(|old| old.mode.contains(mode));
        if has(Mode::OPTIN) && had(Mode::OPTOUT) || has(Mode::OPTOUT) && had(Mode::OPTIN) {
            return Err(Error::other(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(client)
    }

    /// Prefixes of one client must not overlap, or it would be told twice.
    fn check_prefixes(&self, client: &Client) -> Result<(), Error> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let fails = |prefix: &[u8], which: &str, other: &[u8]| {
            let (prefix, other) = (String::from_utf8_lossy(prefix), String::from_utf8_lossy(other));
            Error::other(format!(
                "ERR Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a \
                 single client must not overlap."
            ))
        };
        for (i, &prefix) in self.prefixes.iter().enumerate() {
            let mut old = client.tracking.iter().flat_map(|tracking| &tracking.prefixes);
            if let Some(other) = old.find(|old| overlap(old, prefix)) {
                return Err(fails(prefix, "an existing", other));
            }
            let others = &self.prefixes[i + 1..];
            if let Some(other) = others.iter().find(|other| overlap(other, prefix)) {
                return Err(fails(prefix, "another provided", other));
            }
        }
        Ok(())
    }
}

/// The connection that messages shall go to. It must exist now; it may go
/// later.
fn redirect(ctx: &Ctx<'_>, id: i64) -> Result<Option<u64>, Error> {
    let id = u64::try_from(id).ok().filter(|&id| ctx.srv.clients.by_id(id).is_some());
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(Error::other("ERR The client ID you want redirect to does not exist")),
    }
}

pub(super) fn tracking(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = Options::parse(ctx, args)?;
    let id = ctx.client;
    if args.is(2, "on") {
        options.check(ctx.client())?;
        ctx.srv.enable_tracking(id, options.mode, options.redirect, &options.prefixes);
    } else if args.is(2, "off") {
        ctx.srv.disable_tracking(id);
    } else {
        return Err(Error::Syntax);
    }
    ctx.out.ok();
    Ok(())
}

pub(super) fn caching(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let Some(tracking) = ctx.client().tracking.as_deref_mut() else {
        return Err(Error::other(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    };
    let (word, mode, name) = match () {
        () if args.is(2, "yes") => ("YES", Mode::OPTIN, "OPTIN"),
        () if args.is(2, "no") => ("NO", Mode::OPTOUT, "OPTOUT"),
        () => return Err(Error::Syntax),
    };
    if !tracking.mode.contains(mode) {
        return Err(Error::other(format!(
            "ERR CLIENT CACHING {word} is only valid when tracking is enabled in {name} mode."
        )));
    }
    tracking.mode.insert(Mode::CACHING);
    ctx.out.ok();
    Ok(())
}

pub(super) fn getredir(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let redirection = ctx.client().redirection();
    ctx.out.int(redirection);
    Ok(())
}

pub(super) fn trackinginfo(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let Ctx { srv, out, client, .. } = ctx;
    let Some(client) = srv.clients.get(*client) else { return Ok(()) };
    let tracking = client.tracking.as_deref();
    let mode = tracking.map_or(Mode::empty(), |tracking| tracking.mode);
    let mut flags = vec![if tracking.is_some() { "on" } else { "off" }];
    let caching = match mode.contains(Mode::OPTIN) {
        true => "caching-yes",
        false => "caching-no",
    };
    let named = [
        (Mode::BCAST, "bcast"),
        (Mode::OPTIN, "optin"),
        (Mode::OPTOUT, "optout"),
        (Mode::CACHING, caching),
        (Mode::NOLOOP, "noloop"),
        (Mode::BROKEN_REDIRECT, "broken_redirect"),
    ];
    flags.extend(named.iter().filter(|(flag, _)| mode.contains(*flag)).map(|(_, name)| *name));
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"redirect");
    out.int(client.redirection());
    out.bulk(b"prefixes");
    let prefixes = tracking.map(|tracking| &tracking.prefixes);
    out.array(prefixes.map_or(0, |prefixes| prefixes.len()));
    prefixes.into_iter().flatten().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
