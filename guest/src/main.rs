//! The agent's entry. `main` is C's, not Rust's: the runtime's set-up (signal handlers, stack guards) is of no use
//! to PID 1, and under emulation every instruction that runs once is dear.
#![no_main]

use std::ffi::CStr;

use smolvm_agent::sys::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// # Safety
/// Called by the C runtime with a valid argument vector.
#[no_mangle]
pub unsafe extern "C" fn main(argc: libc::c_int, argv: *const *const libc::c_char) -> libc::c_int {
    let mut args: Vec<&[u8]> = Vec::new();
    for i in 1..argc.max(1) as usize {
        args.push(CStr::from_ptr(*argv.add(i)).to_bytes());
    }
    smolvm_agent::run(&args)
}
