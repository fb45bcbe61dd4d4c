//! Starting a process that dies with us: it is in a job that ends when our handle to it is closed, which the kernel does however we
//! end. Nothing of ours but the three handles that it is given is inherited.

use std::ffi::{c_void, OsStr, OsString};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};

use crate::command_line::command_line;
use crate::sys::{allow_inheriting, check};

const CREATE_SUSPENDED: u32 = 0x4;
const CREATE_UNICODE_ENVIRONMENT: u32 = 0x400;
const EXTENDED_STARTUPINFO_PRESENT: u32 = 0x8_0000;
const CREATE_NO_WINDOW: u32 = 0x800_0000;
const STARTF_USESTDHANDLES: u32 = 0x100;
const PROC_THREAD_ATTRIBUTE_HANDLE_LIST: usize = 0x2_0002;

const JOB_EXTENDED_LIMIT_INFORMATION: u32 = 9;
const JOB_LIMIT_ACTIVE_PROCESS: u32 = 0x8;
const JOB_LIMIT_DIE_ON_UNHANDLED_EXCEPTION: u32 = 0x400;
const JOB_LIMIT_KILL_ON_JOB_CLOSE: u32 = 0x2000;

const TOKEN_ASSIGN_PRIMARY: u32 = 0x1;
const TOKEN_DUPLICATE: u32 = 0x2;
const TOKEN_QUERY: u32 = 0x8;
const TOKEN_ADJUST_DEFAULT: u32 = 0x80;
const TOKEN_PRIVILEGES: u32 = 3;
/// SeChangeNotifyPrivilege, to walk through directories: everybody has it.
const WALK_THROUGH: u32 = 23;

/// What a process that is killed by us ends with: 128 and the number of SIGKILL, as shells say it.
const KILLED: u32 = 137;

#[repr(C)]
struct StartupInfo {
    size: u32,
    reserved: *mut u16,
    desktop: *mut u16,
    title: *mut u16,
    position: [u32; 7],
    flags: u32,
    show: u16,
    reserved_bytes: u16,
    reserved_data: *mut u8,
    stdio: [RawHandle; 3],
    attributes: *mut c_void,
}

#[repr(C)]
struct ProcessInformation {
    process: RawHandle,
    thread: RawHandle,
    pid: u32,
    tid: u32,
}

#[repr(C)]
struct JobLimits {
    times: [i64; 2],
    flags: u32,
    working_set: [usize; 2],
    active_processes: u32,
    affinity: usize,
    priorities: [u32; 2],
    io: [u64; 6],
    memory: [usize; 4],
}

// The system's own sizes.
const _: () = assert!(std::mem::size_of::<StartupInfo>() == 112 && std::mem::size_of::<JobLimits>() == 144);

#[link(name = "kernel32")]
extern "system" {
    fn GetCurrentProcess() -> RawHandle;
    fn InitializeProcThreadAttributeList(list: *mut c_void, count: u32, flags: u32, size: *mut usize) -> i32;
    fn UpdateProcThreadAttribute(
        list: *mut c_void,
        flags: u32,
        attribute: usize,
        value: *const c_void,
        size: usize,
        previous: *mut c_void,
        returned: *mut usize,
    ) -> i32;
    fn DeleteProcThreadAttributeList(list: *mut c_void);
    fn CreateProcessW(
        program: *const u16,
        line: *mut u16,
        process: *const c_void,
        thread: *const c_void,
        inherit: i32,
        flags: u32,
        environment: *const c_void,
        directory: *const u16,
        startup: *const StartupInfo,
        information: *mut ProcessInformation,
    ) -> i32;
    fn CreateJobObjectW(attributes: *const c_void, name: *const u16) -> RawHandle;
    fn SetInformationJobObject(job: RawHandle, class: u32, information: *const c_void, size: u32) -> i32;
    fn AssignProcessToJobObject(job: RawHandle, process: RawHandle) -> i32;
    fn TerminateJobObject(job: RawHandle, code: u32) -> i32;
    fn TerminateProcess(process: RawHandle, code: u32) -> i32;
    fn ResumeThread(thread: RawHandle) -> u32;
    fn GetExitCodeProcess(process: RawHandle, code: *mut u32) -> i32;
}

