//! Reads entries, and joins them for the worker.

use crate::about::About;
use crate::check;
use crate::entry::Provider;
use crate::unique;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The source document's provider comes first on the page, the others by name.
const FIRST: &str = "supabase";

const ABOUT: [&str; 4] = ["verified", "docs", "note", "pkce_reason"];

/// Read and checked.
#[derive(Debug)]
pub struct Entry {
    pub provider: Provider,
    pub about: About,
    /// The JSON of the worker's part, as in the file.
    compiled: Map<String, Value>,
}

/// Reads and checks an entry. The error names the field, and says what is wrong.
pub fn read(text: &str) -> Result<Entry, String> {
    let whole: Map<String, Value> = unique::parse(text).map_err(|error| error.to_string())?;
    let (about, compiled): (Map<_, _>, Map<_, _>) = whole
        .clone()
        .into_iter()
        .partition(|(key, _)| ABOUT.contains(&key.as_str()));
    let about: About = shaped(about)?;
    let provider: Provider = shaped(compiled.clone())?;
    check::entry(&provider, &about, &whole)?;
    Ok(Entry {
        provider,
        about,
        compiled,
    })
}

/// Reads, checks and joins entries, each a file's name and text, for `parse`. The error names the file, and says what is wrong with it.
pub fn compile(files: impl IntoIterator<Item = (String, String)>) -> Result<String, String> {
    let mut entries = Vec::new();
    for (name, text) in files {
        let entry = read(&text).map_err(|why| format!("{name}: {}", why.replace('\n', " ")))?;
        let kind = entry.provider.kind;
        // A file is named after its type, so no type occurs twice.
        if name != format!("{kind}.json") {
            return Err(format!("{name}: its type is {kind}: call it {kind}.json"));
        }
        entries.push((kind, entry.compiled));
    }
    entries.sort_by(|(a, _), (b, _)| (a != FIRST, a).cmp(&(b != FIRST, b)));
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    serde_json::to_string(&entries).map_err(|error| error.to_string())
}

/// Reads what `compile` has written.
pub fn parse(compiled: &str) -> Result<Vec<Provider>, String> {
    serde_json::from_str(compiled).map_err(|error| format!("the catalogue is malformed: {error}"))
}

fn shaped<T: DeserializeOwned>(entry: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(entry)).map_err(|error| {
        match error.path().to_string().as_str() {
            // serde's own message names a missing field.
            "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    fn supabase() -> (String, String) {
        file("supabase.json", include_str!("../providers/supabase.json"))
    }

    fn airtable() -> (String, String) {
        file("airtable.json", include_str!("../providers/airtable.json"))
    }

    #[test]
    fn reads_what_it_has_compiled_with_the_source_documents_provider_first() {
        let files = [airtable(), supabase()];
        let read = parse(&compile(files.clone()).unwrap()).unwrap();
        let [airtable, supabase] = files.map(|(_, text)| super::read(&text).unwrap().provider);
        assert_eq!(format!("{read:?}"), format!("{:?}", [supabase, airtable]));
    }

    #[test]
    fn compiles_nothing_that_is_for_people_only() {
        let compiled = compile([supabase()]).unwrap();
        for key in ABOUT {
            assert!(!compiled.contains(&format!("\"{key}\":")), "{key}");
        }
    }

    #[test]
    fn names_the_file_and_the_field_of_a_malformed_entry() {
        let (name, text) = supabase();
        for (from, to, why) in [
            (
                "\"client_secret_basic\"",
                "\"posted\"",
                "supabase.json: client_auth: unknown variant `posted`",
            ),
            (
                "\"client_secret_basic\"",
                "7",
                "supabase.json: client_auth: invalid type: ",
            ),
            (
                "\"url\"",
                "\"uri\"",
                "supabase.json: revocation.uri: unknown field `uri`",
            ),
            (
                "\"docs\"",
                "\"docks\"",
                "supabase.json: missing field `docs`",
            ),
            (
                "\"name\": \"Supabase\",",
                "",
                "supabase.json: missing field `name`",
            ),
            (
                "\"supabase\"",
                "\"supa\"",
                "supabase.json: its type is supa",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            let text = text.replacen(from, to, 1);
            let fault = compile([(name.clone(), text)]).unwrap_err();
            assert!(fault.starts_with(why), "{fault}");
        }
    }

    #[test]
    fn rejects_a_doubled_key_at_every_depth() {
        let (_, text) = supabase();
        for (from, to) in [
            ("\"type\"", "\"type\": \"other\", \"type\""),
            (
                "\"client_auth\"",
                "\"client_auth\": \"client_secret_post\", \"client_auth\"",
            ),
            (
                "\"client_auth\"",
                "\"client_auth\": \"client_secret_post\", \"\\u0063lient_auth\"",
            ),
            ("\"url\"", "\"url\": \"https://example.com/me\", \"url\""),
            (
                "\"client_auth\"",
                "\"headers\": {\"x-a\": \"1\", \"x-a\": \"2\"}, \"client_auth\"",
            ),
            (
                "\"client_auth\"",
                "\"authorize_parameters\": {\"a\": \"1\", \"a\": \"1\"}, \"client_auth\"",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"code\": \"a\", \"code\": \"b\"}], \"client_auth\"",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            let refusal = read(&text.replacen(from, to, 1)).unwrap_err();
            assert!(refusal.contains("is there twice"), "{to}: {refusal}");
        }
    }
}
