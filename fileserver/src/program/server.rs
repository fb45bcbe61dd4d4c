//! The server: its session, its streams, and those who ask.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::rc::Rc;

use crate::changes::follow::Changes;
use crate::control::asker::{Asker, News};
use crate::control::request::{Mode, MountRequest, Refusal, Request};
use crate::program::streams::{Mounted, Purpose, Stream, MAX_UNSENT, WINDOW};
use crate::requests::mount::Mount;
use crate::session::dial::Dial;
use crate::session::link::{Link, Over};
use crate::share::budget::Budget;
use crate::share::names::checked;
use crate::share::shared::{Shared, Terms};
use crate::sys::{log, now_ms, poll, waiting, Errno, Fd};
use crate::wire::frame::{kind, put_frame, Header};
use crate::wire::host_mount::{Change, HostChange, HostMount, HostUnmount};
use crate::wire::json::quote;
use crate::wire::messages::{code, decode_result, Failure, Open, Opened};

/// The most nodes of all mounts together.
const MAX_NODES: usize = 1_000_000;
/// Descriptors that are not for the guest's handles.
const RESERVED_FILES: usize = 512;
/// A mount has two.
const MAX_STREAMS: usize = 256;
const MAX_ASKERS: usize = 32;
/// Answers that are collected before they are sent.
const SEND_AT: usize = 256 << 10;
/// How long the guest's requests are answered before it is looked whether somebody else wants something, in milliseconds.
const TURN_MS: u64 = 50;
/// How long a guest that goes on after a capture may take to be told of what has changed since, in milliseconds, before it counts as mounted.
const TELL_MS: u64 = 5000;

/// All of it.
pub struct Server {
    link: Link,
    listener: Fd,
    askers: BTreeMap<u64, Asker>,
    next_asker: u64,
    streams: HashMap<u32, Stream>,
    next_stream: u32,
    nodes: Rc<Budget>,
    handles: Rc<Budget>,
    /// requests have come that there was no time for yet
    more: bool,
    /// until when the guest's are answered, in monotonic ms, before others get a turn
    until: u64,
}

impl Server {
    /// With so many files that may be open at once.
    pub fn new(dial: Dial, listener: Fd, files: usize) -> Server {
        let reserved = RESERVED_FILES.min(files / 2);
        Server {
            link: Link::new(dial),
            listener,
            askers: BTreeMap::new(),
            next_asker: 0,
            streams: HashMap::new(),
            next_stream: 1,
            nodes: Budget::new(MAX_NODES),
            handles: Budget::new(files - reserved),
            more: false,
            until: 0,
        }
    }

    /// Waits for something, and does it.
    pub fn turn(&mut self) -> Result<(), Over> {
        self.link.tick()?;
        let mut fds = vec![waiting(self.listener.raw(), false)];
        let link_at = self.link.fd().map(|fd| {
            let mut entry = waiting(fd, self.link.wants_to_write());
            if self.link.unsent() >= MAX_UNSENT || self.more {
                entry.events &= !libc::POLLIN;
            }
            fds.push(entry);
            fds.len() - 1
        });
        fds.extend(self.streams.values().filter_map(Stream::heard).map(|fd| waiting(fd, false)));
        let first_asker = fds.len();
        let ids: Vec<u64> = self.askers.keys().copied().collect();
        fds.extend(self.askers.values().map(|asker| waiting(asker.fd(), asker.wants_to_write())));
        poll(&mut fds, self.timeout()).map_err(|_| Over::Failed("waiting failed"))?;
        if let Some(at) = link_at {
            if fds[at].revents != 0 || self.more {
                self.serve(fds[at].revents)?;
            }
        }
        for (id, entry) in ids.into_iter().zip(&fds[first_asker..]) {
            if entry.revents != 0 {
                self.asker_ready(id);
            }
        }
        if fds[0].revents != 0 {
            self.accept();
        }
        self.tell_changes();
        self.tell_mounted();
        let now = now_ms();
        self.askers.retain(|_, asker| asker.deadline().is_none_or(|until| now < until));
        self.link.write()
    }

