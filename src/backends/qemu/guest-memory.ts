import { SmolVMError } from "../../errors.ts";
import { nativeProgram } from "../../host/package.ts";
import type { HostView } from "../../isolation/view.ts";
import { isOlder } from "../../util/versions.ts";
import type { GuestMemory, Preload } from "../backend.ts";
import type { MemoryFile } from "./args.ts";

/** Since then QEMU can open the file of a memory for reading alone, and give the guest a copy to write all the same. */
const OPENS_READ_ONLY = "8.2";

/** The file that a guest's memory is, in QEMU's terms. Pure. */
export function memoryFile(memory: GuestMemory | undefined, version: string): MemoryFile | undefined {
  if (memory === undefined) return undefined;
  return { path: memory.path, kind: memory.kind, opensReadOnly: !isOlder(version, OPENS_READ_ONLY) };
}

/**
 * What makes an older QEMU open a restored machine's memory for reading alone (monitor/preload/). Undefined where QEMU needs none.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
export function readOnlyPreload(memory: MemoryFile | undefined): Preload | undefined {
  if (memory?.kind !== "restored" || memory.opensReadOnly) return undefined;
  const library = nativeProgram("readonly-memory");
  if (library === undefined) {
    throw new SmolVMError(
      "DEPENDENCY_MISSING",
      "the library that keeps a template from being written is not built",
      {
        hint: "Run scripts/build-native.sh",
      },
    );
  }
  return { library, env: { SMOLVM_READONLY_MEMORY: memory.path } };
}

/**
 * What a QEMU sees of the host, with the file of its memory: to be read alone, unless it is recorded.
 * @param code the file with what the recorded machine had translated
 */
export function withMemory(
  view: HostView,
  memory: MemoryFile | undefined,
  code: string | undefined,
): HostView {
  if (memory === undefined) return view;
  if (memory.kind === "recorded") return { ...view, writable: [...view.writable, memory.path] };
  const files = code === undefined ? [memory.path] : [memory.path, code];
  return { ...view, readOnly: [...view.readOnly, ...files] };
}
