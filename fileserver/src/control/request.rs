//! Requests: a line of JSON.

use crate::wire::json::{quote, Object};
use crate::wire::messages::code;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// with a directory's descriptor
    Mount(MountRequest),
    Unmount {
        guest: String,
        force: bool,
    },
    List,
}

/// How a directory is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    ReadOnly,
    ReadWrite,
    /// read only for us: what is written stays in the guest
    Overlay,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::ReadOnly => "ro",
            Mode::ReadWrite => "rw",
            Mode::Overlay => "overlay",
        }
    }
}

/// A directory, or one file of it, that is to be mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountRequest {
    pub guest: String,
    pub mode: Mode,
    /// the guest's user; empty: root
    pub user: String,
    /// the one file, by its name in the directory
    pub file: Option<String>,
    /// what mount(8) shows
    pub source: String,
    /// nothing is kept in the guest's caches
    pub strict: bool,
}

/// Why a request is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub code: u32,
    pub message: String,
}

impl Refusal {
    pub fn new(code: u32, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
    /// The answer's line.
    pub fn line(&self) -> String {
        format!("{{\"error\":{{\"code\":{},\"message\":{}}}}}\n", self.code, quote(&self.message))
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(code::INVALID, message)
}

/// Reads a request's line.
pub fn parse(line: &[u8]) -> Result<Request, Refusal> {
    let text = std::str::from_utf8(line).map_err(|_| invalid("the request is not UTF-8"))?;
    let object = Object::parse(text).ok_or_else(|| invalid("the request is not a flat JSON object"))?;
    let known: &[&str] = match object.text("op") {
        Some("mount") => &["op", "guest", "mode", "user", "file", "source", "coherence"],
        Some("unmount") => &["op", "guest", "force"],
        Some("list") => &["op"],
        _ => return Err(invalid("op is none of mount, unmount and list")),
    };
    if let Some(name) = object.names().find(|name| !known.contains(name)) {
        return Err(invalid(format!("there is no '{name}' in this request")));
    }
    let text = |name: &str| object.text(name).unwrap_or_default().to_owned();
    let guest = text("guest");
    if object.text("op") == Some("list") {
        return Ok(Request::List);
    }
    if !guest.starts_with('/') || guest.contains('\0') {
        return Err(invalid("guest is not an absolute path"));
    }
    if object.text("op") == Some("unmount") {
        return Ok(Request::Unmount { guest, force: object.is_true("force") });
    }
    let mode = match object.text("mode") {
        Some("ro") => Mode::ReadOnly,
        Some("rw") => Mode::ReadWrite,
        Some("overlay") => Mode::Overlay,
        _ => return Err(invalid("mode is none of ro, rw and overlay")),
    };
    let strict = match object.text("coherence") {
        None | Some("events") => false,
        Some("strict") => true,
        Some(_) => return Err(invalid("coherence is neither events nor strict")),
    };
    Ok(Request::Mount(MountRequest {
        guest,
        mode,
        user: text("user"),
        file: object.text("file").map(str::to_owned),
        source: text("source"),
        strict,
    }))
}

impl MountRequest {
    /// The request's line.
    pub fn line(&self) -> String {
        let mut out = format!("{{\"op\":\"mount\",\"guest\":{},\"mode\":\"{}\"", quote(&self.guest), self.mode.name());
        for (name, value) in [("user", Some(&self.user)), ("file", self.file.as_ref()), ("source", Some(&self.source))]
        {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                out.push_str(&format!(",\"{name}\":{}", quote(value)));
            }
        }
        out.push_str(if self.strict { ",\"coherence\":\"strict\"}\n" } else { "}\n" });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let request = MountRequest {
            guest: "/wörk \"x\"".into(),
            mode: Mode::Overlay,
            user: "agent".into(),
            file: Some("a.txt".into()),
            source: "src".into(),
            strict: true,
        };
        assert_eq!(parse(request.line().trim_end().as_bytes()), Ok(Request::Mount(request)));
        let unmount = parse(br#"{"op":"unmount","guest":"/w","force":true}"#);
        assert_eq!(unmount, Ok(Request::Unmount { guest: "/w".into(), force: true }));
        assert_eq!(parse(br#"{"op":"list"}"#), Ok(Request::List));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in [
            "",
            "x",
            r#"{"op":"mount"}"#,
            r#"{"op":"mount","guest":"work","mode":"ro"}"#,
            r#"{"op":"mount","guest":"/work","mode":"w"}"#,
            r#"{"op":"mount","guest":"/work","mode":"ro","coherence":"some"}"#,
            r#"{"op":"mount","guest":"/work","mode":"ro","host":"/etc"}"#,
            r#"{"op":"list","guest":"/work"}"#,
            r#"{"op":"unmount"}"#,
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
