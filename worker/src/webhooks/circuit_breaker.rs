//! Counts the consecutive failures of each provider or receiver during a run of the schedule.

use std::borrow::Borrow;

/// Consecutive failures. There are few keys, so this is a list: a map would add weight in wasm.
#[derive(Debug)]
pub struct Failures<K>(Vec<(K, u32)>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Failures<K> {
    /// The number of consecutive failures.
    pub fn at<Q: PartialEq + ?Sized>(&self, asked: &Q) -> u32
    where
        K: Borrow<Q>,
    {
        let noted = self.0.iter().find(|(known, _)| known.borrow() == asked);
        noted.map_or(0, |(_, failures)| *failures)
    }

    pub fn set(&mut self, asked: K, failures: u32) {
        match self.0.iter_mut().find(|(known, _)| *known == asked) {
            Some((_, noted)) => *noted = failures,
            None => self.0.push((asked, failures)),
        }
    }

    /// All keys with at least this number of failures.
    pub fn reaching(&self, failures: u32) -> impl Iterator<Item = &K> {
        let reached = self.0.iter().filter(move |(_, noted)| *noted >= failures);
        reached.map(|(asked, _)| asked)
    }
}
