//! Geo: places as members of sorted sets, distances between them, and searches around a point.
//!
//! Owns the options of the searches and the form of their replies. A place's score is its geohash,
//! whose arithmetic is the business of `ds::geohash`.

use std::io::Write as _;
use std::ops::Range;

use smallvec::SmallVec;

use crate::commands::zset::{AddOptions, add_scored};
use crate::commands::{READ_KEY, store_collection};
use crate::config::NotifyFlags;
use crate::ds::geohash::{self, Area, Filter, Place, Shape};
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::value::zset::ZSet;

const GEO: Command = Command {
    group: Group::Geo,
    categories: Category::GEO,
    flags: Flags::READONLY,
    keys: READ_KEY,
    since: "3.2.0",
    ..Command::DEFAULT
};
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const SEARCH: &str = "O(N + log M), N members in the boxes around the area, M in the sorted set";

/// The key after an option.
const fn after(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        search: Search::Keyword(word, from),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        flags: STORES,
        notes: "",
    }
}

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        complexity: "O(log N) for each member",
        summary: "Adds members with their places to a sorted set, or moves them.",
        syntax: "key condition=[NX | XX]@6.2.0 change=[CH]@6.2.0 data=<longitude latitude \
             member>...",
        history: &[("6.2.0", "`CH`, `NX` and `XX` are new.")],
        handler: geoadd,
        ..GEO
    },
    Command {
        name: "geodist",
        arity: -4,
        summary: "Returns the distance between two members.",
        syntax: "key member1 member2 unit=[M | KM | FT | MI]",
        handler: geodist,
        ..GEO
    },
    Command {
        name: "geohash",
        arity: -2,
        complexity: "O(1) for each member",
        summary: "Returns the places of members as standard geohashes.",
        syntax: "key member...",
        handler: geohash,
        ..GEO
    },
    Command {
        name: "geopos",
        arity: -2,
        complexity: "O(1) for each member",
        summary: "Returns the longitudes and latitudes of members.",
        syntax: "key member...",
        handler: geopos,
        ..GEO
    },
    Command {
        name: "geosearch",
        arity: -7,
        since: "6.2.0",
        complexity: SEARCH,
        summary: "Returns the members inside a circle or a box.",
        syntax: "key from=<FROMMEMBER member | FROMLONLAT longitude latitude> \
             by=<circle=<radius=<BYRADIUS radius> unit=<M | KM | FT | MI>> | \
             box=<width=<BYBOX width> height unit=<M | KM | FT | MI>>> order=[ASC | DESC] \
             count-block=[count=<COUNT count> [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        history: &[("7.0.0", "Units may be in upper case.")],
        handler: geosearch,
        ..GEO
    },
    Command {
        name: "geosearchstore",
        arity: -8,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, STORES), KeySpec::one(2, READS)],
        since: "6.2.0",
        complexity: SEARCH,
        summary: "Stores the members inside a circle or a box in another sorted set.",
        syntax: "destination source from=<FROMMEMBER member | FROMLONLAT longitude latitude> \
             by=<circle=<radius=<BYRADIUS radius> unit=<M | KM | FT | MI>> | \
             box=<width=<BYBOX width> height unit=<M | KM | FT | MI>>> order=[ASC | DESC] \
             count-block=[count=<COUNT count> [ANY]] [STOREDIST]",
        history: &[("7.0.0", "Units may be in upper case.")],
        handler: geosearchstore,
        ..GEO
    },
    Command {
        name: "georadius",
        arity: -6,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::one(1, READS), after("STORE", 6), after("STOREDIST", 6)],
        complexity: SEARCH,
        summary: "Returns or stores the members within a distance of a point.",
        syntax: "key longitude latitude radius unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
             [WITHHASH] count-block=[count=<COUNT count> [ANY]@6.2.0] order=[ASC | DESC] \
             [STORE key#1] [STOREDIST key#2]",
        history: &[("6.2.0", "`ANY` is new."), ("7.0.0", "Units may be in upper case.")],
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`")),
        handler: georadius,
        ..GEO
    },
    Command {
        name: "georadius_ro",
        arity: -6,
        since: "3.2.10",
        complexity: SEARCH,
        summary: "Returns the members within a distance of a point.",
        syntax: "key longitude latitude radius unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
             [WITHHASH] count-block=[count=<COUNT count> [ANY]@6.2.0] order=[ASC | DESC]",
        history: &[("6.2.0", "`ANY` is new.")],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS`")),
        handler: georadius_ro,
        ..GEO
    },
    Command {
        name: "georadiusbymember",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::one(1, READS), after("STORE", 5), after("STOREDIST", 5)],
        complexity: SEARCH,
        summary: "Returns or stores the members within a distance of another.",
        syntax: "key member radius unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             count-block=[count=<COUNT count> [ANY]] order=[ASC | DESC] [STORE key#1] \
             [STOREDIST key#2]",
        history: &[("7.0.0", "Units may be in upper case.")],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`",
        )),
        handler: georadiusbymember,
        ..GEO
    },
    Command {
        name: "georadiusbymember_ro",
        arity: -5,
        since: "3.2.10",
        complexity: SEARCH,
        summary: "Returns the members within a distance of another.",
        syntax: "key member radius unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             count-block=[count=<COUNT count> [ANY]] order=[ASC | DESC]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`")),
        handler: georadiusbymember_ro,
        ..GEO
    },
];

