/** What a user has of images: `images`. Nothing but joining. */
import type { BuildOptions, Images } from "./builder/types.ts";
import { Deadline } from "./util/deadline.ts";
import { openHome } from "./vm/home.ts";

/** The images of this user. */
export const images: Images = {
  build: async (directory, options: BuildOptions = {}) => {
    const { checkBuildOptions } = await import("./builder/options.ts");
    const { buildDockerfile } = await import("./builder/build-dockerfile.ts");
    checkBuildOptions(directory, options);
    const { timeoutMs, signal } = options;
    const deadline = Deadline.of(`building '${directory}'`, { timeoutMs, signal });
    return await buildDockerfile(openHome(), directory, options, deadline);
  },
};
