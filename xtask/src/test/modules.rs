//! Which module of a crate uses which, read from its tokens: a path in a macro counts, one in a comment or a string does not. What is
//! compiled for tests only is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::graph::Graph;

/// The names of a path: `a::b` is `["a", "b"]`. A module's path begins at the root of its crate.
type Names = Vec<String>;

/// A file of a crate: its module, and what it mentions.
#[derive(Debug, Default)]
pub struct Source {
    module: Names,
    /// The paths in its code, each with the module that it is written in (the file's, or one inside it).
    mentions: Vec<(Names, Names)>,
    /// What `use` brings into scope, by name.
    imports: BTreeMap<String, (Names, Names)>,
    /// The names of `imports` that others can use through this module.
    exports: BTreeSet<String>,
    /// Modules of this file's that are for tests only.
    for_tests: Vec<Names>,
}

/// The module of a file, by its path in `src`.
pub fn path_of(file: &Path) -> Names {
    let mut names: Names = file
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names
        .last()
        .is_some_and(|name| name == "mod" || name == "lib" && names.len() == 1 || name == "main")
    {
        names.pop();
    }
    names
}

/// The modules of a crate, and which of them each uses.
pub fn graph(sources: &[Source]) -> Graph {
    let excluded: Vec<&Names> = sources
        .iter()
        .flat_map(|source| &source.for_tests)
        .collect();
    let sources: BTreeMap<&Names, &Source> = sources
        .iter()
        .filter(|source| {
            !excluded
                .iter()
                .any(|module| source.module.starts_with(module))
        })
        .map(|source| (&source.module, source))
        .collect();
    let mut graph = Graph::new();
    for (module, source) in &sources {
        let used = graph.entry(shown(module)).or_default();
        let imported = source.imports.values().filter(|(_, path)| {
            // A module that is only brought into scope is not used yet.
            !matches!(resolve(&sources, module, path, 0), Some((_, true)))
        });
        for (within, path) in source.mentions.iter().chain(imported) {
            if let Some((to, _)) = resolve(&sources, within, path, 0)
                && to != **module
            {
                used.insert(shown(&to));
            }
        }
    }
    graph
}

fn shown(module: &Names) -> String {
    if module.is_empty() {
        "the root".to_owned()
    } else {
        module.join("::")
    }
}

/// The module of the crate that a path in `within` leads into, and whether it names that module itself; none for other crates' paths.
fn resolve(
    sources: &BTreeMap<&Names, &Source>,
    within: &Names,
    path: &Names,
    depth: usize,
) -> Option<(Names, bool)> {
    // A chain of re-exports ends; one that does not is not Rust.
    if depth > 8 {
        return None;
    }
    let file = file_of(sources, within);
    let (first, rest) = path.split_first()?;
    let mut at;
    let mut rest = rest;
    match first.as_str() {
        "crate" => at = Names::new(),
        "self" => at = within.clone(),
        "super" => {
            at = within.clone();
            at.pop()?;
            while let Some((next, after)) = rest.split_first()
                && next == "super"
            {
                at.pop()?;
                rest = after;
            }
        }
        name => {
            at = child(&file, name);
            if !sources.contains_key(&at) {
                let (within, path) = sources.get(&file)?.imports.get(name)?;
                if path.first().is_some_and(|first| first == name) {
                    return None;
                }
                let whole = path.iter().chain(rest).cloned().collect();
                return resolve(sources, within, &whole, depth + 1);
            }
        }
    }
    for (index, name) in rest.iter().enumerate() {
        let next = child(&at, name);
        if sources.contains_key(&next) {
            at = next;
            continue;
        }
        let here = file_of(sources, &at);
        if let Some(source) = sources.get(&here)
            && source.exports.contains(name)
            && let Some((within, path)) = source.imports.get(name)
        {
            let whole = path.iter().chain(&rest[index + 1..]).cloned().collect();
            // None where it comes from another crate.
            return resolve(sources, within, &whole, depth + 1);
        }
        return Some((here, false));
    }
    Some((file_of(sources, &at), true))
}

fn child(module: &Names, name: &str) -> Names {
    let mut names = module.clone();
    names.push(name.to_owned());
    names
}

