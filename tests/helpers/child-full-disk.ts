/**
 * Run as a process of its own, with its home on a small file system: fills that from inside a sandbox, and prints what
 * then happened, as JSON.
 */

import { small } from "./backends.ts";
import { SmolVM } from "./smolvm.ts";

const options = small(process.argv[2]!);
const failure = (error: unknown) => ({ code: (error as { code?: string }).code });

const idle = await SmolVM.define({ ...options, lifetime: "owner" });
const vm = await SmolVM.create(options);
const before = (await vm.info()).warning;
await vm.run("dd if=/dev/zero of=/root/big bs=1M count=100; sync", { timeoutMs: 60_000 });
const write = await vm.run("dd if=/dev/zero of=/root/more bs=1M count=1 conv=fsync");
const outcome = {
  before,
  during: (await vm.info()).warning,
  write: { ok: write.ok, stderr: write.stderr },
  create: await SmolVM.create(options).then(() => "created", failure),
  start: await idle.start().then(() => "started", failure),
  delete: await Promise.all([vm.delete(), idle.delete()]).then(() => "deleted", failure),
  left: await SmolVM.list(),
};
process.stdout.write(JSON.stringify(outcome));
