import { SmolVMError } from "../../errors.ts";

/*
 * How images of others are named: as Docker does (https://github.com/distribution/reference), and the two forms of
 * containers-transports(5) that are files of this machine:
 *
 *   [HOST[:PORT]/]PATH[/PATH...][:TAG][@sha256:DIGEST]
 *   oci:DIRECTORY[:TAG]
 *   docker-archive:FILE
 */

/** An image in a registry. */
export interface RegistryReference {
  readonly kind: "registry";
  /** host and port as they are written, "docker.io" where there is none */
  readonly registry: string;
  /** e.g. "library/python" */
  readonly repository: string;
  /** absent only where there is a digest */
  readonly tag: string | undefined;
  /** "sha256:..." */
  readonly digest: string | undefined;
  /** as people write it, with the tag: "python:3.12"; the image's name in the store */
  readonly name: string;
}

/** A directory in the OCI image layout. */
export interface LayoutReference {
  readonly kind: "oci";
  readonly directory: string;
  readonly tag: string | undefined;
  readonly name: string;
}

/** What `docker save` writes. */
export interface ArchiveReference {
  readonly kind: "docker-archive";
  readonly file: string;
  readonly name: string;
}

export type Reference = RegistryReference | LayoutReference | ArchiveReference;

const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_TAG = "latest";

const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::\\d{1,5})?$`);
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_REPOSITORY = 255;

/**
 * Reads a reference as people write it. Pure: whether a name without slash and colon is one of the store is asked before.
 * @throws SmolVMError CONFIG_INVALID
 */
export function parseReference(text: string): Reference {
  if (text.startsWith("oci:")) return layoutReference(text);
  if (text.startsWith("docker-archive:")) {
    const file = text.slice("docker-archive:".length);
    if (file === "") throw invalid(text, "names no file", "Write docker-archive:FILE");
    return { kind: "docker-archive", file, name: `docker-archive:${file}` };
  }
  return registryReference(text);
}

function layoutReference(text: string): LayoutReference {
  const rest = text.slice("oci:".length);
  const colon = rest.lastIndexOf(":");
  // What follows a drive's letter is no tag.
  const tag = colon > 1 && TAG.test(rest.slice(colon + 1)) ? rest.slice(colon + 1) : undefined;
  const directory = tag === undefined ? rest : rest.slice(0, colon);
  if (directory === "") throw invalid(text, "names no directory", "Write oci:DIRECTORY or oci:DIRECTORY:TAG");
  return { kind: "oci", directory, tag, name: `oci:${rest}` };
}

function registryReference(text: string): RegistryReference {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest))
    throw invalid(
      text,
      `has a digest that is none ('${digest.slice(0, 80)}')`,
      "A digest is sha256: and 64 of 0-9, a-f.",
    );
  const named = at < 0 ? text : text.slice(0, at);
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const hasHost = /[.:[]/.test(first) || first === "localhost" || first.toLowerCase() !== first;
  const path = hasHost ? named.slice(slash + 1) : named;
  const colon = path.lastIndexOf(":");
  const tagged = colon > path.lastIndexOf("/");
  const tag = tagged ? path.slice(colon + 1) : digest === undefined ? DEFAULT_TAG : undefined;
  if (tag !== undefined && !TAG.test(tag))
    throw invalid(
      text,
      `has a tag that is none ('${tag.slice(0, 140)}')`,
      "Tags are at most 128 letters, digits, '_', '.' and '-'.",
    );
  if (hasHost && !HOST.test(first)) throw invalid(text, `names no host ('${first.slice(0, 80)}')`);
  const registry = !hasHost || first === "index.docker.io" ? DEFAULT_REGISTRY : first;
  const written = tagged ? path.slice(0, colon) : path;
  if (written.length > MAX_REPOSITORY || !written.split("/").every((part) => COMPONENT.test(part))) {
    const lower = written.toLowerCase();
    throw invalid(
      text,
      "is not an image name",
      lower !== written && lower.split("/").every((part) => COMPONENT.test(part))
        ? `Names are in lower case: ${text.replace(written, lower)}`
        : "Write it as in a registry: python:3.12, ghcr.io/owner/name:1.0, localhost:5000/name. What is here already: smolvm image ls",
    );
  }
  const isDocker = registry === DEFAULT_REGISTRY;
  const repository = isDocker && !written.includes("/") ? `library/${written}` : written;
  const short = isDocker ? repository.replace(/^library\/(?=[^/]+$)/, "") : `${registry}/${repository}`;
  const name = `${short}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return { kind: "registry", registry, repository, tag, digest, name };
}

function invalid(text: string, what: string, hint?: string): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `'${text.slice(0, 300)}' ${what}`, {
    hint: hint ?? "Write it as in a registry: python:3.12, ghcr.io/owner/name:1.0, localhost:5000/name",
    details: { image: text.slice(0, 1000) },
  });
}