/// The module of the file that a module is written in.
fn file_of(sources: &BTreeMap<&Names, &Source>, module: &Names) -> Names {
    let mut names = module.clone();
    while !names.is_empty() && !sources.contains_key(&names) {
        names.pop();
    }
    names
}

impl Source {
    /// None where the text has no tokens of Rust.
    pub fn parse(module: Names, text: &str) -> Option<Self> {
        let tokens: TokenStream = text.parse().ok()?;
        let mut source = Self {
            module: module.clone(),
            ..Self::default()
        };
        source.read(&module, tokens);
        Some(source)
    }

    fn read(&mut self, within: &Names, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            let rest = &tokens[at..];
            if is_test_attribute(rest) {
                at += self.skip_item(within, rest);
                continue;
            }
            match &rest[0] {
                TokenTree::Ident(ident) if ident == "pub" => {
                    is_public = true;
                    at += 1;
                    // `pub(in a::b)` says who may use it.
                    at += usize::from(
                        matches!(rest.get(1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis),
                    );
                    continue;
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    at += self.read_use(within, rest, is_public);
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    at += self.read_module(within, rest);
                }
                TokenTree::Ident(_) => at += self.read_path(within, rest),
                TokenTree::Group(group) => {
                    self.read(within, group.stream());
                    at += 1;
                }
                // What follows a dot is a field or a method; a path that begins with two colons is another crate's.
                TokenTree::Punct(punct) if punct.as_char() == '.' => at += 2,
                TokenTree::Punct(_) if is_colons(rest) => at += 3,
                _ => at += 1,
            }
            is_public = false;
        }
    }

    /// `#[cfg(test)]` and the item behind it: how many tokens these are.
    fn skip_item(&mut self, within: &Names, tokens: &[TokenTree]) -> usize {
        let is_end = |token: &TokenTree| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        let end = tokens.iter().position(is_end).unwrap_or(tokens.len());
        let module = tokens[..end]
            .iter()
            .position(|token| matches!(token, TokenTree::Ident(ident) if ident == "mod"));
        if let Some(module) = module
            && let Some(TokenTree::Ident(name)) = tokens.get(module + 1)
        {
            self.for_tests.push(child(within, &name.to_string()));
        }
        end + 1
    }

    /// `mod name;` or `mod name { … }`.
    fn read_module(&mut self, within: &Names, tokens: &[TokenTree]) -> usize {
        if let [_, TokenTree::Ident(name), TokenTree::Group(group), ..] = tokens {
            self.read(&child(within, &name.to_string()), group.stream());
            return 3;
        }
        2
    }

    /// `use …;`.
    fn read_use(&mut self, within: &Names, tokens: &[TokenTree], is_public: bool) -> usize {
        let end = tokens
            .iter()
            .position(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
            .unwrap_or(tokens.len());
        let mut found = Vec::new();
        imported(&tokens[1..end], &Names::new(), &mut found);
        for (name, path) in found {
            let import = (within.clone(), path);
            match name {
                None => self.mentions.push(import),
                Some(name) => {
                    if is_public {
                        self.exports.insert(name.clone());
                    }
                    self.imports.insert(name, import);
                }
            }
        }
        end + 1
    }

    fn read_path(&mut self, within: &Names, tokens: &[TokenTree]) -> usize {
        let path = leading_path(tokens);
        let length = 1 + 3 * (path.len() - 1);
        if path.len() > 1 {
            self.mentions.push((within.clone(), path));
        }
        length
    }
}

/// The paths of a `use`, each with the name that it brings into scope (none of a glob).
fn imported(tokens: &[TokenTree], prefix: &Names, found: &mut Vec<(Option<String>, Names)>) {
    for tree in
        tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','))
    {
        let mut path = prefix.clone();
        let mut name = None;
        let mut is_glob = false;
        let mut nested = false;
        let mut rest = tree.iter();
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => {
                    name = rest.next().map(ToString::to_string);
                }
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    imported(&inner, &path, found);
                    nested = true;
                }
                TokenTree::Punct(punct) => is_glob |= punct.as_char() == '*',
                TokenTree::Literal(_) => {}
            }
        }
        // `use a::{self}` brings `a` into scope.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if nested || path.is_empty() {
            continue;
        }
        let name = name.or_else(|| path.last().cloned());
        found.push((name.filter(|_| !is_glob), path));
    }
}

