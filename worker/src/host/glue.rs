//! The bindings of `glue.js`, which says what each does. None of them throws.

use wasm_bindgen::prelude::*;
use worker::web_sys;

#[wasm_bindgen(module = "/src/host/glue.js")]
extern "C" {
    pub fn wake(job: u32);

    pub fn settled(note: &str);

    pub fn target(request: &web_sys::Request) -> String;

    pub fn head(request: &web_sys::Request) -> String;

    pub fn respond(status: u16, media: u8, lines: &str, body: &str) -> web_sys::Response;

    #[wasm_bindgen(catch)]
    pub async fn body(request: &web_sys::Request, limit: u32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    pub async fn send(
        method: &str,
        url: &str,
        lines: &str,
        body: Option<&str>,
        timeout: u32,
        limit: u32,
        note: Option<&str>,
    ) -> Result<JsValue, JsValue>;

    pub type Answer;
    #[wasm_bindgen(method, getter)]
    pub fn head(this: &Answer) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn text(this: &Answer) -> String;

    pub fn relay(answer: &Answer, count: f64) -> web_sys::Response;

    #[wasm_bindgen(catch, js_name = "importKey")]
    pub async fn import_key(
        algorithm: u8,
        secret: Option<&str>,
        jwk: Option<&str>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    pub async fn verify(
        algorithm: u8,
        key: &JsValue,
        signature: &[u8],
        signed: &str,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = bodiesOf)]
    pub fn bodies_of(batch: &JsValue) -> Vec<String>;

    #[wasm_bindgen(catch)]
    pub async fn enqueue(queue: &JsValue, body: &str, count: u32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    pub async fn pause(milliseconds: u32) -> Result<JsValue, JsValue>;
}
