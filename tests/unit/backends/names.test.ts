import { describe, expect, test } from "vitest";
import {
  BACKEND_AUTO,
  BACKEND_FIRECRACKER,
  BACKEND_QEMU,
  parseBackend,
  platformBackend,
  resolveBackendFrom,
  SUPPORTED_BACKENDS,
} from "../../../src/backends/names.ts";
import { SmolVMError } from "../../../src/errors.ts";

const failure = (act: () => unknown): SmolVMError => {
  try {
    act();
  } catch (error) {
    if (error instanceof SmolVMError) return error;
    throw error;
  }
  throw new Error("did not throw");
};

describe("resolving a backend's name", () => {
  test("an explicit argument wins over the environment", () => {
    expect(resolveBackendFrom("qemu", "firecracker", "linux")).toBe("qemu");
    expect(resolveBackendFrom("firecracker", "qemu", "darwin")).toBe("firecracker");
  });

  test("the environment wins over the platform", () => {
    expect(resolveBackendFrom(undefined, "qemu", "linux")).toBe("qemu");
    expect(resolveBackendFrom(undefined, "firecracker", "darwin")).toBe("firecracker");
  });

  test("without either, macOS means qemu and everything else firecracker", () => {
    expect(resolveBackendFrom(undefined, undefined, "darwin")).toBe("qemu");
    expect(resolveBackendFrom(undefined, undefined, "linux")).toBe("firecracker");
    expect(resolveBackendFrom(undefined, undefined, "win32")).toBe("firecracker");
    expect(platformBackend("freebsd")).toBe("firecracker");
  });

  test("auto asks the platform, wherever it was said", () => {
    expect(resolveBackendFrom("auto", "qemu", "linux")).toBe("firecracker");
    expect(resolveBackendFrom(undefined, "AUTO", "darwin")).toBe("qemu");
  });

  test("names are trimmed and lower-cased", () => {
    expect(resolveBackendFrom(" QEMU ", undefined, "linux")).toBe("qemu");
    expect(resolveBackendFrom(undefined, "\tFireCracker\n", "darwin")).toBe("firecracker");
  });

  test("an empty argument and an empty variable are as good as none", () => {
    expect(resolveBackendFrom("", "qemu", "linux")).toBe("qemu");
    expect(resolveBackendFrom("", "", "darwin")).toBe("qemu");
  });

  test("an unknown name gives the documented sentence, with the value trimmed and lower-cased", () => {
    const error = failure(() => resolveBackendFrom(" FireCrackerr ", undefined, "linux"));
    expect(error.code).toBe("BACKEND_UNSUPPORTED");
    expect(error.message).toBe(
      "Unsupported backend 'firecrackerr'. Supported values: auto, firecracker, qemu",
    );
    expect(error.hint).toContain("auto, firecracker, qemu");
  });

  test("an unknown name in the environment is an error too, and the details say where it came from", () => {
    const error = failure(() => parseBackend(undefined, "xen"));
    expect(error.message).toBe("Unsupported backend 'xen'. Supported values: auto, firecracker, qemu");
    expect(error.details).toEqual({ requested: "xen", source: "SMOLVM_BACKEND" });
  });

  test("blanks alone are a name, and not a supported one", () => {
    expect(failure(() => parseBackend("  ", "qemu")).message).toContain("Unsupported backend ''.");
  });

  test("the constants are the names", () => {
    expect([BACKEND_FIRECRACKER, BACKEND_QEMU, BACKEND_AUTO]).toEqual(["firecracker", "qemu", "auto"]);
    expect([...SUPPORTED_BACKENDS].sort()).toEqual(["firecracker", "qemu"]);
  });
});
