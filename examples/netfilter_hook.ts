// deno run examples/netfilter_hook.ts
//
// A firewall rule of your own in about eleven lines: it drops what comes for a UDP port, and counts.
import { createHost, Machine, NF_ACCEPT, NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook } from "@netpath/stack";
import type { NfHookOps } from "@netpath/stack";
import { IPPROTO_UDP } from "@netpath/stack/inet";
import { Ipv4Header } from "@netpath/stack/ipv4";
import { nic, wire } from "@netpath/stack/nic";
import { UdpHeader } from "@netpath/stack/udp";

/** A rule: nobody reaches UDP port `port`. */
function closed(port: number): NfHookOps {
  return {
    name: `closed-${port}`,
    hook: NF_INET_LOCAL_IN,
    fn: (skb) => {
      const { protocol, hlen } = new Ipv4Header(skb.view, skb.networkHeader);
      if (protocol !== IPPROTO_UDP || !skb.mayPull(hlen + 8)) return NF_ACCEPT;
      const { dest } = new UdpHeader(skb.view, skb.networkHeader + hlen);
      return dest === port ? NF_DROP : NF_ACCEPT;
    },
  };
}

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
nic(a.net, "eth0", { wire: cable });
nic(b.net, "eth0", { wire: cable });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");
using open7 = b.listenDatagram({ port: 7 });
using open9 = b.listenDatagram({ port: 9 });
using client = a.listenDatagram({ port: 0 });

const rule = nfRegisterNetHook(b.net, closed(9));
for (const port of [7, 9]) {
  await client.send(new TextEncoder().encode(`to ${port}`), { transport: "udp", hostname: "10.0.0.2", port });
}
console.log(`port 7 received "${new TextDecoder().decode((await open7.receive())[0])}"`);
console.log(`dropped on b: ${JSON.stringify(b.net.dropTable())}`);

// A rule goes as it came, at any time.
rule[Symbol.dispose]();
await client.send(new TextEncoder().encode("again"), { transport: "udp", hostname: "10.0.0.2", port: 9 });
console.log(`port 9 received "${new TextDecoder().decode((await open9.receive())[0])}" without the rule`);