// ---- arguments and replies ------------------------------------------------------------------

/// The place of a longitude and a latitude at `at`.
fn place(args: Args<'_>, at: usize) -> Result<Place, Error> {
    let (longitude, latitude) = (args.float(at)?, args.float(at + 1)?);
    Place::new(longitude, latitude).ok_or_else(|| {
        Error::other(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// The metres of a unit.
fn unit(args: Args<'_>, at: usize) -> Result<f64, Error> {
    match () {
        () if args.is(at, "m") => Ok(1.0),
        () if args.is(at, "km") => Ok(1000.0),
        () if args.is(at, "ft") => Ok(0.3048),
        () if args.is(at, "mi") => Ok(1609.34),
        () => Err(Error::GeoUnit),
    }
}

/// The place of a member.
fn place_of(zset: &ZSet, member: &[u8]) -> Option<Place> {
    zset.score(member).map(place_at)
}

fn place_at(score: f64) -> Place {
    Place::from_hash(hash_of(score))
}

/// The hash that a score stands for. One that no place gave is read as Redis does on x86-64, whose
/// conversion to unsigned numbers wraps.
fn hash_of(score: f64) -> u64 {
    const TOP: f64 = (1u64 << 63) as f64;
    let signed = |value: f64| match (-TOP..TOP).contains(&value) {
        true => value as i64,
        false => i64::MIN,
    };
    match score < TOP {
        true => signed(score).cast_unsigned(),
        false => signed(score - TOP).cast_unsigned() ^ 1 << 63,
    }
}

/// Writes a distance, with four decimals.
fn reply_distance(out: &mut Reply, distance: f64) {
    const SCALE: u64 = 10_000;
    let scaled = (distance * SCALE as f64).round_ties_even() as u64;
    let mut text = SmallVec::<[u8; 32]>::new();
    text.extend_from_slice(itoa::Buffer::new().format(scaled / SCALE).as_bytes());
    text.push(b'.');
    // The leading one keeps the zeroes after the point.
    text.extend_from_slice(&itoa::Buffer::new().format(SCALE + scaled % SCALE).as_bytes()[1..]);
    out.bulk(&text);
}

/// Writes longitude and latitude, with 17 decimals at most.
fn reply_place(out: &mut Reply, place: Place) {
    out.array(2);
    for degrees in [place.longitude, place.latitude] {
        let mut buf = [0; 32];
        let mut rest = &mut buf[..];
        // At most a sign, three digits, a point and 17 decimals: they fit.
        let _ = write!(rest, "{degrees:.17}");
        let len = 32 - rest.len();
        let zeroes = buf[..len].iter().rev().take_while(|digit| **digit == b'0').count();
        let text = &buf[..len - zeroes];
        out.double_text(text.strip_suffix(b".").unwrap_or(text));
    }
}

// ---- members --------------------------------------------------------------------------------

fn geoadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut options = AddOptions::default();
    let mut at = 2;
    while at < args.len() {
        match () {
            () if args.is(at, "nx") => options.nx = true,
            () if args.is(at, "xx") => options.xx = true,
            () if args.is(at, "ch") => options.ch = true,
            () => break,
        }
        at += 1;
    }
    let members = args.from(at);
    let whole = members.len() > 0 && members.len().is_multiple_of(3);
    if !whole || options.nx && options.xx {
        return Err(Error::Syntax);
    }
    let mut scored = SmallVec::<[(f64, &[u8]); 8]>::with_capacity(members.len() / 3);
    for i in (0..members.len()).step_by(3) {
        scored.push((place(members, i)?.hash() as f64, members.at(i + 2)));
    }
    add_scored(ctx, args.at(1), &scored, options)
}

fn geodist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let metres = match args.len() {
        4 => 1.0,
        5 => unit(args, 4)?,
        _ => return Err(Error::Syntax),
    };
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let places = zset.and_then(|zset| Some((place_of(zset, &args[2])?, place_of(zset, &args[3])?)));
    match places {
        Some((from, to)) => reply_distance(out, from.distance(to) / metres),
        None => out.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        let text = zset.and_then(|zset| place_of(zset, member)).map(Place::text);
        out.bulk_or_null(text.as_ref().map(<[u8; 11]>::as_slice));
    }
    Ok(())
}

fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| place_of(zset, member)) {
            Some(place) => reply_place(out, place),
            None => out.null_array(),
        }
    }
    Ok(())
}

