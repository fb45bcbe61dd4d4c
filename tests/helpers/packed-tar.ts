/**
 * A tar with the directory `in` and `in/file` (of uid 12, with mode 600, "packed"), packed by programs that not every host has: what they gave, so
 * that it is there on Windows, too.
 */
const bytes = (text: string): Buffer => Buffer.from(text, "base64");

/** by `xz` */
export const TAR_XZ: Buffer = bytes(
  "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4An/AFtdADSbgd6V4XBV4z1CMml62MIoXIjodXWoKgVdEKyCfwjRvehz91sI6rIyHBLR6XOM/WT50HldxcTLCVDCPN7KYbjPE5g2nvLabvZEDMqOOivTK6KaclKFFxzY3gAAALRIH7RQAT4IAAF3gBQAAAD+me+7scRn+wIAAAAABFla",
);

/** by `bzip2` */
export const TAR_BZIP2: Buffer = bytes(
  "QlpoOTFBWSZTWcGnapMAAFNbgOmAQAD/gAAiby1eAAQIIAByGpMjTQYgA9TNGoJJEyPSQeoz1QDQIx3u5H5GICwozcbKZuvIqCYTmxM9E70SKsIsMBrGQExjTnCydyDORcoYVi2dRlJG1B74ZlMkOil4BAgQRAH4u5IpwoSGDTtUmA==",
);

/** its first 700 bytes by `xz`, and the others by `xz --check=crc32`: two streams */
export const TAR_SEVERAL_XZ: Buffer = Buffer.concat([
  bytes(
    "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AK7AEldADSbgd6V4XBV4z1CMml62MIoXIjodXWoKgVdEKyCfwjRvehz91sI6rIyHBLR6XOM/WT50HldxcTLCVDCPN7KYbjPE5PfBFdbugAAAAAAT4YRgznOGXsAAWW8BQAAABNfhXmxxGf7AgAAAAAEWVo=",
  ),
  bytes(
    "/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4AdDACJdAABuYrunyNW6FaEsARBj5KDysBpK0PEgm6g3UxfEm6ki1AAAAAAQvQwRAAE6xA4AAAA+yf6aPjANiwIAAAAAAVla",
  ),
]);
