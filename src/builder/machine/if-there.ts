import { isSmolVMError } from "../../errors.ts";

/** What was asked of a path in a sandbox; undefined: there is nothing of that name, or of that type. */
export async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isSmolVMError(error, "FILE_NOT_FOUND") || isSmolVMError(error, "FILE_TYPE")) return undefined;
    throw error;
  }
}
