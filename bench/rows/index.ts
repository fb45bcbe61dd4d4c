import type { Setting } from "../setting.ts";
import type { Measurement } from "../stats.ts";
import { builds } from "./builds.ts";
import { cliStart } from "./cli-start.ts";
import { coldCreate } from "./cold-create.ts";
import { density } from "./density.ts";
import { firecracker } from "./firecracker.ts";
import { fork } from "./fork.ts";
import { growth } from "./growth.ts";
import { images } from "./images.ts";
import { load } from "./load.ts";
import { memory } from "./memory.ts";
import { mounts } from "./mounts.ts";
import { mountsBeside9p } from "./mounts-9p.ts";
import { mountsTools } from "./mounts-tools.ts";
import { open, openByDoor, openByTap } from "./open.ts";
import { pool } from "./pool.ts";
import { rate } from "./rate.ts";
import { restricted } from "./restricted.ts";
import { smallFiles } from "./small-files.ts";
import { fromTemplate } from "./template.ts";
import { throughput } from "./throughput.ts";
import { withTranslations } from "./translations.ts";
import { warmRun } from "./warm-run.ts";
import { wholeRun } from "./whole-run.ts";

/** The rows that are measured, by the numbers that the goals have. */
export const ROWS: Readonly<
  Record<string, { readonly what: string; readonly measure: (setting: Setting) => Promise<Measurement[]> }>
> = {
  "1": { what: "cold create", measure: coldCreate },
  "2": { what: "from a template", measure: fromTemplate },
  "2b": { what: "from a template, with kept translations", measure: withTranslations },
  "3": { what: "warm commands", measure: warmRun },
  "3b": { what: "the whole of smolvm run", measure: wholeRun },
  "4": { what: "from a pool", measure: pool },
  "5": { what: "forks", measure: fork },
  "6": { what: "transfers", measure: throughput },
  "7": { what: "memory", measure: memory },
  "8": { what: "the command line's start", measure: cliStart },
  "9": { what: "growth of the store", measure: growth },
  "10": { what: "1 and 3 on Firecracker", measure: firecracker },
  "11": { what: "sandboxes per second", measure: rate },
  "12": { what: "small files", measure: smallFiles },
  "14": { what: "many at once", measure: density },
  "15": { what: "a restricted network", measure: restricted },
  "16": { what: "an open network", measure: open },
  "16b": { what: "an open network by a tap", measure: openByTap },
  "16c": { what: "an open network by the door", measure: openByDoor },
  "18": { what: "directories of the host", measure: mounts },
  "18b": { what: "directories of the host beside 9p", measure: mountsBeside9p },
  "18c": { what: "git and a compiler in directories of the host", measure: mountsTools },
  "19": { what: "images of registries", measure: images },
  "20": { what: "builds of Dockerfiles", measure: builds },
  "13": { what: "a command beside loads", measure: load },
};
