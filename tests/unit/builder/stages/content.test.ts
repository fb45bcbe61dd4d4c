import { expect, test } from "vitest";
import { type StageContent, withConfig, withStep } from "../../../../src/builder/stages/content.ts";
import { stepKey } from "../../../../src/builder/stages/steps-cache.ts";
import { emptyDocument } from "../../../../src/images/layer/config-document.ts";

const BASE: StageContent = {
  document: emptyDocument("x86_64"),
  layers: [],
  key: "base",
  created: undefined,
  image: "base:1",
};
const CREATED = "2026-01-02T03:04:05.000Z";
const LAYER = {
  descriptor: {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `sha256:${"a".repeat(64)}`,
    size: 1,
  },
  diffId: `sha256:${"b".repeat(64)}`,
};

test("an instruction of the configuration is told of, has another key and leaves the image what can be booted from", () => {
  const { document, layers, key, image } = withConfig(BASE, { User: "app" }, "USER app");
  expect(document.history).toEqual([
    { created_by: "USER app", comment: "smolvm image build", empty_layer: true },
  ]);
  expect({ layers, key, image }).toEqual({
    layers: [],
    key: stepKey(["base", "config", { User: "app" }]),
    image: "base:1",
  });
});

test("a step adds its layer and time, and what it made goes into the key of what follows", () => {
  const made = withStep(BASE, "step", { layer: LAYER, created: CREATED }, "RUN x");
  expect(made).toMatchObject({
    layers: [LAYER],
    key: stepKey(["step", LAYER.descriptor.digest]),
    created: CREATED,
    image: undefined,
    document: { rootfs: { diff_ids: [LAYER.diffId] } },
  });
  expect(withConfig(made, {}, "CMD y").document.history).toEqual([
    { created: CREATED, created_by: "RUN x", comment: "smolvm image build" },
    { created: CREATED, created_by: "CMD y", comment: "smolvm image build", empty_layer: true },
  ]);
  expect(BASE.document.history).toEqual([]);
});

test("a step that changes nothing adds no layer, and the image stays what can be booted from", () => {
  const made = withStep(BASE, "step", { layer: undefined, created: CREATED }, "RUN true");
  expect(made).toMatchObject({ layers: [], created: CREATED, image: "base:1" });
  expect(made.document.history).toMatchObject([{ created: CREATED, empty_layer: true }]);
});
