/** For vitest's setupFiles: on an image with busybox the tests that tests/contract/left-out.ts names are skipped, with its reason. */
import { relative } from "node:path";
import { beforeEach } from "vitest";
import { LEFT_OUT } from "../contract/left-out.ts";
import { HAS_PYTHON } from "./backends.ts";
import { leftOut } from "./left-out.ts";

if (!HAS_PYTHON)
  beforeEach(({ task, skip }) => {
    const names = [task.name];
    for (let suite = task.suite; suite !== undefined; suite = suite.suite) names.unshift(suite.name);
    const why = leftOut(LEFT_OUT, relative(process.cwd(), task.file.filepath), names.join(" "));
    if (why !== undefined) skip(why);
  });
