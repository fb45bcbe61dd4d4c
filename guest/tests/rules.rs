//! The agent's decisions, each a pure function.

use smolvm_agent::boot::cmdline::Parameters;
use smolvm_agent::boot::disks::place;
use smolvm_agent::boot::root::probe;
use smolvm_agent::exec::limits::{asked, of_all, of_each, of_init, of_next};
use smolvm_agent::exec::memory::Usage;
use smolvm_agent::exec::prepare::prepare;
use smolvm_agent::exec::ring::{Ring, CAPACITY};
use smolvm_agent::files::paths::{checked_path, directory_of};
use smolvm_agent::machine::address::{addresses, Address};
use smolvm_agent::machine::clock::HostClock;
use smolvm_agent::machine::configure::{hosts_with, is_hostname};
use smolvm_agent::machine::slow_mounts::has_slow;
use smolvm_agent::machine::users::{find_account, groups_of, resolve, resolve_in};
use smolvm_agent::sys::text::{decimal, parse_decimal};
use smolvm_agent::wire::messages::{code, Exec, Forward, Limits};

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/bash\nbroken line\n:x:1:1:::\nann:x:1000:100:Ann:/home/ann:/bin/sh\n\
bad:x:99999999999:1::/:/bin/sh\nhigh:x:4294967295:1::/:/bin/sh\n1000:x:7:7::/seven:/bin/sh\nlast:x:5:5::/five:/bin/sh";
const GROUP: &[u8] = b"root:x:0:\nusers:x:100:ann\nwheel:x:10:root,ann\nshort:x\nwheel2:x:11:annie,bob\n";

#[test]
fn an_account_is_found_by_name_then_by_number() {
    assert_eq!(find_account(PASSWD, b"ann").unwrap().uid, 1000);
    assert_eq!(find_account(PASSWD, b"0").unwrap().name, b"root");
    // A name made of digits wins over the number.
    assert_eq!(find_account(PASSWD, b"1000").unwrap().uid, 7);
    assert_eq!(find_account(PASSWD, b"last").unwrap().home, b"/five");
}

#[test]
fn broken_lines_of_passwd_are_no_accounts() {
    for name in [b"broken line".as_slice(), b"", b"bad", b"high", b"4294967295"] {
        assert_eq!(find_account(PASSWD, name), None, "{name:?}");
    }
}

#[test]
fn supplementary_groups_are_those_that_list_the_user() {
    assert_eq!(groups_of(GROUP, b"ann", 100), [100, 10]);
    assert_eq!(groups_of(GROUP, b"nobody", 5), [5]);
}

#[test]
fn a_user_is_a_name_or_number_with_or_without_a_group() {
    let ids =
        |wanted: &[u8]| resolve_in(PASSWD, GROUP, wanted).map(|u| (u.identity.uid, u.identity.gid, u.identity.groups));
    assert_eq!(ids(b"ann").unwrap(), (1000, 100, vec![100, 10]));
    assert_eq!(ids(b"ann:wheel").unwrap(), (1000, 10, vec![10]));
    assert_eq!(ids(b"12:34").unwrap(), (12, 34, vec![34]));
    assert_eq!(ids(b"12").unwrap(), (12, 0, vec![0]));
    assert_eq!(ids(b"nobody").unwrap_err().code, code::NO_USER);
    assert_eq!(ids(b"ann:nogroup").unwrap_err().code, code::NO_USER);
    assert_eq!(ids(b":wheel").unwrap_err().code, code::NO_USER);
}

fn exec<'a>(argv: &[&'a [u8]]) -> Exec<'a> {
    Exec { argv: argv.to_vec(), ..Exec::default() }
}

#[test]
fn a_program_without_a_slash_is_searched_in_the_command_s_own_path() {
    let root = resolve(b"").unwrap();
    let mut request = exec(&[b"tool", b"arg"]);
    request.env = vec![b"PATH=/a::/b", b"X=1"];
    let command = prepare(&request, &root).unwrap();
    let programs: Vec<&[u8]> = command.programs.iter().map(|p| p.as_bytes()).collect();
    assert_eq!(programs, [b"/a/tool".as_slice(), b"./tool", b"/b/tool"]);
    assert!(command.env.iter().any(|v| v.as_bytes() == b"PATH=/a::/b"));
    assert!(command.env.iter().any(|v| v.as_bytes() == b"HOME=/root"));
    assert_eq!(command.env.iter().filter(|v| v.as_bytes().starts_with(b"PATH=")).count(), 1);
    let command = prepare(&exec(&[b"./tool"]), &root).unwrap();
    assert_eq!(command.programs.len(), 1);
}

