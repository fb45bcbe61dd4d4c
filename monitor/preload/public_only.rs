//! A library to be loaded before a QEMU whose user-mode network is in the host's own: what its guest may not reach, QEMU cannot
//! dial. For hosts on which a network of QEMU's own cannot be made (monitor/src/network.rs). It judges by the destination what
//! is connected to and sent to, so it holds against any guest that has not taken over QEMU.
//!
//! It stands on nothing but the kernel and the program's own C library, of which it replaces five functions, so it is built
//! without one.

#![no_std]
#![no_main]

use core::arch::asm;

extern "C" {
    fn getenv(name: *const u8) -> *const u8;
    fn __errno_location() -> *mut i32;
}

/// The variable with the rules (src/network/render-preload.ts). Without it nothing is let through.
const NAME: &[u8] = b"SMOLVM_NETWORK_RULES\0";

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const EHOSTUNREACH: i32 = 113;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// # Safety
/// As connect(2).
#[no_mangle]
pub unsafe extern "C" fn connect(fd: i32, address: *const u8, length: u32) -> i32 {
    if !may_reach(address, length) {
        return refuse() as i32;
    }
    result(call([CONNECT, fd as usize, address as usize, length as usize, 0, 0, 0])) as i32
}

/// # Safety
/// As sendto(2).
#[no_mangle]
pub unsafe extern "C" fn sendto(
    fd: i32,
    data: *const u8,
    size: usize,
    flags: i32,
    address: *const u8,
    length: u32,
) -> isize {
    if !may_reach(address, length) {
        return refuse();
    }
    result(call([SENDTO, fd as usize, data as usize, size, flags as usize, address as usize, length as usize]))
}

/// libslirp sends nothing once a connection is made, to see whether it is (slirp_pollfds_poll()). What it began to connect to may have become this
/// machine's address while it waited: then it is this machine that has answered.
///
/// # Safety
/// As send(2).
#[no_mangle]
pub unsafe extern "C" fn send(fd: i32, data: *const u8, size: usize, flags: i32) -> isize {
    if size == 0 && !may_keep(fd) {
        return refuse();
    }
    result(call([SENDTO, fd as usize, data as usize, size, flags as usize, 0, 0]))
}

/// Whether a socket may be connected to whom it is. The kernel says of one that is not connected what is wrong with it.
unsafe fn may_keep(fd: i32) -> bool {
    let mut peer = [0u32; 32]; // a sockaddr_storage
    let mut length = 128u32;
    let (to, size) = (peer.as_mut_ptr() as usize, &raw mut length as usize);
    call([GETPEERNAME, fd as usize, to, size, 0, 0, 0]) < 0 || may_reach(peer.as_ptr().cast(), length)
}

/// The first members of a msghdr(3type), which is all that is looked at.
#[repr(C)]
pub struct Message {
    name: *const u8,
    length: u32,
}

/// One of sendmmsg(2)'s: a msghdr and the length that was sent.
#[repr(C)]
pub struct Many {
    message: [usize; 7],
    sent: u32,
}

/// # Safety
/// As sendmsg(2).
#[no_mangle]
pub unsafe extern "C" fn sendmsg(fd: i32, message: *const Message, flags: i32) -> isize {
    if !may_reach((*message).name, (*message).length) {
        return refuse();
    }
    result(call([SENDMSG, fd as usize, message as usize, flags as usize, 0, 0, 0]))
}

/// # Safety
/// As sendmmsg(2).
#[no_mangle]
pub unsafe extern "C" fn sendmmsg(fd: i32, messages: *const Many, count: u32, flags: i32) -> i32 {
    for at in 0..count as usize {
        let message = messages.add(at).cast::<Message>();
        if !may_reach((*message).name, (*message).length) {
            return refuse() as i32;
        }
    }
    result(call([SENDMMSG, fd as usize, messages as usize, count as usize, flags as usize, 0, 0])) as i32
}

unsafe fn refuse() -> isize {
    *__errno_location() = EHOSTUNREACH;
    -1
}

unsafe fn result(value: isize) -> isize {
    if value < 0 {
        *__errno_location() = -value as i32;
        return -1;
    }
    value
}

/// No address at all is that of a connection, which was judged when it was made.
unsafe fn may_reach(address: *const u8, length: u32) -> bool {
    if address.is_null() || length < 2 {
        return true;
    }
    match u16::from_ne_bytes([*address, *address.add(1)]) {
        AF_INET if length < 8 => false,
        AF_INET => {
            let byte = |at: usize| u32::from(*address.add(at));
            let port = byte(2) << 8 | byte(3);
            judge(byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7), port)
        }
        AF_INET6 => false,
        _ => true,
    }
}

/// By the first rule that matches; what cannot be read refuses.
unsafe fn judge(address: u32, port: u32) -> bool {
    let mut at = getenv(NAME.as_ptr());
    if at.is_null() || *at == 0 {
        return false;
    }
    loop {
        let accepts = match *at {
            b'+' => true,
            b'-' => false,
            b'@' if is_others(address) => match *at.add(1) {
                0 => return true,
                b' ' => {
                    at = at.add(2);
                    continue;
                }
                _ => return false,
            },
            _ => return false,
        };
        // +AAAAAAAA/LL:PPPP
        let Some(network) = hex(at.add(1), 8, b'/') else { return false };
        let Some(bits) = hex(at.add(10), 2, b':') else { return false };
        let end = at.add(13);
        let Some(wanted) = hex(end, 4, 0) else { return false };
        let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits.min(32)) };
        if address & mask == network & mask && (wanted == 0 || wanted == port) {
            return accepts;
        }
        match *end.add(4) {
            0 => return true,
            b' ' => at = end.add(5),
            _ => return false,
        }
    }
}

