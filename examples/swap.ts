// deno run examples/swap.ts
//
// A hook, a queue discipline and a driver are replaced while packets flow. What is lost is what an old queue or ring
// held, and it is counted.
import { createHost, Machine, NF_ACCEPT, NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook } from "@netpath/stack";
import type { Plugin } from "@netpath/stack";
import { needIp } from "@netpath/stack/inet";
import { NETFILTER } from "@netpath/stack/netfilter";
import { nicDevice, wire } from "@netpath/stack/nic";
import { AF_INET, msgHdr, SOCK_DGRAM } from "@netpath/stack/sock";

/** A firewall as a plugin: it lets every `every`th packet in. */
function sampler(every: number): Plugin {
  return {
    name: "sampler",
    api: 1,
    requires: [NETFILTER],
    setup(net) {
      let n = 0;
      nfRegisterNetHook(net, {
        name: `one in ${every}`,
        hook: NF_INET_LOCAL_IN,
        fn: () => ++n % every === 0 ? NF_ACCEPT : NF_DROP,
      });
    },
  };
}

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const a = createHost({ machine, name: "a", plugins: [nicDevice("eth0", { wire: cable, txRing: 64 })] });
const b = createHost({ machine, name: "b", plugins: [nicDevice("eth0", { wire: cable }), sampler(1)] });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");
await a.ping("10.0.0.2");
const server = b.sys.socket(AF_INET, SOCK_DGRAM, 0);
b.sys.bind(server, 0, 7);
const client = a.sys.socket(AF_INET, SOCK_DGRAM, 0);
a.sys.connect(client, needIp("10.0.0.2", "address"), 7);

/** 80 datagrams in one go; in the middle, while rings and queues are full, `change` happens. */
function burst(label: string, change: () => number = () => 0): void {
  let lost = 0;
  machine.batch(() => {
    for (let i = 0; i < 80; i++) {
      if (i === 70) lost = change();
      a.sys.sendmsg(client, msgHdr(new Uint8Array(64)), 0);
    }
  });
  let received = 0;
  while (b.sys.recvmsg(server, msgHdr(new Uint8Array(64)), 0) >= 0) received++;
  console.log(`${label.padEnd(48)} sent 80, received ${String(received).padStart(2)}, lost ${lost}`);
}

burst("nothing changes");

const hookBefore = b.net.dropped("NETFILTER_DROP");
b.net.swap("sampler", sampler(4));
burst("a hook: every 4th packet is let in");
console.log(`  its drops are counted: NETFILTER_DROP ${b.net.dropped("NETFILTER_DROP") - hookBefore}`);
b.net.swap("sampler", sampler(1));

burst("a queue discipline: pfifo_fast becomes pfifo", () => a.net.setQdisc(a.link.get("eth0"), "pfifo"));
console.log(`  what the old one held: ${JSON.stringify(a.net.dropTable())}`);

burst("a driver: b's ring of 256 becomes one of 512", () => {
  const before = b.net.dropped("QUEUE_PURGE");
  b.net.swap("nic-eth0", nicDevice("eth0", { rxRing: 512 }));
  return b.net.dropped("QUEUE_PURGE") - before;
});
console.log(`  what the old ring held: ${JSON.stringify(b.net.dropTable())}`);

burst("afterwards");
