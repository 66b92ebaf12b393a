//! Geohashes: places on the Earth as integers whose order keeps near places near, and distances.
//!
//! Owns the arithmetic, which must give Redis's results to the last digit: the order of operations
//! on floating-point numbers here is part of the format. Knows neither sorted sets nor units.

/// Bits of latitude, and of longitude, in a full hash.
const STEP_MAX: u32 = 26;
const LONGITUDE: Range = Range { min: -180.0, max: 180.0 };
/// The Mercator projection's limits.
const LATITUDE: Range = Range { min: -85.051_128_78, max: 85.051_128_78 };
/// Standard geohashes reach to the poles.
const STANDARD_LATITUDE: Range = Range { min: -90.0, max: 90.0 };
/// The Earth's quadratic mean radius (WGS-84), in metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half the width of the Mercator projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;
const RADIANS: f64 = std::f64::consts::PI / 180.0;

#[derive(Debug, Clone, Copy)]
struct Range {
    min: f64,
    max: f64,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    /// The cell of a value, of `1 << step`.
    fn cell(self, value: f64, step: u32) -> u32 {
        ((value - self.min) / (self.max - self.min) * (1u64 << step) as f64) as u32
    }

    /// The bounds of a cell.
    fn bounds(self, cell: u32, step: u32) -> Self {
        let (scale, cells) = (self.max - self.min, (1u64 << step) as f64);
        let at = |cell: f64| self.min + cell / cells * scale;
        Self { min: at(f64::from(cell)), max: at(f64::from(cell) + 1.0) }
    }

    fn middle(self) -> f64 {
        (self.min + self.max) / 2.0
    }
}

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// East is positive.
    pub longitude: f64,
    /// North is positive.
    pub latitude: f64,
}

impl Place {
    /// A place that a hash can name: up to 85.05112878 degrees from the equator.
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let valid = LONGITUDE.contains(longitude) && LATITUDE.contains(latitude);
        valid.then_some(Self { longitude, latitude })
    }

    /// The hash of the place, 52 bits: what a sorted set keeps as its score.
    pub fn hash(self) -> u64 {
        Cell::of(self, STEP_MAX).bits()
    }

    /// The place in the middle of what a hash names.
    pub fn from_hash(hash: u64) -> Self {
        let (longitude, latitude) = Cell::from_bits(hash, STEP_MAX).area();
        Self {
            longitude: longitude.middle().clamp(LONGITUDE.min, LONGITUDE.max),
            latitude: latitude.middle().clamp(LATITUDE.min, LATITUDE.max),
        }
    }

    /// The standard geohash, as geohash.org shows it: 11 characters, the last always `0`.
    pub fn text(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let latitude = STANDARD_LATITUDE.cell(self.latitude, STEP_MAX);
        let bits = interleave(latitude, LONGITUDE.cell(self.longitude, STEP_MAX));
        let mut text = [ALPHABET[0]; 11];
        for (i, digit) in text[..10].iter_mut().enumerate() {
            *digit = ALPHABET[(bits >> (52 - (i + 1) * 5) & 31) as usize];
        }
        text
    }

    /// The distance to another place, in metres, along the surface (haversine).
    pub fn distance(self, to: Self) -> f64 {
        Origin::new(self).distance(to)
    }
}

/// A place that many distances are measured from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    place: Place,
    longitude: f64,
    latitude: f64,
    cosine: f64,
}

impl Origin {
    /// Prepares for measuring.
    pub fn new(place: Place) -> Self {
        let latitude = place.latitude * RADIANS;
        Self { place, longitude: place.longitude * RADIANS, latitude, cosine: latitude.cos() }
    }

    /// As [`Place::distance`].
    pub fn distance(&self, to: Place) -> f64 {
        let v = ((to.longitude * RADIANS - self.longitude) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(to);
        }
        let latitude = to.latitude * RADIANS;
        let u = ((latitude - self.latitude) / 2.0).sin();
        let a = u * u + self.cosine * latitude.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// The distance along a meridian, in metres.
    fn latitude_distance(&self, to: Place) -> f64 {
        EARTH_RADIUS * (to.latitude * RADIANS - self.latitude).abs()
    }
}

/// An area to search, around a place.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// Its middle.
    pub center: Place,
    /// Its form.
    pub shape: Shape,
}

/// The form of an area; lengths in metres, none negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// All within this distance.
    Circle(f64),
    /// Width (along the parallel) and height.
    Rectangle(f64, f64),
}

impl Shape {
    /// The extents from the middle to the east and to the north.
    fn half(self) -> (f64, f64) {
        match self {
            Self::Circle(radius) => (radius, radius),
            Self::Rectangle(width, height) => (width / 2.0, height / 2.0),
        }
    }

