// deno run examples/router.ts
//
// Two networks with two routers between them, and a traceroute through: UDP with a rising TTL. Each router on the way
// answers "time exceeded", the host at the end "port unreachable"; IP_RECVERR gives the errors to the socket.
import { createHost, type Host, Machine } from "@netpath/stack";
import { ipToString, needIp } from "@netpath/stack/inet";
import { nic, wire } from "@netpath/stack/nic";
import { AF_INET, IP_RECVERR, IP_TTL, MSG_ERRQUEUE, msgHdr, SOCK_DGRAM, SOL_IP } from "@netpath/stack/sock";

using machine = new Machine({ seed: 1 });
const left = createHost({ machine, name: "left" });
const r1 = createHost({ machine, name: "r1", forwarding: true });
const r2 = createHost({ machine, name: "r2", forwarding: true });
const right = createHost({ machine, name: "right" });

/** A wire between two hosts: device, address. */
function connect(a: Host, deviceA: string, cidrA: string, b: Host, deviceB: string, cidrB: string): void {
  const cable = wire(machine);
  nic(a.net, deviceA, { wire: cable });
  nic(b.net, deviceB, { wire: cable });
  a.addr.add(deviceA, cidrA);
  b.addr.add(deviceB, cidrB);
}
connect(left, "eth0", "10.0.1.2/24", r1, "eth0", "10.0.1.1/24");
connect(r1, "eth1", "10.0.2.1/24", r2, "eth0", "10.0.2.2/24");
connect(r2, "eth1", "10.0.3.1/24", right, "eth0", "10.0.3.2/24");
left.route.add("default", { via: "10.0.1.1" });
r1.route.add("10.0.3.0/24", { via: "10.0.2.2" });
r2.route.add("10.0.1.0/24", { via: "10.0.2.1" });
right.route.add("default", { via: "10.0.3.1" });

/** Who answers a datagram that may make `ttl` hops. */
function probe(from: Host, to: string, ttl: number): { hop: string; what: string; last: boolean } {
  const { sys } = from;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
  sys.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  sys.setsockopt(fd, SOL_IP, IP_TTL, ttl);
  const msg = { ...msgHdr(new Uint8Array(32)), addr: needIp(to, "address"), port: 33434 + ttl };
  sys.sendmsg(fd, msg, 0);
  const err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  const got = sys.recvmsg(fd, { ...msgHdr(new Uint8Array(32)), err }, MSG_ERRQUEUE);
  sys.close(fd);
  if (got < 0) return { hop: "*", what: "no answer", last: false };
  const what = err.type === 11 ? "time exceeded" : err.type === 3 ? "port unreachable" : `ICMP ${err.type}/${err.code}`;
  return { hop: ipToString(err.offender), what, last: err.type === 3 };
}

console.log("traceroute from left to 10.0.3.2");
for (let ttl = 1; ttl <= 8; ttl++) {
  const { hop, what, last } = probe(left, "10.0.3.2", ttl);
  console.log(`${String(ttl).padStart(2)}  ${hop.padEnd(10)} ${what}`);
  if (last) break;
}

const reply = await left.ping("10.0.3.2");
console.log(`ping through both: TTL of the answer ${reply.ttl} (it left with 64)`);