// ---- searches -------------------------------------------------------------------------------

/// Which command searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// GEORADIUS; whether it may store.
    Radius(bool),
    /// GEORADIUSBYMEMBER; whether it may store.
    ByMember(bool),
    Search,
    SearchStore,
}

impl Form {
    /// Where the source key stands.
    fn source(self) -> usize {
        if self == Self::SearchStore { 2 } else { 1 }
    }

    /// Where the options begin.
    fn options(self) -> usize {
        match self {
            Self::Radius(_) => 6,
            Self::ByMember(_) => 5,
            Self::Search => 2,
            Self::SearchStore => 3,
        }
    }

    /// Whether center and shape are options.
    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }

    fn may_name_target(self) -> bool {
        matches!(self, Self::Radius(true) | Self::ByMember(true))
    }
}

/// How the center of a search was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Center {
    Unsaid,
    Member,
    Place,
}

/// How the shape of a search was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Unsaid,
    Radius,
    Box,
}

/// What a search asks for.
#[derive(Debug)]
struct Request<'a> {
    area: Area,
    /// Metres of the unit in which distances are given.
    metres: f64,
    /// Whether the nearest come first, if there is an order.
    ascending: Option<bool>,
    count: Option<usize>,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

impl<'a> Request<'a> {
    /// Parses a command; `zset` is the source, where members are looked up.
    fn parse(args: Args<'a>, form: Form, zset: Option<&ZSet>) -> Result<Self, Error> {
        let mut request = Self::new();
        match form {
            Form::Radius(_) => {
                request.area.center = place(args, 2)?;
                request.set_radius(args, 4)?;
            }
            Form::ByMember(_) => {
                if let Some(zset) = zset {
                    request.area.center = place_of(zset, args.at(2)).ok_or(Error::GeoMember)?;
                    request.set_radius(args, 3)?;
                }
            }
            Form::Search => {}
            Form::SearchStore => request.store = Some(args.at(1)),
        }
        let (mut center, mut by) = (Center::Unsaid, By::Unsaid);
        let mut at = form.options();
        while at < args.len() {
            at += 1 + match () {
                () if request.set_flag(args, at, form) => 0,
                () => request.set_option(args, at, form, zset, &mut center, &mut by)?,
            };
        }
        request.check(args, form, center, by)?;
        Ok(request)
    }

    fn new() -> Self {
        let nowhere = Place { longitude: 0.0, latitude: 0.0 };
        Self {
            area: Area { center: nowhere, shape: Shape::Circle(0.0) },
            metres: 1.0,
            ascending: None,
            count: None,
            any: false,
            with_distance: false,
            with_hash: false,
            with_place: false,
            store: None,
            store_distance: false,
        }
    }

