//! A library to be loaded before a QEMU older than 8.2: it opens the file that its guest's memory is a private copy of for
//! reading alone. Those versions insist on opening it for writing, although they map it copy-on-write; a QEMU that its
//! guest has taken over could then change the memory of every other machine that is made from it.
//!
//! It stands on nothing but the kernel and the program's own C library, whose `open` it replaces, so it is built without one.

#![no_std]
#![no_main]

use core::arch::asm;

extern "C" {
    fn getenv(name: *const u8) -> *const u8;
    fn __errno_location() -> *mut i32;
}

/// The variable that names the file.
const NAME: &[u8] = b"SMOLVM_READONLY_MEMORY\0";

// asm-generic/fcntl.h, the same on x86-64 and arm64
const AT_FDCWD: isize = -100;
const O_ACCMODE: i32 = 0o3;
const O_RDWR: i32 = 0o2;
const O_CREAT: i32 = 0o100;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// # Safety
/// As open(2).
#[no_mangle]
pub unsafe extern "C" fn open64(path: *const u8, flags: i32, mode: u32) -> i32 {
    let mut flags = flags;
    if flags & O_ACCMODE == O_RDWR && is_same(path, getenv(NAME.as_ptr())) {
        flags &= !(O_ACCMODE | O_CREAT);
    }
    let result = openat(path, flags, mode);
    if result < 0 {
        *__errno_location() = -result as i32;
        return -1;
    }
    result as i32
}

/// # Safety
/// As open(2).
#[no_mangle]
pub unsafe extern "C" fn open(path: *const u8, flags: i32, mode: u32) -> i32 {
    open64(path, flags, mode)
}

/// What a fortified program calls (_FORTIFY_SOURCE).
/// # Safety
/// As open(2).
#[no_mangle]
pub unsafe extern "C" fn __open64_2(path: *const u8, flags: i32) -> i32 {
    open64(path, flags, 0)
}

/// # Safety
/// As open(2).
#[no_mangle]
pub unsafe extern "C" fn __open_2(path: *const u8, flags: i32) -> i32 {
    open64(path, flags, 0)
}

unsafe fn is_same(path: *const u8, wanted: *const u8) -> bool {
    if wanted.is_null() {
        return false;
    }
    let mut at = 0;
    while *path.add(at) == *wanted.add(at) {
        if *path.add(at) == 0 {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(target_arch = "x86_64")]
unsafe fn openat(path: *const u8, flags: i32, mode: u32) -> isize {
    let result: isize;
    asm!(
        "syscall",
        inlateout("rax") 257isize => result,
        in("rdi") AT_FDCWD,
        in("rsi") path,
        in("rdx") flags as usize,
        in("r10") mode as usize,
        lateout("rcx") _,
        lateout("r11") _,
    );
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn openat(path: *const u8, flags: i32, mode: u32) -> isize {
    let result: isize;
    asm!(
        "svc 0",
        in("x8") 56usize,
        inlateout("x0") AT_FDCWD => result,
        in("x1") path,
        in("x2") flags as usize,
        in("x3") mode as usize,
    );
    result
}
