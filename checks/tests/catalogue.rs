//! What the entries hold together.

#[test]
fn seven_entries_have_ninety_checks_or_more() {
    assert_eq!(checks::entries().len(), 7);
    let count: usize = checks::entries()
        .iter()
        .map(|entry| entry.checks.len())
        .sum();
    assert!(count >= 90, "{count}");
}

#[test]
fn supabase_judges_thirty_things_of_config_auth() {
    let entry = checks::entry("supabase").unwrap();
    let of_auth = entry
        .checks
        .iter()
        .filter(|check| check.read.as_deref() == Some("auth"));
    assert!(of_auth.count() >= 30);
}

#[test]
fn a_check_id_is_used_once_in_all_entries() {
    let mut ids: Vec<_> = checks::entries()
        .iter()
        .flat_map(|entry| &entry.checks)
        .map(|check| &check.id)
        .collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
