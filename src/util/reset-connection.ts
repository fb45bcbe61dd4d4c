import type { Socket } from "node:net";

/**
 * Resets a TCP connection, whatever its state.
 *
 * While an end is on its way to the kernel libuv refuses a reset (uv_tcp_close_reset: EINVAL), and Node 24 forgets the socket all the same: its
 * descriptor stays open, the peer waits for ever, and a process that comes to its end then spins in it for ever. All that was written is with the
 * kernel by then, so that the end takes but a moment: the reset follows it.
 */
export function resetConnection(socket: Socket): void {
  const isEnding = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  if (isEnding && !socket.destroyed) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
