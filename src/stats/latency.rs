//! The latency monitor: for each kind of event, the latest times at which it took long.
//!
//! Owns the samples. Never measures, and never decides what is long.

use std::collections::{BTreeMap, VecDeque};

/// The most samples that one event keeps.
const SAMPLES_MAX: usize = 160;

/// One sample: the worst of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, in Unix seconds.
    pub unix_s: i64,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// The samples of one event.
#[derive(Debug, Default)]
pub struct Series {
    samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    pub max_ms: u64,
}

impl Series {
    /// The samples, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Sample> + ExactSizeIterator {
        self.samples.iter().copied()
    }

    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.unix_s == sample.unix_s => last.ms = last.ms.max(sample.ms),
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }
}

/// All events that have samples.
#[derive(Debug, Default)]
pub struct Latency {
    events: BTreeMap<&'static str, Series>,
}

impl Latency {
    /// Adds a sample to an event.
    pub fn add(&mut self, event: &'static str, sample: Sample) {
        self.events.entry(event).or_default().add(sample);
    }

    /// Every event with its samples, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Series)> {
        self.events.iter().map(|(name, series)| (*name, series))
    }

    /// The samples of an event.
    pub fn get(&self, event: &[u8]) -> Option<&Series> {
        self.events.get(std::str::from_utf8(event).ok()?)
    }

    /// Forgets one event; says whether there was any.
    pub fn forget(&mut self, event: &[u8]) -> bool {
        std::str::from_utf8(event).is_ok_and(|event| self.events.remove(event).is_some())
    }

    /// Forgets all events; returns how many there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_the_oldest_go() {
        let mut latency = Latency::default();
        for (unix_s, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            latency.add("command", Sample { unix_s, ms });
        }
        let series = latency.get(b"command").unwrap();
        let all: Vec<_> = series.iter().map(|sample| (sample.unix_s, sample.ms)).collect();
        assert_eq!((all, series.max_ms), (vec![(1, 9), (2, 3)], 9));
        (3..500).for_each(|unix_s| latency.add("command", Sample { unix_s, ms: 1 }));
        let series = latency.get(b"command").unwrap();
        assert_eq!((series.iter().len(), series.max_ms), (SAMPLES_MAX, 9));
        assert!(latency.forget(b"command") && !latency.forget(b"command"));
        assert_eq!(latency.clear(), 0);
    }
}