#[test]
fn a_shell_line_runs_under_sh_and_nothing_else_may_be_given_with_it() {
    let root = resolve(b"").unwrap();
    let request = Exec { shell: b"echo hi", ..Exec::default() };
    let argv: Vec<Vec<u8>> = prepare(&request, &root).unwrap().argv.iter().map(|a| a.as_bytes().to_vec()).collect();
    assert_eq!(argv, [b"/bin/sh".to_vec(), b"-c".to_vec(), b"echo hi".to_vec()]);
    let both = Exec { shell: b"x", ..exec(&[b"y"]) };
    for bad in [Exec::default(), both, exec(&[b""]), exec(&[b"a\0b"])] {
        assert_eq!(prepare(&bad, &root).err().unwrap().code, code::INVALID);
    }
    for env in [b"NOVALUE".as_slice(), b"=x", b"A=\0"] {
        let bad = Exec { env: vec![env], ..exec(&[b"x"]) };
        assert_eq!(prepare(&bad, &root).err().unwrap().code, code::INVALID);
    }
    let relative = Exec { cwd: b"tmp", ..exec(&[b"x"]) };
    assert_eq!(prepare(&relative, &root).err().unwrap().code, code::INVALID);
}

#[test]
fn a_ring_keeps_the_newest_bytes_in_channel_order() {
    let mut ring = Ring::default();
    ring.push(1, b"one");
    ring.push(2, b"two");
    ring.push(2, b"+");
    assert_eq!(ring.read(0), Some((1, b"one".as_slice())));
    assert_eq!(ring.read(1), Some((1, b"ne".as_slice())));
    assert_eq!(ring.read(3), Some((2, b"two+".as_slice())));
    assert_eq!(ring.read(7), None);
    let big = vec![b'x'; CAPACITY];
    ring.push(1, &big);
    assert!(ring.start() > 7 && ring.read(6).is_none());
    assert_eq!(ring.end(), 7 + CAPACITY as u64);
}

#[test]
fn a_ring_of_single_bytes_on_alternating_channels_stays_bounded() {
    let mut ring = Ring::default();
    for i in 0..200_000u32 {
        ring.push(1 + (i % 2) as u8, b"x");
    }
    let kept = (ring.end() - ring.start()) as usize;
    assert!(kept * 17 <= CAPACITY + 17, "{kept}");
    let mut at = ring.start();
    while let Some((_, bytes)) = ring.read(at) {
        at += bytes.len() as u64;
    }
    assert_eq!(at, ring.end());
}

#[test]
fn a_ring_that_wraps_reads_back_what_was_written() {
    let mut ring = Ring::default();
    let mut written = Vec::new();
    for i in 0..5000u32 {
        let chunk = vec![i as u8; 1 + (i as usize * 37) % 300];
        ring.push(1 + (i / 3 % 2) as u8, &chunk);
        written.extend_from_slice(&chunk);
    }
    let mut at = ring.start();
    let mut read = Vec::new();
    while let Some((_, bytes)) = ring.read(at) {
        read.extend_from_slice(bytes);
        at += bytes.len() as u64;
    }
    assert_eq!(read, &written[ring.start() as usize..]);
}

#[test]
fn parameters_come_from_the_kernel_s_command_line() {
    let p = Parameters::parse(b"console=ttyS0 quiet smolvm.ports=5 smolvm.init=/m\n");
    assert_eq!((p.ports, p.vsock, p.modules.as_slice()), (5, None, b"/m".as_slice()));
    let p = Parameters::parse(b"smolvm.vsock=1024 smolvm.ports=x smolvm.init=relative");
    assert_eq!((p.ports, p.vsock, p.modules.as_slice()), (1, Some(1024), b"/modules".as_slice()));
    assert!(p.disks.is_empty());
    let p = Parameters::parse(b"smolvm.disks=smolvm-base,smolvm-upper panic=-1");
    assert_eq!(p.disks, [b"smolvm-base".to_vec(), b"smolvm-upper".to_vec()]);
}

#[test]
fn a_disk_s_place_is_that_of_its_node() {
    assert_eq!((place(b"vda"), place(b"vdc"), place(b"vdz")), (Some(0), Some(2), Some(25)));
    for other in [b"vd".as_slice(), b"vda1", b"vdaa", b"vdA", b"sda", b""] {
        assert_eq!(place(other), None);
    }
}

#[test]
fn hosts_keeps_its_lines_and_has_the_name_once() {
    let once = hosts_with(b"127.0.0.1 localhost\n127.0.1.1 old\n10.0.0.1 db", b"new");
    assert_eq!(once, b"127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tnew\n");
    assert_eq!(hosts_with(&once, b"new"), once);
    assert!(hosts_with(b"", b"n").starts_with(b"127.0.0.1\tlocalhost\n"));
}

