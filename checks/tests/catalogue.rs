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

/// A field that no connection of the type stores could never be filled in.
#[test]
fn every_setting_is_a_field_that_a_connection_stores() {
    for entry in checks::entries() {
        let path = format!(
            "{}/../catalogue/providers/{}.json",
            env!("CARGO_MANIFEST_DIR"),
            entry.kind
        );
        let text = std::fs::read_to_string(path).unwrap();
        let provider: serde_json::Value = serde_json::from_str(&text).unwrap();
        let stored = provider["identity"]["stored_as"]
            .as_object()
            .unwrap()
            .values();
        let kept = provider["token_response_metadata"]
            .as_array()
            .into_iter()
            .flatten();
        let fields = provider["fields"].as_array().into_iter().flatten();
        let open = fields
            .filter(|field| field["secret"] == false)
            .map(|field| &field["name"]);
        let stored: Vec<_> = stored.chain(kept).chain(open).collect();
        for setting in &entry.settings {
            assert!(
                stored.iter().any(|name| *name == setting),
                "{}: {setting} is not stored",
                entry.kind
            );
        }
    }
}

/// Names change; a finding about them would be another one.
#[test]
fn results_are_told_apart_by_ids() {
    // What a service of Supabase or a function of its is called cannot be changed.
    let fixed = [
        "supabase_healthy",
        "supabase_function_jwt",
        "supabase_function_throttled",
    ];
    let is_name = |place: &str| {
        let word = place
            .trim_matches(['{', '}'])
            .rsplit(['/', '_'])
            .next()
            .unwrap_or_default();
        [
            "name", "login", "title", "slug", "path", "email", "org", "repo",
        ]
        .contains(&word)
    };
    for entry in checks::entries() {
        for check in entry
            .checks
            .iter()
            .filter(|check| !fixed.contains(&&*check.id))
        {
            assert!(
                !is_name(&check.resource.id),
                "{}: {}",
                check.id,
                check.resource.id
            );
        }
        for (name, read) in &entry.reads {
            let Some(each) = &read.for_each else { continue };
            let id = each.id.as_ref().or(each.bind.keys().next()).unwrap();
            let at = &each.bind[id];
            // The organization's slug is what Supabase has for an id.
            assert!(
                !is_name(at) || at == "/organization_slug",
                "{} {name}: {at}",
                entry.kind
            );
        }
    }
}

#[test]
fn only_the_same_statement_supersedes_a_lint() {
    let mut superseded: Vec<_> = checks::entries()
        .iter()
        .flat_map(|entry| &entry.checks)
        .flat_map(|check| check.supersedes.iter().map(|lint| (&*check.id, &**lint)))
        .collect();
    superseded.sort();
    assert_eq!(
        superseded,
        [
            (
                "supabase_auth_leaked_passwords",
                "supabase_advisor:auth_leaked_password_protection"
            ),
            (
                "supabase_auth_otp_expiry",
                "supabase_advisor:auth_otp_long_expiry"
            ),
            (
                "supabase_network_restricted",
                "supabase_advisor:network_restrictions_not_set"
            ),
            ("supabase_ssl_enforced", "supabase_advisor:ssl_not_enforced"),
        ]
    );
}
