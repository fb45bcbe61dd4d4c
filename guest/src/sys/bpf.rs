//! bpf(2): maps, and one kind of program. The structures are those of linux/bpf.h, as much of them as is used.

use crate::sys::{check, Fd, Res};

/// One instruction (linux/bpf.h, struct bpf_insn).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    pub code: u8,
    /// destination in the low, source in the high half
    pub registers: u8,
    pub offset: i16,
    pub value: i32,
}

const MAP_CREATE: i32 = 0;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PROGRAM_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;

pub const HASH: u32 = 1;
/// Holds sockets that a program may choose from.
pub const SOCKETS: u32 = 15;
const SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

fn bpf<T>(command: i32, attributes: &mut T) -> Res<i32> {
    let size = std::mem::size_of::<T>();
    // SAFETY: the kernel reads as many bytes as the structure has; what these name lives through the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *mut T, size) } as libc::c_int)
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// A map whose values are 4 bytes each.
pub fn map(kind: u32, key_size: u32, max_entries: u32) -> Res<Fd> {
    bpf(MAP_CREATE, &mut MapCreate { kind, key_size, value_size: 4, max_entries, flags: 0 }).map(Fd::own)
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn element<K>(map: &Fd, key: &K, value: Option<&u32>) -> MapElement {
    let value = value.map_or(0, |value| value as *const u32 as u64);
    MapElement { map: map.raw() as u32, padding: 0, key: key as *const K as u64, value, flags: 0 }
}

/// Sets an element; the key is as long as the map was made for.
pub fn set<K>(map: &Fd, key: &K, value: u32) -> Res<()> {
    bpf(MAP_UPDATE, &mut element(map, key, Some(&value))).map(|_| ())
}

/// Removes an element.
pub fn remove<K>(map: &Fd, key: &K) -> Res<()> {
    bpf(MAP_DELETE, &mut element(map, key, None)).map(|_| ())
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// Loads a program that says which socket gets a new connection (Documentation/bpf/prog_sk_lookup.rst).
pub fn load_sk_lookup(program: &[Instruction]) -> Res<Fd> {
    let mut load = ProgramLoad {
        kind: SK_LOOKUP,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"smolvm_door\0\0\0\0\0",
        interface: 0,
        attach_type: ATTACH_SK_LOOKUP,
    };
    bpf(PROGRAM_LOAD, &mut load).map(Fd::own)
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// Has a network namespace ask the program, for as long as the result is open.
pub fn attach_sk_lookup(program: &Fd, namespace: &Fd) -> Res<Fd> {
    let (program, target) = (program.raw() as u32, namespace.raw() as u32);
    bpf(LINK_CREATE, &mut LinkCreate { program, target, attach_type: ATTACH_SK_LOOKUP, flags: 0 }).map(Fd::own)
}
