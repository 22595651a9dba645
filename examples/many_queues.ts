// deno run examples/many_queues.ts
//
// A NIC with four queues and a machine with four CPUs: 1,000 flows spread over them (RSS), over the CPUs behind one queue
// (RPS), and through threads of NAPI's own; and the number of queues changes while frames are in the rings.
import { createHost, type Host, Machine } from "@netpath/stack";
import { needIp } from "@netpath/stack/inet";
import { type Nic, nic, wire } from "@netpath/stack/nic";
import { AF_INET, msgHdr, SOCK_DGRAM } from "@netpath/stack/sock";
import { STEERING } from "@netpath/stack/steering";

const FLOWS = 1000;
using machine = new Machine({ seed: 1, cpus: 4 });
const cable = wire(machine);
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
nic(a.net, "eth0", { wire: cable, queues: 4 });
const eth0: Nic = nic(b.net, "eth0", { wire: cable, queues: 4 });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");
await a.ping("10.0.0.2");

const server = b.sys.socket(AF_INET, SOCK_DGRAM, 0);
b.sys.bind(server, 0, 7);
const clients = Array.from({ length: FLOWS }, () => {
  const fd = a.sys.socket(AF_INET, SOCK_DGRAM, 0);
  a.sys.connect(fd, needIp("10.0.0.2", "address"), 7);
  return fd;
});

function read(host: Host, fd: number): number {
  let n = 0;
  while (host.sys.recvmsg(fd, msgHdr(new Uint8Array(8)), 0) >= 0) n++;
  return n;
}

/** One datagram of each flow, 50 at a time; prints what each queue and each CPU of `b` had of it. */
function burst(label: string): void {
  const queues = eth0.queues.map((q) => -q.stats.rxPackets);
  const cpus = machine.cpus.map((cpu) => -cpu.processed);
  let received = 0;
  for (let i = 0; i < FLOWS; i += 50) {
    machine.batch(() => {
      for (const fd of clients.slice(i, i + 50)) a.sys.sendmsg(fd, msgHdr(new Uint8Array(8)), 0);
    });
    machine.runUntilIdle(1e6);
    received += read(b, server);
  }
  eth0.queues.forEach((q, i) => queues[i] = (queues[i] ?? 0) + q.stats.rxPackets);
  machine.cpus.forEach((cpu, i) => cpus[i] += cpu.processed);
  const show = (list: number[]): string => list.map((n) => String(n).padStart(4)).join(" ");
  console.log(`${label.padEnd(34)} queues ${show(queues).padEnd(20)} CPUs ${show(cpus)}   received ${received}`);
}

burst("RSS, 4 queues");
eth0.setRxfh({ weight: [1, 1, 0, 2] }); // ethtool -X eth0 weight 1 1 0 2
burst("ethtool -X weight 1 1 0 2");
eth0.setRxfh({ default: true });

for (const q of eth0.queues) q.rxIrq.setAffinity(3); // echo 3 > /proc/irq/N/smp_affinity_list
burst("all interrupts on CPU 3");

eth0.setChannels({ combined: 1 }); // ethtool -L eth0 combined 1
burst("one queue");
b.net.get(STEERING).setRpsCpus(eth0.dev, 0, [0, 1, 2]); // echo 7 > /sys/class/net/eth0/queues/rx-0/rps_cpus
burst("one queue, RPS on CPUs 0 to 2");
console.log(`  wake-ups by RPS: ${machine.cpus.map((cpu) => cpu.receivedRps).join(" ")}`);
b.net.get(STEERING).setRpsCpus(eth0.dev, 0, []);

b.net.get(STEERING).setThreaded(eth0.dev, true); // echo 1 > /sys/class/net/eth0/threaded
burst("one queue, threaded NAPI");

// With moderation the frames are in the ring when it goes: they are lost, and counted.
eth0.setCoalesce({ rxUsecs: 50 });
machine.batch(() => {
  for (const fd of clients.slice(0, 50)) a.sys.sendmsg(fd, msgHdr(new Uint8Array(8)), 0);
});
const lost = eth0.setChannels({ combined: 4 });
machine.runUntilIdle(1e6);
console.log(`ethtool -L combined 4, with frames in the ring: sent 50, received ${read(b, server)}, lost ${lost}`);
