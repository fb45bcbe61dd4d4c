//! Starts a program: clone3(2) straight into its cgroup.
//!
//! For root the child borrows the agent's memory until exec (CLONE_VM | CLONE_VFORK): no page table is copied and an
//! exec error is a plain store. A child that changes its user gets memory of its own instead: between setuid and exec
//! that user's other processes could stop it, and with it an agent that waits for it.

use std::arch::asm;
use std::cell::UnsafeCell;
use std::ffi::{CStr, CString};

use crate::exec::init::Init;
use crate::machine::users::Identity;
use crate::sys::{check, Errno, Fd, Res};

/// Where a start failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Clone = 0,
    Setup = 1,
    Identity = 2,
    Cwd = 3,
    Exec = 4,
}

impl Stage {
    pub fn from_byte(byte: u8) -> Stage {
        match byte {
            0 => Stage::Clone,
            1 => Stage::Setup,
            2 => Stage::Identity,
            3 => Stage::Cwd,
            _ => Stage::Exec,
        }
    }
}

/// All that a program needs to start.
pub struct Plan<'a> {
    /// tried in turn
    pub programs: &'a [CString],
    pub argv: &'a [CString],
    pub env: &'a [CString],
    pub cwd: &'a CStr,
    /// a missing `cwd` becomes /
    pub cwd_optional: bool,
    pub stdio: [i32; 3],
    /// stdin becomes the controlling terminal
    pub terminal: bool,
    pub identity: Option<&'a Identity>,
    /// the child runs in the agent's memory, which waits, until exec
    pub borrow_memory: bool,
    pub cgroup: Option<i32>,
    pub nofile: (u64, u64),
    pub space: Space<'a>,
}

/// The namespaces that a program starts in.
#[derive(Clone, Copy)]
pub enum Space<'a> {
    /// the machine's
    Machine,
    /// new ones, of which it is the first process
    New,
    /// those of the image's init
    Init(&'a Init),
}

/// A start: the pid and, where the child has memory of its own, the pipe that tells how exec went.
pub struct Started {
    pub pid: i32,
    pub status: Option<Fd>,
}

/// Everything the child reads, and the two words it writes.
#[repr(C)]
struct Child {
    programs: *const *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
    cwd_optional: bool,
    terminal: bool,
    stdio: [i32; 3],
    change_user: bool,
    uid: u32,
    gid: u32,
    groups: *const u32,
    group_count: usize,
    nofile: [u64; 2],
    /// it makes its namespaces its own
    first: bool,
    /// of the process whose namespaces it enters; -1: none
    enter: i32,
    status: i32,
    stage: u8,
    errno: i32,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const STACK: usize = 16_384;

/// The stack of the child until exec. One at a time runs in our memory, and others have a copy of it.
#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK]>);

// SAFETY: the agent has one thread, and it sleeps while a child uses the stack.
unsafe impl Sync for Stack {}

static CHILD_STACK: Stack = Stack(UnsafeCell::new([0; STACK]));

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts the program, or says where that failed.
pub fn spawn(plan: &Plan) -> Result<Started, (Stage, Errno)> {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (programs, argv, env) = (pointers(plan.programs), pointers(plan.argv), pointers(plan.env));
    let shared = plan.borrow_memory;
    let pipe = if shared { None } else { Some(crate::sys::pipe().map_err(|e| (Stage::Clone, e))?) };
    let mut child = Child {
        programs: programs.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        cwd: plan.cwd.as_ptr(),
        cwd_optional: plan.cwd_optional,
        terminal: plan.terminal,
        stdio: plan.stdio,
        change_user: plan.identity.is_some(),
        uid: plan.identity.map_or(0, |i| i.uid),
        gid: plan.identity.map_or(0, |i| i.gid),
        groups: plan.identity.map_or(std::ptr::null(), |i| i.groups.as_ptr()),
        group_count: plan.identity.map_or(0, |i| i.groups.len()),
        nofile: [plan.nofile.0, plan.nofile.1],
        first: matches!(plan.space, Space::New),
        enter: if let Space::Init(init) = plan.space { init.pidfd() } else { -1 },
        status: pipe.as_ref().map_or(-1, |(_, write)| write.raw()),
        stage: 0,
        errno: 0,
    };
    let mut args = CloneArgs {
        flags: plan.cgroup.map_or(0, |_| CLONE_INTO_CGROUP)
            | if shared { (libc::CLONE_VM | libc::CLONE_VFORK) as u64 } else { 0 }
            | if child.first { (libc::CLONE_NEWPID | libc::CLONE_NEWNS) as u64 } else { 0 },
        exit_signal: libc::SIGCHLD as u64,
        stack: CHILD_STACK.0.get() as u64,
        stack_size: STACK as u64,
        cgroup: plan.cgroup.unwrap_or(0) as u64,
        ..CloneArgs::default()
    };
    if let Space::Init(init) = plan.space {
        init.enter().map_err(|e| (Stage::Clone, e))?;
    }
    // SAFETY: the child runs on a stack of its own that outlives it (with shared memory the parent sleeps until the
    // child has left this memory), touches nothing but `child`, and never returns.
    let pid = unsafe { clone_and_call(&mut args, &mut child) };
    if let Space::Init(init) = plan.space {
        // It is the namespace that the agent is in anyway, so that nothing can keep it out.
        let _ = init.leave();
    }
    if pid < 0 {
        return Err((Stage::Clone, Errno(-pid as i32)));
    }
    // SAFETY: the child may have written through its pointer.
    let failed = unsafe { std::ptr::read_volatile(&child.errno) };
    if failed != 0 {
        // SAFETY: plain call; the child has exited.
        unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
        return Err((Stage::from_byte(child.stage), Errno(failed)));
    }
    Ok(Started { pid: pid as i32, status: pipe.map(|(read, _)| read) })
}

/// clone3, then `run_child` on the new stack in the child. Returns the pid or a negated error number.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_and_call(args: &mut CloneArgs, child: &mut Child) -> i64 {
    let result: i64;
    asm!(
        "syscall",
        "test rax, rax",
        "jnz 2f",
        "xor ebp, ebp",
        "mov rdi, {child}",
        "call {entry}",
        "ud2",
        "2:",
        child = in(reg) child as *mut Child,
        entry = in(reg) run_child as unsafe extern "C" fn(*mut Child) -> !,
        inout("rax") libc::SYS_clone3 => result,
        in("rdi") args as *mut CloneArgs,
        in("rsi") std::mem::size_of::<CloneArgs>(),
        out("rcx") _,
        out("r11") _,
    );
    result
}

