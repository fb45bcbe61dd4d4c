//! What this process gives up before it listens to a guest.

pub mod filter;
pub mod limits;

/// Takes away what serving does not need. Returns how many files may be open at once.
pub fn confine() -> crate::sys::Res<usize> {
    let files = limits::set()?;
    filter::install()?;
    Ok(files)
}
