//! The error of a rule that does not hold.

pub fn https(address: &str) -> Result<(), String> {
    need(address.starts_with("https://"), || {
        format!("{address} is not https")
    })
}

pub fn need(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