#[link(name = "advapi32")]
extern "system" {
    fn OpenProcessToken(process: RawHandle, access: u32, token: *mut RawHandle) -> i32;
    fn GetTokenInformation(token: RawHandle, class: u32, information: *mut c_void, size: u32, used: *mut u32) -> i32;
    fn CreateRestrictedToken(
        token: RawHandle,
        flags: u32,
        disabled: u32,
        disable: *const c_void,
        deleted: u32,
        delete: *const c_void,
        restricted: u32,
        restrict: *const c_void,
        new: *mut RawHandle,
    ) -> i32;
    fn CreateProcessAsUserW(
        token: RawHandle,
        program: *const u16,
        line: *mut u16,
        process: *const c_void,
        thread: *const c_void,
        inherit: i32,
        flags: u32,
        environment: *const c_void,
        directory: *const u16,
        startup: *const StartupInfo,
        information: *mut ProcessInformation,
    ) -> i32;
}

/// A process in a job of its own.
pub struct Child {
    pub process: OwnedHandle,
    pub pid: u32,
    job: OwnedHandle,
}

impl Child {
    /// Ends it and all that it has started.
    pub fn kill(&self) {
        // SAFETY: the handle is open.
        unsafe { TerminateJobObject(self.job.as_raw_handle(), KILLED) };
    }

    /// What it ended with.
    pub fn exit_code(&self) -> Option<u32> {
        let mut code = 0;
        // SAFETY: the handle is open; plain out parameter.
        check(unsafe { GetExitCodeProcess(self.process.as_raw_handle(), &mut code) }).ok().map(|()| code)
    }
}

/// What a process may.
#[derive(Clone, Copy, PartialEq)]
pub enum Rights {
    /// what we may
    Ours,
    /// it has no privileges, and starts no processes
    Few,
}

/// Starts a program with these three as its stdin, stdout and stderr.
pub fn spawn(command: &[OsString], stdio: [&OwnedHandle; 3], rights: Rights) -> io::Result<Child> {
    let job = new_job(rights)?;
    for handle in stdio {
        allow_inheriting(handle)?;
    }
    let program = wide(&command[0]);
    let words: Vec<Vec<u16>> = command.iter().map(|word| word.encode_wide().collect()).collect();
    let mut line = command_line(&words);
    let raw = stdio.map(AsRawHandle::as_raw_handle);
    let attributes = Attributes::inheriting(&raw)?;
    // SAFETY: all that the structures point to lives as long as the calls; the handles that come back become ours.
    unsafe {
        let mut startup: StartupInfo = std::mem::zeroed();
        startup.size = std::mem::size_of::<StartupInfo>() as u32;
        startup.flags = STARTF_USESTDHANDLES;
        startup.stdio = raw;
        startup.attributes = attributes.0.as_ptr() as *mut c_void;
        let mut information: ProcessInformation = std::mem::zeroed();
        let flags = CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
        let none = std::ptr::null();
        let (program, line, directory) = (program.as_ptr(), line.as_mut_ptr(), std::ptr::null());
        check(match rights {
            Rights::Ours => {
                CreateProcessW(program, line, none, none, 1, flags, none, directory, &startup, &mut information)
            }
            Rights::Few => {
                let token = without_privileges()?;
                let token = token.as_raw_handle();
                CreateProcessAsUserW(
                    token,
                    program,
                    line,
                    none,
                    none,
                    1,
                    flags,
                    none,
                    directory,
                    &startup,
                    &mut information,
                )
            }
        })?;
        let process = OwnedHandle::from_raw_handle(information.process);
        let thread = OwnedHandle::from_raw_handle(information.thread);
        if let Err(error) = check(AssignProcessToJobObject(job.as_raw_handle(), process.as_raw_handle())) {
            TerminateProcess(process.as_raw_handle(), KILLED);
            return Err(error);
        }
        ResumeThread(thread.as_raw_handle());
        Ok(Child { process, pid: information.pid, job })
    }
}

