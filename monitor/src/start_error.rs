//! What goes wrong before a program runs.

pub struct StartError {
    pub what: String,
    pub errno: i32,
}

pub fn failed(what: impl Into<String>) -> impl FnOnce(i32) -> StartError {
    let what = what.into();
    move |errno| StartError { what, errno }
}
