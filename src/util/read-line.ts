import type { Socket } from "node:net";

/**
 * The next line of a socket, without its end. What came behind it is left in the socket, which is paused.
 * @throws Error ECONNRESET for a longer line or when the other end hangs up; the socket's own error
 */
export function readLine(socket: Socket, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const settle = (): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      socket.pause();
    };
    const onData = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf(0x0a);
      if (end < 0 && got.length <= maxBytes) return;
      settle();
      if (end < 0 || end > maxBytes) {
        reject(hungUp("the line is too long"));
        return;
      }
      if (got.length > end + 1) socket.unshift(got.subarray(end + 1));
      resolve(got.subarray(0, end));
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onClose = (): void => {
      settle();
      reject(hungUp("the other end hung up"));
    };
    socket.on("data", onData).on("error", onError).on("close", onClose).resume();
  });
}

/** As the system reports it: whoever connects tries again. */
export function hungUp(message: string): Error {
  return Object.assign(new Error(message), { code: "ECONNRESET" });
}