#[test]
fn host_names_are_checked() {
    assert!(is_hostname(b"box-1.local"));
    for bad in [b"".as_slice(), b"a b", b"a\nb", b"-a", b".a", &[b'a'; 65]] {
        assert!(!is_hostname(bad));
    }
}

#[test]
fn file_systems_that_can_hang_are_noticed() {
    assert!(!has_slow(b"overlay / overlay rw 0 0\nproc /proc proc rw 0 0\n"));
    assert!(has_slow(b"overlay / overlay rw 0 0\nsshfs /mnt fuse.sshfs rw 0 0\n"));
    assert!(has_slow(b"host /mnt 9p rw 0 0"));
}

#[test]
fn a_disk_s_file_system_is_known_by_its_magic_number() {
    let mut block = [0u8; 2048];
    assert_eq!(probe(&block), None);
    block[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(probe(&block), Some(c"ext4"));
    block[1024..1028].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
    assert_eq!(probe(&block), Some(c"erofs"));
    block[..4].copy_from_slice(b"hsqs");
    assert_eq!(probe(&block), Some(c"squashfs"));
}

#[test]
fn a_forward_goes_to_loopback_an_address_a_socket_or_a_name() {
    let to = |host: &'static str, port, unix: &'static str| {
        addresses(&Forward { host: host.as_bytes(), port, unix: unix.as_bytes() })
    };
    assert!(matches!(to("", 80, "").unwrap().unwrap()[..], [Address::V4([127, 0, 0, 1], 80), Address::V6(..)]));
    assert!(matches!(to("10.1.2.3", 1, "").unwrap().unwrap()[..], [Address::V4([10, 1, 2, 3], 1)]));
    assert!(matches!(to("::1", 1, "").unwrap().unwrap()[..], [Address::V6(..)]));
    assert!(matches!(to("", 0, "/s").unwrap().unwrap()[..], [Address::Unix(_)]));
    assert!(to("example.org", 1, "").unwrap().is_none());
    for bad in [to("", 0, ""), to("", 65536, ""), to("", 0, "relative")] {
        assert_eq!(bad.err().unwrap().code, code::INVALID);
    }
}

#[test]
fn paths_are_absolute_and_hold_no_nul() {
    assert!(checked_path(b"/a b").is_ok());
    for bad in [b"".as_slice(), b"a", b"/a\0b", &[b'/'; 4096]] {
        assert_eq!(checked_path(bad).unwrap_err().code, code::INVALID);
    }
    assert_eq!(directory_of(b"/a/b"), b"/a/");
    assert_eq!(directory_of(b"b"), b"");
}

#[test]
fn numbers_are_written_and_read_without_formatting() {
    for value in [0, 9, 10, 65_535, u64::MAX] {
        assert_eq!(decimal(value).as_bytes(), value.to_string().as_bytes());
        assert_eq!(parse_decimal(decimal(value).as_bytes()), Some(value));
    }
    for bad in [b"".as_slice(), b"-1", b"1x", b"18446744073709551616"] {
        assert_eq!(parse_decimal(bad), None);
    }
}

#[test]
fn a_clock_that_fell_behind_is_told_by_how_much_once() {
    let mut clock = HostClock::default();
    assert_eq!(clock.behind(90_000, 1_000), None); // nobody has set it yet
    clock.told(100_000, 1_000);
    assert_eq!(clock.behind(105_000, 6_000), None);
    assert_eq!(clock.behind(105_500, 6_000), None); // half a second is nothing
    assert_eq!(clock.behind(206_000, 7_000), Some(100_000));
    assert_eq!(clock.behind(207_000, 8_000), None);
    // The host's word may be late: that is no reason to step back, and none to step forward afterwards.
    assert_eq!(clock.behind(207_000, 18_000), None);
    assert_eq!(clock.behind(218_000, 19_000), None);
}

#[test]
fn a_host_clock_out_of_this_world_changes_nothing() {
    let mut clock = HostClock::default();
    clock.told(u64::MAX, 1_000);
    assert_eq!(clock.behind(2_000, 1_000), None);
    clock.told(1_000, 1_000);
    assert_eq!(clock.behind(u64::MAX, 1_000), None);
}

const MIB: u64 = 1 << 20;

#[test]
fn commands_leave_the_machine_memory_and_processes_and_one_leaves_some_to_the_others() {
    let all = of_all(3683, 470 * MIB, 420 * MIB);
    assert_eq!(all, Limits { pids: 2763, memory: 420 * MIB - 470 * MIB / 16 });
    assert_eq!(of_each(all), Limits { pids: 690, memory: all.memory - 16 * MIB });
    // Few to share: then there is no room for each to leave.
    assert_eq!(of_init(all).pids, all.pids / 2);
    assert_eq!(of_init(Limits { pids: 40, memory: 0 }).pids, 32);
    assert_eq!(of_init(Limits::default()), Limits::default());
    assert_eq!(of_each(Limits { pids: 100, memory: 0 }).pids, 32);
    assert_eq!(of_each(Limits { pids: 10, memory: 0 }).pids, 10);
    assert_eq!(of_each(Limits::default()).pids, 0);
    // The smallest machine, and a large one: what is kept has bounds.
    assert_eq!(of_all(800, 110 * MIB, 70 * MIB).memory, 54 * MIB);
    assert_eq!(of_each(of_all(800, 110 * MIB, 70 * MIB)).memory, 54 * MIB - 54 * MIB / 8);
    assert_eq!(of_all(120_000, 15_900 * MIB, 15_500 * MIB).memory, 15_436 * MIB);
}

#[test]
fn however_many_commands_have_taken_all_that_they_may_there_is_something_for_one_more() {
    let all = 2763;
    let each = of_each(Limits { pids: all, memory: 0 }).pids;
    let mut taken = 0;
    let next = |taken: u32| of_next(each, all - taken);
    let limits: Vec<u32> = (0..9)
        .map(|_| {
            taken += next(taken);
            next(taken)
        })
        .collect();
    assert_eq!(limits, [690, 690, 346, 173, 87, 43, 22, 11, 8]);
    assert_eq!(of_next(690, 0), 8);
    assert_eq!(of_next(690, 2763), 690);
    assert_eq!(of_next(4, 2763), 4);
}

#[test]
fn a_command_is_stuck_when_its_limit_leaves_no_room_for_files_and_they_are_read_again() {
    let stat = b"anon 138960896\nfile 3969024\nkernel 819200\nshmem 0\nworkingset_refault_anon 0\nworkingset_refault_file 60627\n";
    let usage = Usage::parse(stat);
    assert_eq!(usage, Usage { fixed: 138_960_896 + 819_200, read_again: 60_627 });
    let limit = 139_276_288;
    assert!(usage.is_stuck(limit, 50_000));
    // It gets by with what it has in memory; or there is room.
    assert!(!usage.is_stuck(limit, 60_500));
    assert!(!usage.is_stuck(limit + (9 << 20), 50_000));
    // A file that is larger than memory, read again and again: that is what a cache is for.
    assert!(!Usage { fixed: 20 << 20, read_again: 1_000_000 }.is_stuck(limit, 0));
    assert_eq!(Usage::parse(b"anon\nanon x\n\n"), Usage::default());
}

#[test]
fn asked_limits_replace_the_usual_ones_but_there_is_not_more_memory_than_there_is() {
    let usual = Limits { pids: 2000, memory: 300 * MIB };
    assert_eq!(asked(usual, Limits { pids: 10, memory: 0 }), Limits { pids: 10, memory: 300 * MIB });
    assert_eq!(asked(usual, Limits { pids: 9000, memory: 64 * MIB }), Limits { pids: 9000, memory: 64 * MIB });
    assert_eq!(asked(usual, Limits { pids: 0, memory: 900 * MIB }), usual);
}

#[test]
fn content_is_whole_if_its_end_is_there_and_nothing_comes_between() {
    use smolvm_agent::wire::frame::{kind, put_frame};
    use smolvm_agent::wire::hello::whole_content;
    let frames = |list: &[(u32, u8, &[u8])]| {
        let mut out = Vec::new();
        for (stream, kind, payload) in list {
            put_frame(&mut out, *stream, *kind, 0, payload);
        }
        out
    };
    let whole = frames(&[(7, kind::DATA, b"ab"), (7, kind::DATA, b"c"), (7, kind::END, b"")]);
    assert_eq!(whole_content(&whole, 7, 3), Some((b"abc".to_vec(), whole.len())));
    assert_eq!(whole_content(&[&whole[..], b"more"].concat(), 7, 3), Some((b"abc".to_vec(), whole.len())));
    assert_eq!(whole_content(&frames(&[(7, kind::END, b"")]), 7, 0), Some((Vec::new(), 12)));
    assert_eq!(whole_content(&whole, 7, 2), None);
    assert_eq!(whole_content(&whole, 9, 3), None);
    for cut in 0..whole.len() {
        assert_eq!(whole_content(&whole[..cut], 7, 3), None);
    }
    for (stream, kind) in [(9, kind::END), (7, kind::RESET), (7, kind::OPEN)] {
        let between = frames(&[(7, kind::DATA, b"ab"), (stream, kind, b""), (7, kind::END, b"")]);
        assert_eq!(whole_content(&between, 7, 3), None);
    }
}