/// A job that takes all in it along when it is closed.
fn new_job(rights: Rights) -> io::Result<OwnedHandle> {
    // SAFETY: the handle becomes ours; the structure is as large as is said.
    unsafe {
        let job = CreateJobObjectW(std::ptr::null(), std::ptr::null());
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        let job = OwnedHandle::from_raw_handle(job);
        let mut limits: JobLimits = std::mem::zeroed();
        limits.flags = JOB_LIMIT_KILL_ON_JOB_CLOSE | JOB_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
        if rights == Rights::Few {
            limits.flags |= JOB_LIMIT_ACTIVE_PROCESS;
            limits.active_processes = 1;
        }
        let size = std::mem::size_of::<JobLimits>() as u32;
        let limits = (&raw const limits).cast();
        check(SetInformationJobObject(job.as_raw_handle(), JOB_EXTENDED_LIMIT_INFORMATION, limits, size))?;
        Ok(job)
    }
}

/// A privilege of a token's.
#[derive(Clone, Copy)]
#[repr(C)]
struct Privilege {
    low: u32,
    high: i32,
    attributes: u32,
}

/// Our user's token without the privileges that he has, all but the one to walk through directories. They are named one by one: wine knows no
/// flag for all of them.
fn without_privileges() -> io::Result<OwnedHandle> {
    let access = TOKEN_DUPLICATE | TOKEN_ASSIGN_PRIMARY | TOKEN_QUERY | TOKEN_ADJUST_DEFAULT;
    let none = std::ptr::null();
    let (mut own, mut few) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: out parameters, and lists that live as long as the calls; the handles become ours.
    unsafe {
        check(OpenProcessToken(GetCurrentProcess(), access, &mut own))?;
        let own = OwnedHandle::from_raw_handle(own);
        let own = own.as_raw_handle();
        let away: Vec<Privilege> = privileges(own)?.into_iter().filter(|one| one.low != WALK_THROUGH).collect();
        let (count, list) = (away.len() as u32, away.as_ptr().cast());
        check(CreateRestrictedToken(own, 0, 0, none, count, list, 0, none, &mut few))?;
        Ok(OwnedHandle::from_raw_handle(few))
    }
}

/// The privileges of a token.
fn privileges(token: RawHandle) -> io::Result<Vec<Privilege>> {
    // A number, and as many of them: there are some thirty in all.
    let mut room = [0u32; 1024];
    let mut used = 0;
    // SAFETY: the buffer is as large as is said, and holds what the number says.
    unsafe {
        let size = std::mem::size_of_val(&room) as u32;
        check(GetTokenInformation(token, TOKEN_PRIVILEGES, room.as_mut_ptr().cast(), size, &mut used))?;
        let first: *const Privilege = room.as_ptr().add(1).cast();
        Ok(std::slice::from_raw_parts(first, room[0] as usize).to_vec())
    }
}

/// A list with the handles that a process inherits. It points to them, and must not outlive them.
struct Attributes(Vec<usize>);

impl Attributes {
    fn inheriting(handles: &[RawHandle; 3]) -> io::Result<Attributes> {
        let mut size = 0;
        // SAFETY: the first call only says how much room is needed; the list has that, and is aligned for pointers.
        unsafe {
            InitializeProcThreadAttributeList(std::ptr::null_mut(), 1, 0, &mut size);
            let mut list = vec![0usize; size.div_ceil(std::mem::size_of::<usize>())];
            let pointer = list.as_mut_ptr().cast();
            check(InitializeProcThreadAttributeList(pointer, 1, 0, &mut size))?;
            let attributes = Attributes(list);
            check(UpdateProcThreadAttribute(
                pointer,
                0,
                PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                handles.as_ptr().cast(),
                std::mem::size_of_val(handles),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            ))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialised.
        unsafe { DeleteProcThreadAttributeList(self.0.as_mut_ptr().cast()) };
    }
}

fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}
