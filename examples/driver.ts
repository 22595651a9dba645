// deno run examples/driver.ts
//
// A driver of your own in about twelve lines: a device that hands every frame to the device at its other end.
import { createHost, Machine, type Net, type NetDevice } from "@netpath/stack";

/** Two devices, back to back. */
function cable(a: Net, b: Net): void {
  const ends: NetDevice[] = [];
  for (const [i, net] of [a, b].entries()) {
    ends[i] = net.registerNetdev("cable0", {
      startXmit(skb) {
        if (!skb.linearize()) return 16; // NETDEV_TX_BUSY: no memory, core keeps the packet and tries again
        ends[1 - i].receive(skb.bytes.subarray(skb.data, skb.tail));
        skb.consume();
        return 0; // NETDEV_TX_OK
      },
    });
  }
}

using machine = new Machine({ seed: 1 });
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
cable(a.net, b.net);
a.addr.add("cable0", "10.0.0.1/24");
b.addr.add("cable0", "10.0.0.2/24");

for (let seq = 1; seq <= 3; seq++) {
  const { bytes, from, ttl } = await a.ping("10.0.0.2", { seq });
  console.log(`${bytes} bytes from ${from}: seq=${seq} ttl=${ttl}`);
}
for (const host of [a, b]) {
  const { rxPackets, rxBytes } = host.link.get("cable0").stats;
  console.log(`cable0 of ${host.net.name}: received ${rxPackets} frames, ${rxBytes} bytes`);
}
