/**
 * A stand-in of Firecracker: the same arguments, the same API on the same socket, no machine. It prints each request on its
 * stdout, as a guest's console, and refuses what FAKE_FIRECRACKER_REFUSES names. The real one runs in the lab.
 */
import { createServer } from "node:http";

const socket = process.argv[process.argv.indexOf("--api-sock") + 1];
const refused = process.env.FAKE_FIRECRACKER_REFUSES;

createServer((request, response) => {
  request.resume();
  process.stdout.write(`${request.method} ${request.url}\n`);
  if (request.url === refused) response.writeHead(400).end('{"fault_message":"The vCPU number is invalid!"}');
  else response.writeHead(204).end();
}).listen(socket);
