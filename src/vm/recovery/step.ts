import { failpoint } from "../../host/failpoint.ts";
import type { Step } from "../../store/journal.ts";
import type { Home } from "../home.ts";

/** Notes what is about to be done to a sandbox. Tests have the process die right before and right after the note. */
export function noteStep(home: Home, id: string, step: Step): void {
  failpoint(`before ${step}`);
  home.store.vms.note(id, step);
  failpoint(`after ${step}`);
}
