//! keytool.

fn main() {}
