//! The catalogue, which `build.rs` has checked, read in the worker: what an entry leaves out stands for the same as there. serde's own
//! reader, which refuses and explains, weighs more than all of the catalogue.

use super::*;
use crate::json::{Fields, Read, Shape, fields, words};
use serde_json::Value;

impl Read for Provider {
    fn read(value: Value) -> Shape<Self> {
        let mut fields = Fields::of(value)?;
        let read = Self {
            kind: fields.take("type"),
            name: fields.take("name"),
            auth: fields.take_or("auth", Default::default),
            fields: fields.take_or("fields", Default::default),
            key_headers: fields.take_or("key_headers", Default::default),
            basic: fields.take("basic"),
            headers: fields.take_or("headers", Default::default),
            authorize_url: fields.take_or("authorize_url", Default::default),
            authorize_parameters: fields.take_or("authorize_parameters", Default::default),
            scopes: fields.take_or("scopes", Default::default),
            scope_parameter: fields.take_or("scope_parameter", entry::scope),
            scope_separator: fields.take_or("scope_separator", Default::default),
            pkce: fields.take_or("pkce", Default::default),
            token_url: fields.take_or("token_url", Default::default),
            client_auth: fields.take_or("client_auth", Default::default),
            token_parameters: fields.take_or("token_parameters", Default::default),
            token_request: fields.take_or("token_request", Default::default),
            token_answer: fields.take_or("token_answer", entry::json),
            token_type: fields.take_or("token_type", entry::bearer),
            tokens_at: fields.take_or("tokens_at", Default::default),
            success_flag: fields.take("success_flag"),
            assumed_lifetime: fields.take("assumed_lifetime"),
            kept: fields.take_or("kept", Default::default),
            invalid_grant: fields.take_or("invalid_grant", Default::default),
            refused_tries: fields.take_or("refused_tries", entry::refused_tries),
            forbidden_days: fields.take_or("forbidden_days", entry::forbidden_days),
            revocation: fields.take("revocation"),
            second_grant: fields.take("second_grant"),
            rate_limits: fields.take_or("rate_limits", Default::default),
            identity: fields.need("identity")?,
        };
        fields.end(read)
    }
}

fields!(Basic { user, password } end);

impl Read for RefusedGrant {
    fn read(value: Value) -> Shape<Self> {
        let mut fields = Fields::of(value)?;
        let read = Self {
            status: fields.take("status"),
            at: fields.take_or("at", entry::error_pointer),
            code: fields.take("code"),
            description: fields.take("description"),
            text: fields.take("text"),
        };
        fields.end(read)
    }
}

impl Read for Revocation {
    fn read(value: Value) -> Shape<Self> {
        let mut fields = Fields::of(value)?;
        let read = Self {
            style: fields.need("style")?,
            url: fields.take("url"),
            ends: fields.take_or("ends", Default::default),
        };
        fields.end(read)
    }
}

impl Read for Identity {
    fn read(value: Value) -> Shape<Self> {
        let mut fields = Fields::of(value)?;
        let read = Self {
            from: fields.take_or("from", Default::default),
            style: fields.take_or("style", Default::default),
            url: fields.take("url"),
            account_url: fields.take("account_url"),
            headers: fields.take_or("headers", Default::default),
            query: fields.take("query"),
            list: fields.take_or("list", Default::default),
            account: fields.need("account")?,
            stored_as: fields.need("stored_as")?,
        };
        fields.end(read)
    }
}

fields!(IdAndName { id, name } end);

impl Read for Field {
    fn read(value: Value) -> Shape<Self> {
        let mut fields = Fields::of(value)?;
        let read = Self {
            name: fields.take("name"),
            label: fields.take("label"),
            secret: fields.take("secret"),
            help: fields.take("help"),
            format: fields.take_or("format", Default::default),
            max: fields.take_or("max", fields::usual),
        };
        fields.end(read)
    }
}

words!(Auth { "oauth" => Oauth, "api_key" => ApiKey, "basic" => Basic, "client_credentials" => ClientCredentials });

words!(Separator { "space" => Space, "comma" => Comma });

words!(Pkce { "s256" => S256, "none" => None });

words!(ClientAuth { "basic" => Basic, "basic_raw" => BasicRaw, "post" => Post });

words!(Encoding { "form" => Form, "json" => Json });

words!(RevocationStyle { "rfc7009" => Rfc7009, "token_only" => TokenOnly, "access_token" => AccessToken, "bearer" => Bearer, "bearer_form" => BearerForm, "supabase_json" => SupabaseJson, "github_token" => GithubToken });

words!(Ends { "token" => Token, "grant" => Grant, "user" => User });

words!(SecondGrant { "replaces" => Replaces, "separate" => Separate });

fields!(RateLimits { token, api } end);

words!(RateLimit { "app" => App, "user" => User });

words!(Source { "request" => Request, "token_answer" => TokenAnswer });

words!(IdentityStyle { "get" => Get, "post" => Post, "graphql" => Graphql, "introspection" => Introspection });

words!(Format { "text" => Text, "word" => Word, "label" => Label, "labels" => Labels });

impl Read for HeaderName {
    fn read(value: Value) -> Shape<Self> {
        String::read(value).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::fmt::Debug;

    fn agree<T: Read + DeserializeOwned + Debug>() {
        const WORDS: &str = "oauth api_key basic client_credentials space comma s256 none plain post basic_raw form json rfc7009 token_only \
            access_token bearer bearer_form supabase_json github_token request token_answer get graphql introspection text word label \
            labels token grant user app replaces separate Text planted";
        for word in WORDS.split(' ') {
            let value = Value::from(word);
            let checked: Option<T> = serde_json::from_value(value.clone()).ok();
            let read = T::read(value).ok();
            assert_eq!(format!("{read:?}"), format!("{checked:?}"), "{word}");
        }
    }

    // The catalogue itself is compared in mod.rs; it need not use every word.
    #[test]
    fn every_word_is_read_as_the_check_reads_it() {
        agree::<Auth>();
        agree::<Separator>();
        agree::<Pkce>();
        agree::<ClientAuth>();
        agree::<Encoding>();
        agree::<RevocationStyle>();
        agree::<Ends>();
        agree::<SecondGrant>();
        agree::<RateLimit>();
        agree::<Source>();
        agree::<IdentityStyle>();
        agree::<Format>();
    }
}