    fn timeout(&self) -> i32 {
        if self.more && self.link.fd().is_some() {
            return 0;
        }
        let changes = self.streams.values().filter_map(Stream::due);
        let deadlines = self.askers.values().filter_map(Asker::deadline).chain(self.link.deadline()).chain(changes);
        match deadlines.min() {
            Some(until) => until.saturating_sub(now_ms()).min(60_000) as i32 + 1,
            None => -1,
        }
    }

    /// Reads from the session, and does what came.
    fn serve(&mut self, events: libc::c_short) -> Result<(), Over> {
        if events & libc::POLLOUT != 0 {
            self.link.write()?;
        }
        if events & !libc::POLLOUT != 0 && self.link.unsent() < MAX_UNSENT && !self.more {
            self.link.read()?;
        }
        self.more = false;
        self.until = now_ms() + TURN_MS;
        loop {
            let sent = self.link.out.len() - self.link.unsent();
            for stream in self.streams.values_mut() {
                self.more |= stream.go_on(&mut self.link.out, sent, self.until);
            }
            while self.link.unsent() < MAX_UNSENT {
                if now_ms() >= self.until {
                    // Its owner may want something, too.
                    self.more = true;
                    return self.link.write();
                }
                let Some((header, range)) = self.link.next_frame()? else { break };
                self.frame(header, range)?;
                if self.link.unsent() >= SEND_AT {
                    self.link.write()?;
                }
            }
            let full = self.link.unsent() >= MAX_UNSENT;
            self.link.write()?;
            // What did not fit may fit now; otherwise it goes on when there is room.
            if !full || self.link.unsent() >= MAX_UNSENT {
                return Ok(());
            }
        }
    }