    /// Takes an option without arguments; says whether it was one.
    fn set_flag(&mut self, args: Args<'_>, at: usize, form: Form) -> bool {
        match () {
            () if args.is(at, "withdist") => self.with_distance = true,
            () if args.is(at, "withhash") => self.with_hash = true,
            () if args.is(at, "withcoord") => self.with_place = true,
            () if args.is(at, "any") => self.any = true,
            () if args.is(at, "asc") => self.ascending = Some(true),
            () if args.is(at, "desc") => self.ascending = Some(false),
            () if args.is(at, "storedist") && form == Form::SearchStore => {
                self.store_distance = true;
            }
            () => return false,
        }
        true
    }

    /// Takes an option with arguments; returns how many.
    fn set_option(
        &mut self,
        args: Args<'a>,
        at: usize,
        form: Form,
        zset: Option<&ZSet>,
        center: &mut Center,
        by: &mut By,
    ) -> Result<usize, Error> {
        let (more, search) = (args.len() - at - 1, form.is_search());
        if args.is(at, "count") && more >= 1 {
            let count = usize::try_from(args.int(at + 1)?).ok().filter(|count| *count > 0);
            self.count = Some(count.ok_or(Error::GeoCount)?);
            return Ok(1);
        }
        if (args.is(at, "store") || args.is(at, "storedist")) && more >= 1 && form.may_name_target()
        {
            self.store = args.get(at + 1);
            self.store_distance = args.is(at, "storedist");
            return Ok(1);
        }
        if args.is(at, "frommember") && more >= 1 && search && *center != Center::Place {
            if let Some(zset) = zset {
                self.area.center = place_of(zset, args.at(at + 1)).ok_or(Error::GeoMember)?;
            }
            *center = Center::Member;
            return Ok(1);
        }
        if args.is(at, "fromlonlat") && more >= 2 && search && *center != Center::Member {
            self.area.center = place(args, at + 1)?;
            *center = Center::Place;
            return Ok(2);
        }
        if args.is(at, "byradius") && more >= 2 && search && *by != By::Box {
            self.set_radius(args, at + 1)?;
            *by = By::Radius;
            return Ok(2);
        }
        if args.is(at, "bybox") && more >= 3 && search && *by != By::Radius {
            self.set_box(args, at + 1)?;
            *by = By::Box;
            return Ok(3);
        }
        Err(Error::Syntax)
    }

    fn set_radius(&mut self, args: Args<'_>, at: usize) -> Result<(), Error> {
        let radius = args.float(at).map_err(|_| Error::GeoRadius)?;
        if radius < 0.0 {
            return Err(Error::GeoRadiusNegative);
        }
        self.metres = unit(args, at + 1)?;
        self.area.shape = Shape::Circle(radius * self.metres);
        Ok(())
    }

    fn set_box(&mut self, args: Args<'_>, at: usize) -> Result<(), Error> {
        let width = args.float(at).map_err(|_| Error::GeoWidth)?;
        let height = args.float(at + 1).map_err(|_| Error::GeoHeight)?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::GeoBoxNegative);
        }
        self.metres = unit(args, at + 2)?;
        self.area.shape = Shape::Rectangle(width * self.metres, height * self.metres);
        Ok(())
    }

    /// Refuses options that contradict each other or are missing.
    fn check(&self, args: Args<'_>, form: Form, center: Center, by: By) -> Result<(), Error> {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            return Err(match form {
                Form::SearchStore => Error::GeoSearchStoreWith,
                _ => Error::GeoRadiusStoreWith,
            });
        }
        let missing = |what: &str| {
            let name = String::from_utf8_lossy(args.at(0));
            Error::other(format!("ERR exactly one of {what} can be specified for {name}"))
        };
        if form.is_search() && center == Center::Unsaid {
            return Err(missing("FROMMEMBER or FROMLONLAT"));
        }
        if form.is_search() && by == By::Unsaid {
            return Err(missing("BYRADIUS and BYBOX"));
        }
        if self.any && self.count.is_none() {
            return Err(Error::GeoAny);
        }
        Ok(())
    }

    /// The order in which results are returned. A count means the nearest, unless any will do.
    fn order(&self) -> Option<bool> {
        self.ascending.or((self.count.is_some() && !self.any).then_some(true))
    }
}

