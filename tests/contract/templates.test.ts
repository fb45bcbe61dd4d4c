import { appendFileSync, chmodSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { SmolVM, type VMConfig } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { processesNaming, useTempHome } from "../helpers/home.ts";
import { useOwnTemplates } from "../helpers/own-templates.ts";
import { until } from "../helpers/wait.ts";

// What each backend's templates must be (tests/integration/vm/templates.test.ts has the rest, which no backend changes).

process.env.SMOLVM_TEMPLATE = "auto";
const home = useTempHome();
const templates = useOwnTemplates(home);

describe.each(BACKENDS)("templates on %s", (backend) => {
  const options = (more: VMConfig = {}): VMConfig => small(backend, { template: "auto", ...more });
  const made = (): string[] => readdirSync(templates).filter((name) => /^[0-9a-f]{32}$/.test(name));

  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
  });

  test("several sandboxes at once go on from one, each as its own, and are saved, stopped and started as any other", async () => {
    expect((await SmolVM.warm(options())).made).toBe(true);
    expect((await SmolVM.warm(options())).made).toBe(false);
    const vms = await Promise.all([1, 2, 3].map(() => SmolVM.create(options())));
    const said = await Promise.all(
      vms.map(
        async (vm) =>
          (await vm.run("cat /etc/machine-id /run/smolvm/generation; hostname; echo own > /root/own")).stdout,
      ),
    );
    expect(new Set(said.flatMap((text) => text.trim().split("\n"))).size).toBe(9);
    for (const vm of vms) expect((await vm.info()).startedFrom).toBe("template");
    const [first, second] = vms;
    await second!.snapshot("of-one");
    const restored = await SmolVM.restore("of-one");
    expect((await restored.run("cat /root/own")).stdout).toBe("own\n");
    await SmolVM.snapshots.delete("of-one");
    await first!.stop();
    await first!.start();
    expect((await first!.run("cat /root/own")).stdout).toBe("own\n");
    expect((await first!.info()).startedFrom).toBe("boot");
  });

  test("one that is damaged is not gone on from", async () => {
    await SmolVM.warm(options());
    const [key] = made();
    const memory = join(templates, key!, "memory");
    chmodSync(memory, 0o644);
    appendFileSync(memory, "x");
    await using vm = await SmolVM.create(options());
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    expect((await vm.info()).startedFrom).toBe("boot");
    await until("it is made again", () => made().length === 1);
    await until(
      "its maker has ended",
      () => !processesNaming(home).some((one) => one.includes("make-template")),
    );
  });
});
