//! The host's file server: see lib.rs.

#[cfg(target_os = "linux")]
fn main() {
    use std::os::unix::ffi::OsStringExt;
    let args: Vec<Vec<u8>> = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    std::process::exit(smolvm_files::program::run(&args));
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("smolvm-files runs on Linux");
    std::process::exit(2);
}
