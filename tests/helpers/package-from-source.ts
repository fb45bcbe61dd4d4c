/** For `node --import`: `import "smolvm"` is the sources of this checkout, so that examples run as users write them. */
import { registerHooks } from "node:module";

const SOURCES: Readonly<Record<string, string>> = {
  smolvm: new URL("../../src/index.ts", import.meta.url).href,
  "smolvm/backends": new URL("../../src/backends.ts", import.meta.url).href,
};

registerHooks({
  resolve: (specifier, context, next) => {
    const url = SOURCES[specifier];
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
  },
});
