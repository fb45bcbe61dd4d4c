import { describe, expect, test } from "vitest";
import { cli, cliJson } from "../../helpers/cli.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/** A machine that has all packages, no KVM, and a user. */
const MACHINE = `
cpu sse2
all_packages
host useradd -m ann
export SMOLVM_HOME=/run/home
smolvm() { host $smolvm "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
as_ann() { as ann $smolvm "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
`;

describe("smolvm setup", () => {
  test("as an ordinary user prints the command with sudo, and changes nothing", async () => {
    const { stdout } = await fakeHost(`${MACHINE} changes >$folder/before
      echo "== setup"; as_ann setup --configure-runtime
      echo "== json"; as ann $smolvm setup --json || true
      echo "== same"; changes | diff $folder/before - && echo the same`);
    expect(part(stdout, "setup")).toMatch(
      /^error: setting this machine up needs root\nhint: .* Then run: sudo \/\S+\/scripts\/system-setup.sh --configure-runtime --user ann\nexit 1\n$/,
    );
    const { ok, error } = JSON.parse(part(stdout, "json"));
    expect({ ok, code: error.code, command: error.details.command }).toEqual({
      ok: false,
      code: "ROOT_REQUIRED",
      command: expect.stringMatching(/^sudo \S+ --user ann$/),
    });
    expect(part(stdout, "same")).toBe("the same\n");
  });

  test("the command it prints is one that works, and what it did is told by --check and undone by --uninstall", async () => {
    const { stdout } = await fakeHost(`${MACHINE} changes >$folder/before
      stand_in sudo <<<'exec "$@"'
      hint=$(as ann $smolvm setup 2>&1 || true)
      echo "== run"; host bash -c "$(sed -n 's/.*Then run: //p' <<<"$hint")"
      echo "== check"; as_ann setup --check
      echo "== json"; host $smolvm setup --check --json
      smolvm setup --uninstall --yes >/dev/null
      echo "== same"; changes | diff $folder/before - && echo the same`);
    expect(part(stdout, "run")).toContain("change   add ann to the group kvm");
    expect(part(stdout, "check")).toContain("ok       ann is in the group kvm\n");
    expect(part(stdout, "check")).toContain("exit 0\n");
    expect(JSON.parse(part(stdout, "json"))).toMatchObject({
      ok: true,
      command: "setup",
      data: {
        script: expect.stringMatching(/system-setup.sh$/),
        options: ["--check"],
        complete: true,
        steps: expect.arrayContaining([{ status: "ok", text: "the group kvm exists" }]),
      },
    });
    expect(part(stdout, "same")).toBe("the same\n");
  });

  test("as root asks a person first, and needs --yes where nobody can be asked", async () => {
    const { stdout } = await fakeHost(`${MACHINE}
      ask() { host script -qec "$smolvm setup --user ann" /dev/null | tr -d '\\r' || true; }
      echo "== nobody"; smolvm setup
      mkdir $root/dev/pts; mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts; ln -s pts/ptmx $root/dev/ptmx
      echo "== no"; echo n | ask
      echo "== yes"; echo y | ask
      echo "== done"; smolvm setup --check --user ann`);
    expect(part(stdout, "nobody")).toMatch(/^error: setup needs --yes here.*\nhint: .*\nexit 2\n$/);
    expect(part(stdout, "no")).toMatch(
      /would +make the group kvm\n[\s\S]*Change this machine so\? [\s\S]*nothing was changed/,
    );
    expect(part(stdout, "yes")).toContain("change   make the group kvm\n");
    expect(part(stdout, "done")).toContain("exit 0\n");
  });

  test("passes its options on, and says what the script says when it fails", async () => {
    const { stdout } = await fakeHost(`${MACHINE}
      echo "== dry"; smolvm setup --dry-run --configure-runtime --user ann
      echo "== archive"; smolvm setup --yes --firecracker-archive /none.tgz
      echo "== user"; smolvm setup --yes --user eve`);
    expect(part(stdout, "dry")).toContain("would    make taps and packet filter");
    expect(part(stdout, "dry")).toContain("exit 0\n");
    expect(part(stdout, "archive")).toContain(
      "error: the archive '/none.tgz' cannot be read\nhint: ls -l '/none.tgz'\nexit 1\n",
    );
    expect(part(stdout, "user")).toContain("error: there is no user 'eve'\nhint: getent passwd\nexit 1\n");
  });

  test("is not stopped by one Ctrl-C while packages are installed, and is by two", async () => {
    const { stdout } = await fakeHost(`${MACHINE} rm -f /usr/bin/qemu-img
      stand_in apt-get <<<'[ "$1" = update ] || { echo > /run/at-work; until [ -e /run/go ]; do sleep 0.05; done; }'
      begin() { rm -f /run/at-work; $smolvm setup --yes --user ann >/run/out 2>&1 & until [ -e /run/at-work ]; do sleep 0.05; done; }
      interrupt() { kill -INT $!; until grep -q "$1" /run/out; do sleep 0.05; done; }
      begin; interrupt "better to let this finish"; touch /run/go
      wait $! && echo "== once" && cat /run/out
      rm /run/go; begin; interrupt "better to let this finish"; kill -INT $!
      code=0; wait $! || code=$?; echo "== twice"; echo "exit $code"; cat /run/out`);
    expect(part(stdout, "once")).toContain("ok       this machine is ready");
    expect(part(stdout, "twice")).toMatch(
      /^exit 130\n[\s\S]*error: setting this machine up was aborted\nhint: .*\n$/,
    );
  });

  test("refuses options that exclude each other", async () => {
    for (const words of [
      ["--check", "--dry-run"],
      ["--check", "--uninstall"],
      ["--uninstall", "--user", "ann"],
    ]) {
      expect((await cli(["setup", ...words])).code, words.join(" ")).toBe(2);
    }
    expect((await cliJson(["setup", "--nonsense"])).error.code).toBe("USAGE");
  });
});
