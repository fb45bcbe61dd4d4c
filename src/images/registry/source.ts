import type { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** A manifest or index as it stands where it comes from. */
export interface SourceDocument {
  readonly bytes: Uint8Array;
  /** as who has it says; "" where nobody does */
  readonly mediaType: string;
}

/** Where an image comes from. Nothing that it gives has been checked, but that a document is of at most `MAX_DOCUMENT_BYTES`. */
export interface ImageSource {
  /** what the image is called there, for errors */
  readonly name: string;
  /** the manifest or index that the reference stands for now */
  top(deadline: Deadline): Promise<SourceDocument>;
  /** a manifest that an index names */
  document(descriptor: Descriptor, deadline: Deadline): Promise<SourceDocument>;
  /**
   * A blob, from a byte of it on, or from its beginning where that cannot be had.
   * @throws ConnectionFailed, from `chunks` too: then it is asked again
   */
  blob(
    descriptor: Descriptor,
    from: number,
    deadline: Deadline,
  ): Promise<{ readonly from: number; readonly chunks: AsyncIterable<Uint8Array> }>;
  /**
   * What it gave last for this digest (undefined: as the top) cannot be used.
   * @returns whether there is another place to ask for it, which is asked from now on
   */
  passBy?(digest: string | undefined, why: SmolVMError): boolean;
  close(): Promise<void>;
}