    /// The distance from the middle to the farthest point.
    fn reach(self) -> f64 {
        match self {
            Self::Circle(radius) => radius,
            Self::Rectangle(width, height) => {
                let (x, y) = (width / 2.0, height / 2.0);
                (x * x + y * y).sqrt()
            }
        }
    }
}

/// Tells which places lie inside an area.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    origin: Origin,
    shape: Shape,
}

impl Filter {
    /// Prepares for testing many places.
    pub fn new(area: &Area) -> Self {
        Self { origin: Origin::new(area.center), shape: area.shape }
    }

    /// The distance of a place from the middle in metres, if it lies inside.
    pub fn distance(&self, place: Place) -> Option<f64> {
        /// Keeps rounding from refusing a place by the cheap test that the exact one takes.
        const MARGIN: f64 = 1.000_001;
        match self.shape {
            Shape::Circle(radius) => {
                if self.origin.latitude_distance(place) > radius * MARGIN {
                    return None;
                }
                let distance = self.origin.distance(place);
                (distance <= radius).then_some(distance)
            }
            Shape::Rectangle(width, height) => {
                if self.origin.latitude_distance(place) > height / 2.0 {
                    return None;
                }
                let same_parallel =
                    Place { longitude: self.origin.place.longitude, latitude: place.latitude };
                if place.distance(same_parallel) > width / 2.0 {
                    return None;
                }
                Some(self.origin.distance(place))
            }
        }
    }
}

/// A cell of the grid that hashes of some length make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    longitude: u32,
    latitude: u32,
    step: u32,
}

impl Cell {
    fn of(place: Place, step: u32) -> Self {
        Self {
            longitude: LONGITUDE.cell(place.longitude, step),
            latitude: LATITUDE.cell(place.latitude, step),
            step,
        }
    }

    fn from_bits(bits: u64, step: u32) -> Self {
        Self { latitude: gather(bits), longitude: gather(bits >> 1), step }
    }

    fn bits(self) -> u64 {
        interleave(self.latitude, self.longitude)
    }

    /// The bounds in longitude and latitude.
    fn area(self) -> (Range, Range) {
        (LONGITUDE.bounds(self.longitude, self.step), LATITUDE.bounds(self.latitude, self.step))
    }

    /// The neighbour so many cells to the east and to the north; the grid has no edges.
    fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = (1u32 << self.step) - 1;
        let moved = |cell: u32, by: i32| match by {
            0 => cell,
            by => cell.wrapping_add_signed(by) & mask,
        };
        Self {
            longitude: moved(self.longitude, east),
            latitude: moved(self.latitude, north),
            step: self.step,
        }
    }

    /// The full hashes that begin with this cell's: from the first to before the second.
    fn hashes(self) -> (u64, u64) {
        let shift = 52 - self.step * 2;
        (self.bits() << shift, (self.bits() + 1) << shift)
    }
}

/// The ranges of hashes that together hold all places of an area, and others: each from the first
/// to before the second, in the order in which Redis searches them.
pub fn covering(area: &Area) -> impl Iterator<Item = (u64, u64)> {
    /// The cell itself, then north, south, east, west, and the corners.
    const AROUND: [(i32, i32); 9] =
        [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
    let (east_west, south_north) = bounding_box(area);
    let mut step = steps(area.shape.reach(), area.center.latitude);
    let mut cell = Cell::of(area.center, step);
    let fits = {
        let reaches = |east, north| cell.neighbour(east, north).area();
        reaches(0, 1).1.max >= south_north.max
            && reaches(0, -1).1.min <= south_north.min
            && reaches(1, 0).0.max >= east_west.max
            && reaches(-1, 0).0.min <= east_west.min
    };
    if step > 1 && !fits {
        step -= 1;
        cell = Cell::of(area.center, step);
    }
    let (longitude, latitude) = cell.area();
    // Neighbours beyond the box needn't be searched.
    let needed = move |&(east, north): &(i32, i32)| {
        step < 2
            || !(north < 0 && latitude.min < south_north.min
                || north > 0 && latitude.max > south_north.max
                || east < 0 && longitude.min < east_west.min
                || east > 0 && longitude.max > east_west.max)
    };
    let mut previous = None;
    AROUND
        .into_iter()
        .enumerate()
        .filter(move |(_, around)| needed(around))
        .map(move |(i, (east, north))| (i, cell.neighbour(east, north)))
        // Of large areas, neighbours may be one and the same.
        .filter(move |&(i, cell)| {
            let repeats = previous == Some(cell);
            if !repeats && i > 0 {
                previous = Some(cell);
            }
            !repeats
        })
        .map(|(_, cell)| cell.hashes())
}

/// The least and the greatest longitude and latitude of an area.
fn bounding_box(area: &Area) -> (Range, Range) {
    let Place { longitude, latitude } = area.center;
    let (width, height) = area.shape.half();
    let latitude_delta = height / EARTH_RADIUS / RADIANS;
    // A parallel is shorter the nearer it is to a pole.
    let poleward =
        if latitude < 0.0 { latitude - latitude_delta } else { latitude + latitude_delta };
    let longitude_delta = width / EARTH_RADIUS / (poleward * RADIANS).cos() / RADIANS;
    (
        Range { min: longitude - longitude_delta, max: longitude + longitude_delta },
        Range { min: latitude - latitude_delta, max: latitude + latitude_delta },
    )
}

/// How many bits of latitude, and of longitude, name cells of about the size of a radius in metres.
fn steps(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEP_MAX;
    }
    let mut step = 1i32;
    let mut radius = radius;
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        step += 1;
    }
    step -= 2;
    let latitude = latitude.abs();
    step -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
    step.clamp(1, STEP_MAX.cast_signed()).cast_unsigned()
}

