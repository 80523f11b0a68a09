//! How often it failed in a row, at each of those that a run of the schedule asks.

use std::borrow::Borrow;

/// Failures in a row. Few are asked, so this is a list: a map would weigh more in wasm.
#[derive(Debug)]
pub struct Failures<K>(Vec<(K, u32)>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Failures<K> {
    /// How many there are at one.
    pub fn at<Q: PartialEq + ?Sized>(&self, asked: &Q) -> u32
    where
        K: Borrow<Q>,
    {
        let noted = self.0.iter().find(|(known, _)| known.borrow() == asked);
        noted.map_or(0, |(_, failures)| *failures)
    }

    /// Sets how many there are.
    pub fn set(&mut self, asked: K, failures: u32) {
        match self.0.iter_mut().find(|(known, _)| *known == asked) {
            Some((_, noted)) => *noted = failures,
            None => self.0.push((asked, failures)),
        }
    }

    /// All at which there are as many, or more.
    pub fn reaching(&self, failures: u32) -> impl Iterator<Item = &K> {
        let reached = self.0.iter().filter(move |(_, noted)| *noted >= failures);
        reached.map(|(asked, _)| asked)
    }
}
