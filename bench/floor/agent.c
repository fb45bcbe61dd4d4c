/*
 * The least that a guest's agent can do: PID 1 of the same machine, with the same kernel and disks, that answers one request
 * after the other on one virtio-serial port. One pipe and one vfork for a command, no cgroup; files by its own hand, so that a
 * hung file system would hang it. What ours takes more than this is the price of what ours does more.
 *
 * A request:  u32 length of what follows, u8 what, then
 *   'r'  arguments of a program, each with a NUL behind it: runs it; the answer is its exit status and what it printed
 *   's'  a path: stat
 *   'g'  a path: the file's bytes, at most BUFFER of them
 *   'p'  a path, a NUL, bytes: replaces the file by one that has these
 * An answer:  u32 length of what follows, u32 status (of wait, or an error number), bytes. Numbers are little-endian.
 */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER = 65536, MAX_ARGUMENTS = 64 };

/* As our agent has it for root. */
static char *const environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "LANG=C.UTF-8",
    NULL,
};

static struct {
  uint32_t length;
  char bytes[BUFFER];
} request;
static struct {
  uint32_t length;
  uint32_t status;
  char bytes[BUFFER];
} answer;

static void die(const char *what) {
  perror(what);
  sleep(1); /* until the console has it */
  exit(1);  /* the kernel panics, and with it the machine ends */
}

static void must(int result, const char *what) {
  if (result < 0) die(what);
}

/* The modules that the initramfs names, in its order. */
static void load_modules(void) {
  FILE *order = fopen("/modules/order", "r");
  char name[128], path[160];
  while (order && fscanf(order, "%127s", name) == 1) {
    snprintf(path, sizeof path, "/modules/%s", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    syscall(SYS_finit_module, file, "", 0); /* one that does not fit this machine is not needed */
    close(file);
  }
}

/* The disk of that serial number, as a device node. */
static const char *disk(const char *serial, char node[static 16]) {
  char path[64], found[32];
  for (char letter = 'a'; letter <= 'h'; letter++) {
    snprintf(path, sizeof path, "/sys/block/vd%c/serial", letter);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    int same = fscanf(file, "%31s", found) == 1 && strcmp(found, serial) == 0;
    fclose(file);
    snprintf(node, 16, "/dev/vd%c", letter);
    if (same) return node;
  }
  die(serial);
  return NULL;
}

/* Base and upper, joined as ours joins them. */
static void enter_root(void) {
  char node[16];
  const char *places[] = {"/base", "/upper", "/newroot"};
  for (int i = 0; i < 3; i++) mkdir(places[i], 0755);
  must(mount(disk("smolvm-base", node), "/base", "squashfs", MS_RDONLY, ""), "base");
  must(mount(disk("smolvm-upper", node), "/upper", "ext4", MS_NOATIME, "noinit_itable"), "upper");
  mkdir("/upper/root", 0755);
  mkdir("/upper/work", 0755);
  must(mount("overlay", "/newroot", "overlay", MS_NOATIME,
             "lowerdir=/base,upperdir=/upper/root,workdir=/upper/work"),
       "overlay");
  const char *moved[] = {"/dev", "/proc", "/sys"};
  for (int i = 0; i < 3; i++) {
    char target[32];
    snprintf(target, sizeof target, "/newroot%s", moved[i]);
    must(mount(moved[i], target, "", MS_MOVE, ""), target);
  }
  must(chdir("/newroot"), "root");
  must(mount(".", "/", "", MS_MOVE, ""), "root");
  must(chroot("."), "root");
  must(chdir("/root"), "root");
}

/* Port 1 of the channel, opened as soon as it is there. */
static int open_port(void) {
  char path[32];
  for (;;) {
    for (int device = 0; device < 16; device++) {
      snprintf(path, sizeof path, "/dev/vport%dp2", device);
      int port = open(path, O_RDWR | O_CLOEXEC);
      if (port >= 0) return port;
    }
    usleep(1000);
  }
}

/* One request is outstanding at a time, so what is read belongs to it; mostly one read has it all. */
static void read_request(int port) {
  size_t have = 0;
  while (have < sizeof request.length || have < sizeof request.length + request.length) {
    ssize_t n = read(port, (char *)&request + have, sizeof request - have);
    if (n > 0)
      have += n;
    else
      usleep(1000); /* nobody is connected yet */
  }
  if (request.length == 0 || request.length >= BUFFER) die("request");
}

static size_t read_to_end(int file) {
  size_t size = 0;
  ssize_t n;
  while (size < BUFFER && (n = read(file, answer.bytes + size, BUFFER - size)) > 0) size += n;
  close(file);
  return size;
}

static size_t run(char *words, size_t length) {
  char *argv[MAX_ARGUMENTS + 1];
  int count = 0;
  for (char *word = words; word < words + length && count < MAX_ARGUMENTS; word += strlen(word) + 1) argv[count++] = word;
  argv[count] = NULL;
  int output[2], status = 0;
  must(pipe2(output, O_CLOEXEC), "pipe");
  pid_t pid = vfork();
  if (pid == 0) {
    dup2(output[1], 1);
    dup2(output[1], 2);
    execve(argv[0], argv, environment);
    _exit(127);
  }
  close(output[1]);
  size_t size = read_to_end(output[0]);
  waitpid(pid, &status, 0);
  answer.status = status;
  return size;
}

static size_t put(const char *path, const char *bytes, size_t size) {
  char temporary[4096];
  struct stat facts;
  if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary) {
    answer.status = ENAMETOOLONG;
    return 0;
  }
  int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  int done = file >= 0 && write(file, bytes, size) == (ssize_t)size && fstat(file, &facts) == 0 && rename(temporary, path) == 0;
  answer.status = done ? 0 : errno;
  close(file);
  return 0;
}

static size_t handle(void) {
  char *rest = request.bytes + 1;
  size_t length = request.length - 1;
  struct stat facts;
  rest[length] = 0;
  answer.status = 0;
  switch (request.bytes[0]) {
    case 'r':
      return run(rest, length);
    case 's':
      if (stat(rest, &facts) < 0) {
        answer.status = errno;
        return 0;
      }
      memcpy(answer.bytes, &facts, sizeof facts);
      return sizeof facts;
    case 'g':
      return read_to_end(open(rest, O_RDONLY | O_CLOEXEC));
    case 'p': {
      size_t path = strlen(rest) + 1;
      return put(rest, rest + path, length - path);
    }
    default:
      answer.status = ENOSYS;
      return 0;
  }
}

int main(void) {
  const char *places[] = {"/dev", "/proc", "/sys"};
  for (int i = 0; i < 3; i++) mkdir(places[i], 0755);
  mount("dev", "/dev", "devtmpfs", 0, "");
  mount("proc", "/proc", "proc", 0, "");
  mount("sys", "/sys", "sysfs", 0, "");
  load_modules();
  enter_root();
  must(dup2(open("/dev/null", O_RDWR), 0), "/dev/null");
  int port = open_port();
  for (;;) {
    read_request(port);
    answer.length = sizeof answer.status + handle();
    must(write(port, &answer, sizeof answer.length + answer.length), "answer");
  }
}
