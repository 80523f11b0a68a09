//! The executor's Rust half: futures by number, each polled by itself. `glue.js` has the other half, and says why there are two.

use crate::host::glue;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

type Job = Pin<Box<dyn Future<Output = JsValue>>>;

thread_local! {
    static JOBS: RefCell<HashMap<u32, Job>> = RefCell::default();
    /// Who waits for the outcome of a ticket.
    static WAITING: RefCell<HashMap<u32, Waker>> = RefCell::default();
    static NEXT: Cell<u32> = const { Cell::new(0) };
}

/// Begins a job; JavaScript polls it. Its result is anything but `undefined`.
pub fn begin(future: impl Future<Output = JsValue> + 'static) -> u32 {
    let number = NEXT.get();
    NEXT.set(number.wrapping_add(1));
    JOBS.with_borrow_mut(|jobs| jobs.insert(number, Box::pin(future)));
    number
}

/// Polls a job once: its result, or nothing yet. While it is polled it is nobody's, so one that traps is simply gone. `has_ready`: what it waits
/// for has come.
#[wasm_bindgen]
pub fn poll(number: u32, has_ready: bool) -> Option<JsValue> {
    let mut job = JOBS.with_borrow_mut(|jobs| jobs.remove(&number))?;
    let ready = if has_ready { glue::ready() } else { Vec::new() };
    for ticket in ready {
        if let Some(waker) = WAITING.with_borrow_mut(|waiting| waiting.remove(&ticket)) {
            waker.wake();
        }
    }
    let waker = Waker::from(Arc::new(Number(number)));
    match job.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => {
            JOBS.with_borrow_mut(|jobs| jobs.insert(number, job));
            None
        }
    }
}

struct Number(u32);

impl Wake for Number {
    fn wake(self: Arc<Self>) {
        glue::wake(self.0);
    }
}

/// What JavaScript does for a job, by its ticket. An exception there is an error here.
pub struct Promised(pub u32);

/// JavaScript threw or rejected.
pub struct Rejected;

impl Future for Promised {
    type Output = Result<JsValue, Rejected>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match glue::state(self.0) {
            0 => {
                let waker = context.waker().clone();
                WAITING.with_borrow_mut(|waiting| waiting.insert(self.0, waker));
                Poll::Pending
            }
            1 => Poll::Ready(Ok(glue::take(self.0))),
            _ => Poll::Ready(Err(Rejected)),
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        WAITING.with_borrow_mut(|waiting| waiting.remove(&self.0));
    }
}