const AF_NETLINK: usize = 16;
const SOCK_RAW_CLOEXEC: usize = 0o2000003;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u8 = 26;
const NLM_F_REQUEST: u8 = 1;
const RTA_DST: u8 = 1;
const RTN_UNICAST: u8 = 1;

/// Whether this machine's kernel, asked now, would send what is for an address to another one (rtnetlink(7)). An address that this
/// machine has got since its rules were written is its own, and what it cannot say refuses.
unsafe fn is_others(address: u32) -> bool {
    let socket = call([SOCKET, AF_NETLINK, SOCK_RAW_CLOEXEC, 0, 0, 0, 0]);
    if socket < 0 {
        return false;
    }
    // nlmsghdr (length, type, flags, number, from whom), rtmsg (family, bits of the destination, ...), rtattr (length, type) and the address
    let mut question = [0u32; 9];
    let [a, b, c, d] = address.to_be_bytes();
    question[0] = 36;
    question[1] = u32::from_ne_bytes(pair(RTM_GETROUTE, NLM_F_REQUEST));
    question[4] = u32::from_ne_bytes([AF_INET as u8, 32, 0, 0]);
    question[7] = u32::from_ne_bytes(pair(8, RTA_DST));
    question[8] = u32::from_ne_bytes([a, b, c, d]);
    let mut answer = [0u32; 64];
    let (asked, told) = (question.as_ptr() as usize, answer.as_mut_ptr() as usize);
    let sent = call([SENDTO, socket as usize, asked, 36, 0, 0, 0]);
    let length = if sent == 36 { call([RECVFROM, socket as usize, told, 256, 0, 0, 0]) } else { -1 };
    call([CLOSE, socket as usize, 0, 0, 0, 0, 0]);
    // Behind the header: family, bits, ..., ..., and table, ..., ..., type.
    let [_, _, _, kind] = answer[5].to_ne_bytes();
    length >= 28 && answer[1] as u16 == RTM_NEWROUTE && kind == RTN_UNICAST
}

/// Two numbers of 16 bits in this machine's order.
fn pair(first: u8, second: u8) -> [u8; 4] {
    [first, 0, second, 0]
}

/// So many digits, and behind them that character (0: any).
unsafe fn hex(text: *const u8, digits: usize, behind: u8) -> Option<u32> {
    let mut value = 0;
    for at in 0..digits {
        let digit = match *text.add(at) {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u32::from(digit);
    }
    (behind == 0 || *text.add(digits) == behind).then_some(value)
}

#[cfg(target_arch = "x86_64")]
const CONNECT: usize = 42;
#[cfg(target_arch = "x86_64")]
const SENDTO: usize = 44;
#[cfg(target_arch = "x86_64")]
const SENDMSG: usize = 46;
#[cfg(target_arch = "x86_64")]
const SENDMMSG: usize = 307;
#[cfg(target_arch = "x86_64")]
const SOCKET: usize = 41;
#[cfg(target_arch = "x86_64")]
const RECVFROM: usize = 45;
#[cfg(target_arch = "x86_64")]
const GETPEERNAME: usize = 52;
#[cfg(target_arch = "x86_64")]
const CLOSE: usize = 3;

#[cfg(target_arch = "x86_64")]
unsafe fn call(words: [usize; 7]) -> isize {
    let result: isize;
    asm!(
        "syscall",
        inlateout("rax") words[0] => result,
        in("rdi") words[1],
        in("rsi") words[2],
        in("rdx") words[3],
        in("r10") words[4],
        in("r8") words[5],
        in("r9") words[6],
        lateout("rcx") _,
        lateout("r11") _,
    );
    result
}

#[cfg(target_arch = "aarch64")]
const CONNECT: usize = 203;
#[cfg(target_arch = "aarch64")]
const SENDTO: usize = 206;
#[cfg(target_arch = "aarch64")]
const SENDMSG: usize = 211;
#[cfg(target_arch = "aarch64")]
const SENDMMSG: usize = 269;
#[cfg(target_arch = "aarch64")]
const SOCKET: usize = 198;
#[cfg(target_arch = "aarch64")]
const RECVFROM: usize = 207;
#[cfg(target_arch = "aarch64")]
const GETPEERNAME: usize = 205;
#[cfg(target_arch = "aarch64")]
const CLOSE: usize = 57;

#[cfg(target_arch = "aarch64")]
unsafe fn call(words: [usize; 7]) -> isize {
    let result: isize;
    asm!(
        "svc 0",
        in("x8") words[0],
        inlateout("x0") words[1] => result,
        in("x1") words[2],
        in("x2") words[3],
        in("x3") words[4],
        in("x4") words[5],
        in("x5") words[6],
    );
    result
}