    fn frame(&mut self, header: Header, range: std::ops::Range<usize>) -> Result<(), Over> {
        let Header { stream: id, kind, flags, .. } = header;
        match kind {
            kind::PING => {
                let payload = self.link.input[range].to_vec();
                put_frame(&mut self.link.out, 0, kind::PONG, 0, &payload);
                return Ok(());
            }
            kind::PONG | kind::GOODBYE => return Ok(()),
            kind::SUSPEND => {
                let token = self.link.input[range].to_vec();
                return self.link.suspend(&token);
            }
            kind::HELLO_ACK => return Err(Over::Failed("the guest answered a greeting twice")),
            _ => {}
        }
        let unsent = self.link.unsent();
        let Some(stream) = self.streams.get_mut(&id) else {
            // It crossed the stream's end.
            return if id < self.next_stream {
                Ok(())
            } else {
                Err(Over::Failed("the guest named a stream that there is not"))
            };
        };
        let (payload, out) = (&self.link.input[range], &mut self.link.out);
        let overrun = |_| Over::Failed("the guest sent more than it may, or granted too much");
        match kind {
            kind::DATA if flags == 1 => match stream.purpose {
                Purpose::Changes(mount) => {
                    stream.taken(payload.len() as u32, out).map_err(overrun)?;
                    self.change_done(mount);
                    Ok(())
                }
                _ => stream.data(payload, out, unsent).map_err(overrun),
            },
            // The mount is where it was wanted.
            kind::DATA => {
                stream.placed = true;
                if stream.mount().is_some_and(|mount| mount.before_s.is_some() && !mount.shared.terms.strict) {
                    stream.told_by = Some(now_ms() + TELL_MS);
                }
                Ok(())
            }
            kind::WINDOW => {
                let credit = payload.try_into().map(u32::from_le_bytes).unwrap_or(0);
                stream.grant(credit, out).map_err(overrun)?;
                let sent = out.len() - unsent.min(out.len());
                self.more |= stream.go_on(out, sent, self.until);
                Ok(())
            }
            kind::OPENED => {
                let opened = Opened::decode(payload).map_err(|_| Over::Failed("the guest sent what is no message"))?;
                self.opened(id, opened);
                Ok(())
            }
            kind::RESULT => {
                let failure = decode_result(payload).map_err(|_| Over::Failed("the guest sent what is no message"))?;
                let Some(stream) = self.streams.remove(&id) else { return Ok(()) };
                self.ended(stream, failure);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A stream is over.
    fn ended(&mut self, stream: Stream, failure: Option<Failure>) {
        let line = match (&failure, &stream.purpose) {
            (Some(failure), _) => Refusal::new(failure.code, failure.message.clone()).line(),
            (None, Purpose::Mount(_)) => Refusal::new(code::CANCELLED, "it was unmounted").line(),
            (None, _) => "{\"ok\":true}\n".to_owned(),
        };
        match stream.purpose {
            Purpose::Mount(_) => {
                self.reset(|other| matches!(other.purpose, Purpose::Changes(mount) if mount == stream.id))
            }
            // It is not there any more: then nothing is served for it either.
            Purpose::Unmount(path) if failure.as_ref().is_none_or(|failure| failure.code == code::NOT_FOUND) => {
                self.reset(|other| other.is_mounted_at(&path));
            }
            Purpose::Unmount(_) => {}
            Purpose::Changes(mount) => {
                if let Some(failure) = failure {
                    log::say(format_args!("the guest cannot be told of changes: {}", failure.message));
                }
                if let Some(stream) = self.streams.get_mut(&mount) {
                    stream.changes().into_iter().for_each(|changes| changes.pid = 0);
                    if let Some(message) = stream.mount().and_then(Mount::keep_no_longer) {
                        stream.send(&message, &mut self.link.out);
                    }
                }
            }
        }
        self.tell(stream.asker, &line);
    }

    /// Has streams ended.
    fn reset(&mut self, which: impl Fn(&Stream) -> bool) {
        for stream in self.streams.values_mut().filter(|stream| !stream.ending && which(stream)) {
            stream.ending = true;
            put_frame(&mut self.link.out, stream.id, kind::RESET, 0, &[]);
        }
    }

    /// A stream has begun.
    fn opened(&mut self, id: u32, opened: Opened) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if std::mem::replace(&mut stream.opened, true) {
            return;
        }
        match &mut stream.purpose {
            Purpose::Mount(mounted) => {
                let owners = &mut mounted.mount.shared.owners;
                // SAFETY: plain calls.
                unsafe {
                    owners.uid = (libc::geteuid(), opened.uid);
                    owners.gid = (libc::getegid(), opened.gid);
                }
                let strict = mounted.request.strict;
                let unsent = self.link.unsent();
                let out = &mut self.link.out;
                let sent = out.len() - unsent.min(out.len());
                self.more |= stream.go_on(out, sent, self.until);
                if !strict {
                    self.open(&Open::HostChanges { mount: id }, Purpose::Changes(id), None);
                }
            }
            Purpose::Changes(mount) => {
                let mount = *mount;
                let Some(Purpose::Mount(mounted)) = self.streams.get_mut(&mount).map(|stream| &mut stream.purpose)
                else {
                    return;
                };
                if mounted.mount.changes.is_none() {
                    match Changes::new(mounted.request.mode == Mode::Overlay) {
                        Ok(changes) => mounted.mount.changes = Some(changes),
                        Err(error) => log::say(format_args!("changes cannot be heard: {error}")),
                    }
                }
                let Mount { changes, shared, before_s, stale, .. } = &mut mounted.mount;
                if let Some(changes) = changes {
                    changes.pid = opened.pid;
                    if let Some(since) = *before_s {
                        changes.goes_on(shared, since, std::mem::take(stale));
                    }
                }
            }
            Purpose::Unmount(_) => {}
        }
    }

    /// The guest has done a change again.
    fn change_done(&mut self, mount: u32) {
        if let Some(changes) = self.streams.get_mut(&mount).and_then(Stream::changes) {
            changes.queue.current = None;
        }
    }

    /// Tells those whose mounts are there.
    fn tell_mounted(&mut self) {
        let now = now_ms();
        let ready = |stream: &&mut Stream| stream.placed && stream.is_ready(now);
        let told: Vec<(u32, Option<u64>)> =
            self.streams.values_mut().filter(ready).map(|stream| (stream.id, stream.ready())).collect();
        for (id, asker) in told {
            self.tell(asker, &format!("{{\"ok\":true,\"mount\":{id}}}\n"));
        }
    }

    /// Tells the guest of the next changes, for each mount of one at a time.
    fn tell_changes(&mut self) {
        let ids: Vec<(u32, u32)> = self
            .streams
            .values()
            .filter_map(|stream| match stream.purpose {
                Purpose::Changes(mount) if stream.opened && !stream.ending => Some((stream.id, mount)),
                _ => None,
            })
            .collect();
        for (id, mount) in ids {
            let Some(stream) = self.streams.get_mut(&mount).filter(|stream| !stream.is_held_up()) else { continue };
            let Some(mounted) = stream.mount() else { continue };
            mounted.drain();
            let Some(record) = mounted.changes.as_mut().and_then(|changes| changes.queue.next_record()) else {
                continue;
            };
            let mut payload = Vec::new();
            let to = record.to.as_ref().map_or(&[][..], |(_, path)| path);
            let (path, notify) = (&record.path[..], &record.notify[..]);
            HostChange { kind: record.kind, path, to, directory: record.directory, notify }.put_record(&mut payload);
            // To read a directory changes nothing of what the agent has been told.
            let is_change = record.kind != Change::List;
            if let Some(message) = is_change.then(|| mounted.keep_no_longer()).flatten() {
                stream.send(&message, &mut self.link.out);
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.send(&payload, &mut self.link.out);
            }
        }
    }

    fn tell(&mut self, asker: Option<u64>, line: &str) {
        if let Some(id) = asker {
            if let Some(asker) = self.askers.get_mut(&id) {
                asker.answer(line);
                self.asker_ready(id);
            }
        }
    }

    fn accept(&mut self) {
        match Asker::accept(self.listener.raw()) {
            Ok(asker) if self.askers.len() < MAX_ASKERS => {
                self.askers.insert(self.next_asker, asker);
                self.next_asker += 1;
            }
            Ok(_) => log::say(format_args!("too many ask at once")),
            Err(error) if error.would_block() => {}
            Err(error) => log::say(format_args!("somebody was turned away: {error}")),
        }
    }

    fn asker_ready(&mut self, id: u64) {
        let Some(asker) = self.askers.get_mut(&id) else { return };
        match asker.ready() {
            News::Nothing => {}
            News::Gone => {
                self.askers.remove(&id);
                // Who does not wait for a mount does not know of it.
                for stream in self.streams.values().filter(|stream| stream.asker == Some(id)) {
                    if matches!(stream.purpose, Purpose::Mount(_)) {
                        put_frame(&mut self.link.out, stream.id, kind::RESET, 0, &[]);
                    }
                }
            }
            News::Asked(request, fd) => {
                if let Err(refusal) = self.ask(id, request, fd) {
                    self.tell(Some(id), &refusal.line());
                }
            }
        }
    }

    fn ask(&mut self, asker: u64, request: Request, fd: Option<Fd>) -> Result<(), Refusal> {
        match request {
            Request::List => {
                let line = self.list();
                self.tell(Some(asker), &line);
            }
            Request::Unmount { guest, force } => {
                let open = Open::HostUnmount(HostUnmount { path: guest.as_bytes(), force });
                self.open(&open, Purpose::Unmount(guest.clone()), Some(asker));
            }
            Request::Mount(request) => {
                let fd = fd.ok_or_else(|| Refusal::new(code::INVALID, "no descriptor of a directory came"))?;
                let mount = self.mount(&request, fd)?;
                let open = HostMount {
                    path: request.guest.as_bytes(),
                    read_only: request.mode == Mode::ReadOnly,
                    user: request.user.as_bytes(),
                    file: request.file.is_some(),
                    overlay: request.mode == Mode::Overlay,
                    source: request.source.as_bytes(),
                    // What the guest may keep in its caches was agreed on before.
                    keep: if request.strict { b"strict" } else { b"events" },
                };
                let purpose = Purpose::Mount(Box::new(Mounted { mount, request: request.clone() }));
                self.open(&Open::HostMount(open), purpose, Some(asker));
            }
        }
        Ok(())
    }

    fn mount(&mut self, request: &MountRequest, fd: Fd) -> Result<Mount, Refusal> {
        if self.streams.values().any(|stream| !stream.ending && stream.is_mounted_at(&request.guest)) {
            return Err(Refusal::new(code::EXISTS, "a directory is mounted there already"));
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(Refusal::new(code::LIMIT, "too much is mounted already"));
        }
        let file = match &request.file {
            None => None,
            Some(name) => {
                let name = CString::new(name.as_str()).ok().filter(|name| checked(name).is_ok());
                Some(name.ok_or_else(|| Refusal::new(code::INVALID, "file is not a name"))?)
            }
        };
        let terms = Terms { read_only: request.mode != Mode::ReadWrite, strict: request.strict };
        Shared::new(fd, file, terms, &self.nodes, &self.handles).and_then(Mount::new).map_err(|error| match error {
            Errno(libc::ENOENT) => Refusal::new(code::NOT_FOUND, "the file is not there"),
            Errno(libc::ENOTDIR) => Refusal::new(code::NOT_DIRECTORY, "it is not a directory"),
            Errno(libc::EINVAL) => Refusal::new(code::INVALID, "it is not a regular file"),
            Errno(libc::EACCES) => Refusal::new(code::PERMISSION, "it may not be read"),
            other => Refusal::new(code::IO, other.to_string()),
        })
    }

    fn open(&mut self, open: &Open, purpose: Purpose, asker: Option<u64>) {
        let id = self.next_stream;
        self.next_stream += 2;
        put_frame(&mut self.link.out, id, kind::OPEN, 0, &open.encode(WINDOW));
        self.streams.insert(id, Stream::new(id, purpose, asker));
    }

    fn list(&self) -> String {
        let mut ids: Vec<u32> = self.streams.keys().copied().collect();
        ids.sort_unstable();
        let mounts: Vec<String> = ids
            .iter()
            .filter_map(|id| self.streams.get(id))
            .filter_map(|stream| match &stream.purpose {
                Purpose::Mount(mounted) => Some((stream.opened, mounted.as_ref())),
                _ => None,
            })
            .map(|(opened, Mounted { mount, request })| {
                let (figures, changes) = (mount.figures, mount.changes.as_ref());
                format!(
                    "{{\"guest\":{},\"mode\":\"{}\",\"source\":{},\"coherence\":\"{}\",\"mounted\":{opened},\"nodes\":{},\"handles\":{},\"requests\":{},\"events\":{},\"watched\":{},\"watches\":{},\"overflows\":{},\"read_bytes\":{},\"written_bytes\":{}}}",
                    quote(&request.guest),
                    request.mode.name(),
                    quote(&request.source),
                    if request.strict { "strict" } else { "events" },
                    mount.shared.nodes.count(),
                    mount.shared.handles.count(),
                    figures.requests,
                    changes.map_or(0, |changes| changes.told),
                    changes.is_some_and(|changes| changes.pid != 0 && changes.complete),
                    changes.map_or(0, |changes| changes.watches.count()),
                    changes.map_or(0, |changes| changes.overflows),
                    figures.read_bytes,
                    figures.written_bytes,
                )
            })
            .collect();
        format!("{{\"ok\":true,\"mounts\":[{}]}}\n", mounts.join(","))
    }
}
