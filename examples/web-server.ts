// A server in the sandbox, reached from here. The sandbox has no network card: connections travel on the agent's channel.
import { SmolVM } from "smolvm";

await using vm = await SmolVM.create({ network: "off" });

await vm.files.write("/srv/index.html", "<h1>served from a microVM</h1>\n");
const server = vm.spawn("python3 -u -m http.server 8000 --directory /srv", { stdin: "ignore" });
for await (const { data } of server) {
  if (Buffer.from(data).includes("Serving HTTP")) break; // it listens now
}

const web = await vm.ports.expose(8000);
const response = await fetch(web.url);
console.log(response.status, (await response.text()).trim());
await server.kill();

// Output:
// 200 <h1>served from a microVM</h1>