fn leading_path(tokens: &[TokenTree]) -> Names {
    let mut path = Names::new();
    let mut rest = tokens;
    while let Some(TokenTree::Ident(ident)) = rest.first() {
        path.push(ident.to_string());
        rest = &rest[1..];
        if !is_colons(rest) {
            break;
        }
        rest = &rest[2..];
    }
    path
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(one), TokenTree::Punct(two), ..] if one.as_char() == ':' && two.as_char() == ':')
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]` or `#[test]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else {
        return false;
    };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash.as_char() == '#'
        && (text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that each of these files uses.
    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(file, text)| Source::parse(path_of(Path::new(file)), text).unwrap())
            .collect();
        let graph = graph(&sources);
        graph
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| format!("{from} -> {to}")))
            .collect()
    }

    #[test]
    fn follows_every_way_to_write_a_path() {
        let files = |text| {
            [
                ("lib.rs", "mod a; mod b;"),
                ("a/mod.rs", "pub mod c;"),
                ("a/c.rs", "pub struct Thing; pub fn f() {}"),
                ("b.rs", text),
            ]
        };
        for text in [
            "use crate::a::c::Thing;",
            "use crate::{a::{c::{Thing as Other, f}}};",
            "use super::a::c::*;",
            "use crate::a::c; fn g() { c::f() }",
            "use crate::a; fn g() { a::c::f() }",
            "use crate::a::c as other; fn g() { println!(\"{:?}\", other::f()) }",
            "fn g() -> crate::a::c::Thing { todo!() }",
            "mod inner { fn g() { super::super::a::c::f() } }",
            "use crate::a::{self}; fn g() { a::c::f::<u8>() }",
        ] {
            assert_eq!(uses(&files(text)), ["b -> a::c"], "{text}");
        }
    }

    #[test]
    fn follows_a_re_export_to_where_the_thing_is() {
        let files = [
            ("lib.rs", "pub mod a; mod b; pub use a::Thing;"),
            ("a/mod.rs", "mod c; pub use c::Thing;"),
            ("a/c.rs", "pub struct Thing;"),
            ("b.rs", "use crate::Thing;"),
        ];
        assert_eq!(uses(&files), ["a -> a::c", "b -> a::c", "the root -> a::c"]);
    }

    #[test]
    fn knows_a_re_export_of_another_crate() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub use other::thing; use crate::b;"),
            ("b.rs", "use crate::a::thing::Thing;"),
        ];
        assert_eq!(uses(&files), [""; 0]);
    }

    #[test]
    fn leaves_out_tests_comments_strings_and_other_crates() {
        let text = "//! See crate::a.\n/// crate::a::f\nuse std::a::f; use ::a::f as g;\n\
            fn h() { let crate_a = \"crate::a::f()\"; x.a::<u8>(); }\n\
            #[cfg(test)] mod tests { use crate::a::f; }\n#[cfg(test)] use crate::a;\n#[test] fn t() { crate::a::f() }\n\
            #[cfg(test)] mod cases;";
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn f() {}"),
            ("b.rs", text),
            ("b/cases.rs", "use crate::a::f;"),
        ];
        assert_eq!(uses(&files), [""; 0]);
    }

    #[test]
    fn sees_a_parent_and_a_child_that_use_each_other() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod c; pub struct Thing; fn f() { c::f() }"),
            ("a/c.rs", "use super::Thing; pub fn f() {}"),
        ];
        assert_eq!(uses(&files), ["a -> a::c", "a::c -> a"]);
    }

    #[test]
    fn names_modules_by_their_files() {
        for (file, module) in [
            ("lib.rs", ""),
            ("main.rs", ""),
            ("a.rs", "a"),
            ("a/mod.rs", "a"),
            ("a/b.rs", "a::b"),
        ] {
            assert_eq!(path_of(Path::new(file)).join("::"), module, "{file}");
        }
    }
}