/// clone3, then `run_child` on the new stack in the child. Returns the pid or a negated error number.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_and_call(args: &mut CloneArgs, child: &mut Child) -> i64 {
    let result: i64;
    asm!(
        "svc 0",
        "cbnz x0, 2f",
        "mov x29, xzr",
        "mov x0, {child}",
        "blr {entry}",
        "brk 1",
        "2:",
        child = in(reg) child as *mut Child,
        entry = in(reg) run_child as unsafe extern "C" fn(*mut Child) -> !,
        inout("x0") args as *mut CloneArgs => result,
        in("x1") std::mem::size_of::<CloneArgs>(),
        in("x8") libc::SYS_clone3,
    );
    result
}

/// The child. Raw system calls only: with shared memory, libc's thread state is the parent's.
unsafe extern "C" fn run_child(child: *mut Child) -> ! {
    let (stage, errno) = prepare_and_exec(&*child);
    let status = (*child).status;
    if status >= 0 {
        let mut report = [stage as u8, 0, 0, 0, 0];
        report[1..].copy_from_slice(&errno.to_le_bytes());
        raw(libc::SYS_write, status as usize, report.as_ptr() as usize, report.len(), 0, 0);
    } else {
        std::ptr::write_volatile(&mut (*child).stage, stage as u8);
        std::ptr::write_volatile(&mut (*child).errno, errno);
    }
    loop {
        raw(libc::SYS_exit_group, 127, 0, 0, 0, 0);
    }
}

