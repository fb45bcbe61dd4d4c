/**
 * A stand-in of Firecracker: the same arguments, the same API on the same socket, no machine. It prints each request on its
 * stdout, as a guest's console; it refuses what FAKE_FIRECRACKER_REFUSES names, and gives no answer to what
 * FAKE_FIRECRACKER_IGNORES names. The real one runs in the lab.
 */
import { createServer } from "node:http";

const socket = process.argv[process.argv.indexOf("--api-sock") + 1];
const { FAKE_FIRECRACKER_REFUSES: refused, FAKE_FIRECRACKER_IGNORES: ignored } = process.env;

createServer((request, response) => {
  request.resume();
  process.stdout.write(`${request.method} ${request.url}\n`);
  if (request.url === ignored) return undefined;
  if (request.url !== refused) return response.writeHead(204).end();
  const fault = '{"fault_message":"The vCPU number is invalid!"}';
  return response.writeHead(400, { "Content-Length": fault.length }).end(fault);
}).listen(socket);
