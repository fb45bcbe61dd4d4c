import { join } from "node:path";

/** Where templates are kept. */
export interface TemplateDirs {
  /** the user's cache directory (host/paths.ts) */
  readonly cacheDir: string;
}

/** Every file of the template cache, named in this one place. Pure. */
export interface TemplateLayout {
  readonly root: string;
  /** the home of the machines that templates are made from (vm/template-maker) */
  readonly home: string;
  /** where templates are made: rubbish, unless its maker lives */
  readonly work: string;
  /** the directory of a template; it is there only when it is whole */
  readonly template: (key: string) => TemplateFiles;
  /** held by the process that makes it */
  readonly lock: (key: string) => string;
  /** the command lines that templates of a kind run, where they were given for all (JSON); `kind` is the key of the one that runs none */
  readonly warmUps: (kind: string) => string;
  /** that making it failed, and why: it is not tried again for a while */
  readonly failure: (key: string) => string;
}

/** The files of one template. */
export interface TemplateFiles {
  readonly dir: string;
  /** what it is, and how to tell that the others are what was made (manifest.ts) */
  readonly manifest: string;
  /** the guest's memory, sparse: machines map it copy-on-write */
  readonly memory: string;
  /** the state of the machine's devices and CPUs: QEMU's migration stream without memory */
  readonly state: string;
  /** the sandbox's own disk at that moment: a seed like an image's (images/seed.ts) */
  readonly disk: string;
  /** what the machine had translated, if its QEMU keeps that: host code, of this machine alone */
  readonly code: string;
}

/** Names the files of the template cache. Pure. */
export function templateLayout({ cacheDir }: TemplateDirs): TemplateLayout {
  const root = join(cacheDir, "templates");
  return {
    root,
    home: join(root, "home"),
    work: join(root, "work"),
    template: (key) => templateFiles(join(root, key)),
    lock: (key) => join(root, `${key}.lock`),
    warmUps: (kind) => join(root, `${kind}.warm`),
    failure: (key) => join(root, `${key}.failed`),
  };
}

/** Names the files of a template in a directory. Pure. */
export function templateFiles(dir: string): TemplateFiles {
  return {
    dir,
    manifest: join(dir, "manifest.json"),
    memory: join(dir, "memory"),
    state: join(dir, "state"),
    code: join(dir, "code"),
    disk: join(dir, "disk.simg"),
  };
}
