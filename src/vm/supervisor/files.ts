import { type SupervisorFiles, supervisorFiles } from "../../host/files/filenames.ts";
import type { Home } from "../home.ts";

/** The files of a home's supervisor. */
export function supervisorFilesOf({ paths }: Home): SupervisorFiles {
  return supervisorFiles(paths.dataDir, paths.runtimeDir);
}
