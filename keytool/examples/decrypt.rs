//! Decrypts what `keytool export` wrote, for its tests. The identity is in `AGE_IDENTITY`, and without one it makes one:
//!
//! ```text
//! $ cargo run -p keytool --example decrypt
//! AGE-SECRET-KEY-1… age1…
//! $ AGE_IDENTITY=AGE-SECRET-KEY-1… cargo run -p keytool --example decrypt < connections.age
//! ```
#![allow(clippy::disallowed_methods, reason = "a program for tests")]

use std::error::Error;
use std::io;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

fn main() -> Result<(), Box<dyn Error>> {
    let Ok(identity) = std::env::var("AGE_IDENTITY") else {
        let identity = Identity::generate();
        println!(
            "{} {}",
            identity.to_string().expose_secret(),
            identity.to_public()
        );
        return Ok(());
    };
    let identity: Identity = identity.parse()?;
    let decryptor = age::Decryptor::new_buffered(io::BufReader::new(io::stdin()))?;
    let mut plain = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))?;
    io::copy(&mut plain, &mut io::stdout().lock())?;
    Ok(())
}
