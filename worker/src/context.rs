//! The context of handlers and jobs.

use crate::auth::caller::Caller;
use crate::auth::cookies::Cookies;
use crate::auth::jwt::User;
use crate::auth::service_key::{Scope, ServiceKey};
use crate::auth::{origin, token_of, verify};
use crate::db::call::{self, Call};
use crate::db::project::Reader;
use crate::db::{Admission, AdmitWrite, AuthenticateServiceKey, ServiceKeyAuthenticated};
use crate::error::{ClientError, Error, Result};
use crate::host::{self, Incoming};
use crate::ids::{OrganizationId, ServiceKeyId};
use crate::json::parse_untrusted;
use crate::random::hex;
use crate::settings::Settings;
use platform::data_keys::DataKeys;
use serde::de::DeserializeOwned;
use std::ops::Deref;

/// What a function raises if the user's role in the organization may only see (docs/database.md).
const NOT_AN_ADMIN: &str = "IK002";

/// What every task uses, of a request or of the schedule.
pub struct Task {
    pub settings: &'static Settings,
    /// In responses, events and the log.
    pub request_id: String,
    pub data_keys: DataKeys,
}

pub struct Context<'a> {
    pub task: Task,
    pub incoming: &'a Incoming,
}

impl Deref for Context<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

pub struct SignedIn {
    pub user: User,
    pub token: String,
}

/// Who makes a request that users and programs may make.
pub struct Principal {
    pub caller: Caller,
    pub reader: Reader,
    /// The organization that is meant where the request names none. None: all that the key acts for.
    pub organization: Option<OrganizationId>,
}

impl Context<'_> {
    pub fn cookies(&self) -> Result<Cookies<'_>> {
        Cookies::parse(&self.incoming.head.cookie)
    }

    /// Counts requests that may change something, and rejects too many.
    pub async fn signed_in(&self) -> Result<SignedIn> {
        let signed_in = self.authenticated().await?;
        if self.incoming.head.method.is_unsafe() {
            let call = AdmitWrite {
                p_user_id: signed_in.user.id,
            };
            if let Admission::TooMany { seconds } = self.call(&call).await? {
                return Err(ClientError::TooManyRequests { seconds }.into());
            }
        }
        Ok(signed_in)
    }

    /// Without the count. A request that may change something must come from our own page, or carry the token in a header.
    pub async fn authenticated(&self) -> Result<SignedIn> {
        let head = &self.incoming.head;
        let given = token_of(head, &self.cookies()?)?;
        if given.from_cookie && head.method.is_unsafe() {
            origin::check_from_cookie(head, &self.settings.app_url, head.method.has_body())?;
        }
        let user = verify::verify(self.settings, &given.token).await?;
        Ok(SignedIn {
            user,
            token: given.token,
        })
    }

    /// Authenticates a program by its service key, which must have this scope, or else a user.
    pub async fn principal(&self, scope: Scope) -> Result<Principal> {
        if self.given_key()?.is_some() {
            let (id, organization) = self.program(scope).await?;
            return Ok(Principal {
                caller: Caller::ServiceKey(id),
                reader: Reader::ServiceKey(id),
                organization,
            });
        }
        let signed_in = self.signed_in().await?;
        Ok(Principal {
            caller: Caller::User(signed_in.user.id),
            organization: Some(signed_in.user.id.personal_organization()),
            reader: Reader::User(signed_in.token),
        })
    }

    /// The service key of a program, which must have this scope.
    pub async fn service_key(&self, scope: Scope) -> Result<ServiceKeyId> {
        self.program(scope).await.map(|(id, _)| id)
    }

    async fn program(&self, scope: Scope) -> Result<(ServiceKeyId, Option<OrganizationId>)> {
        let key = self.given_key()?.ok_or(ClientError::Unauthorized)?;
        let call = AuthenticateServiceKey {
            p_hash: &key.hash(),
            p_scope: scope,
        };
        match self.call(&call).await? {
            ServiceKeyAuthenticated::Authenticated {
                id,
                organization_id,
            } => Ok((id, organization_id)),
            ServiceKeyAuthenticated::Unknown => Err(ClientError::Unauthorized.into()),
            ServiceKeyAuthenticated::MissingScope => Err(ClientError::MissingScope(scope).into()),
            ServiceKeyAuthenticated::TooMany { seconds } => {
                Err(ClientError::TooManyRequests { seconds }.into())
            }
        }
    }

    /// Valid or not.
    pub fn has_service_key(&self) -> bool {
        matches!(self.given_key(), Ok(Some(_)))
    }

    fn given_key(&self) -> Result<Option<ServiceKey>> {
        let given = token_of(&self.incoming.head, &self.cookies()?)?;
        let key = ServiceKey::parse(&given.token);
        Ok(key.filter(|_| !given.from_cookie))
    }

    pub async fn no_body(&self) -> Result<()> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let body = self.incoming.body().await?;
        if body.trim().is_empty() || parse_untrusted::<Nothing>(&body).is_some() {
            return Ok(());
        }
        Err(ClientError::Body("expected no body, or {}").into())
    }

    /// `expected` is the message for the client if the body has another shape.
    pub async fn json<T: DeserializeOwned>(&self, expected: &'static str) -> Result<T> {
        if !self.incoming.head.is_json() {
            return Err(ClientError::MediaType.into());
        }
        let body = self.incoming.body().await?;
        parse_untrusted(&body).ok_or(ClientError::Body(expected).into())
    }
}

impl Principal {
    pub fn not_a_member(&self) -> Error {
        match self.caller.user() {
            None => ClientError::NoSuch("no such organization").into(),
            Some(_) => ClientError::NotAMember.into(),
        }
    }
}

impl Task {
    pub fn new(settings: &'static Settings, request_id: String) -> Self {
        Self {
            settings,
            request_id,
            data_keys: DataKeys::default(),
        }
    }

    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome> {
        let answer = self.ask(C::NAME, call::body(call)).await?;
        Ok(call::outcome::<C>(&answer)?)
    }

    /// The part that is the same for all functions, so that wasm has one copy of it.
    async fn ask(&self, name: &str, body: String) -> Result<String> {
        let supabase = &self.settings.supabase;
        let request = call::request(&supabase.url, &supabase.service_key, name, body);
        let answer = host::fetch(&request)
            .await
            .map_err(|error| Error::no_answer(name, error))?;
        if answer.status == 400 && platform::error::code(&answer.body) == NOT_AN_ADMIN {
            return Err(ClientError::NotAnAdmin.into());
        }
        call::check(name, &answer)?;
        Ok(answer.body)
    }
}

/// 64 random bits. If the random source fails, the id is zero: it proves nothing, and the request goes on.
pub fn request_id() -> String {
    let mut bytes = [0; 8];
    let _ = host::random(&mut bytes);
    hex(&bytes)
}
