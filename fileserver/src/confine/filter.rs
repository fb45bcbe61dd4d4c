//! The system calls that serving takes; all others fail with ENOSYS (seccomp(2)).

use crate::sys::{check, check_long, Res};

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const KILL: u32 = 0x8000_0000; // SECCOMP_RET_KILL_PROCESS
const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::ENOSYS as u32; // SECCOMP_RET_ERRNO

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const OUR_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OUR_ARCH: u32 = 0xc000_00b7;

#[cfg(target_arch = "x86_64")]
const ONLY_HERE: &[libc::c_long] = &[libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const ONLY_HERE: &[libc::c_long] = &[];

/// fchmodat2(2)
const FCHMODAT2: libc::c_long = 452;

const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockopt,
    libc::SYS_fcntl,
    libc::SYS_pread64,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_openat2,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_readlinkat,
    libc::SYS_ftruncate,
    libc::SYS_utimensat,
    libc::SYS_fchmod,
    FCHMODAT2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
    libc::SYS_copy_file_range,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fsetxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fchdir,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_geteuid,
    libc::SYS_getegid,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What may be called as long as an argument is right: (call, argument, rule).
const CONDITIONAL: &[(libc::c_long, u32, Rule)] = &[
    (libc::SYS_mmap, 2, Rule::Without(libc::PROT_EXEC as u32)),
    (libc::SYS_mprotect, 2, Rule::Without(libc::PROT_EXEC as u32)),
    (libc::SYS_socket, 0, Rule::Is(libc::AF_UNIX as u32)),
];

#[derive(Clone, Copy)]
enum Rule {
    Is(u32),
    Without(u32),
}

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn program() -> Vec<libc::sock_filter> {
    let mut program =
        vec![step(LOAD, 0, 0, ARCH), step(EQUAL, 1, 0, OUR_ARCH), step(RETURN, 0, 0, KILL), step(LOAD, 0, 0, NUMBER)];
    for call in ALLOWED.iter().chain(ONLY_HERE) {
        program.push(step(EQUAL, 0, 1, *call as u32));
        program.push(step(RETURN, 0, 0, ALLOW));
    }
    for (call, argument, rule) in CONDITIONAL {
        program.push(step(EQUAL, 0, 4, *call as u32));
        program.push(step(LOAD, 0, 0, ARGUMENTS + 8 * argument));
        program.push(match rule {
            Rule::Is(value) => step(EQUAL, 0, 1, *value),
            Rule::Without(bits) => step(ANY_BIT, 1, 0, *bits),
        });
        program.push(step(RETURN, 0, 0, ALLOW));
        program.push(step(RETURN, 0, 0, REFUSE));
    }
    program.push(step(RETURN, 0, 0, REFUSE));
    program
}

/// From here on nothing else can be called. It takes no_new_privs.
pub fn install() -> Res<()> {
    let mut program = program();
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program lives through the call.
    unsafe {
        const SET_MODE_FILTER: libc::c_long = 1;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check_long(libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const filter)).map(|_| ())
    }
}
