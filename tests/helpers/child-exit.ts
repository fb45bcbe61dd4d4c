/** Run as a process of its own: creates a sandbox, with options as JSON, and ends without a word about it. */
import { SmolVM } from "./smolvm.ts";

await SmolVM.create(JSON.parse(process.argv[2]!));
process.exit();