/// A member that lies inside the area.
#[derive(Debug)]
struct Point {
    place: Place,
    /// From the center, in metres.
    distance: f64,
    score: f64,
    /// Where its name stands among the names.
    name: Range<usize>,
}

/// The result of a search.
#[derive(Debug, Default)]
struct Found {
    points: Vec<Point>,
    names: Vec<u8>,
}

impl Found {
    fn search(zset: &ZSet, request: &Request<'_>) -> Self {
        let enough = request.count.filter(|_| request.any).unwrap_or(usize::MAX);
        let filter = Filter::new(&request.area);
        let mut found = Self::default();
        for (from, to) in geohash::covering(&request.area) {
            if found.points.len() >= enough {
                break;
            }
            let (from, to) = (from as f64, to as f64);
            let first = zset.count_before(|score, _| score < from);
            zset.walk(first..usize::MAX, false, |member, score| {
                if score >= to {
                    return false;
                }
                let place = place_at(score);
                if let Some(distance) = filter.distance(place) {
                    found.push(member, Point { place, distance, score, name: 0..0 });
                }
                found.points.len() < enough
            });
        }
        found.arrange(request);
        found
    }

    fn push(&mut self, member: &[u8], point: Point) {
        let start = self.names.len();
        self.names.extend_from_slice(member);
        self.points.push(Point { name: start..self.names.len(), ..point });
    }

    /// Orders and cuts the points as asked.
    fn arrange(&mut self, request: &Request<'_>) {
        let keep = request.count.map_or(self.points.len(), |count| count.min(self.points.len()));
        if let Some(ascending) = request.order() {
            let compare = |a: &Point, b: &Point| {
                let order = a.distance.total_cmp(&b.distance);
                if ascending { order } else { order.reverse() }
            };
            if keep < self.points.len() {
                self.points.select_nth_unstable_by(keep, compare);
                self.points.truncate(keep);
            }
            self.points.sort_by(compare);
        }
        self.points.truncate(keep);
    }

    fn reply(&self, out: &mut Reply, request: &Request<'_>) {
        let details = [request.with_distance, request.with_hash, request.with_place];
        let details = details.into_iter().filter(|with| *with).count();
        out.array(self.points.len());
        for point in &self.points {
            if details > 0 {
                out.array(details + 1);
            }
            out.bulk(&self.names[point.name.clone()]);
            if request.with_distance {
                reply_distance(out, point.distance / request.metres);
            }
            if request.with_hash {
                out.int(point.score as i64);
            }
            if request.with_place {
                reply_place(out, point.place);
            }
        }
    }

    fn store(&self, ctx: &mut Ctx<'_>, key: &[u8], request: &Request<'_>, event: &str) {
        let limits = ctx.srv.limits;
        let mut result = ZSet::default();
        for point in &self.points {
            let distance = point.distance / request.metres;
            let score = if request.store_distance { distance } else { point.score };
            result.set(&self.names[point.name.clone()], score, &limits);
        }
        store_collection(ctx, key, result, NotifyFlags::ZSET, event);
        // Redis counts every member stored.
        ctx.srv.dirty += self.points.len().saturating_sub(1) as u64;
    }
}

fn search(ctx: &mut Ctx<'_>, args: Args<'_>, form: Form) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(form.source()))?;
    let request = Request::parse(args, form, zset)?;
    let found = zset.map(|zset| Found::search(zset, &request)).unwrap_or_default();
    match request.store {
        None => found.reply(out, &request),
        Some(key) => {
            let event = if form.is_search() { "geosearchstore" } else { "georadiusstore" };
            found.store(ctx, key, &request, event);
        }
    }
    Ok(())
}

fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::Search)
}

fn geosearchstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::SearchStore)
}

fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::Radius(true))
}

fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::Radius(false))
}

fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::ByMember(true))
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    search(ctx, args, Form::ByMember(false))
}
