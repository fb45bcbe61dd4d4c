import { SmolVMError } from "../../errors.ts";
import { readEnvironment } from "../../host/environment.ts";

/**
 * The time that nothing in an image is to be later than, in s since 1970 (https://reproducible-builds.org/specs/source-date-epoch/); undefined: times are as they
 * are.
 * @throws SmolVMError CONFIG_INVALID
 */
export function sourceDate(): number | undefined {
  const { sourceDateEpoch: text } = readEnvironment(process.env);
  if (text === undefined) return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new SmolVMError("CONFIG_INVALID", `SOURCE_DATE_EPOCH: '${text}' is no time in seconds since 1970`, {
    hint: "Give a whole number, such as the one that git log -1 --format=%ct prints, or unset it.",
  });
}
