//! `bindings bundler|module WASM FOLDER`: wasm-bindgen of a compiled worker, as `index*` in a folder.

use std::{env, error::Error};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [target, wasm, folder] = arguments.as_slice() else {
        return Err("usage: bindings bundler|module WASM FOLDER".into());
    };
    let mut bindgen = Bindgen::new();
    match target.to_str() {
        Some("bundler") => bindgen.bundler(true)?,
        // With what begins the wasm anew after a trap.
        Some("module") => bindgen
            .module(true)?
            .reset_state_function(true)
            .force_enable_abort_handler(true),
        _ => return Err("the target is bundler or module".into()),
    };
    bindgen
        .input_path(wasm)
        .out_name("index")
        .typescript(false)
        .omit_default_module_path(false);
    Ok(bindgen.generate(folder)?)
}
