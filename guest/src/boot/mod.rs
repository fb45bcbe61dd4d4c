//! From the kernel's first user process to a machine that serves: file systems, modules, disks, root.

pub mod cmdline;
pub mod disks;
pub mod failed;
pub mod guard;
pub mod mounts;
pub mod root;

use std::ffi::CString;

use crate::boot::cmdline::Parameters;
use crate::boot::failed::Failed;
use crate::machine::disk::Disk;
use crate::machine::role::Role;
use crate::serve::agent::Agent;
use crate::serve::{event_loop, listeners};
use crate::sys::console;
use crate::sys::{self, check, Errno};

/// Boots the machine and serves it. Never returns: PID 1 must not.
pub fn run() -> ! {
    let failed = match boot() {
        Ok(mut agent) => {
            let error = event_loop::serve(&mut agent);
            Failed::new("ready", b"cannot wait for events", error)
        }
        Err(failed) => failed,
    };
    console::failed(failed.stage, &failed.reason);
    console::drain();
    // SAFETY: plain call; what was written before the failure shall survive it.
    unsafe { libc::sync() };
    crate::machine::power::restart();
}

fn boot() -> Result<Agent, Failed> {
    // SAFETY: plain calls.
    unsafe {
        libc::umask(0o022);
        libc::chdir(c"/".as_ptr());
    }
    crate::boot::mounts::early()?;
    open_console();
    console::stage("init");
    let parameters = Parameters::parse(&sys::read_file(c"/proc/cmdline", 4096).unwrap_or_default());
    load_modules(&parameters.modules);
    // As early as there is a transport: the host's connection then waits here, instead of being turned away again and again.
    let vsock = match parameters.vsock {
        Some(port) => Some(listeners::vsock(port).map_err(|e| Failed::new("modules", b"cannot listen on vsock", e))?),
        None => None,
    };
    console::stage("modules");
    let disks = crate::boot::disks::find(&parameters.disks);
    console::stage("disks");
    let (upper, base) = crate::boot::root::enter(&disks, &parameters.modules)?;
    crate::boot::mounts::late();
    console::stage("root");
    if let Err(error) = crate::machine::network::loopback_up() {
        console::warn("cannot bring up the loopback interface", error);
    }
    guard::set_up();
    let mut agent = Agent::new(Role::Init).map_err(|e| Failed::new("ready", b"cannot set up the event loop", e))?;
    agent.disk = Disk::new(upper, base);
    agent.watch_mounts();
    match vsock {
        Some(socket) => agent
            .listeners
            .serve_vsock(&mut agent.mux, socket)
            .map_err(|e| Failed::new("ready", b"cannot watch vsock", e))?,
        None => agent
            .listeners
            .open_ports(&mut agent.mux, parameters.ports)
            .map_err(|e| Failed::new("ready", b"cannot watch /dev", e))?,
    }
    console::stage("ready");
    Ok(agent)
}

/// Standard descriptors: the kernel opened the console if the initramfs had a node for it.
fn open_console() {
    // SAFETY: plain call.
    if unsafe { libc::fcntl(2, libc::F_GETFD) } >= 0 {
        return;
    }
    let opened =
        sys::open(c"/dev/console", libc::O_RDWR | libc::O_NOCTTY).or_else(|_| sys::open(c"/dev/null", libc::O_RDWR));
    if let Ok(fd) = opened {
        for target in 0..3 {
            // SAFETY: plain call.
            unsafe { libc::dup2(fd.raw(), target) };
        }
        if fd.raw() < 3 {
            fd.into_raw();
        }
    }
}

/// Loads what DIR/order names, in that order, as far as it is there. A module that does not fit this machine is no
/// reason to stop: a missing disk or port shows soon enough.
fn load_modules(dir: &[u8]) {
    let order = sys::path(&[dir, b"/order"]);
    let names = sys::read_file(&order, 64 * 1024).unwrap_or_default();
    for name in names.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        let Ok(path) = CString::new([dir, b"/", name].concat()) else { continue };
        let Ok(fd) = sys::open(&path, libc::O_RDONLY) else { continue };
        let packed = [b".xz".as_slice(), b".gz", b".zst"].iter().any(|suffix| name.ends_with(suffix));
        // MODULE_INIT_COMPRESSED_FILE, linux/module.h
        let flags: libc::c_int = if packed { 4 } else { 0 };
        // SAFETY: the parameter string is empty and NUL-terminated.
        let result = unsafe { libc::syscall(libc::SYS_finit_module, fd.raw(), c"".as_ptr(), flags) };
        match check(result as libc::c_int) {
            Ok(_) | Err(Errno(libc::EEXIST)) => {}
            Err(error) => console::warn(std::str::from_utf8(name).unwrap_or("a module"), error),
        }
    }
}
