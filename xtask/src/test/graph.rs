//! What depends on what, and the cycles in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What each node depends on.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// A shortest cycle through the first node of each knot of nodes that reach each other, its first node repeated at the end.
pub fn cycles(graph: &Graph) -> impl Iterator<Item = Vec<&str>> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    graph.keys().filter_map(move |node| {
        if seen.contains(node.as_str()) {
            return None;
        }
        let cycle = shortest_cycle(graph, node)?;
        let knot = reachable(graph, node)
            .into_iter()
            .filter(|other| reachable(graph, other).contains(node.as_str()));
        seen.extend(knot);
        Some(cycle)
    })
}

fn reachable<'a>(graph: &'a Graph, start: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<&str> = graph
        .get(start)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    while let Some(node) = queue.pop() {
        if found.insert(node) {
            queue.extend(graph.get(node).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

fn shortest_cycle<'a>(graph: &'a Graph, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(node).into_iter().flatten() {
            if next == start {
                let mut cycle = vec![node];
                while let Some(before) = came_from.get(cycle.last()?) {
                    cycle.push(before);
                }
                cycle.reverse();
                cycle.push(start);
                return Some(cycle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        edges
            .iter()
            .map(|(from, to)| {
                (
                    from.to_string(),
                    to.iter().map(|to| to.to_string()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn finds_each_knot_once_by_its_shortest_cycle() {
        let graph = graph(&[
            ("a", &["b", "x"]),
            ("b", &["c"]),
            ("c", &["a", "b"]),
            ("x", &["y"]),
            ("y", &["x"]),
            ("z", &["a"]),
        ]);
        let found: Vec<_> = cycles(&graph).collect();
        assert_eq!(
            found,
            [vec!["a", "b", "c", "a"], vec!["x", "y", "x"]],
            "z only leads to a cycle"
        );
    }

    #[test]
    fn accepts_a_graph_without_cycles() {
        let graph = graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["outside"])]);
        assert_eq!(cycles(&graph).count(), 0);
    }
}
