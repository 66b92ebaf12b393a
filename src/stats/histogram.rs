//! A histogram of durations with bounded relative error: 16 buckets for each power of two.
//!
//! Owns counting and percentiles. Values are nanoseconds; it takes a few KiB once used, and one
//! addition per value.

const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;
/// Durations of a second and longer share the last bucket, as in Redis.
const MAX_NS: u64 = 1_000_000_000;
const BUCKETS: usize = ((30 - SUB_BITS + 1) as usize + 1) * SUB as usize;

/// Counts of durations by size.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        if let Some(count) = self.counts.get_mut(bucket(ns.clamp(1, MAX_NS))) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Number of durations counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration, in nanoseconds, that `percent` of all don't exceed; 0 if there are none.
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && count > 0 {
                return upper(i);
            }
        }
        0
    }

    /// Cumulative counts at the powers of two from 1,024 nanoseconds on, in the microseconds as
    /// which LATENCY HISTOGRAM lists them: each where the count grew.
    pub fn by_power_of_two(&self) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let (mut limit_ns, mut seen, mut listed) = (1024u64, 0, 0);
        for (i, &count) in self.counts.iter().enumerate() {
            while upper(i) >= limit_ns {
                if seen > listed {
                    out.push((listed_us(limit_ns), seen));
                    listed = seen;
                }
                limit_ns *= 2;
            }
            seen += count;
        }
        if seen > listed {
            out.push((listed_us(limit_ns), seen));
        }
        out
    }
}

/// A limit as Redis lists it: by the greatest value of the bucket that it begins, of which there are
/// 128 to a power of two.
fn listed_us(limit_ns: u64) -> u64 {
    (limit_ns + limit_ns / 128 - 1) / 1000
}

fn bucket(ns: u64) -> usize {
    let exponent = (63 - ns.leading_zeros()).saturating_sub(SUB_BITS);
    let index = u64::from(exponent) * SUB + (ns >> exponent);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB {
        return index;
    }
    let exponent = index / SUB - 1;
    ((index - exponent * SUB + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_sixteenth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(99.0), 0);
        (1..=100_000u64).for_each(|i| histogram.record(i * 100));
        for percent in [1.0, 50.0, 99.0, 99.9, 100.0] {
            let exact = percent * 100_000.0;
            let got = histogram.percentile(percent) as f64;
            assert!(got >= exact * 0.999 && got <= exact * 1.07, "p{percent}: {got} for {exact}");
        }
        histogram.record(u64::MAX);
        assert_eq!(histogram.total(), 100_001);
    }

    #[test]
    fn limits_are_listed_as_redis_does() {
        let mut histogram = Histogram::default();
        for ns in [900, 1_500, 7_000, 30_000, 40_000, 130_000, 200_000, MAX_NS] {
            histogram.record(ns);
        }
        let listed = histogram.by_power_of_two();
        let wanted = [(1, 1), (2, 2), (8, 3), (33, 4), (66, 5), (132, 6), (264, 7), (1_082_130, 8)];
        assert_eq!(listed, wanted);
    }

    #[test]
    fn buckets_cover_every_duration_in_order() {
        for ns in (1..100_000).chain([MAX_NS - 1, MAX_NS]) {
            let i = bucket(ns);
            assert!(i < BUCKETS && upper(i) >= ns && (i == 0 || upper(i - 1) < ns), "{ns}");
        }
    }
}
