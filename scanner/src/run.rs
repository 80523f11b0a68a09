//! Performs the steps of a claimed run's slice: requests, saves, and the end.

use crate::address::{placed, put_back};
use crate::credential::{self, Account};
use crate::db::{
    CheckedBy, Claim, FinishScanRun, Finishing, ReleaseScanRun, ReopenScanCredential, Reopening,
    SaveScanPosition, Saving,
};
use crate::host::{self, log};
use crate::settings::Settings;
use crate::slice::{Finish, Save, Slice, Step, checks_of};
use crate::weight::is_too_heavy;
use checks::{Answer, Entry, Method, Request};
use chrono::{DateTime, SecondsFormat};
use kms::WrappingKeys;
use platform::call::{self, Call};
use platform::data_keys::{DataKeys, Host};
use platform::error::{DatabaseError, DatabaseFault};
use platform::http::{HttpRequest, HttpResponse, SendError};
use sealed::{RandomError, RowContext};
use uuid::Uuid;

/// A token that expires within so many seconds is not used, because a slice must end before it does.
pub const SOON_SECONDS: u32 = 120;
/// How long a run waits for a scanner that has the key of its credential, in seconds.
const KEY_SECONDS: u32 = 600;
/// How long one request may take, in milliseconds.
const REQUEST_MS: u32 = 15_000;
/// How large the database's answers may be, in bytes: claims with their positions.
const DATABASE_ANSWER: u32 = 24 << 20;
/// Before each further attempt at a call of the database, in milliseconds.
const PAUSES_MS: [u32; 2] = [500, 2_000];

/// Shared by all work of one invocation.
pub struct Task {
    pub settings: &'static Settings,
    /// In events and the log.
    pub request_id: String,
    pub owner: Uuid,
    pub data_keys: DataKeys,
}

impl Host for Task {
    type Error = DatabaseError;

    fn wrapping(&self) -> &WrappingKeys {
        &self.settings.wrapping
    }

    fn now(&self) -> u64 {
        let seconds = u64::try_from(host::now()).unwrap_or_default();
        seconds * 1_000
    }

    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        host::fetch(request).await
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        host::random(bytes)
    }

    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome, DatabaseError> {
        Task::call(self, call).await
    }
}

/// This scanner has lost the run: it has ended, or another scanner has it, or it can be claimed again.
struct Over;

impl Task {
    /// Calls a database function, and retries if the database may have been down for a moment. Every function is idempotent.
    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome, DatabaseError> {
        let mut pauses = PAUSES_MS.into_iter();
        loop {
            let error = match self.ask(C::NAME, call::body(call)).await {
                Ok(text) => return call::outcome::<C>(&text),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if error.fault != DatabaseFault::InvalidResponse => {
                    host::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn ask(&self, name: &str, body: String) -> Result<String, DatabaseError> {
        let Settings {
            supabase_url,
            service_key,
            ..
        } = self.settings;
        let mut request = call::request(supabase_url, service_key, name, body);
        request.limit = DATABASE_ANSWER;
        let answer = host::fetch(request)
            .await
            .map_err(|error| DatabaseError::no_answer(name, error))?;
        call::check(name, &answer)?;
        Ok(answer.body)
    }
}

/// Processes one slice of a run. Returns the end to write, if the run is complete.
pub async fn work<'a>(task: &'a Task, claim: Claim) -> Option<Ended<'a>> {
    let entry = checks::entry(&claim.integration_type)?;
    let claimed = Claimed { task, entry, claim };
    // On an error the claim expires, and the run is claimed again.
    let (checks, finish) = claimed.slice().await.ok()??;
    Some(Ended {
        claimed,
        checks,
        finish,
    })
}

pub struct Ended<'a> {
    claimed: Claimed<'a>,
    checks: Vec<CheckedBy<'static>>,
    finish: Finish,
}

impl Ended<'_> {
    pub async fn write(self) {
        let _ = self.claimed.finish(&self.checks, self.finish).await;
    }
}

struct Claimed<'a> {
    task: &'a Task,
    entry: &'static Entry,
    claim: Claim,
}

