//! The bindings of `glue.js`, which says what each does. None of them throws. Where a function is asynchronous its result is a ticket, which
//! `jobs::Promised` awaits.

use wasm_bindgen::prelude::*;
use worker::web_sys;

#[wasm_bindgen(module = "/src/host/glue.js")]
extern "C" {
    pub fn wake(job: u32);

    pub fn ready() -> Vec<u32>;

    pub fn state(ticket: u32) -> u8;

    pub fn take(ticket: u32) -> JsValue;

    pub fn settled(note: &str);

    pub fn head(request: &web_sys::Request) -> String;

    pub fn respond(status: u16, media: u8, lines: &str, body: &str) -> web_sys::Response;

    pub fn body(request: &web_sys::Request, limit: u32) -> u32;

    pub fn send(
        method: &str,
        url: &str,
        lines: &str,
        body: Option<&str>,
        timeout: u32,
        limit: u32,
        note: Option<&str>,
    ) -> u32;

    pub fn sent() -> u32;

    pub type Answer;
    #[wasm_bindgen(method, getter)]
    pub fn head(this: &Answer) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn text(this: &Answer) -> String;

    pub fn relay(answer: &Answer, count: f64) -> web_sys::Response;

    #[wasm_bindgen(js_name = "importKey")]
    pub fn import_key(algorithm: u8, secret: Option<&str>, jwk: Option<&str>) -> u32;

    pub fn verify(algorithm: u8, key: &JsValue, signature: &[u8], signed: &[u8]) -> u32;

    #[wasm_bindgen(js_name = bodiesOf)]
    pub fn bodies_of(batch: &JsValue) -> Vec<String>;

    pub fn enqueue(queue: &JsValue, body: &str, count: u32) -> u32;

    pub fn pause(milliseconds: u32) -> u32;
}
