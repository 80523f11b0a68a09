//! Sends requests to the provider. The credential is sent only to the entry's hosts, and redirects are not followed.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use checks::{Answer, Entry, Method, Request};
use ureq::Agent;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::drive::{Scanned, World, drive};

/// The variable that holds the credential.
const TOKEN: &str = "SCAN_TOKEN";

/// One request from its beginning to the end of its answer.
const REQUEST: Duration = Duration::from_secs(30);

/// The longest wait for a rate limit, in seconds.
const LONGEST_WAIT: i64 = 15 * 60;

/// The whole scan, in seconds.
const LONGEST_SCAN: i64 = 2 * 3600;

/// Scans an account with the credential of the environment.
pub fn scan(entry: &Entry, args: &Args) -> Result<Scanned, String> {
    let settings = args.settings(entry)?;
    let token = env::var(TOKEN).map_err(|_| {
        format!(
            "the environment variable {TOKEN} is not set; for recorded answers give --fixture DIR"
        )
    })?;
    let token = Zeroizing::new(token);
    if token.trim().is_empty() || !token.trim().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{TOKEN} holds no credential: one word is expected"));
    }
    let mut client = Client::new(&token);
    Ok(drive(entry, settings, args.granted(), &mut client))
}

struct Client {
    agent: Agent,
    authorization: Zeroizing<String>,
    ends: i64,
}

impl Client {
    fn new(token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .https_only(true)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(REQUEST))
            .user_agent(concat!("scan/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            authorization: Zeroizing::new(format!("Bearer {}", token.trim())),
            ends: now() + LONGEST_SCAN,
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, ureq::Error> {
        let mut head = ureq::http::Request::builder()
            .uri(&request.url)
            .header("authorization", self.authorization.as_str());
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let mut response = match (request.method, &request.body) {
            (Method::Get, _) => self.agent.run(head.method("GET").body(())?)?,
            (Method::Post, body) => {
                let body = body.as_ref().map(ToString::to_string).unwrap_or_default();
                let head = head
                    .method("POST")
                    .header("content-type", "application/json");
                self.agent.run(head.body(body)?)?
            }
        };
        let headers = response.headers().iter().filter_map(|(name, value)| {
            Some((
                name.as_str().to_ascii_lowercase(),
                value.to_str().ok()?.to_owned(),
            ))
        });
        let headers = headers.collect();
        let limit = request.max_bytes as u64 + 1;
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        match body {
            Ok(body) => Ok(Answer::Http {
                status: response.status().as_u16(),
                headers,
                body,
            }),
            Err(ureq::Error::BodyExceedsLimit(_)) => Ok(Answer::TooLarge),
            Err(error) => Err(error),
        }
    }
}

impl World for Client {
    fn answer(&mut self, request: &Request) -> Answer {
        // Neither the URL nor the fault is shown: the table says what could not be seen.
        self.ask(request).unwrap_or(Answer::Failed)
    }

    fn now(&self) -> i64 {
        now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the command's edge")]
    fn wait(&mut self, until: i64) -> bool {
        let seconds = until - now();
        if seconds > LONGEST_WAIT || until > self.ends {
            return false;
        }
        eprintln!("the provider asks to wait {seconds} s");
        std::thread::sleep(Duration::from_secs(seconds.try_into().unwrap_or(0)));
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the command's edge")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}
