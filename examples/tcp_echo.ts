// deno run examples/tcp_echo.ts
//
// TCP between two hosts in one process: an echo server, a client, half-close; then who copied what.
import { createHost, Machine } from "@netpath/stack";
import { nic, wire } from "@netpath/stack/nic";

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
nic(a.net, "eth0", { wire: cable });
nic(b.net, "eth0", { wire: cable });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");

using listener = b.listen({ port: 7 });
(async () => {
  for await (const conn of listener) conn.readable.pipeTo(conn.writable);
})();

{
  using conn = await a.connect({ hostname: "10.0.0.2", port: 7 });
  console.log(`connected: ${conn.localAddr.hostname} to ${conn.remoteAddr.hostname}:${conn.remoteAddr.port}`);
  await conn.write(new TextEncoder().encode("hello, and hello again"));
  await conn.closeWrite();
  let echo = "";
  const buf = new Uint8Array(8);
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) {
    echo += new TextDecoder().decode(buf.subarray(0, n));
  }
  console.log(`the echo: "${echo}", then end of stream`);
}

machine.runUntilIdle();
const { ledger } = machine;
console.log(
  `copied by the CPU: ${ledger.total("cpu")} bytes (22 in and out on each way); by DMA: ${ledger.total("dma")}`,
);
