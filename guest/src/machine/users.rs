//! The guest's /etc/passwd and /etc/group. A static binary must not load the image's name-service libraries, and the
//! files are the guest's: they are read with bounds, and wrong lines are skipped.

use crate::sys;
use crate::sys::text::{decimal, parse_decimal};
use crate::wire::messages::{code, Failure};

/// How much of either file is read.
const MAX_FILE: usize = 1 << 20;
/// Supplementary groups of one user (the kernel's NGROUPS_MAX is higher).
const MAX_GROUPS: usize = 1024;

/// One line of /etc/passwd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub name: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub home: Vec<u8>,
}

/// What the kernel knows of a user.
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// A resolved `user` of a request.
pub struct User {
    pub account: Account,
    pub identity: Identity,
}

fn id(field: &[u8]) -> Option<u32> {
    // The highest id means "none" to the kernel.
    parse_decimal(field).and_then(|v| u32::try_from(v).ok()).filter(|&v| v != u32::MAX)
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|&b| b == b'\n').map(|line| line.split(|&b| b == b':').collect())
}

/// Finds an account by name or uid. Pure.
pub fn find_account(passwd: &[u8], wanted: &[u8]) -> Option<Account> {
    let parse =
        |f: &[&[u8]]| Some(Account { name: f[0].to_vec(), uid: id(f[2])?, gid: id(f[3])?, home: f[5].to_vec() });
    let whole = |f: &Vec<&[u8]>| f.len() >= 7 && !f[0].is_empty();
    // A name that is a number is looked up as a name first, as chown(1) does.
    let by_name = lines(passwd).filter(whole).filter(|f| f[0] == wanted).find_map(|f| parse(&f));
    by_name.or_else(|| {
        let uid = id(wanted)?;
        lines(passwd).filter(whole).filter(|f| id(f[2]) == Some(uid)).find_map(|f| parse(&f))
    })
}

/// Finds a group's number by name or number. Pure.
pub fn find_group(group: &[u8], wanted: &[u8]) -> Option<u32> {
    lines(group).filter(|f| f.len() >= 4 && f[0] == wanted).find_map(|f| id(f[2])).or_else(|| id(wanted))
}

/// The groups that list `name` as a member, after its own. Pure.
pub fn groups_of(group: &[u8], name: &[u8], gid: u32) -> Vec<u32> {
    let mut found = vec![gid];
    for fields in lines(group).filter(|f| f.len() >= 4) {
        if found.len() < MAX_GROUPS && fields[3].split(|&b| b == b',').any(|member| member == name) {
            if let Some(gid) = id(fields[2]) {
                if !found.contains(&gid) {
                    found.push(gid);
                }
            }
        }
    }
    found
}

/// Resolves "name", "uid", "name:group" or "uid:gid" against the two files' contents. Pure.
pub fn resolve_in(passwd: &[u8], group: &[u8], wanted: &[u8]) -> Result<User, Failure> {
    let unknown = |what: &str, name: &[u8]| {
        let mut message = what.as_bytes().to_vec();
        message.extend_from_slice(b" '");
        message.extend_from_slice(&name[..name.len().min(256)]);
        message.extend_from_slice(b"'");
        Failure::new(code::NO_USER, message)
    };
    let mut parts = wanted.splitn(2, |&b| b == b':');
    let (name, group_name) = (parts.next().unwrap_or_default(), parts.next());
    let account = match find_account(passwd, name) {
        Some(account) => account,
        // A number needs no line of its own. Its group is root's, as images expect that were made for Docker.
        None => {
            let uid = id(name).ok_or_else(|| unknown("no such user", name))?;
            Account { name: decimal(uid.into()).as_bytes().to_vec(), uid, gid: 0, home: b"/".to_vec() }
        }
    };
    let (gid, groups) = match group_name {
        None => (account.gid, groups_of(group, &account.name, account.gid)),
        Some(name) => {
            let gid = find_group(group, name).ok_or_else(|| unknown("no such group", name))?;
            (gid, vec![gid])
        }
    };
    let identity = Identity { uid: account.uid, gid, groups };
    Ok(User { account, identity })
}

/// Resolves a request's `user`. The default, root, needs no file and no change of identity.
pub fn resolve(wanted: &[u8]) -> Result<User, Failure> {
    if wanted.is_empty() {
        let account = Account { name: b"root".to_vec(), uid: 0, gid: 0, home: b"/root".to_vec() };
        return Ok(User { account, identity: Identity { uid: 0, gid: 0, groups: Vec::new() } });
    }
    if wanted.len() > 512 || wanted.contains(&0) || wanted.contains(&b'\n') {
        return Err(Failure::new(code::INVALID, "the user's name is malformed"));
    }
    // An image without these files has users all the same: numbers.
    let passwd = sys::read_file(c"/etc/passwd", MAX_FILE).unwrap_or_default();
    let group = sys::read_file(c"/etc/group", MAX_FILE).unwrap_or_default();
    resolve_in(&passwd, &group, wanted)
}