/// The bits of `even` and `odd` in turn, the lowest of `even` first.
fn interleave(even: u32, odd: u32) -> u64 {
    scatter(even) | scatter(odd) << 1
}

/// Puts a zero above each bit.
fn scatter(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}

/// Every other bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut x = bits & 0x5555_5555_5555_5555;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PALERMO: Place = Place { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Place = Place { longitude: 15.087269, latitude: 37.502669 };

    fn place() -> impl Strategy<Value = Place> {
        (-180.0..=180.0, -85.051_128_78..=85.051_128_78)
            .prop_map(|(longitude, latitude)| Place { longitude, latitude })
    }

    proptest! {
        #[test]
        fn bits_interleave(even: u32, odd: u32) {
            let bits = interleave(even, odd);
            prop_assert_eq!((gather(bits), gather(bits >> 1)), (even, odd));
        }

        #[test]
        fn hashes_name_places_within_a_metre(place in place()) {
            let back = Place::from_hash(place.hash());
            prop_assert!(place.distance(back) < 1.0);
            prop_assert_eq!(Place::from_hash(back.hash()), back);
        }

        #[test]
        fn areas_are_covered(center in place(), to in place(), x in 0.0..3e6f64, y in 0.0..3e6f64, circle: bool) {
            // Near the poles Redis's boxes miss places, and so do these.
            prop_assume!(center.latitude.abs() < 50.0);
            let shape = if circle { Shape::Circle(x) } else { Shape::Rectangle(x, y) };
            let area = Area { center, shape };
            // A place near the area's edge, inside or outside. The antimeridian itself has a hash
            // beyond the last cell's, as in Redis.
            let near = Place::new(
                (center.longitude + to.longitude / 10.0).clamp(-180.0, 179.9),
                (center.latitude + to.latitude / 10.0).clamp(-85.0, 85.0),
            ).unwrap();
            for place in [near, to, center].map(|place| Place::from_hash(place.hash())) {
                if Filter::new(&area).distance(place).is_some() {
                    let hash = place.hash();
                    prop_assert!(covering(&area).any(|(from, to)| (from..to).contains(&hash)));
                }
            }
        }
    }

    #[test]
    fn the_example_of_the_documentation() {
        assert_eq!(PALERMO.hash(), 3_479_099_956_230_698);
        assert_eq!(CATANIA.hash(), 3_479_447_370_796_909);
        let [palermo, catania] = [PALERMO, CATANIA].map(|place| Place::from_hash(place.hash()));
        assert_eq!(format!("{:.4}", palermo.distance(catania)), "166274.1516");
        assert_eq!((&palermo.text(), &catania.text()), (b"sqc8b49rny0", b"sqdtr74hyu0"));
        assert_eq!(format!("{:.17}", palermo.longitude), "13.36138933897018433");
    }

    #[test]
    fn the_edges_are_places() {
        for (longitude, latitude) in [(180.0, 85.051_128_78), (-180.0, -85.051_128_78), (0.0, 0.0)]
        {
            let place = Place::new(longitude, latitude).unwrap();
            let area = Area { center: place, shape: Shape::Circle(1e9) };
            assert!(covering(&area).count() > 0);
            let _ = Place::from_hash(place.hash()).text();
        }
        for (longitude, latitude) in
            [(180.1, 0.0), (0.0, -85.06), (f64::NAN, 0.0), (0.0, f64::INFINITY)]
        {
            assert_eq!(Place::new(longitude, latitude), None);
        }
        let _ = Place::from_hash(u64::MAX);
    }
}
