use sealed::RandomError;
use zeroize::Zeroizing;

/// The most bytes of an answer of the service that are read.
pub const MAX_ANSWER: u32 = 16_384;

/// A request to the service, a `POST`.
#[derive(Debug)]
pub struct Request {
    /// Absolute.
    pub url: String,
    /// By lower-case name. They hold a signature and perhaps a session token: never logged.
    pub headers: Vec<(&'static str, String)>,
    /// Holds a data key where one is wrapped: never logged.
    pub body: String,
}

/// An answer of the service.
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// Holds a data key where one was unwrapped: never logged. At most [`MAX_ANSWER`] bytes.
    pub body: Zeroizing<String>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not within the host's bound.
    Timeout,
    /// No connection, or it was lost.
    Network,
    /// Longer than [`MAX_ANSWER`].
    TooLarge,
}

/// Where this crate runs: it sends requests, and knows the time.
#[allow(
    async_fn_in_trait,
    reason = "nobody needs it to be Send: both hosts have one thread"
)]
pub trait Host {
    /// The time in milliseconds.
    fn now(&self) -> u64;

    /// Random bytes.
    ///
    /// # Errors
    ///
    /// The source failed.
    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError>;

    /// Sends a request within a bounded time. Redirects are not followed.
    async fn send(&self, request: Request) -> Result<Response, NoAnswer>;
}
