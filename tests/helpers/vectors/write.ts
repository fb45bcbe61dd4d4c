import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { VECTOR_FILES, vectorJson } from "./all.ts";

// Writes protocol/vectors/*.json: node tests/helpers/vectors/write.ts
for (const [name, vectors] of Object.entries(VECTOR_FILES)) {
  const path = join(import.meta.dirname, "../../../protocol/vectors", `${name}.json`);
  writeFileSync(path, vectorJson(vectors));
  console.log(`${vectors.length} vectors in ${path}`);
}
