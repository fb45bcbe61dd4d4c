//! Makes a fresh or restored machine this one: entropy, clock, names, network, size of its disk.

use crate::errors::failure;
use crate::machine::disk::Disk;
use crate::machine::places;
use crate::machine::role::Role;
use crate::machine::settings::write_setting;
use crate::sys::{self, check, Errno, Res};
use crate::wire::messages::{code, Configure, Failure};

/// Entropy taken at most, in bytes.
const MAX_ENTROPY: usize = 512;

/// Applies the fields that are present, in an order in which each needs only those before it; the machine's id is only looked at.
pub fn apply(request: &Configure, role: Role, disk: &Disk) -> Result<(), Failure> {
    if role != Role::Init {
        return refuse(request);
    }
    if !request.entropy.is_empty() {
        if request.entropy.len() > MAX_ENTROPY {
            return Err(Failure::new(code::INVALID, "more than 512 bytes of entropy"));
        }
        add_entropy(request.entropy).map_err(|e| failure(b"cannot add entropy", e))?;
    }
    if request.clock_s != 0 {
        set_clock(request.clock_s, request.clock_ns).map_err(|e| failure(b"cannot set the clock", e))?;
    }
    // Before any file is written: a full disk may just have become larger.
    if request.disk_bytes != 0 {
        disk.grow(request.disk_bytes)?;
    }
    if !request.hostname.is_empty() {
        set_hostname(request.hostname)?;
    }
    if !request.machine_id.is_empty() && !is_id(request.machine_id) {
        return Err(Failure::new(code::INVALID, "the machine id is not 32 lower-case hex digits"));
    }
    if let Some(network) = &request.network {
        crate::machine::network::apply(network)?;
    }
    if !request.generation.is_empty() {
        set_generation(request.generation)?;
    }
    for mount in &request.mounts {
        places::mount(mount)?;
    }
    if !request.workdir.is_empty() {
        places::make_workdir(request.workdir, request.user)?;
    }
    Ok(())
}

/// What a machine that goes on from a memory that others go on from, too, must have of its own.
pub fn is_new_identity(request: &Configure) -> bool {
    let Configure { entropy, clock_s, machine_id, generation, .. } = request;
    !entropy.is_empty() && *clock_s != 0 && !machine_id.is_empty() && !generation.is_empty()
}

/// As an ordinary process the agent changes nothing of its host. Only an empty request succeeds.
fn refuse(request: &Configure) -> Result<(), Failure> {
    if *request == Configure::default() {
        return Ok(());
    }
    Err(Failure::new(code::UNSUPPORTED, "this agent is not PID 1 of a machine of its own and configures nothing"))
}

/// Credits entropy to the kernel's pool and reseeds its generator at once (random(4)): machines restored from one
/// memory image must not share it.
fn add_entropy(entropy: &[u8]) -> Res<()> {
    // _IOW('R', 0x03, int[2]) and _IO('R', 0x07), linux/random.h
    const RNDADDENTROPY: u64 = 0x4008_5203;
    const RNDRESEEDCRNG: u64 = 0x5207;
    let random = sys::open(c"/dev/urandom", libc::O_RDWR)?;
    let mut request = Vec::with_capacity(8 + entropy.len());
    request.extend_from_slice(&(entropy.len() as u32 * 8).to_ne_bytes());
    request.extend_from_slice(&(entropy.len() as u32).to_ne_bytes());
    request.extend_from_slice(entropy);
    // SAFETY: the buffer is a rand_pool_info of the length that it names.
    check(unsafe { libc::ioctl(random.raw(), RNDADDENTROPY as _, request.as_ptr()) })?;
    check(unsafe { libc::ioctl(random.raw(), RNDRESEEDCRNG as _) }).map(|_| ())
}

fn set_clock(seconds: u64, nanoseconds: u32) -> Res<()> {
    // SAFETY: plain in parameter.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        time.tv_sec = seconds.try_into().map_err(|_| Errno(libc::EINVAL))?;
        time.tv_nsec = nanoseconds.into();
        check(libc::clock_settime(libc::CLOCK_REALTIME, &time)).map(|_| ())
    }
}

/// True for a host name that files and the kernel take as it is.
pub fn is_hostname(name: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.';
    (1..=64).contains(&name.len()) && name.iter().all(allowed) && name[0] != b'-' && name[0] != b'.'
}

fn set_hostname(name: &[u8]) -> Result<(), Failure> {
    if !is_hostname(name) {
        return Err(Failure::new(code::INVALID, "the host name is malformed"));
    }
    // SAFETY: the buffer is valid for its length.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
        .map_err(|e| failure(b"cannot set the host name", e))?;
    let hosts = sys::read_file(c"/etc/hosts", 1 << 20).unwrap_or_default();
    write_setting(c"/etc/hostname", &[name, b"\n"].concat(), 0o644)?;
    write_setting(c"/etc/hosts", &hosts_with(&hosts, name), 0o644)
}

/// /etc/hosts with this machine's name at 127.0.1.1, as Debian has it. Pure.
pub fn hosts_with(hosts: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in hosts.split_inclusive(|&b| b == b'\n') {
        if !line.starts_with(b"127.0.1.1") {
            out.extend_from_slice(line);
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    if out.is_empty() {
        out.extend_from_slice(b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    }
    out.extend_from_slice(b"127.0.1.1\t");
    out.extend_from_slice(name);
    out.push(b'\n');
    out
}

fn is_id(id: &[u8]) -> bool {
    id.len() == 32 && id.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

/// Programs that must not be the same in two machines watch this file.
fn set_generation(id: &[u8]) -> Result<(), Failure> {
    if !is_id(id) {
        return Err(Failure::new(code::INVALID, "the generation is not 32 lower-case hex digits"));
    }
    let _ = sys::mkdir(c"/run/smolvm", 0o755); // it is there, or the write says why not
    write_setting(c"/run/smolvm/generation", &[id, b"\n"].concat(), 0o444)
}

/// The machine has that id already.
pub fn is_machine(id: &[u8]) -> bool {
    sys::read_file(c"/etc/machine-id", 64).is_ok_and(|is| is.trim_ascii() == id)
}

/// Makes the machine the one with that id.
pub fn set_machine_id(id: &[u8]) -> Result<(), Failure> {
    write_setting(c"/etc/machine-id", &[id, b"\n"].concat(), 0o444)
}
