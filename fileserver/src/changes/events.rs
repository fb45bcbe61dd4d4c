//! inotify's events as they are read. Pure.

use std::ffi::CString;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub watch: i32,
    pub mask: u32,
    pub cookie: u32,
    /// of an entry; None: the directory itself
    pub name: Option<CString>,
}

impl Event {
    pub fn has(&self, bits: u32) -> bool {
        self.mask & bits != 0
    }
    pub fn directory(&self) -> bool {
        self.has(libc::IN_ISDIR)
    }
}

/// All events of a buffer (struct inotify_event).
pub fn parse(mut buf: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(head) = buf.first_chunk::<16>() {
        let word = |i: usize| [head[i], head[i + 1], head[i + 2], head[i + 3]];
        let end = 16 + u32::from_ne_bytes(word(12)) as usize;
        let Some(name) = buf.get(16..end) else { break };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        events.push(Event {
            watch: i32::from_ne_bytes(word(0)),
            mask: u32::from_ne_bytes(word(4)),
            cookie: u32::from_ne_bytes(word(8)),
            name: (!name.is_empty()).then(|| CString::new(name).unwrap_or_default()),
        });
        buf = &buf[end..];
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let mut raw = Vec::new();
        for (watch, mask, name) in
            [(1i32, libc::IN_CREATE, &b"a\0\0\0"[..]), (2, libc::IN_ATTRIB | libc::IN_ISDIR, b"")]
        {
            raw.extend_from_slice(&watch.to_ne_bytes());
            raw.extend_from_slice(&mask.to_ne_bytes());
            raw.extend_from_slice(&7u32.to_ne_bytes());
            raw.extend_from_slice(&(name.len() as u32).to_ne_bytes());
            raw.extend_from_slice(name);
        }
        let events = parse(&raw);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].name.as_deref(), Some(c"a"));
        assert!(events[0].has(libc::IN_CREATE) && !events[0].directory());
        assert!(events[1].name.is_none() && events[1].directory());
        assert_eq!(parse(&raw[..raw.len() - 1]).len(), 1);
    }
}
