import { SmolVMError } from "../../errors.ts";

/** The error for what cannot be unpacked. @param format the program that packed it */
export function packedDamaged(format: string, what: string): SmolVMError {
  return new SmolVMError("FILE_FAILED", `what is packed with ${format} is damaged: ${what}`, {
    hint: `Make it again, and try it: ${format} -t FILE`,
  });
}
