//! Directories of the host: their FUSE messages go between /dev/fuse and a stream, and a child of the agent keeps each mounted.

use crate::errors::failure;
use crate::files::host_mount::Given;
use crate::serve::worker::{self, Job};
use crate::streams::keeping;
use crate::streams::kept_mount::KeptMount;
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::task::{Kind, Sink, SinkKind, Source};
use crate::sys::text::decimal;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::host_mount::HostMount;
use crate::wire::messages::{code, Failure};

/// Mounts at once, over all sessions.
const MAX_MOUNTS: usize = 64;
const DEVICE: &std::ffi::CStr = c"/dev/fuse";
/// Documentation/admin-guide/devices.txt: 10 char, 229 = /dev/fuse
const DEVICE_NUMBER: (u32, u32) = (10, 229);

/// Mounts a directory of the host; `disk` is the root of the guest's writable disk.
pub fn mount(mux: &mut Mux, link: Link, request: &HostMount, disk: Option<i32>) -> Result<(), Failure> {
    let is_mount = |kind: &Kind| matches!(kind, Kind::Worker(worker) if worker.mount.is_some());
    if mux.tasks.iter().filter(|(_, task)| is_mount(&task.kind)).count() >= MAX_MOUNTS {
        return Err(Failure::new(code::LIMIT, "64 directories of the host are mounted already"));
    }
    let asked = asked(request);
    if keeping::go_on(mux, link, request.path, &asked) {
        widen(mux, link);
        return Ok(());
    }
    let fuse = open_device().map_err(|e| Failure {
        code: code::UNSUPPORTED,
        ..failure(b"this kernel has no FUSE (its module may be missing from the image)", e)
    })?;
    // A descriptor of its own for each direction, as for pipes.
    // SAFETY: plain call.
    let input = check(unsafe { libc::fcntl(fuse.raw(), libc::F_DUPFD_CLOEXEC, 3) });
    let input = Fd::own(input.map_err(|e| failure(b"cannot mount", e))?);
    worker::start(mux, link, Job::HostMount(Given { request, fuse: fuse.raw(), disk }))?;
    if let Some(task) = mux.sessions.task_of(link).and_then(|task| mux.tasks.get_mut(task)) {
        task.sink = Some(Sink::new(input, None, SinkKind::Messages, true));
        // The child's word that it is done follows on channel 2.
        task.sources[1] = task.sources[0].replace(Source::of_messages(fuse));
        if let (Kind::Worker(worker), false) = (&mut task.kind, request.keep.is_empty()) {
            let path = request.path.to_vec();
            worker.kept = Some(Box::new(KeptMount { asked, path, ..KeptMount::default() }));
        }
    }
    widen(mux, link);
    Ok(())
}

/// What has to be the same for another host to go on with a mount.
fn asked(request: &HostMount) -> Vec<u8> {
    let mut asked = Vec::new();
    HostMount { source: &[], ..request.clone() }.encode(&mut asked);
    asked
}

fn widen(mux: &mut Mux, link: Link) {
    // An answer is sent whole or not at all: with the first credit alone, of which half is granted anew at a time, the longest could wait for ever.
    if let Some(session) = mux.sessions.get_mut(link.session) {
        session.widen(link.stream);
        mux.sessions.mark(link.session);
    }
}

/// Starts the child that does again what was done on the host, for the mount of another stream of this session.
pub fn follow(mux: &mut Mux, link: Link, mount: u32) -> Result<(), Failure> {
    let none = || Failure::new(code::NOT_FOUND, "that stream is no mount");
    let task = mux.sessions.task_of(Link { stream: mount, ..link }).ok_or_else(none)?;
    let Some(task) = mux.tasks.get_mut(task) else { return Err(none()) };
    let (Kind::Worker(worker), Some(fuse)) = (&task.kind, &task.sources[0]) else { return Err(none()) };
    let (true, true, Some(place)) = (worker.mount.is_some(), worker.pid > 0, worker.place) else { return Err(none()) };
    let (pid, place) = (decimal(worker.pid as u64), decimal(place as u64));
    let path = sys::path(&[b"/proc/", pid.as_bytes(), b"/fd/", place.as_bytes()]);
    let fuse = fuse.fd.raw();
    let root = sys::open(&path, libc::O_PATH).map_err(|e| failure(b"cannot find the mount", e))?;
    worker::start(mux, link, Job::HostChanges(root, fuse))
}

/// Opens /dev/fuse, for which the kernel loads its module if it has to.
fn open_device() -> Res<Fd> {
    let flags = libc::O_RDWR | libc::O_NONBLOCK;
    match sys::open(DEVICE, flags) {
        Err(Errno(libc::ENOENT)) => {
            let (major, minor) = DEVICE_NUMBER;
            // SAFETY: a constant path.
            check(unsafe { libc::mknod(DEVICE.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)) })?;
            sys::open(DEVICE, flags)
        }
        opened => opened,
    }
}
