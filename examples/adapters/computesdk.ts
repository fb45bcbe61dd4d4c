// A provider for ComputeSDK (npm: @computesdk/provider): programs written for its sandboxes get SmolVM's.
//
//   const provider = smolvm({ network: "off" });
//   const sandbox = await provider.sandbox.create();
//   console.log(await sandbox.runCommand("uname -a"));
import { type CommandResult, defineProvider, type Provider, TIMEOUT_EXIT_CODE } from "@computesdk/provider";
import { isSmolVMError, type RunOptions, type RunResult, SmolVM, type VMConfig } from "smolvm";

/** A day: who forgets `destroy` leaves nothing behind for good. */
const TTL_MS = 86_400_000;
/** What tells this adapter's sandboxes from others of the same user. */
const LABELS = { adapter: "computesdk" };

/** @param config what all its sandboxes are like; `image`, `envs`, `name` and `timeout` of `create` come before it */
export const smolvm: (config: VMConfig) => Provider<SmolVM> = defineProvider<SmolVM, VMConfig>({
  name: "smolvm",
  methods: {
    sandbox: {
      create: async (config, { image, envs, name, timeout, signal, snapshotId, metadata } = {}) => {
        if (snapshotId !== undefined) throw new Error("smolvm's sandboxes do not start from snapshots");
        const vm = await SmolVM.create({
          lifetime: "detached", // it is found again by its id, in other processes, too
          ttlMs: timeout ?? TTL_MS,
          ...config,
          ...(image !== undefined && { image }),
          ...(name !== undefined && { name }),
          env: { ...config.env, ...envs },
          labels: { ...config.labels, ...metadata, ...LABELS },
          signal,
        });
        return { sandbox: vm, sandboxId: vm.id };
      },
      getById: async (_, id) => {
        try {
          return { sandbox: await SmolVM.get(id), sandboxId: id };
        } catch (error) {
          if (isSmolVMError(error, "VM_NOT_FOUND")) return null;
          throw error;
        }
      },
      list: async () =>
        (await SmolVM.list({ labels: LABELS })).map((vm) => ({ sandbox: SmolVM.from(vm), sandboxId: vm.id })),
      destroy: async (_, id) => (await SmolVM.get(id)).delete({ force: true }),
      runCommand: async (vm, command, { cwd, env, timeout, background } = {}) => {
        const options = { cwd, env, timeoutMs: timeout } satisfies RunOptions;
        if (!background) return result(await vm.run(command, { ...options, ifStopped: "result" }));
        await vm.spawn(command, { ...options, detached: true, stdout: "ignore", stderr: "ignore" }).started;
        return { stdout: "", stderr: "", exitCode: 0, durationMs: 0 };
      },
      streamCommand: async (vm, command, { cwd, env, timeout, onStdout, onStderr }) =>
        result(
          await vm.run(command, {
            ...{ cwd, env, timeoutMs: timeout, ifStopped: "result" },
            onStdout: text(onStdout),
            onStderr: text(onStderr),
          }),
        ),
      getInfo: async (vm) => {
        const { id, state, createdAt, expiresAt, labels } = await vm.info();
        const status = state === "running" || state === "error" ? state : "stopped";
        const created = new Date(createdAt);
        const timeout = expiresAt === undefined ? 0 : Date.parse(expiresAt) - created.getTime();
        return { id, provider: "smolvm", status, createdAt: created, timeout, metadata: { ...labels } };
      },
      // Published, not exposed: the address outlives this process as the sandbox does.
      getUrl: async (vm, { port, protocol = "http" }) =>
        (await vm.ports.publish(port)).url!.replace("http", protocol),
      filesystem: {
        readFile: (vm, path) => vm.files.readText(path),
        writeFile: async (vm, path, content) => void (await vm.files.write(path, content, { parents: true })),
        mkdir: (vm, path) => vm.files.mkdir(path, { parents: true }),
        readdir: async (vm, path) =>
          (await vm.files.list(path)).map(({ name, type, size, mtime }) => ({
            ...{ name, size, modified: mtime },
            type: type === "directory" ? type : "file",
          })),
        exists: (vm, path) => vm.files.exists(path),
        remove: (vm, path) => vm.files.remove(path, { recursive: true }),
      },
    },
  },
});

function result({ stdout, stderr, exitCode, durationMs, stoppedBy }: RunResult): CommandResult {
  return { stdout, stderr, durationMs, exitCode: stoppedBy === "timeout" ? TIMEOUT_EXIT_CODE : exitCode };
}

/** A callback that takes text, for bytes as they come: a character may be in two pieces. */
function text(take: ((data: string) => void) | undefined): ((chunk: Uint8Array) => void) | undefined {
  const decoder = new TextDecoder();
  return take && ((chunk) => take(decoder.decode(chunk, { stream: true })));
}