impl Claimed<'_> {
    /// None: a later claim continues the run.
    async fn slice(&self) -> Result<Option<(Vec<CheckedBy<'static>>, Finish)>, Over> {
        let mut account = self.open(&self.claim.config).await?;
        let mut slice = Slice::new(
            self.entry,
            account.settings.clone(),
            account.granted.clone(),
            self.claim.position.as_deref(),
            host::now(),
        );
        loop {
            match slice.next(host::now()) {
                Step::Ask(request) => {
                    if request.fresh_credential && slice.has_asked() {
                        match self.reopened().await? {
                            Some(fresh) => account = fresh,
                            None => {
                                let save = slice.let_go(host::now());
                                self.save(&mut slice, save, Some(host::now() + 60)).await?;
                                return Ok(None);
                            }
                        }
                    }
                    let answer = self.ask(&request, &account).await;
                    slice.take(answer, host::now());
                }
                Step::Save(save) => self.save(&mut slice, save, None).await?,
                Step::LetGo(save, until) => {
                    self.save(&mut slice, save, Some(until)).await?;
                    return Ok(None);
                }
                Step::Finish(finish) => return Ok(Some((slice.checks(), finish))),
            }
        }
    }

    /// Opens a config. If this scanner lacks the key, the run is released: no finding changes and no webhook is sent. Any other fault is the
    /// row's, and ends the run, because nothing could be checked.
    async fn open(&self, config: &str) -> Result<Account, Over> {
        let Claim {
            organization_id,
            integration_id,
            ..
        } = self.claim;
        let place = RowContext {
            organization_id,
            integration_id,
        };
        let (task, keys) = (self.task, &self.task.data_keys);
        let opened = credential::open(task, keys, self.entry, &place, config).await;
        match self.logged(opened)? {
            Ok(account) => Ok(account),
            Err(unopened) if unopened.lacks_key => {
                let detail = format!("not scanned yet, the key is missing: {}", unopened.detail);
                log::failure(&self.task.request_id, &detail);
                self.call(&ReleaseScanRun {
                    p_id: self.claim.id,
                    p_owner: self.task.owner,
                    p_generation: self.claim.generation,
                    p_seconds: KEY_SECONDS,
                })
                .await?;
                Err(Over)
            }
            Err(unopened) => {
                let detail = format!("not scanned: {}", unopened.detail);
                log::warning(&self.task.request_id, &detail);
                let unreadable = || Some("unreadable".to_owned());
                let checks = checks_of(self.entry, |_| unreadable());
                let finish = Finish {
                    results: Vec::new(),
                    requests: 0,
                    reason: unreadable(),
                };
                self.finish(&checks, finish).await?;
                Err(Over)
            }
        }
    }

    /// Reads the stored credential again: a refresh may have replaced the one that the provider rejected. None: it expires soon.
    async fn reopened(&self) -> Result<Option<Account>, Over> {
        let call = ReopenScanCredential {
            p_id: self.claim.id,
            p_owner: self.task.owner,
            p_generation: self.claim.generation,
            p_soon: SOON_SECONDS,
            p_request_id: &self.task.request_id,
        };
        match self.call(&call).await? {
            Reopening::Opened { config } => self.open(&config).await.map(Some),
            Reopening::NotUsable => Ok(None),
            Reopening::Changed | Reopening::Finished | Reopening::Gone => Err(Over),
        }
    }

    async fn ask(&self, request: &Request, account: &Account) -> Answer {
        let base = self.task.settings.base_urls.get(self.entry.kind.as_str());
        let base = base.map(String::as_str);
        let url = placed(&request.url, base);
        let authorization = format!("Bearer {}", account.token.expose());
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("user-agent", "sealed-integrations"),
        ];
        headers.extend(
            request
                .headers
                .iter()
                .map(|(name, value)| (&**name, &**value)),
        );
        let body = request.body.as_ref().map(ToString::to_string);
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let limit = request.max_bytes;
        match host::exchange(method, &url, &headers, body.as_deref(), REQUEST_MS, limit).await {
            Ok(answer) if is_too_heavy(&answer.body) => Answer::TooLarge,
            Ok(mut answer) => {
                put_back(&mut answer.headers, &request.url, base);
                Answer::Http {
                    status: answer.status,
                    headers: answer.headers,
                    body: answer.body,
                }
            }
            Err(SendError::TooLarge) => Answer::TooLarge,
            Err(SendError::Timeout | SendError::Network) => Answer::Failed,
        }
    }

    /// Saves the position. If the run is released, saves everything, in several calls if it does not fit into one.
    async fn save(
        &self,
        slice: &mut Slice<'static>,
        mut save: Save,
        until: Option<i64>,
    ) -> Result<(), Over> {
        loop {
            let rest = slice.has_pending();
            let p_not_before = until.filter(|_| !rest).map(|until| {
                let until = DateTime::from_timestamp(until, 0).unwrap_or_default();
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            });
            let call = SaveScanPosition {
                p_id: self.claim.id,
                p_owner: self.task.owner,
                p_generation: self.claim.generation,
                p_catalogue: checks::catalogue_hash(),
                p_position: &save.position,
                p_results: &save.results,
                p_requests: save.requests,
                p_limited: p_not_before.is_some() && slice.is_limited(),
                p_organizations: self.entry.pauses_after(),
                p_not_before,
            };
            match self.call(&call).await? {
                Saving::Saved if until.is_some() && rest => save = slice.let_go(host::now()),
                Saving::Saved => return Ok(()),
                Saving::Full => {
                    slice.fill();
                    let Step::Finish(finish) = slice.next(host::now()) else {
                        return Err(Over);
                    };
                    self.finish(&slice.checks(), finish).await?;
                    return Err(Over);
                }
                Saving::Changed | Saving::Finished | Saving::Gone => return Err(Over),
            }
        }
    }

    async fn finish(&self, checks: &[CheckedBy<'_>], finish: Finish) -> Result<(), Over> {
        let call = FinishScanRun {
            p_id: self.claim.id,
            p_owner: self.task.owner,
            p_generation: self.claim.generation,
            p_catalogue: checks::catalogue_hash(),
            p_checks: checks,
            p_results: &finish.results,
            p_requests: finish.requests,
            p_reason: finish.reason,
        };
        match self.call(&call).await? {
            Finishing::Finished => Ok(()),
            Finishing::Changed | Finishing::Gone => Err(Over),
        }
    }

    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome, Over> {
        self.logged(self.task.call(call).await)
    }

    fn logged<T>(&self, answer: Result<T, DatabaseError>) -> Result<T, Over> {
        answer.map_err(|error| {
            let detail = format!("assessments {}: {}", self.claim.id, error.detail);
            log::failure(&self.task.request_id, &detail);
            Over
        })
    }
}