/// Everything between clone and exec; returns only on failure.
unsafe fn prepare_and_exec(child: &Child) -> (Stage, i32) {
    let call = |number, a: usize, b: usize, c: usize| -> Result<(), i32> {
        let result = raw(number, a, b, c, 0, 0);
        if result < 0 {
            Err(-result as i32)
        } else {
            Ok(())
        }
    };
    let setup = || -> Result<(), i32> {
        call(libc::SYS_setsid, 0, 0, 0)?;
        for (target, &fd) in child.stdio.iter().enumerate() {
            call(libc::SYS_dup3, fd as usize, target, 0)?;
        }
        if child.terminal {
            call(libc::SYS_ioctl, 0, libc::TIOCSCTTY as usize, 0)?;
        }
        raw(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE as usize, child.nofile.as_ptr() as usize, 0, 0);
        let none = 0u64;
        let result = raw(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK as usize, &none as *const u64 as usize, 0, 8, 0);
        if result < 0 {
            return Err(-result as i32);
        }
        Ok(())
    };
    if let Err(errno) = setup() {
        return (Stage::Setup, errno);
    }
    let space = || -> Result<(), i32> {
        if child.enter >= 0 {
            call(libc::SYS_setns, child.enter as usize, (libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP) as usize, 0)?;
        }
        if !child.first {
            return Ok(());
        }
        // Only here: it is rooted where the process that makes it is.
        call(libc::SYS_unshare, libc::CLONE_NEWCGROUP as usize, 0, 0)?;
        let mount = |kind: &CStr, place: &CStr, flags: libc::c_ulong| -> Result<(), i32> {
            let (kind, place) = (kind.as_ptr() as usize, place.as_ptr() as usize);
            let result = raw(libc::SYS_mount, kind, place, kind, flags as usize, 0);
            if result < 0 {
                Err(-result as i32)
            } else {
                Ok(())
            }
        };
        // What is mounted there is not to be seen by the machine; all other mounts are shared with it.
        const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        mount(c"", c"/proc", libc::MS_PRIVATE)?;
        mount(c"proc", c"/proc", SAFE)?;
        mount(c"", c"/sys", libc::MS_PRIVATE)?;
        call(libc::SYS_umount2, c"/sys/fs/cgroup".as_ptr() as usize, libc::MNT_DETACH as usize, 0)?;
        mount(c"cgroup2", c"/sys/fs/cgroup", SAFE)
    };
    if let Err(errno) = space() {
        return (Stage::Setup, errno);
    }
    let identity = || -> Result<(), i32> {
        call(libc::SYS_setgroups, child.group_count, child.groups as usize, 0)?;
        call(libc::SYS_setgid, child.gid as usize, 0, 0)?;
        call(libc::SYS_setuid, child.uid as usize, 0, 0)
    };
    if child.change_user {
        if let Err(errno) = identity() {
            return (Stage::Identity, errno);
        }
    }
    if let Err(errno) = call(libc::SYS_chdir, child.cwd as usize, 0, 0) {
        let root = c"/";
        if !child.cwd_optional || call(libc::SYS_chdir, root.as_ptr() as usize, 0, 0).is_err() {
            return (Stage::Cwd, errno);
        }
    }
    let mut errno = libc::ENOENT;
    let mut next = child.programs;
    while !(*next).is_null() {
        let error = -raw(libc::SYS_execve, *next as usize, child.argv as usize, child.env as usize, 0, 0) as i32;
        match error {
            // As execvp(3): what cannot be run here may be found further on.
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => errno = libc::EACCES,
            other => return (Stage::Exec, other),
        }
        next = next.add(1);
    }
    (Stage::Exec, errno)
}

/// A system call that leaves errno alone.
#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: libc::c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let result: isize;
    asm!(
        "syscall",
        inlateout("rax") number as isize => result,
        in("rdi") a,
        in("rsi") b,
        in("rdx") c,
        in("r10") d,
        in("r8") e,
        lateout("rcx") _,
        lateout("r11") _,
        options(nostack),
    );
    result
}

/// A system call that leaves errno alone.
#[cfg(target_arch = "aarch64")]
unsafe fn raw(number: libc::c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let result: isize;
    asm!(
        "svc 0",
        in("x8") number,
        inlateout("x0") a as isize => result,
        in("x1") b,
        in("x2") c,
        in("x3") d,
        in("x4") e,
        options(nostack),
    );
    result
}

/// Open files of a command (soft, hard), as distributions have them; the kernel's own default is low.
const COMMANDS_NOFILE: (u64, u64) = (1024, 524_288);

/// The limits of open files: what commands get, and what the agent raises its own to.
pub fn raise_nofile(init: bool) -> Res<(u64, u64)> {
    // SAFETY: plain in and out parameters.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        let before = (limit.rlim_cur, limit.rlim_max);
        if init {
            limit.rlim_max = COMMANDS_NOFILE.1;
        }
        limit.rlim_cur = limit.rlim_max.min(65_536);
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit))?;
        Ok(if init { COMMANDS_NOFILE } else { before })
    }
}
