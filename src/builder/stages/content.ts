import type { ConfigDocument, HistoryEntry, RunConfig } from "../../images/layer/config-document.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import { type MadeStep, stepKey } from "./steps-cache.ts";

/** What the instructions of a stage have made so far: an image, but for how it is run and its name. */
export interface StageContent {
  readonly document: ConfigDocument;
  readonly layers: readonly MadeLayer[];
  /** a hash of all that it depends on and has made */
  readonly key: string;
  readonly created: string | undefined;
  /** the image of the store that has exactly these layers */
  readonly image: string | undefined;
}

/** After an instruction that changes how the image is run, and no file. Pure. */
export function withConfig(content: StageContent, config: RunConfig, createdBy: string): StageContent {
  const { document, key, created } = content;
  return {
    ...content,
    document: noted(document, undefined, created, createdBy),
    key: stepKey([key, "config", config]),
  };
}

/** After a step. Pure. @param key the step's */
export function withStep(
  { document, layers, image }: StageContent,
  key: string,
  { layer, created }: MadeStep,
  createdBy: string,
): StageContent {
  return {
    document: noted(document, layer, created, createdBy),
    layers: layer === undefined ? layers : [...layers, layer],
    key: stepKey([key, layer?.descriptor.digest]),
    created,
    image: layer === undefined ? image : undefined,
  };
}

function noted(
  document: ConfigDocument,
  layer: MadeLayer | undefined,
  created: string | undefined,
  createdBy: string,
): ConfigDocument {
  const entry: HistoryEntry = {
    ...(created === undefined ? {} : { created }),
    created_by: createdBy,
    comment: "smolvm image build",
    ...(layer === undefined ? { empty_layer: true } : {}),
  };
  const { rootfs, history } = document;
  return {
    ...document,
    history: [...history, entry],
    rootfs: {
      type: "layers",
      diff_ids: [...rootfs.diff_ids, ...(layer === undefined ? [] : [layer.diffId])],
    },
  };
}
